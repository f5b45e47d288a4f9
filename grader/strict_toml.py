"""Reads TOML key by key: a missing key, a wrong type and a key that nobody asked for are errors with a name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from grader.errors import GraderFault

_KINDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}
_T = TypeVar("_T")


def load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise GraderFault(
            f"cannot read {str(path)!r}: {error}",
            mend="`git checkout -- labs` restores the course's own files.",
            slug="lab-invalid",
        ) from error


class Table:
    """A TOML table whose keys are taken one by one; what is left over is an error."""

    def __init__(self, data: dict[str, Any], where: str, path: str) -> None:
        self.data = dict(data)
        self.where = where
        self.path = path

    def fault(self, what: str) -> GraderFault:
        return GraderFault(
            f"{self.where}: {what}", mend="docs/writing-a-lab.md lists every field and its type.", slug="lab-invalid"
        )

    def take(self, key: str, kind: type[_T]) -> _T:
        if key not in self.data:
            raise self.fault(f"`{self.path}{key}` is missing")
        value = self.data.pop(key)
        if type(value) is not kind:
            raise self.fault(f"`{self.path}{key}` must be {_KINDS[kind]}, not {value!r}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.take(key, str)
        if value not in allowed:
            raise self.fault(f"`{self.path}{key}` must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def strings(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        if key not in self.data and not required:
            return ()
        value = self.take(key, list)
        if not all(isinstance(item, str) for item in value):
            raise self.fault(f"`{self.path}{key}` must be a list of strings, not {value!r}")
        return tuple(value)

    def table(self, key: str, *, required: bool = True) -> Table:
        value = self.take(key, dict) if required or key in self.data else {}
        return Table(value, self.where, f"{self.path}{key}.")

    def tables(self, key: str) -> list[Table]:
        value = self.take(key, list)
        if not value or not all(isinstance(item, dict) for item in value):
            raise self.fault(f"`{self.path}{key}` must be one or more [[{key}]] tables")
        return [Table(item, self.where, f"{key}[{index}].") for index, item in enumerate(value)]

    def done(self) -> None:
        if self.data:
            names = ", ".join(f"`{self.path}{key}`" for key in sorted(self.data))
            raise self.fault(f"unknown key {names}")
