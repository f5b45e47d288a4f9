"""Task stream: text reaches the client as it comes; a reply that breaks off is no reply."""

from __future__ import annotations

import threading

from grader.checking import (
    Cut,
    Event,
    Fail,
    Hold,
    Reply,
    Step,
    ToolCall,
    Turn,
    Unfaithful,
    check,
    expect,
    expect_equal,
)

from .cast import Cast
from .desk import Desk, Ended, Talk, expect_error, read_ended

PATIENCE_SECONDS = 5.0
SOON = 12  # events of a stream: by then every wire has sent some of a long text


@check(task="stream", after=("answers_with_the_help_of_a_tool",))
def streams_text_as_it_comes(desk: Desk, cast: Cast) -> None:
    """Text is there while the model still speaks, tools are told of when they are known, and the answer ends it."""
    _streams(desk, cast)


@check(task="stream", after=("carries_a_conversation_on_openai",))
def streams_text_on_openai(openai_desk: Desk, cast: Cast) -> None:
    """The same on the OpenAI wire."""
    _streams(openai_desk, cast)


def _streams(desk: Desk, cast: Cast) -> None:
    customer = cast.customer()
    talk = desk.talk(cast, cast.viewer(customer))
    before, text = f"One moment, {cast.number()} naïve.", " ".join(cast.number() for _ in range(60))
    good = ToolCall("get_shipment", {"shipment_id": cast.shipment(customer).shipment_id}, id=cast.call_id())
    bad = ToolCall("get_shipment", {"shipment_id": 5}, id=cast.call_id())
    gate = threading.Event()
    talk.script(Unfaithful(Turn(Reply(before), good, bad)), Hold(Reply(text), gate, after_events=SOON))
    body = talk.body(stream=True)
    events: list[Event] = []
    in_time = False
    giving_up = threading.Timer(PATIENCE_SECONDS, gate.set)
    giving_up.start()
    with desk.stage.program.events("/chat", json=body, headers={"X-User": talk.user.user_id}, seconds=12) as stream:
        expect(
            "text/event-stream" in stream.kind, "the content type", expected="text/event-stream", observed=stream.kind
        )
        for event in stream:
            events.append(event)
            # The rest of the text is let go only when its beginning has arrived here.
            if len(_text(events)) > len(before) and not gate.is_set():
                in_time = True
                gate.set()
    giving_up.cancel()
    expect(in_time, "no text came before the end", expected="events of text while the model speaks", observed=events)
    expect_equal(_text(events), before + text, "the text of all events")
    told = [event.data for event in events if event.name == "tool"]
    wanted = [
        {"id": good.id, "name": "get_shipment", "error": None},
        {"id": bad.id, "name": "get_shipment", "error": "invalid_arguments"},
    ]
    expect_equal(sorted(told, key=str), sorted(wanted, key=str), "the events of tools")
    ended = _done(events).expect("answered")
    expect_equal(ended.answer, text, "the answer in the last event")
    expect_equal(
        read_ended(talk.post({**body, "stream": False})).body, ended.body, "the plain answer to the same message"
    )
    replayed = _stream(talk, body)
    expect_equal([event.name for event in replayed], ["done"], "the events of a message that was answered before")
    expect_equal(_done(replayed).body, ended.body, "its answer")


@check(task="stream", after=("answers_with_the_help_of_a_tool",))
def carries_out_whole_replies_only(desk: Desk, cast: Cast) -> None:
    """Calls in a reply that breaks off are not carried out, complete as they look; the attempt is made again."""
    _breaks_off(desk, cast)


@check(task="stream", after=("carries_a_conversation_on_openai",))
def carries_out_whole_replies_on_openai(openai_desk: Desk, cast: Cast) -> None:
    """The same on the OpenAI wire."""
    _breaks_off(openai_desk, cast)


def _breaks_off(desk: Desk, cast: Cast) -> None:
    customer = cast.customer()
    shipment = cast.booked(customer)
    talk = desk.talk(cast, cast.booker(customer))
    cuts: list[Step] = []
    for after, error in ((16, None), (18, Fail(529))):
        # Sixteen events in, the first call is complete on every wire, and the second one has begun.
        book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
        rest = ToolCall("find_shipments", {"status": "x" * 300}, id=cast.call_id())
        cuts.append(Unfaithful(Cut(Turn(book, rest), after, error=error)))
    whole = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    talk.script(*cuts, whole, Reply("Once."))
    ended = talk.say().expect("answered")
    expect_equal(ended.body["steps"], 2, "steps: attempts that broke off do not count")
    rows = desk.pickups(shipment.shipment_id)
    expect(
        len(rows) == 1,
        "calls of replies that broke off were carried out",
        expected="one pickup: that of the reply which came to its end",
        observed=rows,
        hint="Arguments can be complete while the reply is not. Wait for the end of the reply.",
    )
    expect_equal(sorted(talk.results()), [str(whole.id)], "the calls that the model was shown results of")


@check(task="stream", after=("streams_text_as_it_comes",))
def says_when_a_stream_fails(desk: Desk, cast: Cast) -> None:
    """A fault before any event has its plain status; behind text that was sent it is an error event, no text twice."""
    talk = desk.talk(cast, cast.viewer(cast.customer()))
    talk.script(Fail(500), Fail(500), Fail(500))
    body = talk.body(stream=True)
    expect_error(talk.post(body), (502,), "upstream", "a stream whose model fails before any event")
    expect_error(talk.post({**body, "message": "Else."}), (409,), "message_differs", "a stream of another message")
    text = " ".join(cast.number() for _ in range(60))
    talk.script(Cut(Reply(text), SOON))
    events = _stream(talk, body)
    expect_equal(events[-1:], [Event("error", {"error": "upstream"})], "the last event of a stream that failed")
    said = _text(events)
    expect(
        said and text.startswith(said),
        "text was sent twice, or is not the model's",
        expected="the beginning of the model's text, once",
        observed=said,
        hint="What the client has read cannot be taken back: do not try again behind it.",
    )
    talk.script(Reply("Whole."))
    expect_equal(_done(_stream(talk, body)).expect("answered").answer, "Whole.", "the answer of the run that went on")


def _stream(talk: Talk, body: object) -> list[Event]:
    headers = {"X-User": talk.user.user_id}
    with talk.desk.stage.program.events("/chat", json=body, headers=headers, seconds=12) as stream:
        return list(stream)


def _text(events: list[Event]) -> str:
    return "".join(str(event.data.get("delta")) for event in events if event.name == "text")


def _done(events: list[Event]) -> Ended:
    names = [event.name for event in events]
    expect(names.count("done") == 1 and names[-1] == "done", "the stream does not end in `done`", observed=names[-5:])
    expect(
        isinstance(events[-1].data, dict) and "status" in events[-1].data, "`done` holds no answer", observed=events[-1]
    )
    return Ended(events[-1].data)
