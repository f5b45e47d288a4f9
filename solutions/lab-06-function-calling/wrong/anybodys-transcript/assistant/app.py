"""The HTTP surface: who asks, what they may ask, and what they are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from assistant import approvals, memory
from assistant.database import Pool, open_pool
from assistant.engine import Engine, OnEvent
from assistant.errors import HttpError, UpstreamError
from assistant.replay import Transcript, play, write_down
from assistant.replies import Run
from assistant.running import Register, Working
from assistant.settings import Settings
from assistant.tools import Toolbox
from assistant.users import User, find_user
from assistant.wires import open_wire


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL characters or half surrogate pairs")
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


UserId = Annotated[str | None, Header(alias="X-User")]


class Chat(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    conversation: Name
    message_id: Name
    message: Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_storable)]
    stream: bool = False


class Decision(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    decision: Literal["approve", "deny"]
    arguments_hash: str | None = None


class Service:
    """What the routes share."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.pool = pool
        self.register = Register()
        self.toolbox = Toolbox(pool, settings)
        self.engine = Engine(pool, settings, open_wire(settings.wire), self.toolbox)

    async def user(self, user_id: str | None) -> User:
        if not user_id:
            raise HttpError(401, "no_user")
        async with self.pool.connection() as connection:
            user = await find_user(connection, user_id) if "\0" not in user_id else None
        if user is None:
            raise HttpError(403, "unknown_user")
        return user

    async def chat(self, user: User, chat: Chat, on_event: OnEvent | None = None) -> dict[str, Any]:
        async with self.pool.connection() as connection:
            if done := await self._finished(user, chat, connection):
                return done
        with self.register.claim(chat.conversation) as working:
            async with self.pool.connection() as connection:
                run = await memory.begin(connection, user.user_id, chat.conversation, chat.message_id, chat.message)
            if run.outcome is not None:
                return run.outcome
            return await self._work(user, run, working, on_event)

    async def decide(self, user: User, approval_id: str, decision: Decision) -> dict[str, Any]:
        async with self.pool.connection() as connection:
            conversation = await approvals.conversation_of(connection, user.user_id, approval_id)
            await approvals.decide(connection, approval_id, decision.decision, decision.arguments_hash)
        # Two approvals of one run may be decided at the same time: the second one finds the run ended, or goes on.
        async with self.register.turn(conversation) as working:
            async with self.pool.connection() as connection:
                run = (await memory.load(connection, conversation))[-1]
            return run.outcome or await self._work(user, run, working, None)

    async def _finished(self, user: User, chat: Chat, connection: Any) -> dict[str, Any] | None:
        """The answer of a message that was answered before, also while another one is worked on."""
        try:
            await memory.expect_owner(connection, user.user_id, chat.conversation)
        except HttpError:
            return None  # nobody's yet, or not this user's: `begin` tells them apart
        for run in await memory.load(connection, chat.conversation):
            if run.message_id == chat.message_id and run.message == chat.message:
                return run.outcome
        return None

    async def _work(self, user: User, run: Run, working: Working, on_event: OnEvent | None) -> dict[str, Any]:
        """The run in a task of its own: a client that hangs up does not stop it, a cancellation does."""
        working.task = asyncio.create_task(self.engine.work(user, run, working, on_event))
        return await working.task  # type: ignore[return-value]


def create_app(settings: Settings) -> FastAPI:
    """Builds the routes of the brief."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = await open_pool(settings.database_url)
        app.state.service = Service(settings, pool)
        yield
        await pool.close(timeout=1)

    app = FastAPI(lifespan=lifespan)

    def service() -> Service:
        found: Service = app.state.service
        return found

    @app.exception_handler(HttpError)
    async def http_error(_: Request, error: HttpError) -> JSONResponse:
        return JSONResponse({"error": error.word}, error.status)

    @app.exception_handler(UpstreamError)
    async def upstream_error(_: Request, __: UpstreamError) -> JSONResponse:
        return JSONResponse({"error": "upstream"}, 502)

    @app.exception_handler(Exception)
    async def our_fault(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "internal"}, 500)

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [".".join(map(str, found["loc"])) for found in error.errors()]
        return JSONResponse({"error": "invalid", "fields": fields}, 400)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/chat")
    async def chat(body: Chat, x_user: UserId = None) -> Response:
        user = await service().user(x_user)
        if not body.stream:
            return JSONResponse(await service().chat(user, body))
        return await streamed(lambda on_event: service().chat(user, body, on_event))

    @app.post("/approvals/{approval_id}")
    async def decide(approval_id: str, body: Decision, x_user: UserId = None) -> dict[str, Any]:
        return await service().decide(await service().user(x_user), approval_id, body)

    @app.post("/conversations/{conversation}/cancel", status_code=202)
    async def cancel(conversation: str, x_user: UserId = None) -> dict[str, Any]:
        user = await service().user(x_user)
        async with service().pool.connection() as connection:
            await memory.expect_owner(connection, user.user_id, conversation)
        service().register.cancel(conversation)
        return {}

    @app.get("/conversations/{conversation}/transcript")
    async def transcript(conversation: str, x_user: UserId = None) -> Transcript:
        await service().user(x_user)
        async with service().pool.connection() as connection:
            return write_down(conversation, await memory.load(connection, conversation))

    @app.post("/replay")
    async def replay(body: Transcript, x_user: UserId = None) -> dict[str, Any]:
        user = await service().user(x_user)
        async with service().pool.connection() as connection:
            await memory.expect_owner(connection, user.user_id, body.conversation)
        return await play(service().toolbox, user, body)

    return app


async def streamed(work: Callable[[OnEvent], Awaitable[dict[str, Any]]]) -> Response:
    """The run as server-sent events; what fails before the first of them keeps its plain status."""
    events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
    task = asyncio.ensure_future(_into(events, work))
    first = await events.get()
    if first[0] == "error":
        await task  # raises what it was

    async def frames() -> AsyncIterator[bytes]:
        event = first
        while True:
            name, data = event
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
            if name in ("done", "error"):
                return
            event = await events.get()

    return StreamingResponse(frames(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def _into(
    events: asyncio.Queue[tuple[str, dict[str, Any]]], work: Callable[[OnEvent], Awaitable[dict[str, Any]]]
) -> None:
    try:
        body = await work(lambda name, data: events.put_nowait((name, data)))
    except Exception as error:
        word = "upstream" if isinstance(error, UpstreamError) else getattr(error, "word", "internal")
        events.put_nowait(("error", {"error": word}))
        raise
    events.put_nowait(("done", body))
