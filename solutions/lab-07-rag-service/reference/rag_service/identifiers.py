"""Finds the tokens that must match exactly: part numbers, tariff codes, container numbers."""

from __future__ import annotations

import re

# PostgreSQL's text search parser reads `MFX-4471-B` as the word "mfx" and the number "-4471", and `8507.60` as a
# float: good for prose, useless for codes. An embedding model sees two codes that differ in a digit as the same thing.
# So codes get a column of their own, cut by a rule of our own: runs of letters and digits, joined by punctuation that
# codes use, with at least one digit in them.
_TOKEN = re.compile(r"[^\W_]+(?:[-./_:#][^\W_]+)*")
_SHORTEST = 3  # "5" and "B2" are too common to mean anything


def identifiers(text: str) -> list[str]:
    """The codes in `text`, folded to one case, each once."""
    found = (token.upper() for token in _TOKEN.findall(text))
    return sorted({token for token in found if len(token) >= _SHORTEST and any(map(str.isdigit, token))})
