"""Pages of Anthropic's lists: `limit`, `after_id` and `before_id` as their reference describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grader.model.wires.wire import JsonObject, Rejection

MOST = 1000


def page_of(items: Sequence[JsonObject], query: Mapping[str, str]) -> JsonObject:
    """The page that the query asks for, of objects that have an `id`."""
    limit = _limit(query.get("limit", "20"))
    ids = [item["id"] for item in items]
    start, stop = 0, len(items)
    if after := query.get("after_id"):
        start = _place(ids, after, "after_id") + 1
    if before := query.get("before_id"):
        stop = _place(ids, before, "before_id")
        start = max(start, stop - limit)
        more = start > 0
    else:
        more = stop - start > limit
    page = items[start : min(stop, start + limit)]
    return {
        "data": list(page),
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Rejection("limit: Input should be a valid integer")
    if not 1 <= int(text) <= MOST:
        raise Rejection(f"limit: Input should be between 1 and {MOST}")
    return int(text)


def _place(ids: Sequence[str], wanted: str, name: str) -> int:
    if wanted not in ids:
        raise Rejection(f"{name}: no object with the id {wanted}")
    return ids.index(wanted)
