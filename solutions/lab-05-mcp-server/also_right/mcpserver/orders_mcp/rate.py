"""Counts a user's tool calls of the last minute over all replicas."""

from __future__ import annotations

import math

from orders_mcp.database import Pool


async def seconds_to_wait(pool: Pool, user_id: str, per_minute: int) -> int:
    """0 and the call is counted, or the whole seconds after which the next one is allowed.

    The advisory lock makes counting and adding one step for a user: two replicas cannot both take the last place.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('rate'), hashtext(%s))", [user_id])
        await connection.execute(
            "DELETE FROM rate_calls WHERE user_id = %s AND at <= clock_timestamp() - interval '60 seconds'", [user_id]
        )
        cursor = await connection.execute(
            "SELECT count(*) AS calls, EXTRACT(epoch FROM min(at) + interval '60 seconds' - clock_timestamp()) AS left"
            " FROM rate_calls WHERE user_id = %s",
            [user_id],
        )
        row = await cursor.fetchone()
        assert row is not None
        if row["calls"] >= per_minute:
            return max(1, math.ceil(row["left"] or 1))
        await connection.execute("INSERT INTO rate_calls (user_id) VALUES (%s)", [user_id])
        return 0
