"""Shows what a program said to the model in the last run, check by check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grader.errors import UsageError
from grader.model import from_json
from grader.report.wire_view import render


def show(recorded: Sequence[dict[str, Any]], *, check: str | None, as_json: bool, width: int, colour: bool) -> str:
    """The recorded exchanges as text or JSON, of one check or of all.

    Raises:
        UsageError: that check called nothing in the last run.
    """
    chosen = [item for item in recorded if check in (None, item["check"])]
    if not chosen:
        raise UsageError(
            f"nothing was recorded for {check!r} in the last run" if check else "the last run called no model",
            mend=f"Recorded: {', '.join(item['check'] for item in recorded) or 'nothing'}.",
            slug="no-wire",
        )
    if as_json:
        whole = [{"check": item["check"], "exchanges": json.loads(item["exchanges"])} for item in chosen]
        return json.dumps({"format": 1, "checks": whole}, indent=2, ensure_ascii=False) + "\n"
    parts = []
    for item in chosen:
        parts.append(f"{item['check']}\n{'=' * len(item['check'])}\n")
        parts.append(render(from_json(item["exchanges"]), width=width, colour=colour))
    return "\n".join(parts)
