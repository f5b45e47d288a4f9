"""Message threads: the double keeps the conversation, as the SDK's tool runner and thread helper expect by default."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import pytest

from grader.model.script import Cut, Fail, Hold, Refuse, Reply, Thinking, ToolCall, Turn
from grader.model.server import ModelDouble

from .model_clients import strict_async_claude, strict_claude

BETA = "message-threads-2026-08-12"
HELLO: list[Any] = [{"role": "user", "content": "Where is MFX-4471-B?"}]
MORE: list[Any] = [{"role": "user", "content": "And now?"}]
TOOLS: list[Any] = [{"name": "add", "input_schema": {"type": "object"}}]
PATIENCE = 20


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()
    assert running.unmatched == ()


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


@anthropic.beta_tool
def add(a: int, b: int) -> str:
    """Adds.

    Args:
        a: one number
        b: the other
    """
    return str(a + b)


@anthropic.beta_async_tool
async def add_later(a: int, b: int) -> str:
    """Adds.

    Args:
        a: one number
        b: the other
    """
    return str(a + b)


def create(claude: anthropic.Anthropic, **more: Any) -> Any:
    request = {"model": "any", "max_tokens": 50, "messages": HELLO, "thread": {"type": "create"}, "betas": [BETA]}
    return claude.beta.messages.create(**{**request, **more})


def go_on(claude: anthropic.Anthropic, previous: str, **more: Any) -> Any:
    thread = {"type": "continue", "previous_message_id": previous}
    return create(claude, **{"messages": MORE, "thread": thread, **more})


def code(caught: pytest.ExceptionInfo[anthropic.APIStatusError]) -> str | None:
    return caught.value.error_code


def test_the_tool_runner_works_as_it_comes(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(
        ToolCall("add", {"a": 2, "b": 3}),
        Turn(ToolCall("add", {"a": 5, "b": 1}), ToolCall("add", {"a": 0, "b": 0})),
        Reply("6"),
    )
    mark = double.journal.mark()
    runner = claude.beta.messages.tool_runner(
        model="any", max_tokens=50, messages=HELLO, tools=[add], system="Add with the tool."
    )
    final = runner.until_done()
    assert [block.text for block in final.content if block.type == "text"] == ["6"]
    first, second, third = double.journal.since(mark)
    assert [len(exchange.request.body["messages"]) for exchange in (first, second, third)] == [1, 1, 1]
    assert (second.request.continues, third.request.continues) == (first.reply_id, second.reply_id)
    assert [message.role for message in third.request.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [block.text for block in third.request.messages[-1].blocks] == ["6", "0"]
    assert third.request.system == "Add with the tool."
    assert [tool.name for tool in third.request.tools] == ["add"]
    assert third.input_tokens > second.input_tokens > first.input_tokens


def test_the_streaming_tool_runner_works_as_it_comes(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(ToolCall("add", {"a": 2, "b": 3}), Reply("5"))
    runner = claude.beta.messages.tool_runner(model="any", max_tokens=50, messages=HELLO, tools=[add], stream=True)
    texts = []
    for stream in runner:
        texts += [event.text for event in stream if event.type == "text"]
    assert "".join(texts) == "5"
    assert double.journal.requests()[-1].body["thread"]["type"] == "continue"


def test_the_async_tool_runner_works_as_it_comes(double: ModelDouble) -> None:
    async def run() -> list[str]:
        async with strict_async_claude(double) as client:
            runner = client.beta.messages.tool_runner(model="any", max_tokens=50, messages=HELLO, tools=[add_later])
            final = await runner.until_done()
            return [block.text for block in final.content if block.type == "text"]

    double.script(ToolCall("add_later", {"a": 2, "b": 3}), Reply("5"))
    assert asyncio.run(run()) == ["5"]


def test_the_thread_helper_sends_only_what_is_new(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("At Arden."), Reply("Still."), Reply("Yes."))
    thread = claude.beta.messages.thread(model="any", max_tokens=50, system="Be short.")
    for said in ("Where?", "And now?", "Sure?"):
        thread.send({"role": "user", "content": said})
    requests = double.journal.requests()[-3:]
    assert [len(request.body["messages"]) for request in requests] == [1, 1, 1]
    assert [message.text for message in requests[-1].messages] == ["Where?", "At Arden.", "And now?", "Still.", "Sure?"]


def test_a_lost_thread_is_replayed_by_the_helper(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("At Arden."), Reply("Still."))
    thread = claude.beta.messages.thread(model="any", max_tokens=50)
    thread.send({"role": "user", "content": "Where?"})
    double.advance(301)
    mark = double.journal.mark()
    thread.send({"role": "user", "content": "And now?"})
    lost, replayed = double.journal.since(mark)
    assert (lost.status, replayed.status) == (404, 200)
    assert len(replayed.request.body["messages"]) == 3


def test_a_thread_lives_on_with_every_turn(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    reply = create(claude)
    for _ in range(3):
        double.advance(290)
        reply = go_on(claude, reply.id)
    double.advance(301)
    with pytest.raises(anthropic.NotFoundError) as caught:
        go_on(claude, reply.id)
    assert code(caught) == "thread_not_found"
    assert isinstance(caught.value, anthropic.types.ThreadNotFoundError)


def test_an_unknown_thread_or_one_of_another_key_is_not_found(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("ok"))
    reply = create(claude)
    with strict_claude(double, key="another") as stranger:
        for client, previous in ((claude, "msg_none"), (stranger, reply.id)):
            with pytest.raises(anthropic.NotFoundError) as caught:
                go_on(client, previous)
            assert code(caught) == "thread_not_found"


def test_a_reply_is_continued_once(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("one"), Reply("two"))
    reply = create(claude)
    go_on(claude, reply.id)
    with pytest.raises(anthropic.BadRequestError) as caught:
        go_on(claude, reply.id)
    assert code(caught) == "thread_already_continued"


def test_a_reply_is_not_continued_twice_at_once(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    gate = threading.Event()
    double.script(Reply("one"))
    reply = create(claude)
    double.script(Hold(Reply("two"), gate))
    with double.hold(lambda request: bool(request.continues)) as held, ThreadPoolExecutor() as pool:
        first = pool.submit(go_on, claude, reply.id)
        assert held.arrived.wait(PATIENCE)
        with pytest.raises(anthropic.BadRequestError) as caught:
            go_on(claude, reply.id)
        assert code(caught) == "thread_continue_in_flight"
        held.release()
        gate.set()
        assert first.result(PATIENCE).content[0].text == "two"


@pytest.mark.parametrize("step", [Fail(529), Refuse()])
def test_a_turn_that_came_to_nothing_can_be_continued_again(
    double: ModelDouble, claude: anthropic.Anthropic, step: Any
) -> None:
    double.script(Reply("one"), step, Reply("two"))
    reply = create(claude)
    if isinstance(step, Fail):
        with pytest.raises(anthropic.OverloadedError):
            go_on(claude, reply.id)
    else:
        go_on(claude, reply.id)
    assert go_on(claude, reply.id).content[0].text == "two"


def test_a_reply_that_was_cut_off_was_given(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("one"), Cut(Reply("two")))
    reply = create(claude)
    with pytest.raises(anthropic.APIConnectionError):
        go_on(claude, reply.id)
    with pytest.raises(anthropic.BadRequestError) as caught:
        go_on(claude, reply.id)
    assert code(caught) == "thread_already_continued"


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"model": "other"}, "model"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"output_config": {"effort": "low"}}, "output_config"),
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"betas": [BETA, "more-2026-01-01"]}, "anthropic-beta"),
        ({"system": "Other."}, "system"),
        ({"tools": []}, "tools"),
    ],
)
def test_what_is_fixed_must_stay_the_same(
    double: ModelDouble, claude: anthropic.Anthropic, changed: dict[str, Any], fields: str
) -> None:
    double.script(Reply("one"))
    reply = create(claude, system="Be short.", tools=TOOLS)
    with pytest.raises(anthropic.BadRequestError, match=rf"differing field\(s\): {fields}\.") as caught:
        go_on(claude, reply.id, **changed)
    assert code(caught) == "thread_fingerprint_mismatch"


def test_other_options_may_change_from_turn_to_turn(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("one"), Reply("two"))
    reply = create(claude, system="Be short.")
    assert go_on(claude, reply.id, max_tokens=9, stop_sequences=["END"], metadata={"user_id": "u"}).id


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"betas": []}, "thread: Extra inputs are not permitted"),
        ({"thread": {"type": "fork"}}, "thread.type: Input should be 'create' or 'continue'"),
        ({"thread": {"type": "continue"}}, "thread.continue.previous_message_id: Field required"),
        ({"thread": "create"}, "thread.type"),
        ({"context_management": {"edits": []}}, "cannot be combined with context_management"),
    ],
)
def test_a_thread_that_makes_no_sense_is_refused(
    double: ModelDouble, claude: anthropic.Anthropic, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(claude, **changed)
    assert words in str(caught.value.api_message)
    del double


def test_system_and_tools_are_not_sent_again(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("one"))
    reply = create(claude, system="Be short.")
    with pytest.raises(anthropic.BadRequestError, match="leave it out of the request"):
        go_on(claude, reply.id, system="Be short.")


def test_the_rules_hold_for_the_whole_conversation(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    """A tool result answers a call that only the thread holds; the place in a message is that of what was sent."""
    double.script(ToolCall("add", {}, id="t1"), Reply("5"))
    reply = create(claude, tools=TOOLS)
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0: `tool_use` ids were found without"):
        go_on(claude, reply.id)
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "5"}
    assert go_on(claude, reply.id, messages=[{"role": "user", "content": [result]}]).content[0].text == "5"


def test_a_paused_turn_goes_on_from_nothing(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("Let me", stop="pause"), Reply(" see."))
    reply = create(claude)
    assert reply.stop_reason == "pause_turn"
    assert go_on(claude, reply.id, messages=[]).content[0].text == " see."


def test_thinking_is_kept_with_the_thread(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Turn(Thinking("hm"), ToolCall("add", {}, id="t1")), Reply("5"))
    options: dict[str, Any] = {"model": "claude-opus-5-5", "thinking": {"type": "adaptive"}}
    reply = create(claude, tools=TOOLS, **options)
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "5"}
    go_on(claude, reply.id, messages=[{"role": "user", "content": [result]}], **options)
    assert [block.kind for block in double.journal.requests()[-1].messages[1].blocks] == ["thinking", "tool_use"]


def test_a_thread_is_cached_only_when_asked_to(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    big: list[Any] = [{"role": "user", "content": "x" * 8000}]
    plain = create(claude, messages=big)
    assert go_on(claude, plain.id).usage.cache_read_input_tokens == 0
    mark: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
    marked = create(claude, messages=big, **mark)
    assert marked.usage.cache_creation_input_tokens == 2000
    assert go_on(claude, marked.id, **mark).usage.cache_read_input_tokens == 2000


def test_a_conversation_of_the_script_follows_its_thread(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.conversation("Arden").script(Reply("A1"), Reply("A2"))
    double.conversation("Berth").script(Reply("B1"), Reply("B2"))
    ours = {name: create(claude, messages=[{"role": "user", "content": name}]) for name in ("Berth", "Arden")}
    assert go_on(claude, ours["Arden"].id).content[0].text == "A2"
    assert go_on(claude, ours["Berth"].id).content[0].text == "B2"
