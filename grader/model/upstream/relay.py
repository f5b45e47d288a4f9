"""Decides which requests go upstream, in whose words, and brings the reply back in the words of the program's wire."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from aiohttp import web

from grader.model.delivery import drop
from grader.model.journal import Request
from grader.model.records import Record
from grader.model.script import Refuse, Turn
from grader.model.upstream.hearing import Ending, error_message, hear
from grader.model.upstream.passage import Passage, Source, UpstreamReply, body_of, passed_on
from grader.model.upstream.schema_tools import as_schema_chat, tool_turn
from grader.model.upstream.translation import as_chat, as_messages
from grader.model.wires.wire import Rejection, output_tokens

# `openai` has Chat Completions, Responses and Embeddings; `openai-chat` has the first alone, as most compatible servers
# do it well; `schema-chat` has chat and JSON schemas, but no tools.
Speaks = Literal["anthropic", "openai", "openai-chat", "schema-chat"]
NATIVE: dict[Speaks, tuple[str, ...]] = {
    "anthropic": ("/v1/messages",),
    "openai": ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"),
    "openai-chat": ("/v1/chat/completions",),
    "schema-chat": (),
}
CHAT_WIRES = ("anthropic", "openai-chat", "openai-responses")
FORWARDED = ("anthropic-version", "anthropic-beta", "openai-beta", "accept")
MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
ANTHROPIC_VERSION = "2026-10-21"


@dataclass
class Relay:
    """Sends what it takes to `source`; everything else the double answers by itself.

    Attributes:
        speaks: the wire of the source.
        model: the model to ask for, or "" for the one that the program asks for.
        own_models: names of models that are the double's own, whatever the source has.
    """

    source: Source
    speaks: Speaks
    model: str = ""
    own_models: Collection[str] = ()

    def passage(self, request: Request, whole: Callable[[Request], Request] | None) -> Passage | None:
        """What to ask for a request, or None when the double answers it.

        `whole` gives the request with what our endpoint keeps of its conversation: a translation has to say it all.
        """
        if request.model in self.own_models:
            return None
        if any(request.path == path or request.path.startswith(f"{path}/") for path in NATIVE[self.speaks]):
            headers = {name: value for name, value in request.headers.items() if name in FORWARDED}
            body = None if request.method == "GET" else {**request.body, **self._model()}
            return Passage(request.method, request.path, body, headers)
        if whole is None or request.wire not in CHAT_WIRES:
            return None
        request = whole(request)
        if self.speaks == "anthropic":
            headers = {"anthropic-version": ANTHROPIC_VERSION}
            return Passage("POST", MESSAGES, {**as_messages(request), **self._model()}, headers, native=False)
        say = as_schema_chat if self.speaks == "schema-chat" else as_chat
        return Passage("POST", CHAT, {**say(request), **self._model()}, native=False)

    def _model(self) -> dict[str, str]:
        return {"model": self.model} if self.model else {}

    async def turn(self, passage: Passage, request: Request) -> Turn | Refuse:
        """What the upstream model says to a translated request.

        Raises:
            Rejection: the upstream refused, or said nothing that a model says.
        """
        reply = await self.source.ask(passage)
        body = await body_of(reply)
        if reply.status != 200:
            raise Rejection(f"upstream: {error_message(body)}", status=max(reply.status, 400))
        said = hear(passage.path, reply.content_type, body).said
        if said is None:
            raise Rejection(f"upstream: a reply that is none of a model's: {body[:200]!r}", status=502)
        return tool_turn(said, request) if self.speaks == "schema-chat" else said

    async def pass_through(self, http: web.BaseRequest, passage: Passage, record: Record) -> web.StreamResponse:
        """Send the upstream's reply on as it comes, and write down what it said."""
        reply = await self.source.ask(passage)
        record.status, record.wire = reply.status, None  # no wire of ours keeps anything of it
        headers = passed_on(reply.headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        record.begins()
        await response.prepare(http)
        parts: list[bytes] = []
        held: list[bytes] = []  # what the program gets once the reply is in the journal
        ending = Ending(reply.content_type)
        try:
            async for part in reply.parts:
                parts.append(part)
                if ending.begins_by(part):
                    held.append(part)
                else:
                    await response.write(part)
        except ConnectionError as error:
            if http.transport is None or http.transport.is_closing():
                raise
            record.error = str(error)  # the upstream's end, not the program's: it sees the same
            record.write_down()
            await response.write(b"".join(held))
            drop(http)
            return response
        self._note(passage, reply, b"".join(parts), record)
        record.write_down()
        await response.write(b"".join(held))
        return response

    def _note(self, passage: Passage, reply: UpstreamReply, body: bytes, record: Record) -> None:
        if reply.status >= 400:
            record.error = f"upstream: {error_message(body)}"
            return
        heard = hear(passage.path, reply.content_type, body)
        record.answer = heard.as_answer()
        if heard.said is not None and not heard.output_tokens:
            # A stream of Chat Completions says its tokens only when asked: then those of our own rule.
            counted = output_tokens(heard.said)
            record.answer = replace(record.answer, input_tokens=record.request.tokens, output_tokens=counted)
        if self.model:
            record.request = replace(record.request, model=self.model)  # what was paid for
