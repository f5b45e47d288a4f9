"""Many conversations of one program interleave, and each is given its own steps; what is left is named."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import openai
import pytest

from grader.checking import Mismatch
from grader.checking.stage import Theatre
from grader.model.conversations import Conversation
from grader.model.journal import Request
from grader.model.script import Cut, Disconnect, Fail, Reply, Slow, ToolCall, Turn
from grader.model.server import ModelDouble

if TYPE_CHECKING:
    from anthropic.types import MessageParam
    from openai.types.chat import ChatCompletionMessageParam

MANY = 50
TOOL_SCHEMA: dict[str, object] = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


def claude(double: ModelDouble, retries: int = 2) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=double.anthropic_base_url, api_key="k", max_retries=retries)


def gpt(double: ModelDouble, retries: int = 2) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=double.openai_base_url, api_key="k", max_retries=retries)


Said = list[str]
Talk = Callable[[str], Awaitable[Said]]


def claude_talk(client: anthropic.AsyncAnthropic) -> Talk:
    """Asks, carries out one tool call, says thanks: three turns, with the history sent each time."""

    async def talk(opening: str) -> Said:
        messages: list[MessageParam] = [{"role": "user", "content": opening}]
        said: Said = []
        for _ in range(3):
            reply = await client.messages.create(
                model="claude",
                max_tokens=50,
                messages=messages,
                tools=[{"name": "count", "input_schema": TOOL_SCHEMA}],
            )
            messages.append({"role": "assistant", "content": reply.content})
            call = next((block for block in reply.content if block.type == "tool_use"), None)
            said.append(str(call.input) if call else "".join(b.text for b in reply.content if b.type == "text"))
            if call:
                messages.append(
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "done"}]}
                )
            else:
                messages.append({"role": "user", "content": "thanks"})
        return said

    return talk


def gpt_talk(client: openai.AsyncOpenAI) -> Talk:
    """As `claude_talk`, streamed."""

    async def talk(opening: str) -> Said:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": opening}]
        said: Said = []
        for _ in range(3):
            async with client.chat.completions.stream(
                model="gpt",
                messages=messages,
                tools=[{"type": "function", "function": {"name": "count", "parameters": TOOL_SCHEMA}}],
            ) as stream:
                reply = (await stream.get_final_completion()).choices[0].message
            call = reply.tool_calls[0] if reply.tool_calls else None
            if call:
                said.append(str(call.function.parsed_arguments or call.function.arguments))
                asked: Any = {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]}
                asked["tool_calls"][0]["function"].pop("parsed_arguments", None)
                messages += [asked, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
            else:
                said.append(reply.content or "")
                messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": "thanks"}]
        return said

    return talk


def planned(double: ModelDouble, opening: str, n: int) -> Conversation:
    talk = double.conversation(opening)
    return talk.script(ToolCall("count", {"n": n}), Reply(f"counted {n}"), Reply(f"bye {n}"))


async def all_at_once(talks: Sequence[tuple[Talk, str]]) -> list[Said]:
    return await asyncio.gather(*(talk(opening) for talk, opening in talks))


def test_interleaved_conversations_of_both_sdks_each_get_their_own_steps(double: ModelDouble) -> None:
    numbers = list(range(2 * MANY))
    random.Random(7).shuffle(numbers)
    talks = {n: planned(double, f"ticket {n};", n) for n in numbers}

    async def run() -> dict[int, Said]:
        async with claude(double) as one, gpt(double) as two:
            sides = (claude_talk(one), gpt_talk(two))
            said = await all_at_once([(sides[n % 2], f"This is ticket {n}; please count.") for n in range(2 * MANY)])
            return dict(enumerate(said))

    for n, said in asyncio.run(run()).items():
        assert [word for word in (str(n), f"counted {n}", f"bye {n}") if word not in "|".join(said)] == []
        assert len(talks[n].requests) == 3
        assert all(f"ticket {n};" in request.text for request in talks[n].requests)
    assert (double.leftover, double.unmatched) == ((), ())


@pytest.mark.parametrize("side", ["anthropic", "openai"])
def test_fifty_conversations_that_open_alike_are_told_apart_by_what_they_carry(double: ModelDouble, side: str) -> None:
    for n in range(MANY):
        planned(double, "The same words.", n)

    async def run() -> list[Said]:
        async with claude(double) as one, gpt(double) as two:
            talk = claude_talk(one) if side == "anthropic" else gpt_talk(two)
            return await all_at_once([(talk, "The same words.")] * MANY)

    heard = asyncio.run(run())
    numbers = []
    for call, counted, bye in heard:
        n = int(counted.removeprefix("counted "))
        assert str(n) in call
        assert bye == f"bye {n}"
        numbers.append(n)
    assert sorted(numbers) == list(range(MANY))
    assert (double.leftover, double.unmatched) == ((), ())


def test_a_retried_request_stays_in_its_conversation(double: ModelDouble) -> None:
    for n in range(MANY):
        talk = double.conversation("The same words.", name=f"talk {n}")
        talk.script(Fail(529, retry_after_ms=1), Disconnect(), ToolCall("count", {"n": n}), Reply("ok"), Reply("bye"))

    async def run() -> list[Said]:
        async with claude(double, retries=5) as client:
            return await all_at_once([(claude_talk(client), "The same words.")] * 5)

    heard = asyncio.run(run())
    assert [said[1:] for said in heard] == [["ok", "bye"]] * 5
    begun = [left for left in double.leftover if "never began" not in left.of]
    assert begun == []
    assert len(double.leftover) == (MANY - 5) * 5


def post(double: ModelDouble, *turns: str, **more: Any) -> httpx2.Response:
    roles = ("user", "assistant")
    body = {
        "model": "m",
        "messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)],
        **more,
    }
    return httpx2.post(
        double.openai_base_url + "/chat/completions", json=body, headers={"authorization": "Bearer k"}, timeout=20
    )


def text_of(response: httpx2.Response) -> Any:
    return response.json()["choices"][0]["message"]["content"]


def test_the_words_of_the_history_are_enough_to_carry_a_conversation_on(double: ModelDouble) -> None:
    for name in ("first", "second"):
        double.conversation("hello").script(Reply(f"I am {name}."), Reply(f"{name} again"))
    assert [text_of(post(double, "hello")) for _ in range(2)] == ["I am first.", "I am second."]
    assert text_of(post(double, "hello", "I am second.", "and?")) == "second again"
    assert text_of(post(double, "hello", "I am first.", "and?")) == "first again"


def test_an_earlier_reply_named_by_its_id_is_enough(double: ModelDouble) -> None:
    for name in ("first", "second"):
        double.conversation("hello").script(Reply(f"I am {name}."), Reply(f"{name} again"))
    ids = [post(double, "hello").json()["id"] for _ in range(2)]
    for reply_id, name in reversed(list(zip(ids, ("first", "second"), strict=True))):
        request = Request(99, "unknown", "/", continues=reply_id)
        assert double._playbook.choose(request, scripted=True) == Reply(f"{name} again")


def test_fifty_responses_that_carry_only_an_id_stay_in_their_conversations(double: ModelDouble) -> None:
    for n in range(MANY):
        double.conversation("hello").script(Reply(f"I am {n}."), Reply(f"{n} again"))

    async def talk(client: openai.AsyncOpenAI) -> Said:
        first = await client.responses.create(model="gpt", input="hello")
        again = await client.responses.create(model="gpt", input="and?", previous_response_id=first.id)
        return [first.output_text, again.output_text]

    async def run() -> list[Said]:
        async with gpt(double) as client:
            return await asyncio.gather(*(talk(client) for _ in range(MANY)))

    heard = sorted(asyncio.run(run()), key=lambda said: int(said[0].removeprefix("I am ").removesuffix(".")))
    assert heard == [[f"I am {n}.", f"{n} again"] for n in range(MANY)]
    assert (double.leftover, double.unmatched) == ((), ())


def test_twenty_message_threads_that_carry_only_an_id_stay_in_their_conversations(double: ModelDouble) -> None:
    @anthropic.beta_async_tool
    async def count(n: int) -> str:
        """Counts.

        Args:
            n: how far.
        """
        return f"counted {n}"

    for n in range(20):
        double.conversation("hello").script(ToolCall("count", {"n": n}), Reply(f"bye {n}"))

    async def talk(client: anthropic.AsyncAnthropic) -> str:
        runner = client.beta.messages.tool_runner(
            model="claude-opus-5-5", max_tokens=99, tools=[count], messages=[{"role": "user", "content": "hello"}]
        )
        final = await runner.until_done()
        return "".join(block.text for block in final.content if block.type == "text")

    async def run() -> list[str]:
        async with claude(double) as client:
            return await asyncio.gather(*(talk(client) for _ in range(20)))

    assert sorted(asyncio.run(run())) == sorted(f"bye {n}" for n in range(20))
    assert (double.leftover, double.unmatched) == ((), ())
    results = [exchange.request.messages[-1].text for exchange in double.journal.since()[-20:]]
    assert len(set(results)) == 20


def test_a_matcher_may_open_a_conversation_that_later_turns_do_not_match(double: ModelDouble) -> None:
    talk = double.conversation(lambda request: request.messages[-1].text == "start", name="started")
    talk.script(Reply("one"), Reply("two"))
    assert text_of(post(double, "start")) == "one"
    assert text_of(post(double, "start", "one", "go on")) == "two"
    assert double.leftover == ()


def test_a_conversation_may_have_a_responder_after_its_steps(double: ModelDouble) -> None:
    double.conversation("echo").script(Reply("first")).respond(lambda request: Reply(request.messages[-1].text))
    assert text_of(post(double, "echo")) == "first"
    assert text_of(post(double, "echo", "first", "more")) == "more"
    assert double.leftover == ()


def test_a_step_of_a_conversation_may_wait_for_its_request(double: ModelDouble) -> None:
    talk = double.conversation("plan")
    talk.script(Reply("for b"), when=lambda request: "b" in request.messages[-1].text)
    talk.script(Reply("for any"))
    assert text_of(post(double, "plan", "?", "a")) == "for any"
    assert text_of(post(double, "plan", "?", "b")) == "for b"


def test_a_conversation_leaves_the_queue_to_others(double: ModelDouble) -> None:
    double.script(Reply("from the queue"))
    double.conversation("mine").script(Reply("mine alone"))
    assert text_of(post(double, "mine")) == "mine alone"
    assert post(double, "mine", "mine alone", "more?").status_code == 400
    assert text_of(post(double, "somebody else")) == "from the queue"
    (unmatched,) = double.unmatched
    assert unmatched.sentence.startswith(
        "the conversation 'mine' had been given all of its 1 steps and asked once more"
    )


def test_a_request_that_the_next_step_is_not_for_is_named(double: ModelDouble) -> None:
    double.conversation("mine").script(ToolCall("find", {}), when=lambda _: False)
    post(double, "mine")
    assert "its next step, ToolCall, is not for" in double.unmatched[0].sentence


def test_what_is_left_of_a_conversation_is_named(double: ModelDouble) -> None:
    double.conversation("one").script(Reply("1"), Turn(Reply("2"), ToolCall("x", {})))
    double.conversation("two").script(Cut(Reply("3")))
    post(double, "one")
    assert [left.sentence for left in double.leftover] == [
        "Turn of the conversation 'one' (given 1 of its 2 steps) was never asked for",
        "Cut(Reply) of the conversation 'two' (which never began) was never asked for",
    ]


def test_a_client_that_hung_up_may_ask_again(double: ModelDouble) -> None:
    for name in ("first", "second"):
        double.conversation("hello", name=name).script(Slow(Reply(f"{name} slow"), 60), Reply(f"{name} quick"))
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(
            double.openai_base_url + "/chat/completions",
            json={"model": "m", "messages": [{"role": "user", "content": "hello"}]},
            headers={"authorization": "Bearer k"},
            timeout=0.3,
        )
    assert double.journal.await_ended(double.journal.mark(), 20)
    assert text_of(post(double, "hello")) == "first quick"


def test_the_journal_names_the_conversation(double: ModelDouble) -> None:
    double.conversation("mine", name="my talk").script(Reply("ok"))
    post(double, "mine")
    assert double.journal.since()[-1].conversation == "my talk"


def test_threads_may_script_while_requests_come_in(double: ModelDouble) -> None:
    def one(n: int) -> Any:
        double.conversation(f"<{n}>").script(Reply(str(n)))
        return text_of(post(double, f"<{n}>"))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(100))) == [str(n) for n in range(100)]
    assert (double.leftover, double.unmatched) == ((), ())


def test_a_check_fails_in_a_sentence_for_what_is_unmatched_or_left(double: ModelDouble) -> None:
    theatre = Theatre.__new__(Theatre)  # only the doubles matter here
    theatre._doubles, theatre._started = [double], []
    double.conversation("mine").script(Reply("ok"))
    with pytest.raises(Mismatch, match="fewer model calls") as fewer:
        theatre.expect_settled()
    assert fewer.value.observed == "1 fewer; Reply of the conversation 'mine' (which never began) was never asked for"
    post(double, "mine")
    post(double, "mine", "ok", "more")
    with pytest.raises(Mismatch, match="nothing in this scenario calls for") as more:
        theatre.expect_settled()
    assert "the conversation 'mine' had been given all of its 1 steps and asked once more" in more.value.observed
