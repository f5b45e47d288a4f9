"""Who may import whom, and how a module begins: the order of docs/architecture.md, read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From top to bottom: a module may import modules of lower layers and of its own folder.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("grader.__main__",),
    ("grader.cli",),
    ("grader.doctor", "grader.workspace", "grader.verify", "grader.practice"),
    ("grader.lab_pages",),
    ("grader.run",),
    ("grader.report",),
    ("grader.session", "grader.score", "grader.recordings"),
    ("grader.checks",),
    ("grader.checking",),
    ("grader.private_folder",),
    ("grader.submission", "grader.sandbox", "grader.services", "grader.model"),
    ("grader.lab",),
    ("grader.strict_toml",),
    ("grader.verdict", "grader.errors", "grader.places", "grader"),
)
# What must not be imported even from above: each kind of service stands alone and knows no lab.
WALLS = {
    "grader.sandbox": ("grader.lab", "grader.verdict"),
    "grader.services": ("grader.lab", "grader.verdict"),
    "grader.model": ("grader.lab", "grader.verdict"),
}
MODULES = sorted(path for path in (ROOT / "grader").rglob("*.py") if "__pycache__" not in path.parts)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(name: str) -> tuple[int, str]:
    best = max(
        ((prefix, index) for index, layer in enumerate(LAYERS) for prefix in layer if _within(name, prefix)),
        key=lambda found: len(found[0]),
        default=None,
    )
    if best is None or (best[0] == "grader" and name != "grader"):
        pytest.fail(f"{name} has no layer: place it in LAYERS and in docs/architecture.md")
    return best[1], best[0]


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _imports(path: Path) -> Iterator[str]:
    """Modules of ours that run when this one does; those that only types need are not run."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and _within(node.module, "grader"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                file = ROOT / Path(*inner.split("."))
                yield inner if file.with_suffix(".py").exists() or file.is_dir() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _within(alias.name, "grader"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    name = _name(path)
    mine, home = _layer(name)
    for imported in _imports(path):
        theirs, their_home = _layer(imported)
        assert theirs > mine or their_home == home, f"{name} must not import {imported}"
        for prefix, walls in WALLS.items():
            if _within(name, prefix):
                assert not any(_within(imported, wall) for wall in walls), f"{name} must not know {imported}"


@pytest.mark.parametrize("path", [path for path in MODULES if "checks" in path.parts], ids=_name)
def test_checks_import_only_checking_and_their_own_lab(path: Path) -> None:
    own = ".".join(_name(path).split(".")[:3])
    for imported in _imports(path):
        assert _within(imported, "grader.checking") or _within(imported, own), f"{_name(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_opens_with_a_sentence(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if not (path.name == "__init__.py" and not path.read_text("utf-8").strip()):
        assert doc, f"{_name(path)} does not say what it is for"
        assert doc.split("\n\n")[0].rstrip().endswith((".", ":")), f"{_name(path)}: {doc.splitlines()[0]!r}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "helpers", "manager", "core", "misc", "common"}
    assert [path for path in MODULES if path.stem in empty] == []
