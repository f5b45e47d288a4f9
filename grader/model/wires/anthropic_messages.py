"""Anthropic Messages: `POST /v1/messages`, replies plain and streamed, with all that it remembers between requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from grader.model.journal import Request
from grader.model.memory import Memory
from grader.model.script import Refuse, Reply, Stop, Thinking, Turn
from grader.model.wires.anthropic_cache import Plan, PromptCache
from grader.model.wires.anthropic_catalogue import model_named
from grader.model.wires.anthropic_diagnostics import Diagnostics, Fingerprint, fingerprint
from grader.model.wires.anthropic_prompt import Piece, pieces_of, prompt_tokens
from grader.model.wires.anthropic_reading import draft_of, message_of
from grader.model.wires.anthropic_rendering import events_of, frame, rendered, rendered_block, usage_of
from grader.model.wires.anthropic_rules import check
from grader.model.wires.anthropic_thinking import CONTROLS_BETA, Seal, Signer, judge_thinking, prefixes
from grader.model.wires.anthropic_threads import Threads
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import (
    Answer,
    Arrival,
    ChatWire,
    Draft,
    JsonObject,
    Rejection,
    encoded,
    new_id,
    reasoning_tokens,
    require,
    unknown_request,
    with_ids,
)


@dataclass(frozen=True)
class Made:
    """What must be remembered of a reply once it is given."""

    whole: JsonObject
    message: JsonObject
    plan: Plan
    fingerprint: Fingerprint | None


class AnthropicMessages(ChatWire):
    name = "anthropic"
    vendor = AnthropicVendor()
    reply_type = "anthropic.types:Message"
    event_type = "anthropic.types:RawMessageStreamEvent"

    def __init__(self, memory: Memory) -> None:
        self._signer = Signer(memory)
        self._cache = PromptCache(memory)
        self._diagnostics = Diagnostics(memory)
        self._threads = Threads(memory)
        self._paused = memory.shelf()  # digests of paused replies
        self._unoffered = memory.shelf()  # ids of calls that an unfaithful script made of tools that were not offered

    def parse(self, arrival: Arrival) -> Request:
        bare = replace(unknown_request(arrival), wire=self.name)
        if not bare.body:
            return bare
        kept = self._threads.find(bare.body, arrival.account)
        draft = draft_of(self._threads.whole(dict(bare.body), arrival.account), kept.read if kept else ())
        return replace(bare, **{name: getattr(draft, name) for name in draft.__dataclass_fields__})

    def read(self, body: Mapping[str, Any]) -> Draft:
        return draft_of(body)

    def validate(self, body: JsonObject, request: Request) -> None:
        self._threads.check(body, request)
        whole = self._threads.whole(body, request.account)
        kept = self._threads.find(body, request.account)
        try:
            check(whole, request.headers, resumes=self._resumes(whole), ours=self._made_up)
            _check_length(whole)
            judge_thinking(self._signer, whole, request.headers, request.account)
        except Rejection as rejection:
            raise _as_sent(rejection, len(kept.messages) if kept else 0) from rejection

    def _resumes(self, body: JsonObject) -> bool:
        """Whether the last message is the reply of a turn that was paused, sent back to be gone on with."""
        messages = body.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        return isinstance(last, dict) and self._paused.get(_digest(last)) is not None

    def _made_up(self, call_id: str) -> bool:
        return self._unoffered.get(call_id) is not None

    def error_frame(self, rejection: Rejection, request_id: str, sent: int) -> bytes:  # noqa: ARG002
        return b"event: error\ndata: " + encoded(self.vendor.error(rejection, request_id)) + b"\n\n"

    def unscripted(self, request: Request) -> Turn | None:
        """`max_tokens: 0` fills the cache and generates nothing."""
        return Turn(stop="max_tokens") if request.max_tokens == 0 else None

    def render(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=False)

    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=True)

    def _answer(self, turn: Turn | Refuse, request: Request, *, stream: bool) -> Answer:
        body = self._threads.whole(dict(request.body), request.account)
        pieces = pieces_of(body)
        plan = self._cache.plan(body, pieces, request.account)
        stop: Stop = "refusal" if isinstance(turn, Refuse) else turn.ending
        whole = Turn(Reply(turn.text)) if isinstance(turn, Refuse) else with_ids(turn, "toolu_")
        usage = usage_of(
            None if request.max_tokens == 0 else whole, plan, "batch" if "custom_id" in request.params else "standard"
        )
        reply_id = new_id("msg_")
        message = rendered(reply_id, self._content(whole, request, body, pieces, reply_id), stop, body, usage)
        if isinstance(turn, Refuse):
            message["stop_details"] = {"type": "refusal", "category": turn.category, "explanation": turn.text}
        print_ = fingerprint(body, request.account, plan.cached) if isinstance(body.get("diagnostics"), dict) else None
        if print_ is not None:
            message["diagnostics"] = self._diagnostics.of(body, print_, plan.read)
        if CONTROLS_BETA in request.headers.get("anthropic-beta", ""):
            dropped = judge_thinking(self._signer, body, request.headers, request.account)
            message["input_transformations"] = [one.reported() for one in dropped]
        events = tuple(events_of(message)) if stream else ()
        return Answer(
            body=None if stream else message,
            events=events,
            frames=tuple(map(frame, events)),
            plain=b"" if stream else encoded(message),
            reply_text=turn.text,
            thinking=whole.thinking,
            tool_calls=whole.tool_calls,
            stop=stop,
            input_tokens=plan.fresh,
            output_tokens=usage["output_tokens"],
            reasoning_tokens=reasoning_tokens(whole),
            cache_read_tokens=plan.read,
            cache_write_tokens=plan.write_5m + plan.write_1h,
            cache_write_1h_tokens=plan.write_1h,
            reply_type=_type_for(request, "Message"),
            event_type=_type_for(request, "RawMessageStreamEvent"),
            keep=Made(body, message, plan, print_),
        )

    def _content(
        self, turn: Turn, request: Request, body: JsonObject, pieces: tuple[Piece, ...], reply_id: str
    ) -> list[JsonObject]:
        """The parts as content blocks, in the script's order; thinking only for who has not switched it off."""
        thinking = body.get("thinking") if isinstance(body.get("thinking"), dict) else {}
        assert thinking is not None
        shown = [part for part in turn.parts if not (isinstance(part, Thinking) and thinking.get("type") == "disabled")]
        thoughts = sum(isinstance(part, Thinking) for part in shown)
        content: list[JsonObject] = []
        place = 0
        for part in shown:
            if isinstance(part, Thinking):
                so_far = tuple(Piece("messages", "", block, "assistant") for block in content)
                prefix = prefixes((*pieces, *so_far))[-1]
                seal = Seal(reply_id, place, thoughts, request.model, request.account, prefix)
                content.append(self._signer.block(part, seal, hidden=thinking.get("display") == "omitted"))
                place += 1
            elif not (isinstance(part, Reply) and not part.text):
                content.append(rendered_block(part))
        return content

    def settle(self, request: Request, answer: Answer | None) -> None:
        made: Made | None = answer.keep if answer else None
        if made is None:
            self._threads.settle(request, None, None)
            return
        self._cache.commit(made.plan)
        offered = {tool.name for tool in request.tools}
        for call in answer.tool_calls if answer else ():
            if call.name not in offered and call.id:
                self._unoffered.put(call.id, True, size=len(call.id))
        reply_id, content = made.message["id"], made.message["content"]
        if made.fingerprint is not None:
            self._diagnostics.remember(reply_id, made.fingerprint)
        said: JsonObject = {"role": "assistant", "content": content}
        if made.message["stop_reason"] == "pause_turn":
            self._paused.put(_digest(said), True, size=100)
        goes_on = made.message["stop_reason"] != "refusal" and content
        self._threads.settle(request, made.whole, (reply_id, said, message_of(said)) if goes_on else None)


def _digest(message: JsonObject) -> str:
    """Stands for a message as the model reads it."""
    return prefixes(pieces_of({"messages": [message]}))[-1]


def _check_length(body: JsonObject) -> None:
    tokens, most = prompt_tokens(pieces_of(body)), model_named(body["model"]).context
    require(tokens <= most, f"prompt is too long: {tokens} tokens > {most} maximum")


def _type_for(request: Request, name: str) -> str:
    """The SDK's type for a reply: a request with beta headers is answered in the beta's."""
    beta = "anthropic-beta" in request.headers
    return f"anthropic.types.beta:Beta{name}" if beta else f"anthropic.types:{name}"


def _as_sent(rejection: Rejection, before: int) -> Rejection:
    """The rejection with its place among the messages that were sent, not among those that the thread holds."""
    head, dot, rest = rejection.message.partition(".")
    number, end, tail = rest.partition(".") if "." in rest.split(":")[0] else rest.partition(":")
    if not before or head != "messages" or not number.isdecimal() or int(number) < before:
        return rejection
    place = f"{head}{dot}{int(number) - before}{end}{tail}"
    return Rejection(
        place, status=rejection.status, kind=rejection.kind, param=rejection.param, details=rejection.details
    )
