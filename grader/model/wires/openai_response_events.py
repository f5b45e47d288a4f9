"""The stream of OpenAI Responses: every event of a response, in the vendor's order, numbered from 0."""

from __future__ import annotations

from collections.abc import Iterator

from grader.model.wires.wire import JsonObject, pieces

ENDINGS = {"completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed"}
# What a response does not have before it is over.
NOT_YET: JsonObject = {"output": [], "usage": None, "error": None, "incomplete_details": None, "completed_at": None}

# What an item lacks when it is added.
EMPTY: dict[str, JsonObject] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "reasoning": {"summary": []},
}


def as_begun(response: JsonObject, status: str) -> JsonObject:
    """The response as it was before the model wrote anything."""
    return {**response, **NOT_YET, "status": status}


def opening(response: JsonObject) -> tuple[JsonObject, ...]:
    """The events that come before the model writes anything; a response in the background waits in a queue first."""
    queued = response["background"]
    first = as_begun(response, "queued" if queued else "in_progress")
    events: list[JsonObject] = [{"type": "response.created", "response": first}]
    if queued:
        events.append({"type": "response.queued", "response": first})
    events.append({"type": "response.in_progress", "response": as_begun(response, "in_progress")})
    return _numbered(events, 0)


def writing(response: JsonObject, first_number: int) -> tuple[JsonObject, ...]:
    """The events of a response's output, and the one that ends it."""
    events = [event for index, item in enumerate(response["output"]) for event in _of_item(item, index)]
    events.append({"type": ENDINGS[response["status"]], "response": response})
    return _numbered(events, first_number)


def _numbered(events: list[JsonObject], first: int) -> tuple[JsonObject, ...]:
    return tuple(
        {"type": event["type"], "sequence_number": number, **event} for number, event in enumerate(events, first)
    )


def _of_item(item: JsonObject, index: int) -> Iterator[JsonObject]:
    begun = EMPTY[item["type"]]
    status: JsonObject = {} if item["type"] == "reasoning" else {"status": "in_progress"}
    at = {"output_index": index}
    yield {"type": "response.output_item.added", **at, "item": {**item, **begun, **status}}
    at = {"item_id": item["id"], **at}
    match item["type"]:
        case "message":
            for number, part in enumerate(item["content"]):
                yield from _of_part(part, {**at, "content_index": number})
        case "function_call":
            for piece in pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
        case "reasoning":
            for number, part in enumerate(item["summary"]):
                yield from _of_summary(part, {**at, "summary_index": number})
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _of_part(part: JsonObject, at: JsonObject) -> Iterator[JsonObject]:
    refused = part["type"] == "refusal"
    name, field = ("refusal", "refusal") if refused else ("output_text", "text")
    logprobs: JsonObject = {} if refused else {"logprobs": []}
    yield {"type": "response.content_part.added", **at, "part": {**part, field: ""}}
    for piece in pieces(part[field]):
        yield {"type": f"response.{name}.delta", **at, "delta": piece, **logprobs}
    yield {"type": f"response.{name}.done", **at, field: part[field], **logprobs}
    yield {"type": "response.content_part.done", **at, "part": part}


def _of_summary(part: JsonObject, at: JsonObject) -> Iterator[JsonObject]:
    yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
