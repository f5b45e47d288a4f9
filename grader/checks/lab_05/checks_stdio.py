"""Task stdio: one message a line and nothing else, broken lines survived, calls side by side, an end with the input."""

from __future__ import annotations

import json
import random

from grader.checking import McpStdio, Mismatch, check, expect, expect_equal
from grader.checking.freight import User

from .rows import BOOKING, Facts, expect_rows, invoice
from .server import TOOLS, VERSION, Called, Server, request

EXIT_SECONDS = 5


class Line:
    """One process on stdio, asked in the revision of the day."""

    def __init__(self, server: Server, user: User, name: str = "stdio") -> None:
        self.server = server
        self.process: McpStdio = server.stdio(user, name)

    def ask(self, method: str, params: dict[str, object] | None = None, number: int | None = None) -> object:
        """A request's result."""
        number = self.server.number() if number is None else number
        line = json.dumps(request(method, params, number=number)).encode()
        return self.process.raw(line, number, asked=method).result

    def call(self, tool: str, /, **arguments: object) -> Called:
        """A result of a tool, held against its schema."""
        return self.server.judged(tool, self.ask("tools/call", {"name": tool, "arguments": arguments}))

    def begin(self, tool: str, /, **arguments: object) -> tuple[int, bytes]:
        """A call as a line with its id, not sent yet."""
        number = self.server.number()
        params = {"name": tool, "arguments": arguments}
        return number, json.dumps(request("tools/call", params, number=number)).encode()


@check(task="stdio")
def serves_one_user_on_stdio(server: Server, rng: random.Random) -> None:
    """On stdio it speaks the same revision, offers the same tools and acts for MCP_USER."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    line = Line(server, user)
    discovered = line.ask("server/discover")
    expect(
        isinstance(discovered, dict) and VERSION in discovered.get("supportedVersions", []),
        "server/discover on stdio does not name the revision",
        observed=discovered,
    )
    listed, over_http = line.ask("tools/list"), server.ask("tools/list", user=user).result
    on_stdio = json.dumps(listed.get("tools") if isinstance(listed, dict) else listed)
    expect_equal(on_stdio, json.dumps(over_http.get("tools")), "tools/list on stdio, which is the same as over HTTP")
    found = line.call(TOOLS[0], limit=100).found
    expect_rows(found["shipments"], [facts.concise(each) for each in facts.shipments(user)], "a search on stdio")
    called = line.call(TOOLS[1], shipment_id=facts.shipments(facts.own(MOVED)[1])[0].shipment_id)
    expect(called.failed, "on stdio a user sees the shipment of another customer", observed=called.result)
    report = line.call(TOOLS[4]).found["report"]
    expect_equal(
        server.call(user, TOOLS[5], report=report).found["total"], found["total"], "a report of stdio, read over HTTP"
    )
    params: dict[str, object] = {"name": "orders_nothing", "arguments": {}}
    number = server.number()
    answer = line.process.raw(json.dumps(request("tools/call", params, number=number)).encode(), number)
    expect_equal(answer.error.get("code"), -32602, "the error for an unknown tool on stdio")


MOVED = 18


@check(task="stdio", after=("serves_one_user_on_stdio",))
def survives_broken_lines(server: Server, rng: random.Random) -> None:
    """Lines that are not JSON, empty lines and lines that are no request leave the next one to be served."""
    _, user = Facts(server.world).reader(rng)
    line = Line(server, user, "broken")
    good = json.dumps(request("tools/list", number=7)).encode()
    for junk in (
        b"hello?",
        b"{",
        good[: len(good) // 2],
        b"\xff\xfe\x00",
        b"",
        b'{"jsonrpc": "2.0"}',
        b'"a string"',
        b"[" * 5000,
        b"GET / HTTP/1.1\r",
    ):
        line.process.send(junk, allowed=(None,))
        found = line.call(TOOLS[0], limit=1).found
        expect_equal(len(found["shipments"]), 1, f"what is found behind the line {junk[:30]!r}")
    line.process.expect_sound()


@check(task="stdio", after=("serves_one_user_on_stdio",))
def writes_nothing_else(server: Server, rng: random.Random) -> None:
    """Whatever is called and whatever goes wrong: each line of its standard output is an answer that was asked for."""
    facts = Facts(server.world)
    customer, user = facts.own(rng.choice(BOOKING))
    line = Line(server, user, "clean")
    shipment = rng.choice(server.world.shipments_of(customer, "booked"))
    line.call(TOOLS[1], shipment_id=shipment.shipment_id)
    line.call(TOOLS[2], shipment_id=shipment.shipment_id, limit=3)
    line.call(TOOLS[3], overdue_on="2026-11-02")
    line.call(TOOLS[5], report=str(line.call(TOOLS[4]).found["report"]))
    for arguments in ({"port": "Nowhere"}, {"status": "lost"}, {"limit": -1}, {"cursor": "AAAA"}, {"eta_from": "soon"}):
        expect(line.call(TOOLS[0], **arguments).failed, "a bad argument was taken on stdio", observed=arguments)
    expect(line.call(TOOLS[1], shipment_id=5).failed, "a shipment_id that is no text was taken on stdio")
    asked = line.call(TOOLS[6], shipment_id=shipment.shipment_id, date="2026-11-30", window="morning")
    expect_equal(asked.result.get("resultType"), "input_required", "the first round of a booking on stdio")
    line.ask("resources/read", {"uri": f"orders://shipments/{shipment.shipment_id}"})
    line.process.expect_sound()


@check(task="stdio", after=("serves_one_user_on_stdio",))
def serves_side_by_side(server: Server, rng: random.Random) -> None:
    """While one call waits for the database, the next ones are answered."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    line = Line(server, user)
    number, slow = line.begin(TOOLS[3], limit=200)
    with server.stage.database.locked("public.invoices") as lock:
        line.process.send(slow, allowed=(number,))
        expect(lock.waited_for(1), "a call of orders_list_invoices does not look at the invoices")
        for _ in range(3):
            try:
                line.call(TOOLS[0], limit=2)
            except Exception as error:
                raise Mismatch(
                    "a call waits behind another one that has nothing to do with it",
                    expected="an answer to orders_search_shipments while orders_list_invoices waits for its table",
                    observed=f"{type(error).__name__}: {error}",
                    hint="Start each request as a task or thread of its own; the reader goes on reading.",
                ) from error
    again = line.call(TOOLS[3], limit=200).found
    expect_rows(again["invoices"], [invoice(each) for each in facts.invoices(user)], "invoices, behind the wait")


@check(task="stdio", after=("serves_one_user_on_stdio",), seconds=25)
def leaves_at_the_end_of_its_input(server: Server, rng: random.Random) -> None:
    """At the end of standard input it exits with 0 within 5 seconds, also while a call waits for the database."""
    _, user = Facts(server.world).reader(rng)
    idle = Line(server, user, "leaving")
    idle.call(TOOLS[0], limit=1)
    _expect_exit(idle, "")
    busy = Line(server, user, "leaving busy")
    number, slow = busy.begin(TOOLS[3])
    with server.stage.database.locked("public.invoices") as lock:
        busy.process.send(slow, allowed=(number,))
        expect(lock.waited_for(1), "a call of orders_list_invoices does not look at the invoices")
        _expect_exit(busy, ", while a call waits for the database")
        expect(lock.given_up(seconds=3), "its statement still waits in the database when the program is gone")


def _expect_exit(line: Line, when: str) -> None:
    line.process.expect_sound()
    code = line.process.hang_up(EXIT_SECONDS)
    expect_equal(
        code,
        0,
        f"the exit status after the end of its input{when}",
        hint=f"None: it still ran after {EXIT_SECONDS} seconds. Is a thread or a pool waited for?",
    )
