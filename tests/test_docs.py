"""What the docs say is read by these tests: every slug, option and field has its place, and outputs are real."""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from grader.cli import build_parser
from grader.lab import Lab, Limits, ProgramSpec, Services
from grader.lab_pages import SECTIONS
from grader.report.json_file import as_dict
from grader.run import LabResult
from tests import generated_docs
from tests.test_reports import sample_result

ROOT = Path(__file__).parent.parent


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _slugs_in_code() -> set[str]:
    slugs = set()
    for path in (ROOT / "grader").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "slug" and isinstance(node.value, ast.Constant):
                slugs.add(str(node.value.value))
        slugs.update(re.findall(r"docs/errors\.md#([a-z-]+)", path.read_text("utf-8")))
    return slugs


def test_every_error_slug_has_a_heading_and_no_heading_is_left_over() -> None:
    assert set(re.findall(r"^## (.+)$", _text("docs/errors.md"), re.MULTILINE)) == _slugs_in_code()


def test_error_headings_are_in_order() -> None:
    headings = re.findall(r"^## (.+)$", _text("docs/errors.md"), re.MULTILINE)
    assert headings == sorted(headings)


def test_every_field_of_lab_toml_is_described() -> None:
    text = _text("docs/writing-a-lab.md")
    own = {"root", "folder", "number"}  # not in the file
    names = {field.name for field in (*fields(Lab), *fields(ProgramSpec), *fields(Services), *fields(Limits))} - own
    assert [name for name in sorted(names) if not re.search(rf"\W{name}\W", text)] == []


def test_every_field_of_the_report_is_described() -> None:
    text = _text("docs/report-format.md")
    report = as_dict(sample_result())
    named = [*report, *report["points"], *report["tasks"][0], *report["checks"][0], *report["isolation"]]
    failure = next(check["failure"] for check in report["checks"] if check["failure"])
    assert [name for name in (*named, *failure) if f"`{name}`" not in text] == []


def test_the_report_has_no_undescribed_part_of_a_result() -> None:
    assert {field.name for field in fields(LabResult)} == {
        "lab", "folder", "title", "label", "seed", "isolation", "checks", "score", "seconds", "submission_digest",
        "checks_digest", "kept", "interrupted", "grader_version",
    }  # fmt: skip


def test_sections_of_a_brief_are_listed_for_authors() -> None:
    text = " ".join(_text("docs/writing-a-lab.md").split())
    assert [section for section in SECTIONS if section not in text] == []


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name
                yield from _options(command)
        yield from (option for option in action.option_strings if option.startswith("--"))


def test_every_command_and_option_is_in_the_readme() -> None:
    text = _text("README.md")
    assert [option for option in _options(build_parser()) if option not in text and option != "--help"] == []


@pytest.mark.parametrize("part", sorted(generated_docs.PARTS))
def test_a_generated_part_is_current(part: str) -> None:
    page, render = generated_docs.PARTS[part]
    written = generated_docs.read_part(page.read_text("utf-8"), part)
    assert written == render(), f"run `make docs`: {part} is out of date"


def test_the_run_in_the_readme_names_real_checks_and_tasks() -> None:
    shown = generated_docs.read_part(_text("README.md"), "run")
    titles = generated_docs.check_titles(ROOT / "grader" / "checks" / "lab_07")
    lines = [line for line in shown.splitlines() if re.match(r"  [✓✗-] ", line)]
    assert len(lines) == len(titles), "the run in the README has other checks: make docs"
    for line in lines:
        assert any(line[4:].startswith(title) for title in titles), line
    points = tomllib.loads(_text("labs/lab-07-rag-service/lab.toml"))["tasks"]
    for task in points:
        assert re.search(rf"{task['points']} +{task['id']} +{re.escape(task['title'])}", shown), task


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("labs/*/*.md"),
        *ROOT.glob("solutions/*/*.md"),
    ):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_pinned_versions_name_no_index() -> None:
    assert not re.search(r"://|--index|--find-links|@ file", _text("constraints.txt"))
