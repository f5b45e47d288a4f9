"""Takes one HTTP request from its first byte to its line in the journal."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

from aiohttp import web

from grader.model.bodies import Body, read_body
from grader.model.bounds import Allowance, weight
from grader.model.delivery import Manner, drop, manner_of, send_answer, send_body, wait_for
from grader.model.journal import Journal, JournalFull, Request
from grader.model.memory import Memory
from grader.model.playbook import Playbook
from grader.model.promises import broken_promises
from grader.model.records import Record
from grader.model.script import AsUsual, Disconnect, Fail, Garbage, Unfaithful, step_name
from grader.model.upstream.passage import Passage
from grader.model.upstream.relay import Relay
from grader.model.wires import Found, Routes, vendor_of
from grader.model.wires.wire import (
    Answer,
    Arrival,
    ChatWire,
    ComputedWire,
    Rejection,
    Vendor,
    Wire,
    as_turn,
    encoded,
    json_object,
    new_id,
    unknown_request,
)

UNMATCHED = "The model has no reply planned for this request."


class Desk:
    """Receives, judges, decides, delivers and writes down; knows wires only by their interface."""

    def __init__(
        self, journal: Journal, playbook: Playbook, routes: Routes, memory: Memory, *, validate_replies: bool
    ) -> None:
        self._journal = journal
        self._playbook = playbook
        self._routes = routes
        self._memory = memory
        self._validate_replies = validate_replies
        self._faults: list[str] = []
        self._faults_lock = threading.Lock()
        self._allowance = Allowance()
        self.stopping = False
        self.relay: Relay | None = None

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
        vendor = vendor_of(http.path, headers)
        found = self._routes.find(http.method, http.path, vendor)
        vendor = found.wire.vendor if found else vendor
        body = await read_body(http, self._allowance)
        try:
            return await self._answer(http, found, vendor=vendor, headers=headers, body=body, at=at)
        finally:
            self._allowance.give_back(body.taken)

    async def _answer(
        self,
        http: web.BaseRequest,
        found: Found | None,
        *,
        vendor: Vendor,
        headers: dict[str, str],
        body: Body,
        at: float,
    ) -> web.StreamResponse:
        wire, raw = found.wire if found else None, body.raw
        request = self._read_in(http, found, headers, raw, at)
        record = Record(self._journal, self.blame_us, request, wire)
        try:
            if wire is None or wire.in_journal:
                arrived = self._journal.arrived(request, weight(raw))
                record.attempt, record.label = arrived.attempt, arrived.label
        except JournalFull as full:
            return _refused(vendor, Rejection(str(full), status=429), {"x-should-retry": "false"})
        try:
            _admit(vendor, body, headers)
            if self.relay and (passage := self.relay.passage(request, wire.whole if wire else None)):
                return await self._relayed(http, body, passage, record)
            self._judge(request, wire, body)
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

    def _read_in(
        self, http: web.BaseRequest, found: Found | None, headers: dict[str, str], raw: bytes, at: float
    ) -> Request:
        """The request in neutral words."""
        arrival = Arrival(
            number=self._journal.next_number(),
            method=http.method,
            path=http.path,
            headers=headers,
            raw=raw,
            at=at,
            params=found.params if found else {},
            query={name: ",".join(http.query.getall(name)) for name in http.query},
            account=self._memory.account_of(headers),
        )
        return found.wire.parse(arrival) if found else unknown_request(arrival)

    def _hung_up(self, record: Record) -> None:
        record.closed_early = not self.stopping
        self._playbook.hung_up(record.request)
        record.error = record.error or ("the program hung up" if record.closed_early else "the double was stopped")
        record.write_down()

    def _judge(self, request: Request, wire: Wire | None, body: Body) -> None:
        """Raises what the vendor would answer before it looks for a reply."""
        if wire is None:
            raise self._routes.refusal(request.method, request.path)
        wire.validate(json_object(body.raw) if wire.takes_body else {}, request)

    async def _relayed(self, http: web.BaseRequest, body: Body, passage: Passage, record: Record) -> web.StreamResponse:
        """Lets another model answer: in its own bytes, or, where it speaks another wire, in those of ours."""
        assert self.relay is not None
        record.step = "upstream"
        if passage.native:  # it judges requests by itself, and better
            return await self.relay.pass_through(http, passage, record)
        wire = record.wire
        assert isinstance(wire, ChatWire)  # no other is translated
        self._judge(record.request, wire, body)
        manner = manner_of(Unfaithful(await self.relay.turn(passage, record.request)))
        prepared = await self._prepare(wire, manner, record.request)
        return await self._deliver(http, wire, manner, prepared, record)

    async def _play(self, http: web.BaseRequest, wire: Wire | None, record: Record) -> web.StreamResponse:
        assert wire is not None  # _judge raised
        request = record.request
        unasked = wire.unscripted(request) if isinstance(wire, ChatWire) else None
        step = self._playbook.choose(request, scripted=isinstance(wire, ChatWire) and unasked is None)
        record.conversation = self._playbook.name_of(request)
        gates = self._playbook.held_by(request)  # after the step was taken: who sees `arrived` knows that it was
        if step is None:
            record.step = "unmatched"
            await wait_for(gates)
            raise Rejection(UNMATCHED)
        record.step = step_name(step).replace("AsUsual", "computed")
        manner = manner_of(step)
        prepared = await self._prepare(wire, manner, request)
        if prepared is not None:
            ids = (prepared.reply_id, *(call.id or "" for call in prepared.tool_calls))
            self._playbook.gave(request, ids, prepared.reply_text)
        streams = prepared is not None and bool(prepared.frames)
        pauses = () if streams else tuple(gate for _, gate in manner.pauses)  # a plain reply has no middle
        waits = (*gates, *manner.waits, *pauses)
        deferred = wire.defer(request, prepared, manner.step, waits) if isinstance(wire, ChatWire) else None
        if deferred is not None:
            self.check_reply(wire, deferred, request)
            return await self._deliver(http, wire, replace(manner, step=AsUsual()), deferred, record)
        await wait_for(waits)
        return await self._deliver(http, wire, manner, prepared, record)

    async def _prepare(self, wire: Wire, manner: Manner, request: Request) -> Answer | None:
        """The rendered reply; None for a step that is no reply of the model's."""
        step = manner.step
        if isinstance(step, (Fail, Garbage, Disconnect)):
            return None
        if isinstance(wire, ComputedWire):
            answer = await asyncio.to_thread(wire.compute, request) if wire.slow else wire.compute(request)
        elif isinstance(wire, ChatWire):
            turn = as_turn(wire.unscripted(request) or step)
            for broken in () if manner.unfaithful else broken_promises(turn, request):
                self.blame_us(f"reply to request {request.number} on {request.path}: {broken}")
            answer = wire.render_stream(turn, request) if request.stream else wire.render(turn, request)
        else:
            raise TypeError(f"{type(wire).__name__} renders nothing")
        self.check_reply(wire, answer, request)
        return answer

    def check_reply(self, wire: Wire, answer: Answer, request: Request) -> None:
        if not self._validate_replies:
            return
        from grader.model.conformance import violations  # noqa: PLC0415  imports the SDKs: 2 s that a check need not wait

        for violation in violations(wire, answer):
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
        headers = wire.vendor.headers(200, request_id)
        last_words = b""
        if manner.cut_error is not None:
            if not prepared.frames:  # a plain reply has no middle: it is the error
                return await self._deliver(http, wire, replace(manner, step=manner.cut_error), None, record)
            last_words = _last_words(wire, manner, len(prepared.frames), request_id)
        record.status, record.answer = 200, prepared
        if cut:
            ending = f"ended with {manner.cut_error.status}" if manner.cut_error else "cut"
            record.error = f"{ending} after {manner.cut_after} events" if prepared.frames else "cut in half"
        return await send_answer(http, prepared, headers, record.write_down, manner=manner, last_words=last_words)

    def _error(
        self, vendor: Vendor, rejection: Rejection, record: Record, extra: dict[str, str] | None = None
    ) -> web.StreamResponse:
        record.status = rejection.status
        record.begins()
        record.write_down()
        return _refused(vendor, rejection, extra or {})


def _admit(vendor: Vendor, body: Body, headers: dict[str, str]) -> None:
    """Raises what any endpoint of the vendor's would answer before it reads what is asked."""
    vendor.authenticate(headers)
    if body.problem is not None:
        raise body.problem
    if headers.get("content-encoding", "identity") != "identity":
        raise Rejection(f"Unsupported content-encoding: {headers['content-encoding']}")


def _refused(vendor: Vendor, rejection: Rejection, extra: dict[str, str]) -> web.Response:
    request_id = new_id("req_")
    headers = {**vendor.headers(rejection.status, request_id), **extra, "content-type": "application/json"}
    return web.Response(status=rejection.status, body=encoded(vendor.error(rejection, request_id)), headers=headers)


def _last_words(wire: Wire, manner: Manner, events: int, request_id: str) -> bytes:
    """The vendor's error event, for a stream that is to end in one."""
    assert isinstance(wire, ChatWire)
    assert manner.cut_error is not None
    fail = manner.cut_error
    rejection = Rejection(fail.message or "", status=fail.status, kind=fail.kind)
    return wire.error_frame(rejection, request_id, min(manner.cut_after or 0, events))
