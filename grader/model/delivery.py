"""Sends one decided step over one HTTP connection: late, cut, broken or whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from grader.model.script import Cut, Fail, Gate, Hold, Slow, Step, Unfaithful
from grader.model.wires.wire import Answer

# How often a held reply looks at its gate.
GATE_SECONDS = 0.005

# Called just before a program can see the end of its reply: who has read a reply finds it in the journal.
Ended = Callable[[], None]


@dataclass(frozen=True)
class Manner:
    """How a step is to be delivered, taken out of its wrappers."""

    waits: tuple[float | Gate, ...]
    cut_after: int | None
    step: Step
    pauses: tuple[tuple[int, Gate], ...] = ()  # after so many events a stream waits for this; a plain reply before it
    cut_error: Fail | None = None  # the stream ends in this error instead of being dropped
    unfaithful: bool = False


def manner_of(step: Step) -> Manner:
    waits: list[float | Gate] = []
    pauses: list[tuple[int, Gate]] = []
    cut: Cut | None = None
    unfaithful = False
    while isinstance(step, (Slow, Hold, Cut, Unfaithful)):
        match step:
            case Slow():
                waits.append(step.seconds)
            case Hold(after_events=0):
                waits.append(step.gate)
            case Hold():
                pauses.append((step.after_events, step.gate))
            case Unfaithful():
                unfaithful = True
            case Cut():
                cut = step if cut is None or step.after_events < cut.after_events else cut
        step = step.step
    after, error = (None, None) if cut is None else (cut.after_events, cut.error)
    return Manner(tuple(waits), after, step, tuple(pauses), error, unfaithful)


async def wait_for(waits: tuple[float | Gate, ...]) -> None:
    """Waits for seconds and gates one after another, without keeping other requests waiting."""
    for wait in waits:
        if isinstance(wait, (int, float)):
            await asyncio.sleep(wait)
        else:
            while not wait.is_set():  # noqa: ASYNC110  a gate is a threading.Event, set from another thread
                await asyncio.sleep(GATE_SECONDS)


async def send_answer(
    http: web.BaseRequest,
    answer: Answer,
    headers: Mapping[str, str],
    ended: Ended,
    *,
    manner: Manner,
    last_words: bytes = b"",
) -> web.StreamResponse:
    """Sends a reply of the model's, plain or streamed; the manner may drop the connection before its end.

    With `last_words` a stream that is cut ends in them, properly closed.
    """
    cut_after = manner.cut_after
    if answer.frames:
        return await _send_stream(http, answer, headers, ended, manner=manner, last_words=last_words)
    return await send_body(
        http, 200, answer.plain, {**headers, "content-type": answer.content_type}, ended, cut=cut_after is not None
    )


async def send_body(
    http: web.BaseRequest,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    ended: Ended,
    *,
    cut: bool,
) -> web.StreamResponse:
    if not cut:
        ended()
        return web.Response(status=status, body=body, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await response.prepare(http)
    await response.write(body[: len(body) // 2])
    ended()
    drop(http)
    return response


async def _send_stream(
    http: web.BaseRequest,
    answer: Answer,
    headers: Mapping[str, str],
    ended: Ended,
    *,
    manner: Manner,
    last_words: bytes,
) -> web.StreamResponse:
    cut_after = manner.cut_after
    head = {**headers, "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    response = web.StreamResponse(headers=head)
    if http.version >= HttpVersion11:  # HTTP/1.0 has no chunks: the end of the connection ends the stream
        response.enable_chunked_encoding()
    await response.prepare(http)
    written = 0
    frames = answer.frames
    if answer.rest is not None and (cut_after is None or cut_after > len(frames)):
        written = await _write(response, frames, manner, written)
        await wait_for(answer.waits)
        frames = answer.rest()
    sent = frames if cut_after is None else frames[: cut_after - written]
    if last_words:
        sent = (*sent, last_words)
    written = await _write(response, sent[:-1], manner, written)
    await wait_for(tuple(gate for after, gate in manner.pauses if after >= written))
    ended()
    for frame in sent[-1:]:
        await response.write(frame)
    if cut_after is not None and not last_words:
        drop(http)
    return response


async def _write(response: web.StreamResponse, frames: tuple[bytes, ...], manner: Manner, written: int) -> int:
    """Writes frames behind those already written, stopping where the script says so; how many there are then."""
    for frame in frames:
        await wait_for(tuple(gate for after, gate in manner.pauses if after == written))
        await response.write(frame)
        written += 1
    return written


def drop(http: web.BaseRequest) -> None:
    """Closes the connection after what was written so far."""
    if http.transport is not None:
        http.transport.close()
