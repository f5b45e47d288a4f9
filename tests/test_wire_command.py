"""`grader wire` shows a recording: all, one check's, the last, a difference, JSON; also of a run that was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from grader.errors import EnvironmentFault, UsageError
from grader.lab import Lab
from grader.model import ModelDouble, Reply, ToolCall, Turn
from grader.model.journal import Exchange, Request
from grader.model.prompt_prefix import parting, segments
from grader.model.recording import read_recording, recorded_to
from grader.recordings import keep, place_for, read_last
from grader.report import wire_json
from grader.report.wire import Choice, show

DOCS = Path(__file__).parent.parent / "docs"
SYSTEM = "You answer about depots. " * 20
TOOL = {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {"q": {}}}}


def body(question: str, *, day: str = "Monday", **more: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 50,
        "tools": [TOOL],
        "system": [
            {"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": f"Today is {day}.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [{"role": "user", "content": question}],
        **more,
    }


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    running.respond(lambda _: Turn(Reply("fine"), ToolCall("find", {"q": 2}, id="t9")))
    return running


def send(double: ModelDouble, sent: dict[str, Any], label: str = "first_check") -> Exchange:
    double.journal.label(label)
    headers = {"authorization": "Bearer sk-very-secret", "anthropic-version": "2026-10-21"}
    httpx2.post(f"{double.anthropic_base_url}/v1/messages", json=sent, headers=headers).raise_for_status()
    return double.journal.since()[-1]


@pytest.fixture
def three(double: ModelDouble) -> list[Exchange]:
    return [
        send(double, body("Where?")),
        send(double, body("Where?", day="Tuesday", max_tokens=60)),
        send(double, body("When?", tools=[{**TOOL, "description": "Looks."}]), "second_check"),
    ]


def test_exchanges_keep_their_numbers_whatever_is_left_out(three: list[Exchange]) -> None:
    whole = show("lab-01", three, Choice())
    assert [int(found) for found in re.findall(r"^#(\d+) ", whole, re.MULTILINE)] == [1, 2, 3]
    assert whole.index("first_check") < whole.index("second_check")
    assert show("lab-01", three, Choice("second_check")).startswith("second_check\n============\n#3 ")
    assert re.findall(r"^#(\d+) ", show("lab-01", three, Choice("first_check", last=True)), re.MULTILINE) == ["2"]
    assert re.findall(r"^#(\d+) ", show("lab-01", three, Choice(last=True)), re.MULTILINE) == ["3"]


def test_a_difference_shows_what_changed_and_where_the_prefix_ends(three: list[Exchange]) -> None:
    shown = show("lab-01", three, Choice(diff=(1, 2)), width=1000)
    assert "#1 → #2" in shown
    assert "-max_tokens: 50" in shown
    assert "+max_tokens: 60" in shown
    assert "depots. Today is Monday." in shown
    assert "depots. Today is Tuesday." in shown
    assert "it ends in system.1:" in shown
    assert "cache mark at system.0 (1h): inside the stable prefix" in shown
    assert "cache mark at system.1 (5m): behind the change" in shown
    assert " tools\n" not in shown
    later = show("lab-01", three, Choice(diff=(1, 3)), width=140)
    assert "-find: Finds." in later
    assert "+find: Looks." in later
    assert "-user: Where?" in later
    assert "it ends in tools.0:" in later
    assert "system.0 (1h): behind the change" in later


def test_what_the_prompt_cache_did_is_shown_and_priced(double: ModelDouble) -> None:
    long = [{"type": "text", "text": "Depots open at six. " * 1000, "cache_control": {"type": "ephemeral"}}]
    written, read = (send(double, body(f"Where, {n}?", system=long)) for n in range(2))
    assert written.cache_write_tokens == read.cache_read_tokens > 4000
    assert read.cost_usd < written.cost_usd / 5
    shown = show("lab-01", [written, read], Choice(), width=200)
    assert f"{written.cache_write_tokens:,} into the cache" in shown
    assert f"{read.cache_read_tokens:,} from the cache" in shown
    tokens = [row["tokens"] for row in json.loads(show("lab-01", [written, read], Choice(), as_json=True))["exchanges"]]
    assert [(row["cache_write"], row["cache_read"]) for row in tokens] == [
        (written.cache_write_tokens, 0),
        (0, read.cache_read_tokens),
    ]


def test_equal_requests_have_no_difference(double: ModelDouble) -> None:
    same = [send(double, body("Where?")) for _ in range(2)]
    shown = show("lab-01", same, Choice(diff=(1, 2)), width=140)
    assert "nothing that the model reads has changed" in shown
    assert "the prompts are the same" in shown


def test_a_longer_history_keeps_the_whole_prefix(double: ModelDouble) -> None:
    first = body("Where?")
    longer = {**first, "messages": [*first["messages"], {"role": "assistant", "content": "There."}]}
    longer["messages"].append({"role": "user", "content": "Thanks"})
    shown = show("lab-01", [send(double, first), send(double, longer)], Choice(diff=(1, 2)), width=140)
    assert "one prompt goes on where the other ends" in shown


def test_the_order_of_keys_counts_as_a_change() -> None:
    one = Request(1, "anthropic", "/", body={"tools": [{"name": "a", "input_schema": {"x": 1, "y": 2}}]})
    other = Request(2, "anthropic", "/", body={"tools": [{"name": "a", "input_schema": {"y": 2, "x": 1}}]})
    found = parting(one, other)
    assert found.place == "tools.0"
    assert found.characters == len('{"name":"a","input_schema":{"')
    assert '{"x"' in found.was
    assert '{"y"' in found.now


def test_a_moved_cache_mark_is_no_change_of_the_prompt() -> None:
    plain = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    marked = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}
    one, other = (Request(1, "anthropic", "/", body={"messages": [message]}) for message in (plain, marked))
    assert parting(one, other).place == ""
    assert [(part.place, part.mark) for part in segments(other) if part.mark] == [("messages.0.content.0", "5m")]


def test_a_difference_is_inert() -> None:
    hostile = "\x1b]0;title\x07\x9b31m\u202eevil"
    requests = [
        Request(n, "anthropic", hostile, system=f"{hostile}{n}", body={"system": f"{hostile}{n}", hostile: n})
        for n in (1, 2)
    ]
    shown = show("lab-01", [Exchange(request, 200, hostile) for request in requests], Choice(diff=(1, 2)), width=500)
    assert not re.search("[\x07\x1b\x9b\u202e]", shown)
    assert "\\x1b" in shown


def test_what_was_not_recorded_is_a_usage_error(three: list[Exchange]) -> None:
    with pytest.raises(UsageError, match="no exchange #9"):
        show("lab-01", three, Choice(diff=(1, 9)))
    with pytest.raises(UsageError, match="nothing was recorded for 'third_check'") as error:
        show("lab-01", three, Choice("third_check"))
    assert "first_check, second_check" in error.value.mend
    with pytest.raises(UsageError, match="called no model"):
        show("lab-01", [], Choice())


def test_every_field_of_the_export_is_described(three: list[Exchange]) -> None:
    exported = json.loads(show("lab-01", three, Choice(), as_json=True))
    assert (exported["format"], exported["lab"]) == (wire_json.FORMAT, "lab-01")
    described = set(re.findall(r"`(\w+)`", (DOCS / "report-format.md").read_text("utf-8")))

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for item in value.values() for name in names(item)}
        return {name for item in value for name in names(item)} if isinstance(value, list) else set()

    rows = json.loads(show("lab-01", three, Choice(), as_json=True))["exchanges"]
    for row in rows:  # what the vendors and the program name themselves
        row["body"] = row["headers"] = row["reply"]["tool_calls"][0]["arguments"] = {}
        row["tools"] = [{**tool, "schema": {}} for tool in row["tools"]]
    assert names(rows) - described == set()
    first, _, last = exported["exchanges"]
    assert first["reply"]["tool_calls"] == [{"id": "t9", "name": "find", "arguments": {"q": 2}}]
    assert first["cache_marks"] == [{"place": "system.0", "ttl": "1h"}, {"place": "system.1", "ttl": "5m"}]
    assert first["seconds"]["arrived"] == 0 < last["seconds"]["arrived"]
    assert "sk-very-secret" not in json.dumps(exported)


def test_a_recording_is_read_in_order_of_arrival_without_its_cut_off_end(tmp_path: Path, three: list[Exchange]) -> None:
    path = tmp_path / "wire.jsonl"
    with recorded_to(path) as recorder:
        for exchange in reversed(three):
            recorder.hear(exchange)
    assert read_recording(path) == tuple(three)
    whole = path.read_text()
    path.write_text(whole[:-20])
    assert read_recording(path) == tuple(three[1:])  # the first was written last
    path.write_text("{}\n")
    with pytest.raises(ValueError, match="no recording"):
        read_recording(path)


def test_the_newest_recording_is_shown_and_dead_ones_go(lab: Lab, tmp_path: Path, three: list[Exchange]) -> None:
    with pytest.raises(UsageError, match="nothing of lab-01 has been recorded"):
        read_last(lab)
    killed = place_for(lab, otherwise=tmp_path)
    with recorded_to(killed) as recorder:
        recorder.hear(three[0])
    assert read_last(lab) == (three[0],)
    dead = killed.with_name(f"wire-{_dead_process()}-abc.jsonl")
    killed.rename(dead)
    finished = place_for(lab, otherwise=tmp_path)
    with recorded_to(finished) as recorder:
        recorder.hear(three[1])
    os.utime(dead, (1, 1))
    keep(finished, lab)
    assert read_last(lab) == (three[1],)
    assert [path.name for path in killed.parent.iterdir()] == ["wire.jsonl"]


def test_a_recording_that_is_none_is_named(lab: Lab, tmp_path: Path) -> None:
    place_for(lab, otherwise=tmp_path).with_name("wire.jsonl").write_text("what?\n")
    with pytest.raises(EnvironmentFault, match="cannot read the recording"):
        read_last(lab)


def _dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


TALKS = """
import http.server, os, urllib.request, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        request = urllib.request.Request(
            os.environ["OPENAI_BASE_URL"] + "/chat/completions",
            json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello from the program"}]}).encode(),
            {"authorization": "Bearer k", "content-type": "application/json"},
        )
        try: urllib.request.urlopen(request).read()
        except OSError: pass
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_killed_run_leaves_what_it_had_seen(lab: Lab, course: Path) -> None:
    """The command and its session die by SIGKILL while a check waits: what was sent is on the disk."""
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    checks.write_text(
        "import pathlib, time\n"
        "from grader.checking import Stage, check, Reply\n"
        f"@check(task={lab.tasks[0].id!r}, seconds=60)\n"
        "def waits(stage: Stage) -> None:\n"
        "    '''It waits.'''\n"
        "    stage.model.script(Reply('ok'))\n"
        "    try: stage.program.post('/', json={}, seconds=1)\n"
        "    except Exception: pass\n"
        f"    pathlib.Path({str(course)!r}, 'asked').write_text(str(__import__('os').getpid()))\n"
        "    time.sleep(60)\n"
    )
    toml = course / "labs" / lab.folder / "lab.toml"
    if "[services]" not in toml.read_text():
        toml.write_text(toml.read_text() + '\n[services]\nmodel = ["openai"]\n')
    program = course / "work" / lab.folder / "echo"
    program.mkdir(parents=True)
    (program / "__main__.py").write_text(TALKS)
    command = subprocess.Popen(
        [sys.executable, "-m", "grader", "--course", str(course), "check", "lab-01"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    asked = course / "asked"
    while not asked.exists() or not asked.read_text():
        assert command.poll() is None, command.stdout and command.stdout.read()
    os.kill(int(asked.read_text()), signal.SIGKILL)  # the session first: it could still write when its parent dies
    command.kill()
    command.wait()
    assert command.stdout
    command.stdout.close()
    (exchange,) = read_last(lab)
    assert exchange.label == "waits"
    assert "hello from the program" in exchange.request.text
