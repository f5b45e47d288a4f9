"""Task http: headers that agree with the body, pages of nobody else's, and replicas that know nothing of each other."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Mapping

from grader.checking import check, expect, expect_equal
from grader.checking.freight import User

from .rows import Facts, expect_rows
from .server import TOOLS, Server, request, usual_meta

GONE_SECONDS = 5


@check(task="http", after=("says_what_it_is",))
def headers_say_what_the_body_says(server: Server, rng: random.Random) -> None:
    """A header that is missing, or says something else than the body, is a 400 with -32020."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    uri = f"orders://shipments/{facts.shipments(user)[0].shipment_id}"
    call = ("tools/call", {"name": TOOLS[0], "arguments": {"limit": 1}})
    cases: list[tuple[str, Mapping[str, object], Mapping[str, str | None]]] = [
        ("tools/list", {}, {"mcp-method": "tools/call"}),
        ("tools/list", {}, {"mcp-method": None}),
        ("tools/list", {}, {"mcp-protocol-version": None}),
        ("tools/list", {}, {"mcp-protocol-version": "2025-11-25"}),
        (*call, {"mcp-method": "tools/list"}),
        (*call, {"mcp-name": TOOLS[1]}),
        (*call, {"mcp-name": None}),
        (*call, {"mcp-name": TOOLS[0].upper()}),
        (*call, {"mcp-protocol-version": None}),
        ("resources/read", {"uri": uri}, {"mcp-name": f"{uri}0"}),
        ("resources/read", {"uri": uri}, {"mcp-name": None}),
    ]
    for method, params, headers in cases:
        what = f"{method} with the headers {dict(headers)}"
        server.send(method, params, user=user, headers=headers).expect_error(
            -32020, what, "Proxies route by these headers: what they say must be what is carried out."
        )
    expect_equal(
        len(server.call(user, TOOLS[0], limit=1).found["shipments"]), 1, "what a call with right headers finds"
    )


@check(task="http", after=("says_what_it_is",))
def refuses_pages_of_other_origins(server: Server, rng: random.Random) -> None:
    """A request that a page of another origin makes a browser send is a 403; one's own origins are served."""
    _, user = Facts(server.world).reader(rng)
    for replica in server.replicas:
        port = replica.program.port
        for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
            server.ask("tools/list", user=user, headers={"origin": origin}, on=replica).result  # noqa: B018 - it is one
        for origin in (
            f"http://evil-{rng.getrandbits(20):x}.example",
            "null",
            f"http://127.0.0.1:{port}.evil.example",
            f"http://127.0.0.1:{port + 1}",
            f"https://127.0.0.1:{port}",
            f"http://localhost:{port}@evil.example",
            f"http://evil.example:{port}",
        ):
            sent = server.send("tools/list", user=user, headers={"origin": origin}, on=replica)
            sent.expect_status(403, what=f"a request with Origin {origin!r}")


@check(task="http", after=("says_what_it_is",))
def answers_to_its_own_name_only(server: Server, rng: random.Random) -> None:
    """A Host that is not its own is turned away, and nobody reaches it from outside of this machine."""
    _, user = Facts(server.world).reader(rng)
    program = server.stage.program
    server.ask("tools/list", user=user, headers={"host": f"localhost:{program.port}"}, on=server.stage).result  # noqa: B018
    for host in (f"evil.example:{program.port}", "evil.example", f"127.0.0.1.evil.example:{program.port}"):
        sent = server.send("tools/list", user=user, headers={"host": host}, on=server.stage)
        sent.expect_status(403, 421, what=f"a request with Host {host!r}", hint="A name can be rebound to 127.0.0.1.")
    mine = {address for address in program.running.listening() if address.endswith(f":{program.port}")}
    expect_equal(sorted(mine), [f"127.0.0.1:{program.port}"], "where it listens", hint="Bind 127.0.0.1, nothing else.")


@check(task="http", after=("says_what_it_is",))
def turns_away_what_is_no_request(server: Server, rng: random.Random) -> None:
    """GET and DELETE are 405, a body over 1 MiB is 413, and neither keeps the next request from being served."""
    _, user = Facts(server.world).reader(rng)
    bearer = {"authorization": f"Bearer {server.authority.token(user.user_id)}", "accept": "text/event-stream"}
    for replica in server.replicas:
        for method in ("GET", "DELETE"):
            reply = replica.program.request(method, "/mcp", headers=bearer)
            expect_equal(
                reply.status, 405, f"the status of {method} /mcp", hint="There are no streams and no sessions."
            )
        params = {"name": TOOLS[0], "arguments": {"port": "x" * (1024 * 1024)}}
        sent = server.send("tools/call", params, user=user, on=replica)
        sent.expect_status(413, what="a body of more than 1 MiB")
        server.call_with(user, TOOLS[0], {"limit": 1}, on=replica)


@check(task="http", after=("says_what_it_is",))
def any_replica_takes_the_next_request(server: Server, rng: random.Random) -> None:
    """What one replica began the other one goes on with: reports, cursors, in both directions."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    expected = [facts.concise(each) for each in facts.shipments(user)]
    for first in (0, 1):
        one, other = server.replicas[first], server.replicas[1 - first]
        report = server.call_with(user, "orders_create_report", {}, on=one).found
        expect_equal(report["rows"], len(expected), "the number of rows of a report")
        for tool, arguments in ((TOOLS[5], {"report": report["report"]}), (TOOLS[0], {})):
            rows, cursor = [], None
            for replica in (other, one) * (len(expected) // 4 + 1):
                page = server.call_with(
                    user, tool, {**arguments, "limit": 4, **({"cursor": cursor} if cursor else {})}, on=replica
                ).found
                rows += page["shipments"]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            expect_rows(rows, expected, f"{tool}, each page from the other replica")


@check(task="http", after=("any_replica_takes_the_next_request",))
def goes_on_when_a_replica_is_killed(server: Server, rng: random.Random) -> None:
    """Kill -9 of one replica in the middle of a list and of a report: the other one goes on, and so does a new one."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    expected = [facts.concise(each) for each in facts.shipments(user)]
    victim = server.stage.beside("victim")
    report = server.call_with(user, "orders_create_report", {}, on=victim).found["report"]
    pages = {
        tool: server.call_with(user, tool, {**arguments, "limit": 3}, on=victim).found
        for tool, arguments in ((TOOLS[5], {"report": report}), (TOOLS[0], {}))
    }
    victim.kill()
    for replica in (server.stage, server.stage.beside("victim")):  # asked for again, it is started again
        for tool, page in pages.items():
            arguments = {"report": report} if tool == TOOLS[5] else {}
            rest = server.call_with(user, tool, {**arguments, "limit": 100, "cursor": page["next_cursor"]}, on=replica)
            expect_rows([*page["shipments"], *rest.found["shipments"]], expected, f"{tool}, begun on a killed replica")
    victim.kill()


@check(task="http", after=("says_what_it_is",), seconds=25)
def ends_on_sigterm(server: Server, rng: random.Random) -> None:
    """SIGTERM ends it within 5 seconds, also while a request waits for the database."""
    user = _reader(server, rng)
    replica = server.stage.beside("ending")
    with server.stage.database.locked("public.invoices") as lock:
        message = request("tools/call", {"name": TOOLS[3], "arguments": {}}, number=1, meta=usual_meta())
        with server.begun(replica, message, user):
            expect(lock.waited_for(1), "a call of orders_list_invoices does not look at the invoices")
            before = time.monotonic()
            replica.program.signal(signal.SIGTERM)
            ended = replica.program.wait(GONE_SECONDS)
            expect(
                ended is not None,
                f"the program still ran {GONE_SECONDS} seconds after SIGTERM, while a request waited",
                observed=f"{time.monotonic() - before:.1f} s",
                hint="Give the requests in flight a second or two, then cancel them.",
            )
    replica.kill()


def _reader(server: Server, rng: random.Random) -> User:
    return Facts(server.world).reader(rng)[1]
