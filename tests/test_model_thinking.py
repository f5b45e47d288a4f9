"""Thinking that Claude signs must come back as it was; the official SDK carries it there and back."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

from grader.model.script import Reply, Thinking, ToolCall, Turn
from grader.model.server import ModelDouble

from .model_clients import strict_async_claude, strict_claude

SAID: list[Any] = [{"role": "user", "content": "Where is MFX-4471-B?"}]
TOOLS: list[Any] = [{"name": "find", "input_schema": {"type": "object"}}]
BUDGET: Any = {"type": "enabled", "budget_tokens": 1024}
ADAPTIVE: Any = {"type": "adaptive"}
CALL = Turn(
    Thinking("It may be at Arden."), Thinking("", redacted=True), Thinking("Look it up."), ToolCall("find", {}, id="t1")
)
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "berth 4"}]}
CHANGED = "in the latest assistant message cannot be modified"


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


def asked(claude: anthropic.Anthropic, model: str = "any", thinking: Any = BUDGET, **more: Any) -> list[Any]:
    """The history after a turn of thinking and a tool call, as a program would send it back."""
    message = claude.messages.create(
        model=model, max_tokens=2000, messages=SAID, tools=TOOLS, thinking=thinking, **more
    )
    return [*SAID, {"role": "assistant", "content": [block.to_dict() for block in message.content]}, RESULT]


def ask(
    claude: anthropic.Anthropic, history: list[Any], model: str = "any", thinking: Any = BUDGET, **more: Any
) -> Any:
    return claude.messages.create(
        model=model, max_tokens=2000, messages=history, tools=TOOLS, thinking=thinking, **more
    )


def test_thinking_arrives_signed_plain_and_streamed(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    turn = Turn(Thinking("It may be at Arden." * 9), Reply("At Arden."))
    double.script(turn, turn)
    plain = claude.messages.create(model="any", max_tokens=2000, messages=SAID, thinking=BUDGET)
    with claude.messages.stream(model="any", max_tokens=2000, messages=SAID, thinking=BUDGET) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert {"thinking", "signature", "text"} <= set(kinds)
    for message in (plain, streamed):
        thought, text = message.content
        assert thought.type == "thinking"
        assert (thought.thinking, text.type) == (turn.thinking, "text")
        assert len(thought.signature) > 40
        details = message.usage.output_tokens_details
        assert details is not None
        assert details.thinking_tokens == -(-len(turn.thinking) // 4)
        assert message.usage.output_tokens > details.thinking_tokens


def test_the_raw_stream_signs_at_the_end_of_the_block(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Turn(Thinking("short"), Thinking("x", redacted=True), Reply("ok")))
    events = claude.messages.create(model="any", max_tokens=2000, messages=SAID, thinking=BUDGET, stream=True)
    deltas = [event.delta.type for event in events if event.type == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", "text_delta"]


def test_async_clients_think_too(double: ModelDouble) -> None:
    async def talk() -> list[str]:
        async with strict_async_claude(double) as client:
            plain = await client.messages.create(model="any", max_tokens=2000, messages=SAID, thinking=BUDGET)
            async with client.messages.stream(model="any", max_tokens=2000, messages=SAID, thinking=BUDGET) as stream:
                streamed = await stream.get_final_message()
            return [block.type for message in (plain, streamed) for block in message.content]

    double.script(*[Turn(Thinking("hm"), Reply("ok"))] * 2)
    assert asyncio.run(talk()) == ["thinking", "text"] * 2


@pytest.mark.parametrize("model", ["any", "claude-haiku-5-5"])
def test_thinking_that_comes_back_as_it_was_is_taken(
    double: ModelDouble, claude: anthropic.Anthropic, model: str
) -> None:
    thinking = BUDGET if model == "any" else ADAPTIVE
    double.script(CALL, Reply("At Arden."), Reply("Still."))
    history = asked(claude, model, thinking)
    assert [block["type"] for block in history[1]["content"]] == [
        "thinking",
        "redacted_thinking",
        "thinking",
        "tool_use",
    ]
    reply = ask(claude, history, model, thinking)
    further = [*history, reply.to_param(), {"role": "user", "content": "And now?"}]
    ask(claude, further, model, thinking)
    seen = double.journal.requests()[-1].messages[1].blocks
    assert [block.kind for block in seen] == ["thinking", "thinking", "thinking", "tool_use"]
    assert seen[0].text == "It may be at Arden."


Content = list[dict[str, Any]]
SPOILS: dict[str, Callable[[Content], object]] = {
    "text altered": lambda content: content[0].update(thinking="It may be at Arden!"),
    "signature altered": lambda content: content[0].update(signature=content[2]["signature"]),
    "signature empty": lambda content: content[0].update(signature=""),
    "redacted altered": lambda content: content[1].update(data=content[1]["data"][:-8] + "AAAAAAA="),
    "reordered": lambda content: content.insert(0, content.pop(2)),
    "one dropped": lambda content: content.pop(2),
    "first dropped": lambda content: content.pop(0),
    "all dropped": lambda content: [content.pop(0) for _ in range(3)],
    "after the call": lambda content: content.append(content.pop(0)),
}


def spoiled(history: list[Any], how: str) -> list[Any]:
    history = copy.deepcopy(history)
    SPOILS[how](history[1]["content"])
    return history


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("text altered", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("signature altered", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("signature empty", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("redacted altered", "messages.1.content.1: Invalid `data` in `redacted_thinking` block"),
        ("reordered", CHANGED),
        ("one dropped", CHANGED),
        ("first dropped", CHANGED),
        ("all dropped", "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        ("after the call", CHANGED),
    ],
)
def test_thinking_that_was_touched_is_refused(
    double: ModelDouble, claude: anthropic.Anthropic, how: str, words: str
) -> None:
    double.script(CALL)
    history = asked(claude)
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(claude, spoiled(history, how))
    assert words in str(caught.value.api_message)
    assert caught.value.type == "invalid_request_error"


def test_thinking_is_no_users(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(CALL)
    thought = asked(claude)[1]["content"][0]
    with pytest.raises(anthropic.BadRequestError, match="thinking blocks can only be in `assistant` messages"):
        ask(claude, [{"role": "user", "content": [thought, {"type": "text", "text": "hi"}]}])


def test_adaptive_thinking_may_be_left_out_as_a_whole(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(CALL, Reply("At Arden."))
    history = asked(claude, thinking=ADAPTIVE)
    ask(claude, spoiled(history, "all dropped"), thinking=ADAPTIVE)


def test_earlier_turns_may_go_without_their_thinking(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(CALL, Turn(Thinking("done"), Reply("At Arden.")), Reply("Bye."))
    history = asked(claude)
    reply = ask(claude, history)
    ended = [*spoiled(history, "all dropped"), reply.to_param(), {"role": "user", "content": "Thanks."}]
    ask(claude, ended)


def test_a_signature_of_another_double_is_worth_nothing(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    with ModelDouble() as other, strict_claude(other) as elsewhere:
        other.script(CALL)
        history = asked(elsewhere)
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        ask(claude, history)
    del double


NEWEST = "claude-opus-5-5"


@pytest.mark.parametrize("what", ["system", "tools", "message", "earlier thinking"])
def test_the_newest_models_bind_thinking_to_what_came_before(
    double: ModelDouble, claude: anthropic.Anthropic, what: str
) -> None:
    double.script(CALL, Turn(Thinking("Now I know."), Reply("At Arden.")))
    history = asked(claude, NEWEST, ADAPTIVE)
    reply = ask(claude, history, NEWEST, ADAPTIVE)
    whole = [*history, {"role": "assistant", "content": reply.content}, {"role": "user", "content": "And?"}]
    more: dict[str, Any] = {"system": "Be short."} if what == "system" else {}
    if what == "tools":
        more = {"tools": [*TOOLS, {"name": "more", "input_schema": {"type": "object"}}]}
    if what == "message":
        whole[0] = {"role": "user", "content": "Where is it?"}
    if what == "earlier thinking":
        whole = [whole[0], spoiled(history, "all dropped")[1], *whole[2:]]
    request = {"model": NEWEST, "max_tokens": 2000, "messages": whole, "tools": TOOLS, "thinking": ADAPTIVE, **more}
    with pytest.raises(anthropic.BadRequestError, match="The block is bound to a different conversation"):
        claude.messages.create(**request)
    binding = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    double.script(Reply("ok"))
    beta = claude.beta.messages.create(
        **{**request, "thinking": binding}, betas=["thinking-binding-controls-2026-08-01"]
    )
    assert beta.input_transformations
    assert {entry.type for entry in beta.input_transformations} == {"thinking_dropped"}


def test_what_may_be_left_out_when_thinking_comes_back(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    """Cache marks, empty citations and the caller are not part of what thinking is bound to."""
    double.script(CALL, Reply("At Arden."))
    history = asked(claude, NEWEST, ADAPTIVE)
    history[0] = {"role": "user", "content": [{"type": "text", "text": SAID[0]["content"]}]}
    history[0]["content"][0]["cache_control"] = {"type": "ephemeral"}
    history[1]["content"][3].pop("caller", None)
    ask(claude, history, NEWEST, ADAPTIVE)


def test_thinking_of_another_model_or_account_is_not_shown(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(CALL, Reply("ok"), Reply("ok"))
    history = asked(claude, "claude-sonnet-5-5", ADAPTIVE)
    request: dict[str, Any] = {"max_tokens": 2000, "messages": history, "tools": TOOLS, "thinking": ADAPTIVE}
    controls = ["thinking-binding-controls-2026-08-01"]
    other_model = claude.beta.messages.create(model=NEWEST, **request, betas=controls)
    assert {entry.reason for entry in other_model.input_transformations or ()} == {"model_binding_mismatch"}
    with strict_claude(double, key="of somebody else") as stranger:
        other_account = stranger.beta.messages.create(model="claude-sonnet-5-5", **request, betas=controls)
    assert {entry.reason for entry in other_account.input_transformations or ()} == {"organization_binding_mismatch"}


def test_thinking_can_be_hidden_or_switched_off(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    turn = Turn(Thinking("secret"), Reply("ok"))
    double.script(turn, turn)
    hidden = claude.messages.create(
        model="any", max_tokens=2000, messages=SAID, thinking={"type": "adaptive", "display": "omitted"}
    )
    assert hidden.content[0].type == "thinking"
    assert (hidden.content[0].thinking, bool(hidden.content[0].signature)) == ("", True)
    back = [*SAID, hidden.to_param(), {"role": "user", "content": "And?"}]
    double.script(Reply("still"))
    off = claude.messages.create(model="any", max_tokens=2000, messages=SAID, thinking={"type": "disabled"})
    assert [block.type for block in off.content] == ["text"]
    claude.messages.create(model="any", max_tokens=2000, messages=back, thinking=ADAPTIVE)
