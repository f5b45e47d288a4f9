"""Reads a lab's pages as a learner meets them and says what is missing: sections of the brief, hints of a task."""

from __future__ import annotations

import re

from grader.lab import Lab

SECTIONS = (
    "Story",
    "What this lab does not prove",
    "Files and public surface",
    "One command",
    "Contract",
    "Tasks",
    "What the grader will do",
    "Done when",
    "After passing",
)
HINT_STEPS = 3


def page_problems(lab: Lab) -> list[str]:
    """What the brief and the hints lack, each as a sentence with what to do."""
    return [*_brief_problems(lab), *_hint_problems(lab)]


def read_hints(text: str) -> dict[str, list[str]]:
    """The numbered steps of each `## task` in hints.md."""
    hints: dict[str, list[str]] = {}
    for section in re.split(r"^## +", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        hints[title.strip().strip("`")] = re.findall(r"^\d+\. +(.+)", body, flags=re.MULTILINE)
    return hints


def _brief_problems(lab: Lab) -> list[str]:
    brief = _text(lab, "README.md")
    titles = re.findall(r"^## +(.+)", brief, flags=re.MULTILINE)
    return [
        f"labs/{lab.folder}/README.md has no section `## {section}`"
        for section in SECTIONS
        if not any(title.startswith(section) for title in titles)
    ] + [
        f"labs/{lab.folder}/README.md never names the task `{task.id}`"
        for task in lab.tasks
        if f"`{task.id}`" not in brief
    ]


def _hint_problems(lab: Lab) -> list[str]:
    text = _text(lab, "hints.md")
    hints = read_hints(text)
    problems = [
        f"task `{task.id}` has {len(hints.get(task.id, []))} hints: write {HINT_STEPS} numbered steps "
        f"under `## {task.id}` in labs/{lab.folder}/hints.md"
        for task in lab.tasks
        if len(hints.get(task.id, [])) != HINT_STEPS
    ]
    if "```" in text:
        problems.append(f"labs/{lab.folder}/hints.md holds code: hints lead, they do not answer")
    return problems


def _text(lab: Lab, name: str) -> str:
    path = lab.home / name
    return path.read_text("utf-8") if path.is_file() else ""
