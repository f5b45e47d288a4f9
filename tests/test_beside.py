"""Programs beside a stage's own: replicas and other transports on one database, and requests that are given up."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.checking import McpHttp, Mismatch, Stage
from grader.checking.program import ProgramCrashed, Recipe, base_environment
from grader.checking.stage import Theatre
from grader.sandbox import Launcher, Level, Limits

# Over HTTP it answers each POST with who it is, and writes down when a client has gone; on stdio it echoes.
PROGRAM = """
import json, os, select, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.say({})
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if message["method"] == "wait":
            select.select([self.connection], [], [])
            if self.connection.recv(1) == b"":
                print("the client has gone", flush=True)
            return
        self.say({"jsonrpc": "2.0", "id": message["id"], "result": [os.environ["WHO"], self.headers.get("x-extra")]})
    def say(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
if os.environ["WHO"] == "stdio":
    for line in sys.stdin:
        print(json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": "stdio"}), flush=True)
else:
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def stage(tmp_path: Path, warden: str) -> Iterator[Stage]:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "program.py").write_text(PROGRAM, "utf-8")
    environment = {**base_environment(tmp_path), "WHO": "nobody"}
    recipe = Recipe((sys.executable, "program.py"), tmp_path / "submission", environment, Limits(memory_mb=512))
    launcher = Launcher(warden, level=Level.PROCESS)
    theatre = Theatre(
        launcher, recipe, speaks="mcp-http", wires=(), postgres=False, postgres_settings={}, seconds=5, purpose="test"
    )
    theatre.starting_environment = {"WHO": "first"}
    with theatre.fresh() as stage:
        yield stage
    theatre.close()
    launcher.close()


def test_a_program_beside_has_its_own_environment_and_transport(stage: Stage) -> None:
    replica = stage.beside("replica", {"WHO": "second"})
    assert [each.mcp.request("who").result[0] for each in (stage, replica)] == ["first", "second"]
    assert stage.beside("replica") is replica
    line = stage.beside("line", {"WHO": "stdio"}, speaks="mcp-stdio").mcp_stdio
    assert line.request("who").result == "stdio"


def test_a_program_beside_is_started_again_and_ends_with_its_stage(stage: Stage) -> None:
    replica = stage.beside("replica", {"WHO": "second"})
    replica.kill()
    assert stage.beside("replica").mcp.request("who").result[0] == "second"
    stage.close()
    assert not replica.alive


def test_a_check_sets_headers_and_reads_any_status(stage: Stage) -> None:
    http = McpHttp(stage.program, headers={"x-extra": "one"})
    message = {"jsonrpc": "2.0", "id": 1, "method": "who"}
    assert http.send(message).answer("who", 1).result[1] == "one"
    assert http.send(message, {"x-extra": None}).answer("who", 1).result[1] is None
    with pytest.raises(Mismatch, match="was not asked"):
        http.send(message).answer("who", "1")


def test_a_request_that_is_given_up_is_seen_by_the_program(stage: Stage) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "wait"}).encode()
    with stage.program.begun("/mcp", body, {"content-type": "application/json"}) as begun:
        assert begun.silent()
        begun.hang_up()
    stage.program.get("/health")
    for _ in range(500):
        if "the client has gone" in stage.output:
            break
        stage.program.running.wait(0.01)
    assert "the client has gone" in stage.output


def test_a_program_that_is_gone_takes_no_request(stage: Stage) -> None:
    stage.kill()
    with pytest.raises(ProgramCrashed), stage.program.begun("/mcp", b"{}", {}):
        pass
