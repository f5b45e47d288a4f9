"""The model double: an HTTP server in this process that plays a language model and remembers what it was sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from aiohttp import web

from grader.errors import GraderFault
from grader.model import schemas
from grader.model.batch_items import BatchPlayer
from grader.model.batches import Batches
from grader.model.conversations import Conversation, Leftover, Unmatched
from grader.model.door import Door
from grader.model.embeddings import Disguising, Embedder, WordLlamaEmbedder
from grader.model.exchanges import Desk
from grader.model.journal import Journal
from grader.model.memory import Memory
from grader.model.playbook import Held, Playbook
from grader.model.script import Responder, Step, When
from grader.model.upstream.relay import Relay
from grader.model.wires import routes_of
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import ChatWire

START_SECONDS = 20
# How long a reply under way may still take at the end; aiohttp takes 0 for "as long as it likes".
STOP_SECONDS = 0.01

# One set of weights for all doubles of this process.
shared_embedder = WordLlamaEmbedder()


class ModelDouble:
    """Plays the model on 127.0.0.1 while the `with` block runs; nothing but this object scripts or reads it."""

    def __init__(
        self,
        *,
        embedder: Embedder | None = None,
        validate_replies: bool = False,
        journal: Journal | None = None,
        port: int = 0,
    ) -> None:
        self.journal = journal or Journal()
        self._embedder = Disguising(embedder or shared_embedder)
        self._playbook = Playbook()
        self._memory = Memory()
        self.batches = Batches(self._memory)
        routes = routes_of(self._memory, self._embedder, self.batches)
        self._desk = Desk(self.journal, self._playbook, routes, self._memory, validate_replies=validate_replies)
        messages = routes.find("POST", "/v1/messages", AnthropicVendor())
        assert messages is not None
        assert isinstance(messages.wire, ChatWire)
        player = BatchPlayer(self._desk, self.journal, self._playbook, messages.wire)
        self.batches.played_by(player.play, self._on_loop)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._port = port  # 0: any that is free
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="model-double", daemon=True)

    @property
    def anthropic_base_url(self) -> str:
        """For ANTHROPIC_BASE_URL: the SDK adds /v1."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def openai_base_url(self) -> str:
        """For OPENAI_BASE_URL: the SDK expects /v1 in it."""
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *steps: Step, when: When | None = None) -> None:
        """Queues steps; a chat request takes the first whose `when` matches it (None matches any)."""
        self._playbook.script(*steps, when=when)

    def conversation(self, opens: str | When, name: str | None = None) -> Conversation:
        """Steps for one of many conversations at once: the one whose first user message holds `opens`.

        `opens` may be a callable instead, that is asked about a request; `name` stands in messages and in the journal.
        A request of a conversation takes no steps from the queue of `script`.
        """
        return self._playbook.conversation(opens, name)

    def respond(self, responder: Responder | None) -> None:
        """Asks this for a step when no queued one matches; None: such a request is answered 400 and unmatched."""
        self._playbook.respond(responder)

    def relay(self, relay: Relay) -> None:
        """Lets another model answer what the relay takes; set before the first request."""
        self._desk.relay = relay

    @property
    def own_models(self) -> frozenset[str]:
        """The embedding models that this double computes by itself."""
        return frozenset(self._embedder.models)

    def fault(self, when: When, step: Step, *, times: int | None = None) -> AbstractContextManager[None]:
        """While the block runs, matching requests of any wire get this step instead (`AsUsual()`: the usual one)."""
        return self._playbook.fault(when, step, times=times)

    def hold(self, when: When) -> AbstractContextManager[Held]:
        """While the block runs, replies to matching requests are decided but kept back until `release()`."""
        return self._playbook.hold(when)

    def embed_like(self, words: str, text: str) -> AbstractContextManager[None]:
        """While the block runs, texts that hold `words` (in any case) get the vector of `text`, whatever they say."""
        return self._embedder.like(words, text)

    def advance(self, seconds: float) -> None:
        """Puts the double's clock forward: caches, threads and batches grow old without anybody waiting."""
        self._memory.clock.advance(seconds)

    def vector_of(self, model: str, text: str) -> tuple[float, ...]:
        """The vector that this text is given in the space of an embedding model."""
        return tuple(float(value) for value in self._embedder.embed(model, [text])[0])

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        return self._playbook.unmatched

    @property
    def leftover(self) -> tuple[Leftover, ...]:
        return self._playbook.leftover

    @property
    def protocol_faults(self) -> tuple[str, ...]:
        """What was wrong with our own replies or scripts: never the learner's fault."""
        return self._desk.faults

    def reset(self) -> None:
        """Forgets script, conversations, responder, faults, holds, what was wrong so far and what the wires remember.

        The journal stays.
        """
        self._playbook.reset()
        self._memory.forget()
        self.batches.reset()
        self._desk.forget_faults()

    def __enter__(self) -> Self:
        self._thread.start()
        # The weights take a third of a second to load: done by the time a program has started and sends texts.
        threading.Thread(target=self._preload, name="model-double-weights", daemon=True).start()
        if not self._started.wait(START_SECONDS) or self._failure is not None:
            raise GraderFault(
                f"The model double did not start: {self._failure or 'no answer from its thread'}.",
                mend="Check that this machine lets programs listen on 127.0.0.1.",
                slug="model-double-start",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._playbook.release_all()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _on_loop(self, work: Callable[[], None]) -> None:
        """Does the work on the server's loop, where nothing else happens meanwhile, and waits for it."""
        if self._loop is None or threading.current_thread() is self._thread:
            work()
            return

        async def working() -> None:
            work()

        asyncio.run_coroutine_threadsafe(working(), self._loop).result(START_SECONDS)

    def _preload(self) -> None:
        try:
            self._embedder.load()
            schemas.load()
        except Exception as error:  # noqa: BLE001  whatever it is, it is ours
            self._desk.blame_us(f"the embedding model did not load: {error}")

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except OSError as error:
            self._failure = error
        finally:
            self._started.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = Door(self._desk.handle)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = int(runner.addresses[0][1])
        self._started.set()
        await self._stop.wait()
        self._desk.stopping = True
        await runner.cleanup()
        if self._desk.relay is not None:
            await self._desk.relay.source.close()
