"""What every provider promises of a reply: one of ours that breaks it is our fault, unless the script says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grader.model.journal import Request
from grader.model.schemas import mismatches
from grader.model.script import Refuse, ToolCall, Turn

# A turn that ends so was not finished: nothing is promised of what is there.
UNFINISHED = ("max_tokens", "context_window", "pause", "refusal")
MEND = "script what a provider can send, or wrap the step in Unfaithful"


def broken_promises(turn: Turn | Refuse, request: Request) -> tuple[str, ...]:
    """What no provider would have replied to this request: tools against `tool_choice`, JSON against its schema."""
    if isinstance(turn, Refuse):
        return ()
    found = list(_of_calls(turn, request))
    if turn.ending not in UNFINISHED:
        found += [*_of_choice(turn, request), *_of_output(turn, request)]
    return tuple(f"{broken}; {MEND}" for broken in found)


def _of_calls(turn: Turn, request: Request) -> Iterator[str]:
    calls = turn.tool_calls
    offered = {tool.name: tool for tool in request.tools}
    if calls and request.tool_choice == "none":
        yield f"the script calls {calls[0].name} although the request's tool_choice is none"
    for call in calls:
        if call.name not in offered:
            yield f"the script calls {call.name}, which the request does not offer ({', '.join(offered) or 'no tools'})"
        elif isinstance(request.tool_choice, tuple) and call.name != request.tool_choice[1]:
            yield f"the script calls {call.name} although the request forces {request.tool_choice[1]}"
        elif offered[call.name].strict and turn.ending not in UNFINISHED:
            yield from _against(call, offered[call.name].schema)
    if len(calls) > 1 and not request.parallel_tools:
        yield f"the script makes {len(calls)} tool calls although the request wants at most one at a time"


def _against(call: ToolCall, schema: Any) -> Iterator[str]:
    for found in mismatches(call.arguments, schema)[:1]:
        yield f"the arguments of the strict tool {call.name} do not satisfy its schema ({found})"


def _of_choice(turn: Turn, request: Request) -> Iterator[str]:
    if turn.tool_calls:
        return
    if request.tool_choice == "any" or isinstance(request.tool_choice, tuple):
        forced = "a tool" if request.tool_choice == "any" else f"the tool {request.tool_choice[1]}"
        yield f"the script calls no tool although the request forces {forced}"
    elif turn.ending == "tool_use":
        yield "the script stops for a tool without calling one"


def _of_output(turn: Turn, request: Request) -> Iterator[str]:
    if request.output_schema is None or turn.tool_calls:
        return
    try:
        value = json.loads(turn.text)
    except ValueError as error:
        yield f"the request wants JSON of a schema and the script's text is none ({error})"
        return
    for found in mismatches(value, request.output_schema)[:1]:
        yield f"the script's JSON does not satisfy the schema that the request wants ({found})"
