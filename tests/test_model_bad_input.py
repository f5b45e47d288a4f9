"""Whatever comes in at the double's port: an answer in the vendor's shape, no crash, and the next request is served."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from grader.model import bodies
from grader.model.bounds import BODY_LIMIT, DEEPEST, Allowance, is_too_deep, weight
from grader.model.door import BIGGEST_HEADER, Door
from grader.model.script import Reply, Slow
from grader.model.server import ModelDouble

from .raw_wire import HEADERS, PATIENCE, Wire, chat, error_of, one_reply, request_bytes

MANY = 500
PATHS = {"/v1/messages": "anthropic", "/v1/chat/completions": "openai"}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble, caplog: pytest.LogCaptureFixture) -> Iterator[ModelDouble]:
    """A double that is still well after the test: it serves, blames nobody of ours and has logged nothing."""
    running.reset()
    running.respond(lambda request: Reply(f"to {request.messages[-1].text[:40]}"))
    with caplog.at_level(logging.WARNING):
        yield running
    response = httpx2.post(running.openai_base_url + "/chat/completions", json=chat("next"), headers=HEADERS)
    assert response.json()["choices"][0]["message"]["content"] == "to next"
    assert running.protocol_faults == ()
    assert caplog.records == []


@pytest.fixture
def connect(double: ModelDouble) -> Iterator[Any]:
    opened: list[Wire] = []

    def connection() -> Wire:
        opened.append(Wire(double))
        return opened[-1]

    yield connection
    for wire in opened:
        wire.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b'{"model": "\xc3\x28"}',
        b'{"model": 1' + b"0" * 9000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"model":"m","messages":' + b"[" * 200 + b"]" * 200 + b"}",
        b"\x00" * 1000,
        "\ufeff{}".encode("utf-16"),
    ],
    ids=[
        "empty",
        "cut",
        "null",
        "array",
        "bytes",
        "bad-utf-8",
        "long-number",
        "open",
        "deep",
        "nested",
        "nul",
        "utf-16",
    ],
)
def test_a_body_that_is_no_request_is_refused_in_the_vendors_words(double: ModelDouble, path: str, body: bytes) -> None:
    response = httpx2.post(double.anthropic_base_url + path, content=body, headers=HEADERS)
    assert response.status_code == 400
    told = response.json()
    assert told["error"]["type"] == "invalid_request_error"
    assert (told.get("type") == "error") == (PATHS[path] == "anthropic")


def test_every_level_up_to_the_deepest_is_read(double: ModelDouble) -> None:
    def sent(levels: int) -> httpx2.Response:
        """A body of that depth; nothing else of the vendor's has a say in what `metadata` holds."""
        deep = json.loads("[" * (levels - 2) + "]" * (levels - 2))
        body = chat("hi", metadata={"user_id": deep})
        return httpx2.post(double.anthropic_base_url + "/v1/messages", json=body, headers=HEADERS)

    ok, refused = sent(DEEPEST), sent(DEEPEST + 1)
    assert ok.status_code == 200, ok.text
    assert (refused.status_code, "128 levels" in refused.text) == (400, True)


@pytest.mark.parametrize("path", PATHS)
def test_a_giant_body_is_refused_without_being_kept(double: ModelDouble, path: str) -> None:
    body = json.dumps(chat("x" * (BODY_LIMIT + 1))).encode()
    mark = double.journal.mark()
    response = httpx2.post(double.anthropic_base_url + path, content=body, headers=HEADERS, timeout=PATIENCE)
    assert response.status_code == 413
    assert "8388608 bytes" in error_of(response.content)["message"]
    (request,) = double.journal.requests(mark)
    assert request.text.strip() == ""


def test_a_body_without_an_end_is_cut_at_the_limit(connect: Any) -> None:
    wire = connect().send(request_bytes(body=b"").replace(b"content-length: 0", b"transfer-encoding: chunked"))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    sender = threading.Thread(target=lambda: [wire.send(chunk) for _ in range(9)])
    sender.start()
    status, _, body = wire.reply()
    sender.join()
    assert (status, "maximum size" in error_of(body)["message"]) == (413, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/complete", 404),
        ("POST", "/v1/messages/", 404),
        ("GET", "/v1/messages", 405),
        ("DELETE", "/v1/chat/completions", 405),
        ("OPTIONS", "/v1/embeddings", 405),
        ("POST", "/v1/messages/../../etc/passwd", 404),
        ("POST", "/v1/" + "a" * 20_000, 404),
        ("POST", "/%00%ff", 404),
    ],
)
def test_wrong_paths_and_methods_are_named(connect: Any, method: str, path: str, status: int) -> None:
    got, _, body = connect().send(request_bytes(path).replace(b"POST", method.encode(), 1)).reply()
    assert got == status
    assert method in error_of(body)["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"BREW /v1/messages HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n",  # TLS
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"POST /v1/messages HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nx: " + b"a" * (BIGGEST_HEADER + 100) + b"\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n" + b"".join(b"x%d: 1\r\n" % n for n in range(500)) + b"\r\n",
    ],
    ids=[
        "words",
        "method",
        "tls",
        "no-path",
        "version",
        "length",
        "negative",
        "both",
        "header",
        "huge-header",
        "many-headers",
    ],
)
def test_what_is_no_http_is_told_so_in_a_shape_that_both_sdks_read(connect: Any, data: bytes) -> None:
    status, headers, body = connect().send(data).reply()
    assert (status, headers["content-type"]) == (400, "application/json")
    assert error_of(body)["type"] == "invalid_request_error"
    assert json.loads(body)["type"] == "error"


@pytest.mark.parametrize(
    "garbage", [b"zz\r\nhello\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-1\r\n\r\n", b"fffffffffffffffff\r\n"]
)
def test_a_badly_chunked_body_is_refused(connect: Any, garbage: bytes) -> None:
    head = request_bytes(body=b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    status, _, body = connect().send(head + garbage).reply()
    assert status == 400
    assert error_of(body)["type"] == "invalid_request_error"


def test_a_large_header_that_is_not_too_large_is_taken(connect: Any) -> None:
    status, _, _ = connect().send(request_bytes("/v1/chat/completions", None, "x-long: " + "a" * 20_000)).reply()
    assert status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0_is_served_and_its_connection_ends(connect: Any, stream: bool) -> None:
    body = json.dumps(chat("old", stream=stream)).encode()
    status, headers, got = connect().send(request_bytes(body=body, version="1.0")).reply()
    assert status == 200
    assert "transfer-encoding" not in headers
    assert b"to old" in got
    assert (b"[DONE]" in got) == stream


def test_pipelined_requests_are_answered_in_order(connect: Any) -> None:
    wire = connect()
    wire.send(b"".join(request_bytes(body=json.dumps(chat(f"n{n}")).encode()) for n in range(30)))
    for n in range(30):
        status, _, body = one_reply(wire)
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, f"to n{n}")


def test_a_client_that_has_closed_its_side_still_gets_its_reply(connect: Any) -> None:
    status, _, body = connect().send(request_bytes()).half_close().reply()
    assert (status, b"to hello" in body) == (200, True)


def test_a_client_that_closes_its_side_and_waits_long_is_taken_for_gone(double: ModelDouble, connect: Any) -> None:
    double.respond(lambda _: Slow(Reply("late"), 60))
    number = double.journal.mark() + 1
    assert connect().send(request_bytes()).half_close().reply()[0] == 0
    assert double.journal.await_ended(number, PATIENCE)
    assert double.journal.since(number - 1)[0].closed_early
    double.respond(lambda request: Reply(f"to {request.messages[-1].text}"))


def test_a_client_that_goes_in_mid_body_leaves_no_trace(double: ModelDouble, connect: Any) -> None:
    mark = double.journal.mark()
    wire = connect().send(request_bytes()[:-10])
    wire.half_close()
    assert wire.reply()[0] == 0
    assert double.journal.mark() == mark


def test_a_client_that_falls_silent_in_mid_body_is_told_so(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SILENCE_SECONDS", 0.05)
    status, _, body = connect().send(request_bytes()[:-10]).reply()
    assert (status, "0.05 seconds" in error_of(body)["message"]) == (408, True)


def test_slow_clients_keep_nobody_waiting(double: ModelDouble, connect: Any) -> None:
    """A hundred send their headers, a hundred their bodies, a byte at a time: everybody else is served between."""
    data = request_bytes()
    dribblers = [connect() for _ in range(200)]
    for index, wire in enumerate(dribblers):
        wire.send(data[: 10 if index % 2 else -10])
    for step in range(9):
        for index, wire in enumerate(dribblers):
            start = 10 + step if index % 2 else len(data) - 10 + step
            wire.send(data[start : start + 1])
        assert httpx2.post(double.openai_base_url + "/chat/completions", json=chat("x"), headers=HEADERS).is_success
    for wire in dribblers[::2]:
        assert wire.send(data[-1:]).reply()[0] == 200


def test_five_hundred_connections_at_once_are_served(double: ModelDouble, connect: Any) -> None:
    wires = [connect() for _ in range(MANY)]
    for index, wire in enumerate(wires):
        wire.send(request_bytes(body=json.dumps(chat(f"n{index}")).encode()))
    for index, wire in enumerate(wires):
        status, _, body = wire.reply()
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, f"to n{index}")
    assert double.unmatched == ()


def test_one_connection_too_many_is_turned_away_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Door.__init__

    def few(self: Door, handler: Any) -> None:
        plain(self, handler)
        self.most_connections = 3

    monkeypatch.setattr(Door, "__init__", few)
    with ModelDouble() as double:
        double.respond(lambda _: Reply("ok"))
        inside = [Wire(double) for _ in range(3)]
        for wire in inside:
            assert wire.send(request_bytes()).reply()[0] == 200
        outside = Wire(double)
        status, _, body = outside.reply()
        assert (status, error_of(body)["type"]) == (503, "overloaded_error")
        for wire in (*inside, outside):
            wire.close()
        assert double.protocol_faults == ()


def test_bodies_in_flight_share_one_allowance(double: ModelDouble, connect: Any) -> None:
    double._desk._allowance = Allowance(3_000_000)
    big = json.dumps(chat("x" * 2_000_000)).encode()
    first = connect().send(request_bytes(body=big)[:-1])
    waiting = connect().send(request_bytes(body=big))
    status, _, body = waiting.reply()
    assert (status, "large requests" in error_of(body)["message"]) == (503, True)
    assert first.send(b"}").reply()[0] == 200
    again = httpx2.post(double.openai_base_url + "/chat/completions", content=big, headers=HEADERS)
    assert again.status_code == 200, "what was taken was not given back"


def test_depth_and_weight_are_measured_without_recursion() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"]" * depth

    for depth, deep in ((DEEPEST, False), (DEEPEST + 1, True)):
        assert is_too_deep(nested(depth), json.loads(nested(depth))) is deep
    wide = b"[" + b",".join([b"{}"] * 1000) + b"]"
    assert not is_too_deep(wide, json.loads(wide))
    assert weight(b"{}") == 66
