"""The prompt cache counts as Anthropic's does: prefixes that are byte for byte the same, as long as they live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import pytest

from grader.model.journal import Request
from grader.model.script import Fail, Hold, Reply, Thinking, Turn
from grader.model.server import ModelDouble
from grader.report.wire import Choice, show

from .model_clients import strict_claude

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PATIENCE = 20


def text(characters: int, letter: str = "x", mark: Any = None) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": letter * characters}
    return {**block, "cache_control": mark} if mark else block


BIG = 8000  # characters: 2,000 tokens
SYSTEM: list[Any] = [text(BIG, mark=MARK)]
ASKED: list[Any] = [{"role": "user", "content": "y" * 40}]


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    running.respond(lambda _: Reply("fine"))
    yield running
    assert running.protocol_faults == ()


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


def counted(claude: anthropic.Anthropic, **request: Any) -> tuple[int, int, int, int]:
    """Fresh tokens, tokens read, tokens written for five minutes and for an hour."""
    message = claude.messages.create(**{"model": "any", "max_tokens": 9, "messages": ASKED, **request})
    usage = message.usage
    assert usage.cache_creation is not None
    short, long = usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens
    assert usage.cache_creation_input_tokens == short + long
    return usage.input_tokens, usage.cache_read_input_tokens or 0, short, long


def test_a_prefix_is_written_once_and_read_after(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    assert counted(claude, system=SYSTEM) == (10, 0, 2000, 0)
    assert counted(claude, system=SYSTEM) == (10, 2000, 0, 0)
    assert counted(claude, system=SYSTEM, messages=[{"role": "user", "content": "z" * 80}]) == (20, 2000, 0, 0)
    written, read = double.journal.since()[-3:-1]
    assert (written.cache_write_tokens, written.cache_read_tokens, written.input_tokens) == (2000, 0, 10)
    assert (read.cache_write_tokens, read.cache_read_tokens, read.input_tokens) == (0, 2000, 10)
    assert read.cost_usd < written.cost_usd
    (mark,) = read.request.cache_marks
    assert (mark.place, mark.ttl, mark.tokens) == ("system.0", "5m", 2000)


def test_without_a_mark_nothing_is_cached(claude: anthropic.Anthropic, double: ModelDouble) -> None:
    for _ in range(2):
        assert counted(claude, system=[text(BIG)]) == (2010, 0, 0, 0)
    assert double.journal.since()[-1].request.cache_marks == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"system": [text(BIG, "w", MARK)]},
        {"system": [text(BIG - 1, mark=MARK)]},
        {"model": "another"},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    ],
)
def test_any_change_before_the_mark_misses(
    double: ModelDouble, claude: anthropic.Anthropic, changed: dict[str, Any]
) -> None:
    del double
    counted(claude, system=SYSTEM)
    assert counted(claude, **{"system": SYSTEM, **changed})[1] == 0


def test_another_key_has_another_cache(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    counted(claude, system=SYSTEM)
    with strict_claude(double, key="another") as stranger:
        assert counted(stranger, system=SYSTEM)[1] == 0


def test_the_order_of_keys_in_a_schema_matters(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    del double

    def tool(*names: str) -> list[Any]:
        properties = {name: {"type": "string", "description": name * BIG} for name in names}
        return [{"name": "f", "input_schema": {"type": "object", "properties": properties}, "cache_control": MARK}]

    fresh, _, written, _ = counted(claude, tools=tool("a", "b"))
    assert written > 2 * BIG // 4
    assert counted(claude, tools=tool("a", "b")) == (fresh, written, 0, 0)
    assert counted(claude, tools=tool("b", "a"))[1] == 0


def test_tools_and_system_survive_another_choice_of_tools(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    del double
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    conversation = [{"role": "user", "content": [text(BIG, "m", MARK)]}]
    request: dict[str, Any] = {"system": SYSTEM, "tools": tools, "messages": conversation}
    _, _, written, _ = counted(claude, **request)
    assert counted(claude, **request)[1] == written
    fresh, read, again, _ = counted(claude, **request, tool_choice={"type": "none"})
    assert (fresh, read + again) == (0, written)
    assert read < written


@pytest.mark.parametrize(("mark", "seconds"), [(MARK, 300), (HOUR, 3600)])
def test_a_prefix_dies_unless_it_is_used(
    double: ModelDouble, claude: anthropic.Anthropic, mark: Any, seconds: int
) -> None:
    system = [text(BIG, mark=mark)]
    counted(claude, system=system)
    for _ in range(3):  # each use makes it live on
        double.advance(seconds - 30)
        assert counted(claude, system=system)[1] == 2000
    double.advance(seconds + 1)
    assert counted(claude, system=system)[1] == 0


def test_what_lasts_an_hour_is_counted_apart(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    both: dict[str, Any] = {
        "system": [text(BIG, mark=HOUR)],
        "messages": [{"role": "user", "content": [text(BIG, "m", MARK), text(40, "q")]}],
    }
    assert counted(claude, **both) == (10, 0, 2000, 2000)
    assert counted(claude, **both) == (10, 4000, 0, 0)
    double.advance(301)
    assert counted(claude, **both) == (10, 2000, 2000, 0)


def test_a_conversation_reads_what_its_last_turn_wrote(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    """A mark that moves along: the earlier prefix is found by looking back."""
    first = [{"role": "user", "content": [text(BIG, mark=MARK)]}]
    assert counted(claude, messages=first) == (0, 0, 2000, 0)
    second = [
        {"role": "user", "content": [text(BIG)]},
        {"role": "assistant", "content": "a" * 400},
        {"role": "user", "content": [text(400, "n", MARK)]},
    ]
    assert counted(claude, messages=second) == (0, 2000, 200, 0)
    del double


@pytest.mark.parametrize(("between", "read"), [(18, 2000), (19, 0)])
def test_it_looks_back_twenty_blocks(double: ModelDouble, claude: anthropic.Anthropic, between: int, read: int) -> None:
    del double
    counted(claude, messages=[{"role": "user", "content": [text(BIG, mark=MARK)]}])
    blocks = [text(BIG), *[text(4, "b")] * between, text(4, "c", MARK)]
    assert counted(claude, messages=[{"role": "user", "content": blocks}])[1] == read


@pytest.mark.parametrize(
    ("model", "least"), [("claude-opus-5-5", 512), ("claude-haiku-4-5-20251001", 4096), ("any", 1024)]
)
def test_a_short_prefix_is_not_cached(double: ModelDouble, claude: anthropic.Anthropic, model: str, least: int) -> None:
    del double
    short, enough = [text(least * 4 - 4, mark=MARK)], [text(least * 4, mark=MARK)]
    for _ in range(2):
        assert counted(claude, model=model, system=short)[1:] == (0, 0, 0)
    assert counted(claude, model=model, system=enough)[2] == least
    assert counted(claude, model=model, system=enough)[1] == least


def test_a_mark_at_the_top_moves_with_the_conversation(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    first = [{"role": "user", "content": "x" * BIG}]
    assert counted(claude, messages=first, cache_control=MARK) == (0, 0, 2000, 0)
    second = [*first, {"role": "assistant", "content": "a" * 400}, {"role": "user", "content": "b" * 400}]
    assert counted(claude, messages=second, cache_control=MARK) == (0, 2000, 200, 0)
    assert double.journal.since()[-1].request.cache_marks[0].place == "messages.2.content"


def test_requests_at_once_do_not_read_what_is_not_written_yet(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    """A prefix is there once the first reply begins: a fan-out that does not wait for it pays for each."""
    gate, both_asked = threading.Event(), threading.Event()
    asked: list[Request] = []

    def noticed(request: Request) -> bool:
        asked.append(request)
        if len(asked) == 2:
            both_asked.set()
        return True

    double.script(*[Hold(Reply("late"), gate)] * 2, when=noticed)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(counted, claude, system=SYSTEM) for _ in range(2)]
        assert both_asked.wait(PATIENCE)
        gate.set()
        assert [one.result(PATIENCE) for one in both] == [(10, 0, 2000, 0)] * 2
    assert counted(claude, system=SYSTEM)[1] == 2000


def test_what_failed_was_not_cached(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Fail(529))
    with pytest.raises(anthropic.OverloadedError):
        counted(claude, system=SYSTEM)
    assert counted(claude, system=SYSTEM)[1] == 0


def test_a_request_for_no_tokens_fills_the_cache(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(None)
    warmed = claude.messages.create(model="any", max_tokens=0, messages=ASKED, system=SYSTEM)
    assert (warmed.content, warmed.stop_reason, warmed.usage.output_tokens) == ([], "max_tokens", 0)
    double.script(Reply("fine"))
    assert counted(claude, system=SYSTEM)[1] == 2000


def test_streams_count_alike(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    del double
    for expected in ((10, 0, 2000), (10, 2000, 0)):
        with claude.messages.stream(model="any", max_tokens=9, messages=ASKED, system=SYSTEM) as stream:
            usage = stream.get_final_message().usage
        read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
        assert (usage.input_tokens, read, written) == expected


def test_reset_empties_the_cache(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    counted(claude, system=SYSTEM)
    double.reset()
    double.respond(lambda _: Turn(Reply("fine")))
    assert counted(claude, system=SYSTEM)[1] == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"model": "another"}, "model_changed"),
        ({"system": [text(BIG, "w", MARK)]}, "system_changed"),
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools_changed"),
        ({"messages": [{"role": "user", "content": "other"}]}, "messages_changed"),
        ({"output_config": {"effort": "low"}}, "unavailable"),
    ],
)
def test_it_says_why_the_cache_was_missed(
    double: ModelDouble, claude: anthropic.Anthropic, changed: dict[str, Any], reason: str | None
) -> None:
    del double
    request: dict[str, Any] = {"model": "any", "max_tokens": 9, "messages": ASKED, "system": SYSTEM}
    first = claude.messages.create(**request, diagnostics={"previous_message_id": None})
    assert first.diagnostics is None
    further = {**request, "messages": [*ASKED, first.to_param(), {"role": "user", "content": "More."}], **changed}
    second = claude.messages.create(**further, diagnostics={"previous_message_id": first.id})
    if reason is None:
        assert second.diagnostics is None
        return
    assert second.diagnostics is not None
    why = second.diagnostics.cache_miss_reason
    assert why is not None
    assert why.type == reason
    if why.type in ("model_changed", "system_changed", "tools_changed"):
        assert why.cache_missed_input_tokens == 2000


def test_it_says_when_it_does_not_know_the_request(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    del double
    asked: dict[str, Any] = {"model": "any", "max_tokens": 9, "messages": ASKED}
    with claude.messages.stream(**asked, diagnostics={"previous_message_id": "msg_none"}) as stream:
        diagnostics = stream.get_final_message().diagnostics
    assert diagnostics is not None
    assert diagnostics.cache_miss_reason is not None
    assert diagnostics.cache_miss_reason.type == "previous_message_not_found"


def test_the_view_shows_what_came_from_the_cache(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Turn(Thinking("hm"), Reply("fine")))
    counted(claude, system=SYSTEM)
    counted(claude, system=SYSTEM)
    shown = show("lab-01", double.journal.since()[-2:], Choice(), width=160, colour=False)
    for words in (
        "10 tokens in (and 2,000 into the cache), 2 out",
        "10 tokens in (and 2,000 from the cache), 2 out",
        "20 tokens in (and 2,000 from the cache, 2,000 into it), 4 out",
        "model thinks: hm",
    ):
        assert words in shown
