"""Reads the body of a request, whatever is wrong with it: too large, too slow, badly chunked, or one too many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from grader.model.bounds import BODY_LIMIT, SILENCE_SECONDS, Allowance
from grader.model.wires.wire import Rejection


@dataclass(frozen=True)
class Body:
    """What came, and why it is not whole, or None; `taken` is its share of the allowance."""

    raw: bytes
    problem: Rejection | None = None
    taken: int = 0


async def read_body(http: web.BaseRequest, allowance: Allowance) -> Body:
    """The body as far as it can be had; the caller gives `taken` back to the allowance.

    Raises:
        ConnectionError, CancelledError: the client has gone.
    """
    if http.headers.get("expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        http.writer.output_size = 0
    parts: list[bytes] = []
    size = 0
    problem: Rejection | None = None
    try:
        while problem is None:
            async with asyncio.timeout(SILENCE_SECONDS):
                part = await http.content.readany()
            if not part:
                break
            if size + len(part) > BODY_LIMIT:
                problem = Rejection(f"Request exceeds the maximum size of {BODY_LIMIT} bytes.", status=413)
            elif not allowance.take(len(part)):
                problem = Rejection("Too many large requests at once; try again.", status=503)
            else:
                parts.append(part)
                size += len(part)
    except TimeoutError:
        problem = Rejection(f"Nothing more of the body came for {SILENCE_SECONDS:g} seconds.", status=408)
    except (web.RequestPayloadError, HttpProcessingError) as error:
        problem = Rejection(f"The request body cannot be read: {error}")
    except BaseException:
        allowance.give_back(size)  # the client has gone: nobody else will
        raise
    # Of what is too large nothing is kept: it would only fill the journal.
    return Body(b"" if problem is not None and problem.status == 413 else b"".join(parts), problem, size)
