"""Writes the generated parts of README.md and docs: `python -m tests.generated_docs --write`, which is `make docs`."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from grader.cli import build_parser
from grader.lab import list_folders, read_lab
from tests.attacks.attack import LEVELS, Expected, read_corpus

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ISOLATION = ROOT / "docs" / "isolation.md"
# Labs of the plan that are not there yet: number, title, stage, hours.
PLANNED = (
    ("01", "Agent set-up (Claude Code and Cursor)", "month 1", 4),
    ("02", "First AI feature", "month 1", 14),
    ("03", "Prompting, measured", "month 1", 8),
    ("04", "Structured outputs", "month 1", 8),
    ("05", "MCP server", "month 1", 14),
    ("06", "Function calling", "quarter 1", 12),
    ("07", "RAG service", "quarter 1", 20),
    ("08", "Vector search", "quarter 1", 10),
    ("09", "Evals in CI", "quarter 1", 18),
    ("10", "Observability", "quarter 1", 10),
    ("11", "Cost and latency", "quarter 1", 12),
    ("12", "MCP client", "year 1", 10),
    ("13", "Durable agent", "year 1", 20),
    ("14", "Injection defence", "year 1", 18),
    ("15", "Multi-agent", "year 1", 14),
    ("16", "Long-running agent", "year 1", 12),
    ("17", "Code review", "year 1", 10),
    ("18", "Open-source contribution", "year 1", 24),
    ("19", "LoRA", "year 1", 16),
    ("20", "Incident", "year 1", 14),
    ("21", "Agentic service (capstone)", "year 1", 46),
    ("22", "Inference serving", "year 2", 24),
    ("23", "Distillation", "year 2", 14),
    ("24", "Training from scratch", "year 2", 18),
    ("25-27", "One vertical: RAG, agents or evals", "year 2", 30),
    ("28", "Mentor kit", "year 2", 18),
    ("29", "Product taste", "year 2", 16),
    ("30", "AI platform (capstone)", "year 2", 62),
)


def labs_table() -> str:
    """The table of labs: those in this checkout, the planned ones marked."""
    present = {folder[4:6]: read_lab(ROOT, folder) for folder in list_folders(ROOT)}
    lines = ["| lab | title | stage | hours | |", "|---|---|---|---|---|"]
    for number, title, stage, hours in PLANNED:
        if lab := present.get(number):
            link = f"[{lab.title}](labs/{lab.folder}/README.md)"
            lines.append(f"| {number} | {link} | {lab.stage} | {lab.minutes / 60:.0f} | `grader check {lab.name}` |")
        else:
            lines.append(f"| {number} | {title} | {stage} | {hours} | planned |")
    return "\n".join(lines)


def command_help() -> str:
    """The help of every command, as `--help` prints it on 100 columns."""
    parser = build_parser()
    pages = [_help(parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            pages += [_help(command) for command in action.choices.values()]
    return "```\n" + "\n".join(pages).rstrip() + "\n```"


def _help(parser: argparse.ArgumentParser) -> str:
    # Without colours, and one usage line per option: argparse's wrapping differs between versions of Python.
    lines = [f"{parser.prog}: {parser.description}"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            lines += [f"  {choice.dest:<22} {choice.help}" for choice in action._choices_actions]
        elif action.dest != "help":
            name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            values = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
            value = f" {values}" if action.option_strings and values else ""
            choices = "|".join(map(str, action.choices)) if action.choices else ""
            lines.append(f"  {choices or name + value:<22} {action.help or ''}".rstrip())
    return "\n".join(lines) + "\n"


def check_titles(folder: Path) -> list[str]:
    """The line of every check in a folder of checks, read without running them."""
    return [
        " ".join((ast.get_docstring(node) or "").split())
        for path in sorted(folder.glob("checks_*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and any("check(" in ast.unparse(item) for item in node.decorator_list)
    ]


def run_output() -> str:
    """One real run of lab-07's reference, as a terminal shows it. Takes half a minute."""
    command = [str(Path(sys.executable).parent / "grader"), "check", "lab-07", "--reference", "--seed", "7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return f"```\n$ grader check lab-07 --reference --seed 7\n{ended.stdout.rstrip()}\n```"


def attacks_table() -> str:
    """Every attack of the battery, what must come of it, and the levels that stop it."""
    lines = [f"| attack | it | must | {' | '.join(LEVELS)} |", "|---|---|---|" + "---|" * len(LEVELS)]
    for attack in read_corpus():
        must = "not pass" if attack.expected is Expected.NOT_PASSED else "have no effect"
        held = " | ".join("stopped" if attack.stopped_at(level) else "**gets through**" for level in LEVELS)
        tries = attack.tries[0].lower() + attack.tries[1:].rstrip(".").replace("|", "\\|")
        lines.append(f"| `{attack.id}` | {tries} | {must} | {held} |")
    return "\n".join(lines)


# Cheap parts are compared with what the code gives now; the run is compared with the checks that exist.
PARTS: dict[str, tuple[Path, Callable[[], str]]] = {
    "labs": (README, labs_table),
    "help": (README, command_help),
    "attacks": (ISOLATION, attacks_table),
}


def read_part(text: str, name: str) -> str:
    """What stands between the marks of a part."""
    found = re.search(rf"<!-- {name}: .*?-->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    if not found:
        raise LookupError(f"the page has no part {name!r}")
    return found[1]


def replace_part(text: str, name: str, body: str) -> str:
    """The text with a part written anew."""
    before = read_part(text, name)
    return text.replace(f"-->\n{before}\n<!-- /{name} -->", f"-->\n{body}\n<!-- /{name} -->")


def main() -> None:
    """Write all parts anew, the run last."""
    for name, (page, render) in {**PARTS, "run": (README, run_output)}.items():
        page.write_text(replace_part(page.read_text("utf-8"), name, render()), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("usage: python -m tests.generated_docs --write")
    main()
