"""Anthropic's Message Batches: create, retrieve, list, cancel, delete, and the results as JSON lines."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import ClassVar

from grader.model.batches import DAY, Batch, Batches, Item
from grader.model.journal import Request
from grader.model.memory import Memory
from grader.model.wires.anthropic_paging import page_of
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import (
    Answer,
    ComputedWire,
    JsonObject,
    Rejection,
    encoded,
    json_answer,
    new_id,
    objects,
    require,
)

MOST = 100_000
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
KINDS = ("succeeded", "errored", "canceled", "expired")


class _BatchWire(ComputedWire):
    """What the endpoints of batches share; a batch is found only with the key that made it."""

    name = "anthropic-batches"
    vendor = AnthropicVendor()
    reply_type: ClassVar[str] = "anthropic.types.messages:MessageBatch"
    takes_body = False

    def __init__(self, memory: Memory, batches: Batches) -> None:
        self._clock = memory.clock
        self._batches = batches

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  most have no body
        require(request.headers.get("anthropic-version"), "anthropic-version: header is required")

    def _named(self, request: Request) -> Batch:
        batch_id = request.params["message_batch_id"]
        batch = self._batches.find(batch_id, request.account)
        if batch is None:
            raise Rejection(f"Message batch not found: {batch_id}", status=404)
        return batch

    def _shown(self, batch: Batch, request: Request) -> JsonObject:
        archived = self._batches.is_archived(batch)
        counts = Counter(item.result["type"] for item in batch.items if item.result and batch.ended_at is not None)
        host = request.headers.get("host", "127.0.0.1")
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": batch.status,
            "request_counts": {
                "processing": len(batch.items) if batch.ended_at is None else 0,
                **{kind: counts[kind] for kind in KINDS},
            },
            "created_at": _time(batch.created_at),
            "expires_at": _time(batch.created_at + DAY),
            "cancel_initiated_at": _time(batch.cancelled_at),
            "ended_at": _time(batch.ended_at),
            "archived_at": _time(batch.ended_at) if archived else None,
            "results_url": None
            if batch.ended_at is None or archived
            else f"http://{host}/v1/messages/batches/{batch.id}/results",
        }


class CreatedBatches(_BatchWire):
    """Only the shape is judged at once: what is wrong inside of a request becomes its result, as at the vendor's."""

    takes_body = True

    def validate(self, body: JsonObject, request: Request) -> None:
        super().validate(body, request)
        for name in body:
            require(name == "requests", f"{name}: Extra inputs are not permitted")
        requests = body.get("requests")
        if not isinstance(requests, list):
            raise Rejection(
                "requests: Field required" if requests is None else "requests: Input should be a valid list"
            )
        require(requests, "requests: List should have at least 1 item after validation, not 0")
        require(len(requests) <= MOST, f"requests: List should have at most {MOST} items after validation")
        for index, one in enumerate(requests):
            _check_request(one, f"requests.{index}")
        names = [one["custom_id"] for one in requests]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        require(twice is None, f"requests: custom_id must be unique within the batch: {twice}")

    def compute(self, request: Request) -> Answer:
        items = tuple(Item(one["custom_id"], one["params"]) for one in objects(request.body.get("requests")))
        batch = Batch(new_id("msgbatch_"), request.account, request.headers, items, self._clock.now())
        self._batches.create(batch, len(encoded(request.body)))
        return json_answer(self._shown(batch, request))


class RetrievedBatches(_BatchWire):
    def compute(self, request: Request) -> Answer:
        batch = self._named(request)
        self._batches.look(batch)
        return json_answer(self._shown(batch, request))


class ListedBatches(_BatchWire):
    reply_type = "anthropic.pagination:SyncPage[anthropic.types.messages:MessageBatch]"

    def compute(self, request: Request) -> Answer:
        shown = [self._shown(batch, request) for batch in self._batches.of(request.account)]
        return json_answer(page_of(shown, request.query))


class CancelledBatches(_BatchWire):
    def compute(self, request: Request) -> Answer:
        batch = self._named(request)
        if batch.ended_at is not None:
            raise Rejection(f"Message batch {batch.id} has ended and cannot be canceled")
        self._batches.cancel(batch)
        return json_answer(self._shown(batch, request))


class DeletedBatches(_BatchWire):
    reply_type = "anthropic.types.messages:DeletedMessageBatch"

    def compute(self, request: Request) -> Answer:
        batch = self._named(request)
        if batch.ended_at is None:
            raise Rejection(f"Message batch {batch.id} is still being processed: cancel it before you delete it")
        self._batches.delete(batch)
        return json_answer({"id": batch.id, "type": "message_batch_deleted"})


class BatchResults(_BatchWire):
    reply_type = "anthropic.types.messages:MessageBatchIndividualResponse"

    def compute(self, request: Request) -> Answer:
        batch = self._named(request)
        if batch.ended_at is None:
            raise Rejection(f"Message batch {batch.id} has no results yet: it is {batch.status}", status=404)
        if self._batches.is_archived(batch):
            raise Rejection(f"The results of message batch {batch.id} are no longer available", status=404)
        lines = tuple({"custom_id": item.custom_id, "result": item.result} for item in batch.order)
        plain = b"".join(encoded(line) + b"\n" for line in lines)
        return Answer(lines=lines, plain=plain, content_type="application/x-jsonl")


def _check_request(one: object, place: str) -> None:
    if not isinstance(one, dict):
        raise Rejection(f"{place}: Input should be an object")
    for name in ("custom_id", "params"):
        require(name in one, f"{place}.{name}: Field required")
    for name in one:
        require(name in ("custom_id", "params"), f"{place}.{name}: Extra inputs are not permitted")
    custom_id = one["custom_id"]
    require(isinstance(custom_id, str), f"{place}.custom_id: Input should be a valid string")
    require(CUSTOM_ID.fullmatch(custom_id), f"{place}.custom_id: String should match pattern '^{CUSTOM_ID.pattern}$'")
    require(isinstance(one["params"], dict), f"{place}.params: Input should be an object")


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")
