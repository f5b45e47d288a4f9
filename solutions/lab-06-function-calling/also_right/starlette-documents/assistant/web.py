"""The routes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from assistant import desk, store, toolbox
from assistant.desk import No
from assistant.models import ModelDown

Handler = Callable[[Request, str], Awaitable[Response]]


def for_users(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Lets known users in, and turns what goes wrong into JSON."""

    async def handle(request: Request) -> Response:
        try:
            user_id = request.headers.get("x-user")
            if not user_id:
                raise No(401, "no_user")
            if await store.one("SELECT 1 FROM users WHERE user_id = %s", user_id) is None:
                raise No(403, "unknown_user")
            return await handler(request, user_id)
        except No as no:
            return JSONResponse({"error": no.word}, no.status)
        except ModelDown:
            return JSONResponse({"error": "upstream"}, 502)

    return handle


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise No(400, "bad_request")
    return body


@for_users
async def chat(request: Request, user_id: str) -> Response:
    body = await _object(request)
    names, message = [body.get("conversation"), body.get("message_id")], body.get("message")
    if not all(isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names):
        raise No(400, "bad_request")
    if not isinstance(message, str) or not 1 <= len(message) <= 4000 or re.search("[\ud800-\udfff]", message):
        raise No(400, "bad_request")
    if body.get("stream") is not True:
        return JSONResponse(await desk.chat(user_id, str(names[0]), str(names[1]), message, None))
    queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    run = asyncio.create_task(
        desk.chat(user_id, str(names[0]), str(names[1]), message, lambda *event: queue.put_nowait(event))
    )
    run.add_done_callback(lambda _: queue.put_nowait(("", None)))
    first = await queue.get()
    if not first[0]:
        first = ("done", await run)  # or what went wrong, with its status

    async def events() -> AsyncIterator[str]:
        name, data = first
        while name not in ("", "done"):
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
            name, data = await queue.get()
        try:
            yield f"event: done\ndata: {json.dumps(await run)}\n\n"
        except ModelDown:
            yield 'event: error\ndata: {"error": "upstream"}\n\n'

    return StreamingResponse(events(), media_type="text/event-stream")


@for_users
async def decide(request: Request, user_id: str) -> Response:
    body = await _object(request)
    if body.get("decision") not in ("approve", "deny"):
        raise No(400, "bad_request")
    approval_id = request.path_params["approval_id"]
    return JSONResponse(await desk.decide(user_id, approval_id, body["decision"], body.get("arguments_hash")))


@for_users
async def cancel(request: Request, user_id: str) -> Response:
    conversation = request.path_params["conversation"]
    await desk.owned(user_id, conversation)
    desk.cancel(conversation)
    return JSONResponse({}, 202)


@for_users
async def transcript(request: Request, user_id: str) -> Response:
    conversation = request.path_params["conversation"]
    document = await desk.owned(user_id, conversation)
    replies = [turn["calls"] for run in document["runs"] for turn in run["turns"]]
    return JSONResponse({"transcript_of": conversation, "replies": replies})


@for_users
async def replay(request: Request, user_id: str) -> Response:
    body = await _object(request)
    if not isinstance(body.get("transcript_of"), str) or not isinstance(body.get("replies"), list):
        raise No(422, "no_transcript")
    conversation = body["transcript_of"]
    await desk.owned(user_id, conversation)
    differences = []
    for call in (call for reply in body["replies"] for call in reply):
        word = toolbox.word_of(call["result"] or desk.NOT_RUN)
        fixed = call["name"] in ("book_pickup", "issue_credit") or word in ("timeout", "failed", "not_run")
        if not fixed and await toolbox.carry_out(user_id, conversation, call) != call["result"]:
            differences.append({"id": call["id"], "tool": call["name"]})
    return JSONResponse({"matches": not differences, "steps": len(body["replies"]), "differences": differences})


async def health(_: Request) -> Response:
    return JSONResponse({})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    await store.prepare()
    yield
    await store.pool.close(timeout=1)


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/chat", chat, methods=["POST"]),
        Route("/approvals/{approval_id}", decide, methods=["POST"]),
        Route("/conversations/{conversation}/cancel", cancel, methods=["POST"]),
        Route("/conversations/{conversation}/transcript", transcript),
        Route("/replay", replay, methods=["POST"]),
    ],
    lifespan=lifespan,
)
