"""Takes one HTTP request from its first byte to its line in the journal."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

from aiohttp import web

from grader.model.delivery import Manner, drop, manner_of, send_answer, send_body, wait_for
from grader.model.embeddings import Embedder
from grader.model.journal import Exchange, Journal, JournalFull, Request
from grader.model.playbook import Playbook
from grader.model.prices import price_of
from grader.model.script import Disconnect, Fail, Garbage, Step, step_name
from grader.model.wires import MODELS_LIST, ROUTES, no_route, vendor_of
from grader.model.wires.wire import (
    Answer,
    ChatWire,
    ComputedWire,
    JsonObject,
    Rejection,
    Vendor,
    Wire,
    as_turn,
    encoded,
    json_object,
    new_id,
    unknown_request,
)

BODY_LIMIT = 8 * 1024 * 1024
UNMATCHED = "The model has no reply planned for this request."


@dataclass
class Record:
    """What is known so far of an exchange under way."""

    journal: Journal
    request: Request
    step: str = ""
    status: int = 0
    error: str | None = None
    answer: Answer = Answer()  # noqa: RUF009  frozen and without mutable parts
    closed_early: bool = False
    conversation: str = ""
    attempt: int = 1
    label: str = ""
    first_byte_at: float | None = None

    def begins(self) -> None:
        """The first byte of the reply is about to be sent."""
        self.first_byte_at = time.monotonic()

    def write_down(self) -> None:
        """The exchange has ended: called just before the program can see that."""
        answer, began = self.answer, self.request.at
        price = price_of(self.request.model)
        exchange = Exchange(
            request=self.request,
            status=self.status,
            step=self.step,
            reply_text=self.answer.reply_text,
            tool_calls=self.answer.tool_calls,
            stop=self.answer.stop,
            input_tokens=self.answer.input_tokens,
            output_tokens=self.answer.output_tokens,
            seconds=time.monotonic() - began,
            first_byte_seconds=None if self.first_byte_at is None else self.first_byte_at - began,
            closed_early=self.closed_early,
            error=self.error,
            conversation=self.conversation,
            attempt=self.attempt,
            label=self.label,
            priced_as=price.family if answer.input_tokens or answer.output_tokens else "",
            cost_usd=price.cost(fresh_input=answer.input_tokens, output=answer.output_tokens),
        )
        self.journal.ended(exchange)


class Desk:
    """Receives, judges, decides, delivers and writes down; knows wires only by their interface."""

    def __init__(self, journal: Journal, playbook: Playbook, embedder: Embedder, *, validate_replies: bool) -> None:
        self._journal = journal
        self._playbook = playbook
        self._embedder = embedder
        self._validate_replies = validate_replies
        self._faults: list[str] = []
        self._faults_lock = threading.Lock()
        self.stopping = False

    @property
    def faults(self) -> tuple[str, ...]:
        with self._faults_lock:
            return tuple(self._faults)

    def blame_us(self, message: str) -> None:
        with self._faults_lock:
            self._faults.append(message)

    def forget_faults(self) -> None:
        with self._faults_lock:
            self._faults.clear()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """One request of the program's, from its headers to the last byte of the answer."""
        at = time.monotonic()
        headers = {name.lower(): value for name, value in http.headers.items()}
        wire = ROUTES.get((http.method, http.path))
        vendor = wire.vendor if wire else vendor_of(http.path, headers)
        raw = await _read(http)
        if (http.method, http.path) == MODELS_LIST:
            return self._models(vendor, headers)
        read = wire.parse if wire else unknown_request
        request = read(raw or b"", headers, number=self._journal.next_number(), path=http.path, at=at)
        try:
            arrived = self._journal.arrived(request, len(raw or b""))
        except JournalFull as full:
            return _json_error(vendor, Rejection(str(full), status=429), {"x-should-retry": "false"})
        record = Record(self._journal, request, attempt=arrived.attempt, label=arrived.label)
        try:
            self._judge(http, wire, vendor, raw, headers)
            return await self._play(http, wire, record)
        except Rejection as rejection:
            record.step, record.error = record.step or "rejected", rejection.message
            return self._error(vendor, rejection, record)
        except asyncio.CancelledError:
            self._hung_up(record)
            raise
        except ConnectionError:
            self._hung_up(record)
            drop(http)
            return web.Response()
        except Exception as error:  # noqa: BLE001  a script, a responder or a renderer of ours is broken
            self.blame_us(f"request {request.number} on {request.path}: {type(error).__name__}: {error}")
            record.step, record.error = record.step or "broken", "the grader's script failed"
            failure = Rejection("The model double failed; this is not your fault.", status=500)
            return self._error(vendor, failure, record, {"x-should-retry": "false"})

    def _hung_up(self, record: Record) -> None:
        record.closed_early = not self.stopping
        self._playbook.hung_up(record.request)
        record.error = record.error or ("the program hung up" if record.closed_early else "the double was stopped")
        record.write_down()

    def _judge(
        self, http: web.BaseRequest, wire: Wire | None, vendor: Vendor, raw: bytes | None, headers: dict[str, str]
    ) -> None:
        """Raises what the vendor would answer before it looks for a reply."""
        if wire is None:
            raise no_route(http.method, http.path)
        vendor.authenticate(headers)
        if raw is None:
            raise Rejection(f"Request exceeds the maximum size of {BODY_LIMIT} bytes.", status=413)
        if headers.get("content-encoding", "identity") != "identity":
            raise Rejection(f"Unsupported content-encoding: {headers['content-encoding']}")
        wire.validate(json_object(raw), headers, self._embedder)

    async def _play(self, http: web.BaseRequest, wire: Wire | None, record: Record) -> web.StreamResponse:
        assert wire is not None  # _judge raised
        request = record.request
        step = self._playbook.choose(request, scripted=isinstance(wire, ChatWire))
        record.conversation = self._playbook.name_of(request)
        gates = self._playbook.held_by(request)  # after the step was taken: who sees `arrived` knows that it was
        if step is None:
            record.step = "unmatched"
            await wait_for(gates)
            raise Rejection(UNMATCHED)
        record.step = step_name(step).replace("AsUsual", "computed")
        manner = manner_of(step)
        prepared = await self._prepare(wire, manner.step, request)
        if prepared is not None:
            ids = (prepared.reply_id, *(call.id or "" for call in prepared.tool_calls))
            self._playbook.gave(request, ids, prepared.reply_text)
        await wait_for((*gates, *manner.waits))
        return await self._deliver(http, wire, manner, prepared, record)

    async def _prepare(self, wire: Wire, step: Step, request: Request) -> Answer | None:
        """The rendered reply; None for a step that is no reply of the model's."""
        if isinstance(step, (Fail, Garbage, Disconnect)):
            return None
        if isinstance(wire, ComputedWire):
            # Computing takes a core for a while; other requests must not wait for it.
            answer = await asyncio.to_thread(wire.compute, request, self._embedder)
        elif isinstance(wire, ChatWire):
            render = wire.render_stream if request.stream else wire.render
            answer = render(as_turn(step), request)
        else:
            raise TypeError(f"{type(wire).__name__} renders nothing")
        if self._validate_replies:
            self._check_reply(wire, answer, request)
        return answer

    def _check_reply(self, wire: Wire, answer: Answer, request: Request) -> None:
        from grader.model.conformance import violations  # noqa: PLC0415  imports the SDKs: 2 s that a check need not wait

        for violation in violations(wire.name, answer):
            self.blame_us(f"reply to request {request.number} on {request.path}: {violation}")

    async def _deliver(
        self, http: web.BaseRequest, wire: Wire, manner: Manner, prepared: Answer | None, record: Record
    ) -> web.StreamResponse:
        request_id = new_id("req_")
        if not isinstance(manner.step, Disconnect):
            record.begins()
        cut = manner.cut_after is not None
        match step := manner.step:
            case Disconnect():
                record.error = "disconnected before the reply"
                record.write_down()
                drop(http)
                return web.Response()
            case Fail():
                rejection = Rejection(step.message or "", status=step.status, kind=step.kind)
                extra = {} if step.retry_after_ms is None else {"retry-after-ms": str(step.retry_after_ms)}
                record.error = f"failed with {step.status}"
                return self._error(wire.vendor, rejection, record, {**extra, **step.headers})
            case Garbage():
                record.status, record.error = step.status, "garbage instead of a reply"
                headers = {**wire.vendor.headers(step.status, request_id), "content-type": step.content_type}
                return await send_body(http, step.status, step.body, headers, record.write_down, cut=cut)
        assert prepared is not None
        record.status, record.answer = 200, prepared
        if cut:
            record.error = f"cut after {manner.cut_after} events" if prepared.frames else "cut in half"
        headers = wire.vendor.headers(200, request_id)
        return await send_answer(http, prepared, headers, record.write_down, manner.cut_after)

    def _error(
        self, vendor: Vendor, rejection: Rejection, record: Record, extra: dict[str, str] | None = None
    ) -> web.StreamResponse:
        record.status = rejection.status
        record.begins()
        record.write_down()
        return _json_error(vendor, rejection, extra or {})

    def _models(self, vendor: Vendor, headers: dict[str, str]) -> web.StreamResponse:
        """The list of models; not in the journal, for it carries nothing of the program's."""
        try:
            vendor.authenticate(headers)
        except Rejection as rejection:
            return _json_error(vendor, rejection, {})
        return _json(200, vendor.models(self._embedder.models), vendor.headers(200, new_id("req_")))


def _json(status: int, body: JsonObject, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=encoded(body),
        headers={**headers, "content-type": "application/json"},
    )


def _json_error(vendor: Vendor, rejection: Rejection, extra: dict[str, str]) -> web.Response:
    request_id = new_id("req_")
    headers = {**vendor.headers(rejection.status, request_id), **extra}
    return _json(rejection.status, vendor.error(rejection, request_id), headers)


async def _read(http: web.BaseRequest) -> bytes | None:
    """The body; None when it is larger than the limit."""
    if http.headers.get("expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        http.writer.output_size = 0
    body = bytearray()
    async for chunk in http.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)
