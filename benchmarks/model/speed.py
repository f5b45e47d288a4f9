"""How fast a scripted reply is: beside the floor of a bare server, and beside the other doubles, in one run."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from benchmarks.model import install
from benchmarks.model.doubles import LLMOCK_OPTIONS, Aimock, Llmock, free_port, wait_for_port

REPLY = "Once the free days are over, storage is charged at EUR 58.20 a day."
BODY = json.dumps(
    {"model": "gpt-6.1-sol", "messages": [{"role": "user", "content": "What does storage cost at Belmere? " * 10}]}
).encode()
WARM_UP, REQUESTS, ROUNDS = 100, 200, 5
CLIENTS = 8
BURST_SECONDS = 2.0
STARTS = 7


@dataclass(frozen=True)
class Speed:
    """What was measured of one server.

    Attributes:
        milliseconds: of a reply on a kept connection, median of the quietest round.
        per_core_second: replies for each second of CPU that the server used while it was kept busy.
        start_milliseconds: CPU from the command to the open port, best of several; None for the floor, which is no
            command that anybody would start.
    """

    name: str
    milliseconds: float
    per_core_second: float
    start_milliseconds: float | None


def measure() -> list[Speed]:
    """The floor, ours and the others; rounds take turns, so that all meet the same neighbours on the machine."""
    commands = _commands()
    with ExitStack() as stack:
        ports = {name: free_port() for name in commands}
        processes = {name: _start(command(ports[name]), ports[name], stack) for name, command in commands.items()}
        _script_others(ports)
        heads = {name: _request(port, _path(name)) for name, port in ports.items()}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for name in commands:
            _replies(ports[name], heads[name], WARM_UP)
        for _ in range(ROUNDS):
            for name in commands:
                times[name].append(statistics.median(_replies(ports[name], heads[name], REQUESTS)))
        rates = {name: _rate(processes[name], ports[name], heads[name]) for name in commands}
    starts = {name: _start_time(command) if name != "floor" else None for name, command in commands.items()}
    return [Speed(name, min(times[name]) * 1000, rates[name], starts[name]) for name in commands]


def start_within_a_process() -> float:
    """Milliseconds from making our double to its first open port, where its modules are loaded already; best."""
    from grader.model import ModelDouble  # noqa: PLC0415  as above

    taken = []
    for _ in range(STARTS):
        began = time.perf_counter()
        with ModelDouble():
            taken.append(time.perf_counter() - began)
    return min(taken) * 1000


Command = Callable[[int], list[str]]


def _commands() -> dict[str, Command]:
    def serve(kind: str) -> Command:
        return lambda port: [sys.executable, "-m", "benchmarks.model.serve", kind, str(port)]

    found: dict[str, Command] = {"floor": serve("floor"), "ours": serve("ours")}
    if llmock := install.llmock():
        found["llmock"] = lambda port: [str(llmock), *LLMOCK_OPTIONS, str(port)]
    if aimock := install.aimock():
        fixtures = install.CACHE / "empty"
        fixtures.mkdir(exist_ok=True)
        found["aimock"] = lambda port: [str(aimock), "-f", str(fixtures), "--log-level", "silent", "-p", str(port)]
    return found


def _start(command: list[str], port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    wait_for_port(port, process)
    return process


def _start_time(command: Command) -> float:
    taken = []
    for _ in range(STARTS):
        with ExitStack() as stack:
            port = free_port()
            process = _start(command(port), port, stack)
            taken.append(_cpu(process.pid))
    return min(taken) * 1000


def _script_others(ports: dict[str, int]) -> None:
    """The same reply for ever, in each double's own words."""
    if "llmock" in ports:
        reply = {"type": "reply", "text": REPLY, "times": None}
        Llmock(ports["llmock"]).http.post("/_llmock/scenario", json={"behaviors": [reply]}).raise_for_status()
    if "aimock" in ports:
        fixtures = [{"match": {}, "response": {"content": REPLY}}]
        Aimock(ports["aimock"]).http.post("/__aimock/fixtures", json={"fixtures": fixtures}).raise_for_status()


def _path(name: str) -> str:
    return "/v1/chat/completions" if name != "floor" else "/"


def _request(port: int, path: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "authorization: Bearer k",
        "content-type: application/json",
        f"content-length: {len(BODY)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + BODY


def _replies(port: int, request: bytes, count: int) -> list[float]:
    """Seconds of each reply on one kept connection; a client that costs next to nothing itself."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return [_reply(connection, request) for _ in range(count)]


def _reply(connection: socket.socket, request: bytes) -> float:
    began = time.perf_counter()
    connection.sendall(request)
    data = connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    while not _length_known(head) or _missing(head, body) > 0:
        data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
    taken = time.perf_counter() - began
    if b" 200 " not in head[:20] or REPLY.encode() not in body:
        raise SystemExit(f"no scripted reply: {data[:300]!r}")
    return taken


def _length_known(head: bytes) -> bool:
    """Whether the headers say how long the body is."""
    return b"content-length:" in head.lower() or b"transfer-encoding: chunked" in head.lower()


def _missing(head: bytes, body: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:]) - len(body)
    return 0 if body.endswith(b"0\r\n\r\n") else 1


def _rate(process: subprocess.Popen[bytes], port: int, request: bytes) -> float:
    """Replies per second of the server's own CPU, its threads and children included, under several clients at once."""
    until = time.monotonic() + BURST_SECONDS
    before = _cpu(process.pid)

    def client(_: int) -> int:
        done = 0
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while time.monotonic() < until:
                _reply(connection, request)
                done += 1
        return done

    with ThreadPoolExecutor(CLIENTS) as pool:
        done = sum(pool.map(client, range(CLIENTS)))
    return done / (_cpu(process.pid) - before)


def _cpu(pid: int) -> float:
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def lines(speeds: Sequence[Speed], within: float) -> list[str]:
    """The rows of a table in Markdown."""
    rows = ["| server | p50 of a reply | above the floor | replies per second of a core | start of its command, CPU |"]
    rows.append("|---|---|---|---|---|")
    floor = speeds[0].milliseconds
    rows += [
        f"| {speed.name} | {speed.milliseconds:.2f} ms | {speed.milliseconds - floor:+.2f} ms | "
        f"{speed.per_core_second:,.0f} | {_start_shown(speed)} |"
        for speed in speeds
    ]
    return [*rows, "", f"Ours starts within a process that has it loaded, as checks do, in {within:.0f} ms."]


def _start_shown(speed: Speed) -> str:
    return "" if speed.start_milliseconds is None else f"{speed.start_milliseconds:,.0f} ms"
