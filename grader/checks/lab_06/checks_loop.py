"""Task loop: a conversation over both wires, with everything in its place."""

from __future__ import annotations

from collections.abc import Iterable

from grader.checking import (
    Block,
    Cut,
    Disconnect,
    Fail,
    Garbage,
    Refuse,
    Reply,
    Thinking,
    ToolCall,
    Turn,
    check,
    expect,
    expect_equal,
)

from .cast import Cast
from .desk import Desk, InBackground, at_once, expect_error, read_ended
from .history import expect_offer, expect_said, kinds_of, one_prefix, said_in


@check(task="loop")
def answers_with_the_help_of_a_tool(desk: Desk, cast: Cast) -> None:
    """A call is carried out, its result goes back, and the model's text is the answer, with steps and tokens."""
    customer = cast.customer()
    talk = desk.talk(cast, cast.viewer(customer))
    shipment, call = cast.shipment(customer), cast.call_id()
    look = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=call)
    talk.script(Turn(Reply("I will look."), look), Reply(f"Found it: {call}."))
    ended = talk.say().expect("answered")
    expect_equal(ended.answer, f"Found it: {call}.", "the answer")
    expect_equal(ended.body["message_id"], "m-1", "the message_id of the answer")
    expect_equal(ended.body["steps"], 2, "steps")
    exchanges = [one for one in talk.exchanges() if one.error is None]
    tokens = sum(o.input_tokens + o.cache_read_tokens + o.cache_write_tokens + o.output_tokens for o in exchanges)
    expect_equal(ended.body["tokens"], tokens, "tokens", hint="All input, what the cache read or wrote included.")
    expect_equal(
        talk.result(call).expect(None, "get_shipment").value["goods"], shipment.goods, "the goods in the result"
    )
    expect_said(
        talk.last, ("user", talk.opening), ("assistant", "I will look."), ("calls", [call]), ("results", [call])
    )
    expect_offer(talk.last)


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def brings_thinking_back_verbatim(desk: Desk, cast: Cast) -> None:
    """Thinking and redacted thinking come back as they were and where they were, in this run and in the next one."""
    customer = cast.customer()
    talk = desk.talk(cast, cast.viewer(customer))
    one, two = cast.call_id(), cast.call_id()
    thoughts = f"The user means {cast.number()}. ", f"Now {cast.number()}"
    talk.script(
        Turn(
            Thinking(thoughts[0]),
            Thinking("", redacted=True),
            Reply("Wait."),
            _find(one),
            Thinking(thoughts[1]),
            _find(two),
        ),
        Turn(Thinking("Good."), Reply("Done.")),
        Reply("Again."),
    )
    talk.say().expect("answered")
    talk.say().expect("answered")
    expect_equal(talk.last.body.get("thinking", {}).get("type"), "adaptive", "the thinking that is asked for")
    first = ["thinking", "redacted_thinking", "text", "tool_use", "thinking", "tool_use"]
    observed = kinds_of(talk.last, "assistant")
    expect(
        observed == [first, ["thinking", "text"]],
        "thinking blocks are missing or have moved",
        expected=[first, ["thinking", "text"]],
        observed=observed,
        hint="Keep the content blocks of a reply as they came, and send all of them back in their order.",
    )
    texts = [block.text for message in talk.last.messages for block in message.blocks if block.kind == "thinking"]
    expect_equal([text for text in texts if text], [*thoughts, "Good."], "the text of the thinking blocks")


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def sends_the_same_tools_and_prompt_every_time(desk: Desk, cast: Cast) -> None:
    """System prompt and tools are the same bytes for every user, in every call, after a restart too."""
    first = desk.talk(cast, cast.viewer(cast.customer())).script(_find(), Reply("One."))
    second = desk.talk(cast, cast.clerk).script(_find(), Reply("Two."), Reply("Three."))
    first.say()
    second.say()
    desk.stage.restart()
    second.say().expect("answered")
    prefixes = one_prefix([*first.requests, *second.requests])
    expect(
        len(prefixes) == 1,
        f"the prefix of the prompt came in {len(prefixes)} versions",
        expected="one: tools and system prompt are the same bytes on every call",
        observed=[prefix[:150] for prefix in prefixes],
        hint="Is there a time, a user or a set without an order in it? Every prompt cache would miss.",
    )


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def tries_again_what_can_pass(desk: Desk, cast: Cast) -> None:
    """Passing faults of the model are not seen; after three in a row it is 502, and the message can go on."""
    talk = desk.talk(cast, cast.viewer(cast.customer()))
    call = cast.call_id()
    talk.script(
        Fail(529), Disconnect(), Turn(Reply("Look."), _find(call)), Garbage(b"<html>"), Cut(Reply("x" * 200), 4)
    )
    talk.script(Reply("Here."))
    ended = talk.say().expect("answered")
    expect_equal((ended.answer, ended.body["steps"]), ("Here.", 2), "answer and steps after five faults")
    talk.script(_find(one := cast.call_id()), Fail(500), Fail(429), Fail(503))
    body = talk.body()
    expect_error(talk.post(body), (502,), "upstream", "a run whose model fails three times")
    talk.script(Reply("Back."))
    again = read_ended(talk.post(body))
    expect_equal(
        (again.answer, again.body["steps"]), ("Back.", 2), "answer and steps of a run that went on after a 502"
    )
    expect_said(
        talk.last,
        ("user", talk.opening),
        ("assistant", "Look."),
        ("calls", [call]),
        ("results", [call]),
        ("assistant", "Here."),
        ("user", str(body["message"])),
        ("calls", [one]),
        ("results", [one]),
    )


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def answers_a_message_once(desk: Desk, cast: Cast) -> None:
    """A message sent again gets the same answer without any call, or `busy`; with another text it is refused."""
    talk = desk.talk(cast, cast.viewer(cast.customer()))
    talk.script(_find(), Reply("First."), Reply("Second."))
    body = talk.body()
    first = read_ended(talk.post(body))
    other = {**body, "message": f"{body['message']} Now."}
    expect_error(talk.post(other), (409,), "message_differs", "a message_id with another message")
    late = talk.body()
    with talk.held() as arrived:
        run = InBackground(lambda: talk.post(late))
        arrived()
        expect_equal(read_ended(talk.post(body)).body, first.body, "an old answer while another run is under way")
        expect_error(talk.post(talk.body()), (409,), "busy", "a message while a run is under way")
        # A second conversation of the same user has nothing to do with it.
        beside = desk.talk(cast, talk.user).script(Reply("Beside."))
        beside.say().expect("answered")
    second = read_ended(run.result())
    expect_equal(second.answer, "Second.", "the answer of the second message")
    again = [read_ended(response).body for response in at_once(*[lambda: talk.post(body)] * 4, lambda: talk.post(late))]
    expect_equal(again, [first.body] * 4 + [second.body], "what is answered to messages that were answered before")
    expect_equal(len(talk.requests), 3, "how often the model was called for two messages")
    talk.script(Reply("Said again."))
    twice = talk.say(str(body["message"]), message_id="m-again").expect("answered")
    expect_equal(twice.answer, "Said again.", "the answer to the same words under another message_id")


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def stops_on_refusals_and_cut_off_replies(desk: Desk, cast: Cast) -> None:
    """A refusal or a reply that was cut off ends the run by its name, nothing of it is done, and the talk can go on."""
    customer = cast.customer()
    talk = desk.talk(cast, cast.booker(customer))
    shipment = cast.booked(customer)
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    talk.script(Refuse(), Turn(Reply("I"), book, stop="max_tokens"), Turn(book, stop="context_window"), Reply(""))
    for status, reason in (
        ("stopped", "refused"),
        ("stopped", "truncated"),
        ("stopped", "truncated"),
        ("answered", None),
    ):
        ended = talk.say().expect(status, reason)
        expect_equal(ended.answer, None if reason else "", f"the answer of a run that ended as {reason or status}")
    talk.script(Reply("Fine."))
    talk.say().expect("answered")
    expect_equal(desk.pickups(shipment.shipment_id), [], "pickups of calls in replies that were cut off")
    users = [text for message in talk.last.messages if message.role == "user" for text in _texts(message.blocks)]
    expect_equal(len(users), 5, "how many messages of the user the model has read after four runs")


@check(task="loop", after=("answers_with_the_help_of_a_tool",))
def refuses_bodies_that_break_a_limit(desk: Desk, cast: Cast) -> None:
    """Bodies beyond the limits are 400 or 422, requests without a user 401, of a stranger 403; no model is called."""
    user = cast.viewer(cast.customer())
    good = {"conversation": f"c-{cast.number()}", "message_id": "m", "message": "Hello"}
    bad: list[dict[str, object]] = [
        {"conversation": "a b"},
        {"conversation": "c" * 65},
        {"conversation": ""},
        {"conversation": "über"},
        {"conversation": "c\n"},
        {"message_id": "m/1"},
        {"message_id": 7},
        {"message": ""},
        {"message": "x" * 4001},
        {"message": None},
    ]
    for change in bad:
        expect_error(desk.send(user, "POST", "/chat", {**good, **change}), (400, 422), None, f"a body with {change}")
    for name in good:
        less = {key: value for key, value in good.items() if key != name}
        expect_error(desk.send(user, "POST", "/chat", less), (400, 422), None, f"a body without {name}")
    broken = desk.stage.program.post("/chat", body=b'{"conversation": ', headers={"X-User": user.user_id})
    expect_error(broken, (400, 422), None, "a body that is no JSON")
    expect_error(desk.send(None, "POST", "/chat", good), (401,), "no_user", "a request without X-User")
    stranger = cast.nobody(user)
    for method, path in (("POST", "/chat"), ("GET", "/conversations/c-1/transcript"), ("POST", "/approvals/a-1")):
        body = {"decision": "deny"} if "approvals" in path else good if method == "POST" else None
        expect_error(desk.send(stranger, method, path, body), (403,), "unknown_user", f"{path} of an unknown user")
    longest = desk.talk(cast, user)
    text = longest.opening + "x" * (4000 - len(longest.opening))
    longest.script(Reply("Long."))
    longest.say(text).expect("answered")


@check(task="loop")
def carries_a_conversation_on_openai(openai_desk: Desk, cast: Cast) -> None:
    """The same conversation on the OpenAI wire: calls, results, faults, the next message."""
    customer = cast.customer()
    talk = openai_desk.talk(cast, cast.viewer(customer))
    one, two, three = cast.call_id(), cast.call_id(), cast.call_id()
    shipment = cast.shipment(customer)
    look = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=two)
    talk.script(
        Fail(500),
        Turn(Thinking("Hm."), Reply("Both."), _find(one), look),
        Cut(Turn(_find(cast.call_id()), Reply("y" * 100)), 9),
        _find(three),
        Fail(429),
        Disconnect(),
        Reply("There."),
        Refuse(),
        Reply("Next."),
    )
    ended = talk.say().expect("answered")
    expect_equal((ended.answer, ended.body["steps"]), ("There.", 3), "answer and steps")
    talk.say().expect("stopped", "refused")
    talk.say().expect("answered")
    observed = said_in(talk.last)
    expect_equal(
        observed[:7],
        [
            ("user", talk.opening),
            ("assistant", "Both."),
            ("calls", [one, two]),
            ("results", sorted([one, two])),
            ("calls", [three]),
            ("results", [three]),
            ("assistant", "There."),
        ],
        "the conversation that the model is sent",
    )
    expect_equal(talk.result(two).expect(None, "get_shipment").value["note"], shipment.note, "the note in the result")
    expect_offer(talk.last)


def _find(call: str | None = None) -> ToolCall:
    return ToolCall("find_shipments", {"limit": 1}, id=call)


def _texts(blocks: Iterable[Block]) -> list[str]:
    return [block.text for block in blocks if block.kind == "text"]
