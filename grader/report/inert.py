"""Makes a stranger's text safe to print: no escape sequence, carriage return or CI command of theirs takes effect."""

from __future__ import annotations

import re

# Everything that moves a cursor, changes colours or direction of writing; line ends and tabs stay.
ACTIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def inert(text: str) -> str:
    """The text with active characters shown as escapes."""
    return ACTIVE.sub(lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def quoted(text: str, lines: int = 12) -> str:
    """The last lines of a program's output, each behind `| `, so that none can pass for ours."""
    kept = inert(text).rstrip().split("\n")[-lines:]
    return "\n".join(f"| {line}" for line in kept)
