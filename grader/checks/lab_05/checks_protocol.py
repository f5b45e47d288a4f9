"""Task protocol: it says what it is, in the revision of the day, the same to everybody, and tells failures apart."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from grader.checking import McpHttp, Mismatch, check, expect, expect_equal, note
from grader.checking.freight import Shipment, User

from .official import Visit, visit
from .rows import BOOKING, Facts, expect_rows
from .server import (
    CAPABILITIES_KEY,
    TOOLS,
    VERSION,
    VERSION_KEY,
    Server,
    schema_problem,
    usual_meta,
)

OLDER = "2025-11-25"


@check(task="protocol")
def says_what_it_is(server: Server) -> None:
    """server/discover names the revision, what the server can do, and what its tools are for."""
    user = Facts(server.world).clerk
    for replica in server.replicas:
        found = server.ask("server/discover", user=user, on=replica).result
        versions = found.get("supportedVersions")
        expect(
            isinstance(versions, list) and VERSION in versions,
            "server/discover does not name the revision",
            expected=f'"supportedVersions": ["{VERSION}", …]',
            observed=found,
        )
        expect_equal(found.get("resultType"), "complete", "the resultType of server/discover")
        instructions = found.get("instructions")
        expect(
            isinstance(instructions, str) and 20 <= len(instructions) <= 2000,
            "server/discover does not say what the tools are for",
            expected="instructions of 20 to 2,000 characters",
            observed=instructions,
        )
        capabilities = found.get("capabilities")
        expect(
            isinstance(capabilities, dict) and {"tools", "resources"} <= capabilities.keys(),
            "server/discover does not say that there are tools and resources",
            observed=capabilities,
        )


@check(task="protocol", after=("says_what_it_is",))
def refuses_a_version_that_it_does_not_speak(server: Server, rng: random.Random) -> None:
    """A request with an unknown version is -32022, with the versions that it speaks and the one that was asked."""
    user = Facts(server.world).clerk
    version = f"20{rng.randrange(60, 99)}-0{rng.randrange(1, 9)}-11"
    for method, params in (("tools/list", {}), ("tools/call", {"name": TOOLS[0], "arguments": {}})):
        sent = server.send(
            method,
            params,
            user=user,
            meta={**usual_meta(), VERSION_KEY: version},
            headers={"mcp-protocol-version": version},
        )
        data = sent.expect_error(-32022, f"{method} in revision {version}").get("data") or {}
        expect_equal(data.get("requested"), version, "data.requested")
        expect(VERSION in data.get("supported", []), "data.supported does not name the revision", observed=data)


@check(task="protocol", after=("says_what_it_is",))
def lists_the_same_tools_to_everybody(server: Server, rng: random.Random) -> None:
    """tools/list is the same byte for byte, whoever asks which replica, and says for how long it may be kept."""
    facts = Facts(server.world)
    seen: dict[str, dict[str, str]] = {"tools/list": {}, "resources/templates/list": {}}
    askers = [facts.clerk, facts.reader(rng, "viewer")[1], facts.reader(rng, "booker")[1], facts.clerk]
    for turn, user in enumerate(askers):
        for replica in server.replicas:
            for method, bodies in seen.items():
                meta = {**usual_meta(elicits=turn % 2 == 0), "progressToken": rng.getrandbits(20)}
                result = server.ask(method, user=user, on=replica, meta=meta).result
                bodies.setdefault(json.dumps(result), f"{user.role} {user.user_id}")
                expect(
                    type(result.get("ttlMs")) is int and result["ttlMs"] >= 60_000,
                    f"{method} may not be kept for a minute",
                    expected='"ttlMs": 60000 or more',
                    observed=result.get("ttlMs"),
                )
                expect_equal(result.get("cacheScope"), "public", f"the cacheScope of {method}")
            server.call(user, "orders_search_shipments", limit=1)
    for method, bodies in seen.items():
        expect_equal(
            len(bodies),
            1,
            f"the number of different answers to {method}",
            hint="Is it made from a set, or from what this user may do? Its order and its words are part of it.",
        )
    listed = [tool["name"] for tool in json.loads(next(iter(seen["tools/list"])))["tools"]]
    expect_equal(sorted(listed), sorted(TOOLS), "the names of the tools")
    (template,) = json.loads(next(iter(seen["resources/templates/list"])))["resourceTemplates"] or [{}]
    expect_equal(template.get("uriTemplate"), "orders://shipments/{shipment_id}", "the resource template")


@check(task="protocol", after=("lists_the_same_tools_to_everybody",))
def describes_its_tools(server: Server) -> None:
    """Each tool says what it is for and whether it changes anything; its input schema knows a wrong call."""
    tools = server.tools(Facts(server.world).clerk)
    for name in TOOLS:
        tool = tools[name]
        expect(
            isinstance(tool.get("description"), str) and 20 <= len(tool["description"]) <= 1500,
            f"{name} has no description that a model can choose it by",
            expected="20 to 1,500 characters",
            observed=tool.get("description"),
        )
        hints = tool.get("annotations") or {}
        if name == "orders_book_pickup":
            for hint in ("readOnlyHint", "destructiveHint", "idempotentHint"):
                expect(
                    hints.get(hint, None if hint != "readOnlyHint" else False) is False,
                    f"the hint {hint} of {name}",
                    expected=False,
                    observed=hints,
                )
        else:
            expect_equal(hints.get("readOnlyHint"), True, f"the hint readOnlyHint of {name}")
    for name, arguments, good in _CALLS:
        problem = schema_problem(arguments, tools[name].get("inputSchema"))
        expect(
            bool(problem) is not good,
            f"the inputSchema of {name} {'refuses a right call' if good else 'lets a wrong call through'}",
            expected="the arguments of the brief, with their types, words and limits",
            observed=f"{json.dumps(arguments)} {problem}",
            hint="A model that reads the schema makes no call that you have to refuse.",
        )


_CALLS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("orders_search_shipments", {}, True),
    ("orders_search_shipments", {"status": "booked", "port": "Hamburg", "limit": 100, "detail": "detailed"}, True),
    ("orders_search_shipments", {"status": ["booked", "delivered"], "eta_from": "2026-11-01"}, True),
    ("orders_search_shipments", {"status": "on_hold"}, False),
    ("orders_search_shipments", {"limit": 0}, False),
    ("orders_search_shipments", {"limit": 101}, False),
    ("orders_search_shipments", {"limit": "20"}, False),
    ("orders_search_shipments", {"detail": "everything"}, False),
    ("orders_get_shipment", {"shipment_id": "MF-100000"}, True),
    ("orders_get_shipment", {}, False),
    ("orders_get_history", {"shipment_id": "MF-100000", "kind": "held", "limit": 200}, True),
    ("orders_get_history", {"shipment_id": "MF-100000", "limit": 201}, False),
    ("orders_list_invoices", {"status": "open", "overdue_on": "2026-11-02", "limit": 1}, True),
    ("orders_list_invoices", {"status": "late"}, False),
    ("orders_create_report", {"status": ["booked"]}, True),
    ("orders_read_report", {"report": "x" * 43, "limit": 500}, True),
    ("orders_read_report", {}, False),
    ("orders_book_pickup", {"shipment_id": "MF-100000", "date": "2026-11-12", "window": "morning"}, True),
    ("orders_book_pickup", {"shipment_id": "MF-100000", "date": "2026-11-12", "window": "night"}, False),
    ("orders_book_pickup", {"shipment_id": "MF-100000", "window": "morning"}, False),
)


@check(task="protocol", after=("lists_the_same_tools_to_everybody",))
def promises_the_shape_of_its_results(server: Server, rng: random.Random) -> None:
    """Each result fits the outputSchema of its tool, and one with a field missing or of another type does not."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    shipment = rng.choice(facts.shipments(user, "delivered"))
    report = server.call(user, "orders_create_report").found
    results = {
        "orders_search_shipments": server.call(user, "orders_search_shipments", limit=3).found,
        "orders_get_shipment": server.call(user, "orders_get_shipment", shipment_id=shipment.shipment_id).found,
        "orders_get_history": server.call(user, "orders_get_history", shipment_id=shipment.shipment_id).found,
        "orders_list_invoices": server.call(user, "orders_list_invoices", limit=3).found,
        "orders_create_report": report,
        "orders_read_report": server.call(user, "orders_read_report", report=report["report"]).found,
    }
    results["orders_search_shipments "] = server.call(user, "orders_search_shipments", detail="detailed").found
    for tool, result in results.items():
        schema = server.output_schema(tool.strip())
        for what, broken in _broken(result):
            expect(
                schema_problem(broken, schema),
                f"the outputSchema of {tool.strip()} promises nothing",
                expected=f"that it refuses a result with {what}",
                observed=schema,
                hint="Name the fields, their types, and which of them are always there.",
            )


def _broken(result: Any) -> list[tuple[str, Any]]:
    """Results that are none: at the top and in the first row of each list."""
    found = []
    for key, value in result.items():
        found.append((f"no {key}", {name: each for name, each in result.items() if name != key}))
        found.append((f"an object as {key}", {**result, key: {"x": 1}}))
        if isinstance(value, list) and value:
            first = value[0]
            found += [
                (f"no {name} in {key}", {**result, key: [{k: v for k, v in first.items() if k != name}, *value[1:]]})
                for name in ("shipment_id", "invoice_id", "at", "currency")
                if name in first
            ]
    return found


@check(task="protocol", after=("says_what_it_is",))
def tells_kinds_of_failure_apart(server: Server, rng: random.Random) -> None:
    """What does not exist is an error of the protocol; what goes wrong in a tool is told to the model."""
    _, user = Facts(server.world).reader(rng)
    hint = "The SDK answers some of these otherwise by itself: look at what really leaves your server."
    for method in ("orders/list", "tools/delete", "initialized"):
        server.send(method, user=user).expect_error(-32601, f"the unknown method {method}", hint)
    for name in ("orders_cancel_shipment", f"orders_{rng.getrandbits(32):x}", TOOLS[0].upper(), "x" * 2000):
        sent = server.send("tools/call", {"name": name, "arguments": {}}, user=user)
        sent.expect_error(-32602, f"the unknown tool {name[:30]!r}", hint)
    for uri in (
        f"orders://shipments/MF-{rng.randrange(10)}",
        "orders://shipments/",
        "orders://invoices/1",
        "file:///x",
    ):
        server.send("resources/read", {"uri": uri}, user=user).expect_error(-32602, f"the resource {uri}", hint)
    metas: list[dict[str, Any]] = [{}, {VERSION_KEY: VERSION}, {CAPABILITIES_KEY: {}}]
    for meta in metas:
        server.send("tools/list", user=user, meta=meta).expect_error(-32602, f"a request with _meta {meta}")
    for body in (b"{", b"", b'{"jsonrpc": "2.0", "id": 1,', b"\xff\xfe"):
        headers = server.headers("tools/list", {}, user)
        exchange = McpHttp(server.turn().program).send(body, headers)
        message = exchange.response.json() if exchange.response.status == 400 else {}
        code = message.get("error", {}).get("code") if isinstance(message, dict) else None
        expect(
            code == -32700,
            "what is not JSON was not refused as such",
            expected="400 with error -32700",
            observed=f"{exchange.response.status} {exchange.response.text!r} to {body!r}",
        )
    number = f"id-{rng.getrandbits(32):x}"
    expect_equal(
        server.ask("tools/list", user=user, number=number).message.get("id"), number, "the id of an answer, a string"
    )
    called = server.call(user, "orders_get_shipment", shipment_id="MF-1")
    expect("MF-1" in called.sentence, "an error does not name the id that is wrong", observed=called.sentence)


@check(task="protocol", after=("lists_the_same_tools_to_everybody",))
def serves_the_official_client(server: Server, rng: random.Random) -> None:
    """The SDK's own client lists tools, reads all pages and a resource, and books with its user's yes."""
    facts = Facts(server.world)
    customer, user = facts.own(rng.choice(BOOKING))
    shipment = rng.choice(server.world.shipments_of(customer, "booked"))
    day = f"2026-11-{rng.randrange(10, 28)}"
    seen = visit(server.turn().program, server.authority.token(user.user_id), shipment.shipment_id, day)
    _judge_visit(seen, server, user, shipment, day)
    rows = server.stage.database.rows(
        "SELECT time_window, booked_by FROM public.pickups WHERE shipment_id = %s AND pickup_date = %s",
        [shipment.shipment_id, day],
    )
    expect_equal(rows, [{"time_window": "afternoon", "booked_by": user.user_id}], "the pickup that was booked")


def _judge_visit(seen: Visit, server: Server, user: User, shipment: Shipment, day: str) -> None:
    facts = Facts(server.world)
    expect_equal(seen.version, VERSION, "the revision that the client speaks with it")
    expect_equal(sorted(seen.tools), sorted(TOOLS), "the tools that the client sees")
    expect_rows(seen.shipments, [facts.concise(each) for each in facts.shipments(user)], "the shipments it reads")
    if not isinstance(seen.resource, Mapping) or seen.resource.get("shipment_id") != shipment.shipment_id:
        raise Mismatch("the resource is not the shipment", expected=shipment.shipment_id, observed=seen.resource)
    for word in (shipment.shipment_id, day, "afternoon"):
        expect(
            word in seen.question, "the question does not name what is booked", expected=word, observed=seen.question
        )
    expect(not seen.booking_failed, "the booking failed", observed=seen.booking)


@check(task="protocol", after=("lists_the_same_tools_to_everybody",))
def tells_older_clients_the_truth(server: Server, rng: random.Random) -> None:
    """A client of 2025-11-25 is refused, or served whole: with the same rows and scopes, and without booking."""
    facts = Facts(server.world)
    customer, user = facts.own(rng.choice(BOOKING))
    old = _Old(server, user)
    hello = {
        "protocolVersion": OLDER,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "old", "version": "1"},
    }
    status, answer = old.post("initialize", hello, version=None)
    if "error" in answer or status >= 400:
        note(f"older clients are refused ({status})")
        status, answer = old.post("tools/list", {})
        expect(
            "result" not in answer,
            "a client whose initialize was refused is served all the same",
            expected="an error",
            observed=answer,
        )
    else:
        expect_equal(answer.get("result", {}).get("protocolVersion"), OLDER, "the revision that initialize agrees on")
        _, listed = old.post("tools/list", {})
        names = [tool.get("name") for tool in listed.get("result", {}).get("tools", [])]
        expect(set(TOOLS[:6]) <= set(names), "an older client does not see the six reading tools", observed=listed)
        _, called = old.post("tools/call", {"name": TOOLS[0], "arguments": {"limit": 100}})
        rows = called.get("result", {}).get("structuredContent", {}).get("shipments")
        expect_rows(rows, [facts.concise(each) for each in facts.shipments(user)], "what an older client finds")
    booking = {
        "shipment_id": rng.choice(server.world.shipments_of(customer, "booked")).shipment_id,
        "date": "2026-12-24",
        "window": "morning",
    }
    before = _pickups(server)
    _, booked = old.post("tools/call", {"name": "orders_book_pickup", "arguments": booking})
    expect(_pickups(server) == before, "an older client booked without a confirmation", observed=booked)
    nobody = McpHttp(server.turn().program).send(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": TOOLS[0], "arguments": {}}},
        {"mcp-protocol-version": OLDER},
    )
    expect_equal(nobody.response.status, 401, "the status of a call by an older client without a token")
    status, read = old.post("tools/call", {"name": TOOLS[0], "arguments": {}}, scope="orders:book")
    failed = "error" in read or read.get("result", {}).get("isError") is True
    expect(
        status >= 400 or failed,
        "the older revision is a way around the scope",
        expected="403, or an error",
        observed=f"{status} {read}",
        hint="Older clients send no Mcp-Method and no Mcp-Name: what you decide by these headers, they evade.",
    )


class _Old:
    """A client that speaks 2025-11-25."""

    def __init__(self, server: Server, user: User) -> None:
        self._server, self._user = server, user

    def post(
        self, method: str, params: Mapping[str, Any], *, version: str | None = OLDER, scope: str = "orders:read"
    ) -> tuple[int, Mapping[str, Any]]:
        scope = "orders:read orders:book" if method == "tools/call" and params["name"] == TOOLS[6] else scope
        number = self._server.number()
        token = self._server.authority.token(self._user.user_id, scope)
        headers = {"authorization": f"Bearer {token}", "mcp-protocol-version": version}
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        exchange = McpHttp(self._server.turn().program).send(message, headers)
        if exchange.response.status != 200:
            return exchange.response.status, {}
        return 200, exchange.answer(method, number).message


def _pickups(server: Server) -> int:
    (row,) = server.stage.database.rows("SELECT count(*) AS n FROM public.pickups")
    return int(row["n"])
