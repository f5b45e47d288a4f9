"""Command lines, MCP servers and suites: each kind of program is driven by its real interface, and proven on a toy."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.checking.command import Command
from grader.checking.expect import Mismatch
from grader.checking.mcp_messages import answer_problem, read_events
from grader.checking.mcp_stdio import McpStdio
from grader.checking.program import ProgramCrashed, ProgramTimeout, Recipe, base_environment
from grader.sandbox import Launcher, Level, Limits
from grader.verify import Depth, verify


@pytest.mark.parametrize("name", ["lab-03", "lab-04", "lab-05", "lab-06"])
def test_a_toy_lab_of_each_kind_is_proven(course: Path, name: str) -> None:
    lines: list[str] = []
    code = verify(course, [name], depth=Depth(full=True), seed=3, jobs=2, say=lines.append)
    assert (code, "no problems" in lines[-1]) == (0, True), "\n".join(lines)


@pytest.fixture
def launcher(warden: str) -> Iterator[Launcher]:
    running = Launcher(warden, level=Level.PROCESS)
    yield running
    running.close()


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Recipe]:
    def make(source: str) -> Recipe:
        (tmp_path / "program.py").write_text(source, "utf-8")
        environment = base_environment(tmp_path)
        return Recipe((sys.executable, "program.py"), tmp_path, environment, Limits(memory_mb=512))

    return make


# --- command lines --------------------------------------------------------------------------------------------------


def test_a_command_gets_arguments_input_and_variables(launcher: Launcher, recipe: Callable[[str], Recipe]) -> None:
    echo = "import os, sys; print(sys.argv[1:], os.environ['WHO'], sys.stdin.read()); print('log', file=sys.stderr)"
    command = Command(launcher, recipe(echo), seconds=5)
    finished = command.run("a", "b c", stdin="é" * 200_000, environment={"WHO": "me"})
    assert finished.text == f"['a', 'b c'] me {'é' * 200_000}\n"
    assert (finished.exit_code, finished.stderr) == (0, b"log\n")
    assert command.output.endswith("log\n") or "é" in command.output


def test_runs_of_one_command_share_their_folder(launcher: Launcher, recipe: Callable[[str], Recipe]) -> None:
    count = "file = open('n', 'a+'); file.write('x'); file.seek(0); print(file.read())"
    command = Command(launcher, recipe(count), seconds=5)
    assert [command.run().text for _ in range(3)] == ["x\n", "xx\n", "xxx\n"]


@pytest.mark.parametrize(
    ("source", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9), ("1 / 0", 1)]
)
def test_the_exit_code_is_the_programs(
    launcher: Launcher, recipe: Callable[[str], Recipe], source: str, code: int
) -> None:
    assert Command(launcher, recipe(source), seconds=5).run(stdin="unread").exit_code == code


def test_a_child_that_keeps_the_streams_open_is_not_waited_for(
    launcher: Launcher, recipe: Callable[[str], Recipe]
) -> None:
    leaves = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('done', flush=True)"
    began = time.monotonic()
    assert Command(launcher, recipe(leaves), seconds=30).run().text == "done\n"
    assert time.monotonic() - began < 25


def test_a_command_that_hangs_is_killed_at_its_deadline(launcher: Launcher, recipe: Callable[[str], Recipe]) -> None:
    command = Command(launcher, recipe("import time; print('thinking', flush=True); time.sleep(600)"), seconds=0.5)
    with pytest.raises(ProgramTimeout, match=r"the command had not ended after 0\.5 seconds") as caught:
        command.run()
    assert "thinking" in caught.value.detail
    assert command.wait(5) == -9


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_of_output_is_cut(launcher: Launcher, recipe: Callable[[str], Recipe], stream: str) -> None:
    command = Command(launcher, recipe(f"import sys\nwhile True: sys.{stream}.write('x' * 100000)"), seconds=20)
    with pytest.raises(Mismatch, match=r"printed more than \d MiB"):
        command.run()
    assert command.wait(5) == -9


@pytest.mark.parametrize("text", ["", "ok", '{"a": 1} {"a": 2}', '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_output_that_is_no_json_is_a_mismatch(launcher: Launcher, recipe: Callable[[str], Recipe], text: str) -> None:
    finished = Command(launcher, recipe(f"print({text!r})"), seconds=5).run()
    with pytest.raises(Mismatch, match="is not JSON that can be read"):
        finished.json()


# --- MCP on standard streams ----------------------------------------------------------------------------------------

_SERVER = """
import json, sys
def send(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
for line in sys.stdin:
    request = json.loads(line)
    number = request.get("id")
"""


@pytest.fixture
def serve(launcher: Launcher, recipe: Callable[[str], Recipe]) -> Iterator[Callable[..., McpStdio]]:
    running: list[McpStdio] = []

    def make(body: str, seconds: float = 5) -> McpStdio:
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        running.append(McpStdio(launcher, recipe(_SERVER + indented), seconds=seconds))
        return running[-1]

    yield make
    for server in running:
        server.close()


def test_results_errors_and_notifications_are_told_apart(serve: Callable[..., McpStdio]) -> None:
    server = serve(
        "send({'jsonrpc': '2.0', 'method': 'notifications/x', 'params': {'n': 1}})\n"
        "kind = {'result': 1} if request['method'] == 'good' else {'error': {'code': -1, 'message': 'no'}}\n"
        "send({'jsonrpc': '2.0', 'id': number, **kind})"
    )
    good, bad = server.request("good"), server.request("bad", {"x": 1})
    assert (good.result, bad.error["code"], len(server.notifications)) == (1, -1, 2)
    with pytest.raises(Mismatch, match="good was answered with a result"):
        _ = good.error
    with pytest.raises(Mismatch, match="bad was answered with an error"):
        _ = bad.result


def test_the_servers_own_requests_are_answered(serve: Callable[..., McpStdio]) -> None:
    server = serve(
        "if 'method' not in request:\n"
        "    send({'jsonrpc': '2.0', 'id': first, 'result': request.get('result', request.get('error'))})\n"
        "else:\n"
        "    first = number\n"
        "    send({'jsonrpc': '2.0', 'id': 'mine', 'method': request['params'], 'params': {'q': 6}})"
    )
    assert server.request("x", "ping").result == {}
    assert server.request("x", "sampling/createMessage").result["code"] == -32601
    server.answers["sampling/createMessage"] = lambda params: params["q"] * 7
    assert server.request("x", "sampling/createMessage").result == 42
    assert [message["method"] for message in server.asked] == ["ping", *["sampling/createMessage"] * 2]


@pytest.mark.parametrize(
    "sent",
    [
        "print('hello', flush=True)",
        "print('', flush=True)",
        "send([{'jsonrpc': '2.0', 'id': number, 'result': 1}])",
        "send({'jsonrpc': '2.0', 'id': number + 1, 'result': 1})",
        "send({'jsonrpc': '2.0', 'id': float(number), 'result': 1})",
        "send({'jsonrpc': '2.0', 'id': str(number), 'result': 1})",
        "send({'jsonrpc': '1.0', 'id': number, 'result': 1})",
        "send({'jsonrpc': '2.0', 'id': number, 'result': 1, 'error': {'code': 1, 'message': ''}})",
        "send({'jsonrpc': '2.0', 'id': number, 'error': 'no'})",
        "send({'jsonrpc': '2.0', 'result': 1})",
        "send({'jsonrpc': '2.0', 'id': number, 'result': float('nan')})",
        "sys.stdout.write('x' * 2_000_000); sys.stdout.flush()",
        "for _ in range(20_000): send({'jsonrpc': '2.0', 'method': 'notifications/x'})",
    ],
)
def test_what_is_no_answer_of_ours_is_a_mismatch(serve: Callable[..., McpStdio], sent: str) -> None:
    with pytest.raises(Mismatch, match="on its standard output"):
        serve(sent, 20).request("x")


def test_a_line_is_sent_without_waiting(serve: Callable[..., McpStdio]) -> None:
    server = serve("send({'jsonrpc': '2.0', 'id': number, 'result': 1})")
    server.send(b'{"id": 7}', allowed=(7,))
    assert server.request("x").result == 1
    server.send(b'{"id": 8}')
    with pytest.raises(Mismatch, match="which no open request has"):
        [server.request("y") for _ in range(2)]


def test_a_second_answer_is_found_after_the_first(serve: Callable[..., McpStdio]) -> None:
    server = serve("for answer in (1, 2): send({'jsonrpc': '2.0', 'id': number, 'result': answer})")
    with pytest.raises(Mismatch, match="which no open request has"):
        [server.request(method) for method in ("x", "y")]
    with pytest.raises(Mismatch, match="which no open request has"):
        server.expect_sound()


def test_an_answer_after_the_deadline_is_no_lie(serve: Callable[..., McpStdio]) -> None:
    server = serve(
        "if request['method'] == 'slow':\n"
        "    slow = number\n"
        "else:\n"
        "    send({'jsonrpc': '2.0', 'id': slow, 'result': 1})\n"
        "    send({'jsonrpc': '2.0', 'id': number, 'result': 2})"
    )
    with pytest.raises(ProgramTimeout, match=r"no answer to slow within 0\.2 seconds"):
        server.request("slow", seconds=0.2)
    assert server.request("quick").result == 2


def test_a_line_that_is_no_json_is_answered_with_the_id_null(
    launcher: Launcher, recipe: Callable[[str], Recipe]
) -> None:
    refuses = _SERVER.replace("json.loads(line)", "{}") + (
        "    send({'jsonrpc': '2.0', 'id': number, 'error': {'code': -32700, 'message': ''}})"
    )
    server = McpStdio(launcher, recipe(refuses), seconds=5)
    assert server.raw(b"{", None).error["code"] == -32700
    server.close()


def test_a_server_that_ends_is_a_crash_with_its_log(serve: Callable[..., McpStdio]) -> None:
    with pytest.raises(ProgramCrashed, match="ended with status 7 during x") as caught:
        serve("print('why', file=sys.stderr, flush=True)\nsys.exit(7)").request("x")
    assert "why" in caught.value.detail


def test_a_server_that_never_reads_costs_one_deadline(launcher: Launcher, recipe: Callable[[str], Recipe]) -> None:
    server = McpStdio(launcher, recipe("import time; time.sleep(600)"), seconds=0.5)
    with pytest.raises(ProgramTimeout, match="did not read"):
        server.request("x", "y" * 2_000_000)
    server.close()


def test_a_server_whose_client_leaves_ends(serve: Callable[..., McpStdio]) -> None:
    server = serve("send({'jsonrpc': '2.0', 'id': number, 'result': 1})")
    server.request("x")
    assert server.hang_up(5) == 0


def test_a_flood_on_standard_error_kills_the_server(serve: Callable[..., McpStdio]) -> None:
    with pytest.raises(ProgramCrashed, match="8 MiB"):
        serve("while True: sys.stderr.write('x' * 100000)", 20).request("x")


# --- messages -------------------------------------------------------------------------------------------------------


def test_events_hold_one_message_each() -> None:
    stream = ': hello\n\nevent: message\ndata: {"a":\ndata: 1}\n\ndata: \nid: 1\n\n'
    assert read_events(stream, "x") == [{"a": 1}]
    assert read_events(stream.replace("\n", "\r\n"), "x") == [{"a": 1}]
    with pytest.raises(Mismatch, match="is not JSON"):
        read_events("data: {\n\n", "x")


@pytest.mark.parametrize("message", [{"id": 1}, {"jsonrpc": "2.0", "id": True, "result": 1}, 1, None, "x"])
def test_what_is_no_answer_is_named(message: object) -> None:
    assert answer_problem(message) == "what is no JSON-RPC answer"
    assert answer_problem(json.loads('{"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "x"}}')) is None
