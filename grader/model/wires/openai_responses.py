"""OpenAI Responses: judges `POST /v1/responses` and renders its replies, plain, streamed and in the background."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from grader.model.journal import Message, Request, prompt_tokens
from grader.model.script import Fail, Gate, Refuse, Reply, Step, Stop, Thinking, ToolCall, Turn
from grader.model.wires.openai_cache import CacheUse, PromptCache, segments_of
from grader.model.wires.openai_item_rules import check_calls
from grader.model.wires.openai_items import items_of, messages_of, split_system, whole
from grader.model.wires.openai_response_events import as_begun
from grader.model.wires.openai_response_reading import read
from grader.model.wires.openai_response_rules import check
from grader.model.wires.openai_response_store import Moment, ResponseStore, Stored
from grader.model.wires.openai_shared_rules import strict_complaint
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import (
    Answer,
    ChatWire,
    Draft,
    JsonObject,
    Rejection,
    encoded,
    new_id,
    output_tokens,
    reasoning_tokens,
    text_of,
    with_ids,
    written,
)

# Characters of the part of sealed reasoning that the rest is the seal of.
NONCE = 30
UNFINISHED = ("max_tokens", "context_window")
# Request fields that a response repeats, and what they are when the request does not say.
REPEATED: JsonObject = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True)
class Kept:
    """What a reply leaves behind once it is on its way."""

    stored: Stored
    cache: CacheUse
    store: bool


class OpenAIResponses(ChatWire):
    name = "openai-responses"
    vendor = OpenAIVendor()
    reply_type = "openai.types.responses:Response"
    event_type = "openai.types.responses:ResponseStreamEvent"

    def __init__(self, store: ResponseStore, cache: PromptCache) -> None:
        self._store = store
        self._cache = cache

    def read(self, body: Mapping[str, Any]) -> Draft:
        return read(body)

    def whole(self, request: Request) -> Request:
        before, items = context_of(request, self._store)
        _, rest = split_system(items)
        return replace(request, messages=messages_of((*before, *rest)))

    def validate(self, body: JsonObject, request: Request) -> None:
        check(body)
        self._check_state(body, request)

    def _check_state(self, body: JsonObject, request: Request) -> None:
        """What depends on earlier requests: the response it goes on from, items by reference, the model's reasoning."""
        if body.get("conversation") is not None:
            if body.get("previous_response_id") is not None:
                message = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'."
                raise Rejection(message, code="mutually_exclusive_parameters")
            name = body["conversation"]
            name = name.get("id") if isinstance(name, dict) else name
            message = f"Conversation with id '{name}' not found."
            raise Rejection(message, status=404, param="conversation", code="conversation_not_found")
        before, items = context_of(request, self._store)
        for item in items:
            if item["type"] == "reasoning" and item.get("encrypted_content") is not None:
                self._check_reasoning(item)
        check_calls((*before, *items))

    def _check_reasoning(self, item: JsonObject) -> None:
        sealed = item["encrypted_content"]
        if not isinstance(sealed, str) or sealed != self._sealed(sealed[:NONCE]):
            message = f"The encrypted content for item {item.get('id')} could not be verified."
            raise Rejection(message, code="invalid_encrypted_content")

    def _sealed(self, nonce: str) -> str:
        """Stands for reasoning that only this double can read: it made it, and nobody else could have."""
        return nonce + base64.urlsafe_b64encode(self._store.memory.sign(b"reasoning:" + nonce.encode())).decode()

    def error_frame(self, rejection: Rejection, request_id: str, sent: int) -> bytes:
        error = self.vendor.error(rejection, request_id)["error"]
        event = {"type": "error", "code": error["code"] or error["type"], "message": error["message"]}
        return b"event: error\ndata: " + encoded({**event, "param": None, "sequence_number": sent}) + b"\n\n"

    def settle(self, request: Request, answer: Answer | None) -> None:  # noqa: ARG002  the answer says it all
        if answer is not None:
            self._cache.remember(answer.keep.cache)
            if answer.keep.store:
                self._store.put(answer.keep.stored)

    def render(self, turn: Turn | Refuse, request: Request) -> Answer:
        answer = self._answer(turn, request)
        body = answer.keep.stored.response
        return replace(answer, body=body, plain=encoded(body))

    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer:
        answer = self._answer(turn, request)
        stream = answer.keep.stored.stream()
        return replace(answer, events=stream.events, frames=stream.frames)

    def defer(
        self, request: Request, answer: Answer | None, step: Step, waits: tuple[float | Gate, ...]
    ) -> Answer | None:
        """In the background the program is answered at once; reply or failure are there when all gates are open."""
        if request.body.get("background") is not True:
            return None
        if answer is None:
            if not isinstance(step, Fail) or not waits:
                return None
            answer = self._failed(step, request)
        stored: Stored = answer.keep.stored
        clock = self._store.memory.clock
        stored.gates = [Moment(clock, clock.now() + w) if isinstance(w, (int, float)) else w for w in waits]
        self._store.put(stored)
        if request.stream:
            stream = stored.stream()
            return replace(answer, events=stream.events, frames=stream.frames, waits=stream.waits, rest=stream.rest)
        body = as_begun(stored.response, "queued")
        return replace(answer, body=body, plain=encoded(body))

    def _failed(self, fail: Fail, request: Request) -> Answer:
        error = self.vendor.error(Rejection(fail.message or "", status=fail.status, kind=fail.kind), "")["error"]
        code = "rate_limit_exceeded" if fail.status == 429 else "server_error"
        before, items = context_of(request, self._store)
        response = {
            **self._rendered(request, [], "failed"),
            "error": {"code": code, "message": error["message"]},
            "usage": None,
        }
        return Answer(keep=Kept(Stored(response, request.account, before, items), CacheUse(), store=True))

    def _answer(self, turn: Turn | Refuse, request: Request) -> Answer:
        stop: Stop = "refusal" if isinstance(turn, Refuse) else turn.ending
        whole_turn = turn if isinstance(turn, Refuse) else with_ids(turn, "call_")
        before, items = context_of(request, self._store)
        messages = tuple(_all_messages(request, before, items))
        use = self._cache.look_up(request, _settings(request.body), segments_of(request.tools, messages))
        tokens = prompt_tokens(request.tools, messages)
        status = "incomplete" if stop in UNFINISHED else "completed"
        response = self._rendered(request, self._output(whole_turn, request, status), status)
        response["usage"] = {
            "input_tokens": tokens,
            "input_tokens_details": {"cached_tokens": use.read, "cache_write_tokens": use.written},
            "output_tokens": output_tokens(turn),
            "output_tokens_details": {"reasoning_tokens": reasoning_tokens(turn)},
            "total_tokens": tokens + output_tokens(turn),
        }
        stored = Stored(response, request.account, before, items)
        return Answer(
            reply_text=turn.text,
            thinking="" if isinstance(turn, Refuse) else turn.thinking,
            tool_calls=whole_turn.tool_calls if isinstance(whole_turn, Turn) else (),
            stop=stop,
            input_tokens=tokens - use.read - use.written,
            output_tokens=output_tokens(turn),
            reasoning_tokens=reasoning_tokens(turn),
            cache_read_tokens=use.read,
            cache_write_tokens=use.written,
            keep=Kept(stored, use, store=request.body.get("store") is not False),
        )

    def _rendered(self, request: Request, output: list[JsonObject], status: str) -> JsonObject:
        body = request.body
        now = self._store.memory.clock.now()
        said = {name: body[name] for name in REPEATED if body.get(name) is not None}
        reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
        return {
            "id": new_id("resp_", 48),
            "object": "response",
            "created_at": int(now),
            "completed_at": int(now) if status == "completed" else None,
            "status": status,
            "model": request.model,
            "output": output,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            **REPEATED,
            **said,
            "tools": [_tool_as_taken(tool) for tool in body.get("tools") or ()],
            "reasoning": {"effort": reasoning.get("effort"), "summary": _summary_wanted(reasoning)},
            "text": {"format": {"type": "text"}, "verbosity": "medium", **text},
            "service_tier": "default",
            "usage": None,
        }

    def _output(self, turn: Turn | Refuse, request: Request, status: str) -> list[JsonObject]:
        if isinstance(turn, Refuse) or turn.ending == "refusal":
            return [_message([{"type": "refusal", "refusal": turn.text}], "completed")]
        summarised = _summary_wanted(request.body.get("reasoning") or {}) is not None
        items = [self._item(part, summarised) for part in turn.parts if not (isinstance(part, Reply) and not part.text)]
        if status == "incomplete" and items and "status" in items[-1]:
            items[-1] = {**items[-1], "status": "incomplete"}
        return items

    def _item(self, part: Reply | ToolCall | Thinking, summarised: bool) -> JsonObject:
        match part:
            case Reply():
                text = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
                return _message([text], "completed")
            case ToolCall():
                return {
                    "id": new_id("fc_", 48),
                    "type": "function_call",
                    "status": "completed",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": written(part),
                }
            case Thinking():
                shown = summarised and not part.redacted
                return {
                    "id": new_id("rs_", 48),
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": part.text}] if shown else [],
                    "encrypted_content": self._sealed(new_id("gAAAAA", NONCE - 6)),
                }


def context_of(request: Request, store: ResponseStore) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...]]:
    """The items of earlier requests that this one goes on from, and its own; raises Rejection where one is not kept."""
    previous = request.body.get("previous_response_id")
    before = store.previous(previous, request.account).context if previous is not None else ()
    items = items_of(request.body.get("input"))
    found = (
        store.item(item["id"], request.account) if item["type"] == "item_reference" else whole(item) for item in items
    )
    return before, tuple(found)


def _all_messages(
    request: Request, before: tuple[JsonObject, ...], items: tuple[JsonObject, ...]
) -> tuple[Message, ...]:
    """All that the model reads for this request, the instructions first."""
    instructions = {"type": "message", "role": "system", "content": text_of(request.body.get("instructions"))}
    return messages_of((instructions, *before, *items))


def _settings(body: Mapping[str, Any]) -> list[Any]:
    """What two requests must have in common for the one to find the other's prompt in the cache."""
    reasoning = body.get("reasoning") or {}
    return [body.get("tools"), body.get("text"), reasoning.get("effort"), body.get("service_tier")]


def _message(content: list[JsonObject], status: str) -> JsonObject:
    return {"id": new_id("msg_", 48), "type": "message", "role": "assistant", "status": status, "content": content}


def _summary_wanted(reasoning: Mapping[str, Any]) -> Any:
    return reasoning.get("summary") or reasoning.get("generate_summary")


def _tool_as_taken(tool: JsonObject) -> JsonObject:
    """The tool as a response repeats it: a function that does not say is strict where its schema allows it."""
    strict = tool.get("strict")
    if strict is None:
        strict = strict_complaint(tool.get("parameters") or {}) is None
    return {"description": None, "parameters": None, **tool, "strict": strict}
