"""What stands beside lab-06: its open examples fit the contract, and its checks read every wire alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from grader.checking import Mismatch, Request
from grader.checking.freight import SCHEMA
from grader.checks.lab_06.history import Outcome, expect_said, outcomes, said_in
from grader.model import ModelDouble, Reply
from grader.practice.script_file import read_script
from grader.services.postgres import Template, lease

EXAMPLES = Path(__file__).parent.parent / "labs" / "lab-06-function-calling" / "examples"
TOOL: dict[str, Any] = {"type": "object", "properties": {}}
RESULT = '{"error": "not_found", "message": "There is none."}'
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {
        "model": "m",
        "max_tokens": 9,
        "tools": [{"name": "find", "input_schema": TOOL}],
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t2", "name": "find", "input": {}},
                    {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "{}"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": RESULT, "is_error": True},
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
    },
    "/v1/chat/completions": {
        "model": "m",
        "tools": [{"type": "function", "function": {"name": "find", "parameters": TOOL}}],
        "messages": [
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {"id": name, "type": "function", "function": {"name": "find", "arguments": "{"}}
                    for name in ("t2", "t1")
                ],
            },
            {"role": "tool", "tool_call_id": "t2", "content": RESULT},
            {"role": "tool", "tool_call_id": "t1", "content": "{}"},
            {"role": "user", "content": "and?"},
        ],
    },
    "/v1/responses": {
        "model": "m",
        "tools": [{"type": "function", "name": "find", "parameters": TOOL, "strict": False}],
        "input": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "t2", "name": "find", "arguments": "{}"},
            {"type": "function_call", "call_id": "t1", "name": "find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "t1", "output": "{}"},
            {"type": "function_call_output", "call_id": "t2", "output": RESULT},
            {"role": "user", "content": "and?"},
        ],
    },
}
SAID = [
    ("user", "hello"),
    ("assistant", "I look."),
    ("calls", ["t2", "t1"]),
    ("results", ["t1", "t2"]),
    ("user", "and?"),
]


def _sent(path: str) -> Request:
    headers = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}
    with ModelDouble() as double:
        double.script(Reply("ok"))
        httpx2.post(double.anthropic_base_url + path, json=BODIES[path], headers=headers).raise_for_status()
        return double.journal.requests()[-1]


@pytest.mark.parametrize("path", BODIES)
def test_a_conversation_reads_alike_on_every_wire(path: str) -> None:
    request = _sent(path)
    assert said_in(request) == SAID
    expect_said(request, *SAID)
    with pytest.raises(Mismatch, match="from its part 3 on"):
        expect_said(request, *SAID[:2], ("calls", ["t1", "t2"]), *SAID[3:])
    with pytest.raises(Mismatch, match="from its part 5 on"):
        expect_said(request, *SAID[:4])
    found = outcomes(request)
    assert (found["t1"].word, found["t2"].word) == (None, "not_found")
    assert found["t2"].flagged is (True if path == "/v1/messages" else None)


def test_an_outcome_is_held_to_its_word_its_sentence_and_its_flag() -> None:
    Outcome(RESULT, True).expect("not_found", "a call")
    Outcome("[1]", None).expect(None, "a call")
    for outcome, word in (
        (Outcome(RESULT, True), None),
        (Outcome(RESULT, False), "not_found"),
        (Outcome('{"error": "not_found", "message": ""}', True), "not_found"),
        (Outcome("{}", True), None),
        (Outcome("not json", None), None),
    ):
        with pytest.raises(Mismatch):
            outcome.expect(word, "a call")


def test_the_open_schema_is_the_one_that_programs_find() -> None:
    assert (EXAMPLES / "schema.sql").read_text("utf-8") == SCHEMA


def test_the_open_rows_fit_the_schema() -> None:
    with lease("tests of lab-06") as server:
        database = server.create(Template(SCHEMA + (EXAMPLES / "rows.sql").read_text("utf-8")))
        assert len(database.rows("SELECT * FROM public.shipments")) == 3


def test_the_open_script_can_be_read() -> None:
    read_script(EXAMPLES / "model.toml")  # raises for whatever is wrong in it
