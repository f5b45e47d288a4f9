"""Server-sent events as checks read them: in whatever pieces they come, and nothing that was cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grader.checking import Event, EventStream, Mismatch


def _events(*parts: bytes) -> list[Event]:
    return list(EventStream("POST /chat", "text/event-stream", iter(parts), 5))


def test_events_are_read_in_whatever_pieces_they_come() -> None:
    text = b': ping\n\nevent: text\r\ndata: {"delta": "\xc3\xa9"}\r\n\r\nid: 7\nevent: done\ndata: {"a":\ndata: 1}\n\n'
    expected = [Event("text", {"delta": "é"}), Event("done", {"a": 1})]
    assert _events(text) == expected
    assert _events(*(text[index : index + 1] for index in range(len(text)))) == expected


def test_an_event_without_its_empty_line_was_cut_off() -> None:
    assert _events(b"data: 1\n\ndata: 2\n") == [Event("message", 1)]


def test_an_event_can_be_read_before_the_next_one_is_sent() -> None:
    sent: list[bytes] = []

    def parts() -> Iterator[bytes]:
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            sent.append(part)
            yield part

    stream = EventStream("POST /chat", "", parts(), 5)
    assert next(iter(stream)) == Event("message", 1)
    assert len(sent) == 1


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: NaN\n\n", b"data: [DONE]\n\n"])
def test_data_that_is_no_json_is_a_mismatch(data: bytes) -> None:
    with pytest.raises(Mismatch, match="holds no JSON"):
        _events(data)


def test_a_stream_without_an_end_is_a_mismatch() -> None:
    with pytest.raises(Mismatch, match="larger than 1 MiB"):
        list(EventStream("POST /chat", "", iter(lambda: b"x" * 65536, b""), 5))
