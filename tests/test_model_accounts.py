"""Each exchange is accounted for: what it cost, which attempt it was, when it began and ended; and the journal ends."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from grader.model.journal import Exchange, Journal, JournalFull, Request
from grader.model.prices import TABLE, price_of
from grader.model.script import Cut, Disconnect, Fail, Refuse, Reply, Slow
from grader.model.server import ModelDouble

PATIENCE = 20  # seconds a test waits for an event that comes at once


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


def ask(double: ModelDouble, text: str, model: str = "gpt-6.1-sol", **headers: str) -> Exchange:
    """One question with plain HTTP; the exchange as the journal has it."""
    with contextlib.suppress(httpx2.RemoteProtocolError):  # scripted
        httpx2.post(
            double.openai_base_url + "/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": text}]},
            headers={"authorization": "Bearer k", **headers},
            timeout=PATIENCE,
        )
    assert double.journal.await_ended(double.journal.mark(), PATIENCE)
    return double.journal.since()[-1]


def test_the_table_says_where_its_prices_come_from() -> None:
    text = TABLE.read_text("utf-8")
    assert "Source: " in text
    assert "read on 20" in text
    for name, row in tomllib.loads(text)["models"].items():
        assert row["input"] > 0, name
        price = price_of(name)
        assert price.family == name
        assert price.cache_read <= price.input <= price.cache_write <= price.cache_write_1h


def test_a_dated_model_has_the_price_of_its_family_and_an_unknown_one_the_default() -> None:
    assert price_of("claude-opus-5-5-20261001").family == "claude-opus-5-5"
    assert price_of("gpt-5-mini-2025-08-07").family == "gpt-5-mini"
    assert price_of("claude-opus-55").family == price_of("").family == price_of("gpt-51").family == "default"


def test_each_kind_of_token_has_its_own_price() -> None:
    price = price_of("claude-opus-5-5")
    kinds = {"fresh_input": 4.0, "cache_read": 0.2, "cache_write": 5.0, "output": 20.0}
    for kind, dollars in kinds.items():
        assert price.cost(**{kind: 1_000_000}) == pytest.approx(dollars)
    assert price.cost(cache_write=2_000_000, cache_write_1h=1_000_000) == pytest.approx(5 + 8)


def test_an_exchange_says_what_it_cost(double: ModelDouble) -> None:
    double.script(Reply("a" * 400))
    exchange = ask(double, "b" * 4000)
    assert (exchange.input_tokens, exchange.output_tokens, exchange.priced_as) == (1000, 100, "gpt-6.1-sol")
    assert exchange.cost_usd == pytest.approx((1000 * 2 + 100 * 10) / 1_000_000)


def test_what_was_refused_costs_nothing(double: ModelDouble) -> None:
    double.script(Fail(529))
    exchange = ask(double, "hello")
    assert (exchange.cost_usd, exchange.priced_as) == (0, "")


def test_a_question_sent_again_after_a_fault_is_a_further_attempt(double: ModelDouble) -> None:
    double.script(Fail(529), Disconnect(), Cut(Reply("half")), Reply("ok"), Reply("ok"))
    attempts = [ask(double, "the same", model).attempt for model in ("m", "m", "fallback", "m", "m")]
    # The fallback model is the same try once more; after the success, the same words are a new call.
    assert attempts == [1, 2, 3, 4, 1]
    double.script(Reply("other"))
    assert ask(double, "another").attempt == 1


@pytest.mark.parametrize("side", ["anthropic", "openai"])
def test_attempts_of_the_sdks_are_counted(double: ModelDouble, side: str) -> None:
    double.script(Fail(529, retry_after_ms=1), Fail(429, retry_after_ms=1), Reply("ok"))
    mark = double.journal.mark()
    if side == "anthropic":
        claude = anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="k")
        claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    else:
        gpt = openai.OpenAI(base_url=double.openai_base_url, api_key="k")
        gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert [exchange.attempt for exchange in double.journal.since(mark)] == [1, 2, 3]


def test_a_retry_counter_of_nonsense_is_ignored(double: ModelDouble) -> None:
    double.respond(lambda _: Reply("ok"))
    for told in ("-1", "x", "9" * 30, "1e9"):
        assert ask(double, told, **{"x-stainless-retry-count": told}).attempt == 1
    assert ask(double, "told", **{"x-stainless-retry-count": "2"}).attempt == 3


def test_the_first_byte_is_timed_apart_from_the_end(double: ModelDouble) -> None:
    double.script(Slow(Reply("late"), 0.05), Refuse())
    exchange = ask(double, "hello")
    assert exchange.first_byte_seconds is not None
    assert 0.05 <= exchange.first_byte_seconds <= exchange.seconds
    double.script(Disconnect())
    refused, dropped = ask(double, "hello"), ask(double, "bye")
    assert refused.first_byte_seconds is not None
    assert dropped.first_byte_seconds is None


def test_what_arrives_carries_the_label_of_its_time(double: ModelDouble) -> None:
    double.respond(lambda _: Reply("ok"))
    double.journal.label("one_check")
    assert ask(double, "a").label == "one_check"
    double.journal.label("")
    assert ask(double, "a").label == ""


def test_listeners_hear_of_every_exchange(double: ModelDouble) -> None:
    heard: list[Exchange] = []
    double.journal.listen(heard.append)
    double.script(Reply("ok"))
    assert heard == [ask(double, "a")]


def request(number: int, **more: Any) -> Request:
    return Request(number, "openai-chat", "/v1/chat/completions", **more)


def test_a_journal_holds_so_many_requests_and_no_more() -> None:
    journal = Journal(most_requests=2)
    for number in (1, 2):
        journal.arrived(request(number))
    with pytest.raises(JournalFull, match=r"holds 2 requests \(at most 2\)"):
        journal.arrived(request(3))
    assert (journal.mark(), journal.turned_away) == (2, 1)


def test_a_journal_holds_so_many_bytes_and_no_more() -> None:
    journal = Journal(most_bytes=100)
    journal.arrived(request(1), size=90)
    with pytest.raises(JournalFull, match="90 bytes"):
        journal.arrived(request(2), size=11)
    journal.arrived(request(2), size=10)


def test_a_full_journal_answers_in_the_vendors_shape_and_asks_for_no_retry() -> None:
    with ModelDouble(journal=Journal(most_requests=1)) as double:
        double.respond(lambda _: Reply("ok"))
        ask(double, "first")
        claude = anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="k")
        with pytest.raises(anthropic.RateLimitError, match="journal of this run is full"):
            claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert (double.journal.turned_away, double.protocol_faults) == (1, ())
