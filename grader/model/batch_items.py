"""Plays one request of a message batch: asked and answered as any other, only without a connection."""

from __future__ import annotations

import time

from grader.model.batches import Batch, Item, Result
from grader.model.delivery import Manner, manner_of
from grader.model.exchanges import UNMATCHED, Desk
from grader.model.journal import Journal, JournalFull
from grader.model.playbook import Playbook
from grader.model.promises import broken_promises
from grader.model.records import Record
from grader.model.script import Disconnect, Fail, Garbage, step_name
from grader.model.wires.wire import Answer, Arrival, ChatWire, JsonObject, Rejection, as_turn, encoded, new_id

PATH = "/v1/messages/batches"
NOT_IN_A_BATCH = ("stream", "speed", "thread")
HALF = 0.5  # a batch costs half of what its requests would


class BatchPlayer:
    """Takes steps from the same script as requests that come by themselves."""

    def __init__(self, desk: Desk, journal: Journal, playbook: Playbook, wire: ChatWire) -> None:
        self._desk = desk
        self._journal = journal
        self._playbook = playbook
        self._wire = wire

    def play(self, batch: Batch, item: Item, fail: Fail | None) -> Result:
        """The result of one request; in the journal as an exchange with `batch_id` and `custom_id` in its params."""
        raw = encoded(item.params)
        request = self._wire.parse(
            Arrival(
                number=self._journal.next_number(),
                method="POST",
                path=PATH,
                headers=batch.headers,
                raw=raw,
                at=time.monotonic(),
                params={"batch_id": batch.id, "custom_id": item.custom_id},
                account=batch.account,
            )
        )
        record = Record(self._journal, self._desk.blame_us, request, self._wire, discount=HALF)
        try:
            arrived = self._journal.arrived(request, len(raw))
            record.attempt, record.label = arrived.attempt, arrived.label
            result = self._succeeded(record, item.params, fail)
        except JournalFull as full:
            return self._errored(Rejection(str(full), status=429))
        except Rejection as rejection:
            record.step, record.error, record.status = record.step or "rejected", rejection.message, rejection.status
            result = self._errored(rejection)
        except Exception as error:  # noqa: BLE001  a script, a responder or a renderer of ours is broken
            self._desk.blame_us(f"request {item.custom_id} of {batch.id}: {type(error).__name__}: {error}")
            record.step, record.error, record.status = "broken", "the grader's script failed", 500
            result = self._errored(Rejection("The model double failed; this is not your fault.", status=500))
        record.write_down()
        return result

    def _succeeded(self, record: Record, params: JsonObject, fail: Fail | None) -> Result:
        request = record.request
        for name in NOT_IN_A_BATCH:
            if params.get(name) not in (None, False):
                raise Rejection(f"{name}: not supported in a batch")
        if params.get("max_tokens") == 0:
            raise Rejection("max_tokens: Input should be greater than or equal to 1 in a batch")
        self._wire.validate(params, request)
        step = fail or self._playbook.choose(request, scripted=True)
        record.conversation = self._playbook.name_of(request)
        if step is None:
            record.step = "unmatched"
            raise Rejection(UNMATCHED)
        record.step = step_name(step)
        manner = manner_of(step)
        match manner.step:
            case Fail() as failing:
                raise Rejection(failing.message or "", status=failing.status, kind=failing.kind)
            case Garbage() | Disconnect():
                raise Rejection("Internal server error", status=500)
        record.answer, record.status = self._rendered(manner, record), 200
        ids = (record.answer.reply_id, *(call.id or "" for call in record.answer.tool_calls))
        self._playbook.gave(request, ids, record.answer.reply_text)
        return {"type": "succeeded", "message": record.answer.body}

    def _rendered(self, manner: Manner, record: Record) -> Answer:
        turn = as_turn(manner.step)
        for broken in () if manner.unfaithful else broken_promises(turn, record.request):
            self._desk.blame_us(f"reply to request {record.request.number} of a batch: {broken}")
        answer = self._wire.render(turn, record.request)
        self._desk.check_reply(self._wire, answer, record.request)
        return answer

    def _errored(self, rejection: Rejection) -> Result:
        return {"type": "errored", "error": self._wire.vendor.error(rejection, new_id("req_"))}
