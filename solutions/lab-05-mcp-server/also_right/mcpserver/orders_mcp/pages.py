"""What fits on one page of a list: as many rows as were asked for, and no more characters than a model should read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

LONGEST = 95_000  # characters of rows; the promise for a whole result is 100,000
Row = TypeVar("Row", bound=BaseModel)


def fit(rows: Sequence[dict[str, Any]], limit: int, make: Callable[[dict[str, Any]], Row]) -> tuple[list[Row], bool]:
    """The rows of a page as models, and whether there are more behind it.

    Args:
        rows: up to limit + 1 of them: the one too many tells that there is a next page.
    """
    page: list[Row] = []
    length = 0
    for row in rows[:limit]:
        model = make(row)
        length += len(model.model_dump_json()) + 1
        if page and length > LONGEST:
            break
        page.append(model)
    return page, len(rows) > len(page)
