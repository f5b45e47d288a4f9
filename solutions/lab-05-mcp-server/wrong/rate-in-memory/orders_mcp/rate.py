"""Counts a user's tool calls of the last minute in this process."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque

from orders_mcp.database import Pool

CALLS: dict[str, deque[float]] = defaultdict(deque)


async def seconds_to_wait(pool: Pool, user_id: str, per_minute: int) -> int:
    """0 and the call is counted, or the seconds after which the next one is allowed."""
    now, calls = time.monotonic(), CALLS[user_id]
    while calls and calls[0] <= now - 60:
        calls.popleft()
    if len(calls) >= per_minute:
        return max(1, math.ceil(calls[0] + 60 - now))
    calls.append(now)
    return 0
