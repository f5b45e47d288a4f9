"""What a program does with a response that was kept: looks at it, follows it, cancels and deletes it; counts tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grader.model.journal import Request, tokens_of
from grader.model.wires.openai_items import messages_of
from grader.model.wires.openai_response_reading import read
from grader.model.wires.openai_response_rules import COUNTED_FIELDS, check
from grader.model.wires.openai_response_store import ResponseStore
from grader.model.wires.openai_responses import context_of
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Answer, ComputedWire, Draft, JsonObject, Rejection, json_answer

MOST_ITEMS, USUAL_ITEMS = 100, 20


class StoredResponses(ComputedWire):
    """`GET /v1/responses/{id}`: as it is now, or with `stream=true` its events from the beginning or after one."""

    name = "openai-stored-responses"
    vendor = OpenAIVendor()
    reply_type = "openai.types.responses:Response"
    event_type = "openai.types.responses:ResponseStreamEvent"
    takes_body = False

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  there is no body
        stored = self._store.get(request.params["response_id"], request.account)
        if _streams(request) and not stored.response["background"]:
            message = "Only responses that were created with background=true can be streamed again."
            raise Rejection(message, param="stream", code="invalid_value")
        after = request.query.get("starting_after", "0")
        if not after.isdecimal():
            message = f"Invalid type for 'starting_after': expected an integer, but got '{after}' instead."
            raise Rejection(message, param="starting_after", code="invalid_type")

    def compute(self, request: Request) -> Answer:
        stored = self._store.get(request.params["response_id"], request.account)
        if _streams(request):
            return stored.stream(int(request.query.get("starting_after", "-1")))
        return json_answer(stored.as_is())


class CancelledResponses(StoredResponses):
    """`POST /v1/responses/{id}/cancel`."""

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  there is no body
        stored = self._store.get(request.params["response_id"], request.account)
        if not stored.response["background"]:
            raise Rejection("Cannot cancel a synchronous response.")

    def compute(self, request: Request) -> Answer:
        return json_answer(self._store.get(request.params["response_id"], request.account).cancel())


class DeletedResponses(StoredResponses):
    """`DELETE /v1/responses/{id}`; the SDK reads nothing of the answer."""

    reply_type = ""

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  there is no body
        self._store.get(request.params["response_id"], request.account)

    def compute(self, request: Request) -> Answer:
        name = request.params["response_id"]
        self._store.delete(name, request.account)
        return json_answer({"id": name, "object": "response", "deleted": True})


class ResponseInputItems(StoredResponses):
    """`GET /v1/responses/{id}/input_items`, in pages, the last item first unless `order=asc`."""

    reply_type = "openai.types.responses:ResponseItemList"

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  there is no body
        self._store.get(request.params["response_id"], request.account)
        if request.query.get("order", "asc") not in ("asc", "desc"):
            raise Rejection("Invalid value for 'order': use 'asc' or 'desc'.", param="order", code="invalid_value")
        limit = request.query.get("limit", "1")
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST_ITEMS:
            message = f"Invalid 'limit': expected a value between 1 and {MOST_ITEMS}, but got {limit}."
            raise Rejection(message, param="limit", code="invalid_value")

    def compute(self, request: Request) -> Answer:
        stored = self._store.get(request.params["response_id"], request.account)
        items = list(stored.items if request.query.get("order") == "asc" else reversed(stored.items))
        ids = [item["id"] for item in items]
        after = request.query.get("after")
        first = ids.index(after) + 1 if after in ids else 0
        page = items[first : first + int(request.query.get("limit", USUAL_ITEMS))]
        return json_answer(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else "",
                "last_id": page[-1]["id"] if page else "",
                "has_more": first + len(page) < len(items),
            }
        )


class ResponseTokens(ComputedWire):
    """`POST /v1/responses/input_tokens`: what a request would cost, its earlier turns included."""

    name = "openai-response-tokens"
    vendor = OpenAIVendor()
    reply_type = "openai.types.responses.input_token_count_response:InputTokenCountResponse"

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def read(self, body: Mapping[str, Any]) -> Draft:
        return read(body)

    def validate(self, body: JsonObject, request: Request) -> None:
        check(body, COUNTED_FIELDS)
        context_of(request, self._store)

    def compute(self, request: Request) -> Answer:
        before, items = context_of(request, self._store)
        texts = (message.text for message in messages_of((*before, *items)))
        instructions = request.body.get("instructions") or ""
        tokens = tokens_of(len(instructions) + sum(len(text) for text in texts))
        return json_answer({"object": "response.input_tokens", "input_tokens": tokens})


def _streams(request: Request) -> bool:
    return request.query.get("stream") == "true"
