"""Task access: whose token it is, what it is for, what its user may see, how often, and what is written down of it."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from grader.checking import McpHttp, check, expect, expect_equal
from grader.checking.freight import User

from .confirmation import Booking
from .rows import BOOKING, LIMITED, MOVING, Facts, expect_rows, invoice
from .server import TOOLS, Sent, Server, usual_meta
from .tokens import BOOK as BOOK_SCOPE
from .tokens import READ as READ_SCOPE

SEARCH, GET, HISTORY, INVOICES, CREATE, READ, BOOK = TOOLS
METADATA = "/.well-known/oauth-protected-resource/mcp"
_LARGEST_FILE = 4 * 2**20
PER_MINUTE = 5  # as fresh_server is started


@check(task="access")
def takes_only_its_own_tokens(server: Server, rng: random.Random) -> None:
    """A token that is unsigned, altered, old, of another issuer, for another audience or of nobody is a 401."""
    _, user = Facts(server.world).reader(rng)
    for bad in server.authority.bad_tokens(user.user_id, rng):
        for method, params in (("tools/list", {}), ("tools/call", {"name": SEARCH, "arguments": {}})):
            sent = server.send(method, params, user=user, headers={"authorization": bad.header})
            sent.expect_status(401, what=f"a token with {bad.fault}, on {method}")
            expect(
                sent.header("www-authenticate").startswith("Bearer ")
                and "resource_metadata=" in sent.header("www-authenticate"),
                "a 401 does not say where to get a token",
                expected='WWW-Authenticate: Bearer … resource_metadata="<URL>"',
                observed=sent.header("www-authenticate"),
            )
    for aud in (server.authority.audience, ["https://other.example", server.authority.audience]):
        token = server.authority.token(user.user_id, READ_SCOPE, aud=aud)
        found = server.call_with(user, SEARCH, {"limit": 1}, headers={"authorization": f"Bearer {token}"}).found
        expect_equal(len(found["shipments"]), 1, f"what a token with aud {aud!r} finds")


@check(task="access", after=("takes_only_its_own_tokens",))
def says_where_to_get_a_token(server: Server) -> None:
    """The metadata of the resource are open, true, and where the challenge of each replica says."""
    for replica in server.replicas:
        sent = server.send("tools/list", user=None, on=replica)
        url = re.search(r'resource_metadata="([^"]+)"', sent.header("www-authenticate"))
        own = [f"http://{host}:{replica.program.port}{METADATA}" for host in ("127.0.0.1", "localhost")]
        expect(url and url[1] in own, "resource_metadata is not on this server", expected=own[0], observed=url)
        reply = replica.program.get(METADATA)
        expect_equal(reply.status, 200, f"the status of GET {METADATA}")
        found = reply.json()
        expect_equal(found.get("resource"), server.authority.audience, "the resource that tokens are for")
        expect_equal(found.get("authorization_servers"), [server.authority.issuer], "authorization_servers")
        expect_equal(sorted(found.get("scopes_supported", [])), [BOOK_SCOPE, READ_SCOPE], "scopes_supported")


@check(task="access", after=("takes_only_its_own_tokens",))
def asks_for_the_scope(server: Server, rng: random.Random) -> None:
    """A tool or resource whose scope the token does not have is a 403 that names it, and nothing is carried out."""
    facts = Facts(server.world)
    _, user = facts.own(rng.choice(BOOKING))
    booking = Booking.draw(server, user, rng)
    uri = f"orders://shipments/{booking.shipment_id}"
    before = booking.rows()
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        *(
            ("tools/call", {"name": SEARCH, "arguments": {}}, scope, READ_SCOPE)
            for scope in ("", BOOK_SCOPE, "orders:readwrite", "orders", "orders:read,orders:book", "ORDERS:READ")
        ),
        ("tools/call", {"name": CREATE, "arguments": {}}, BOOK_SCOPE, READ_SCOPE),
        ("tools/call", {"name": BOOK, "arguments": booking.arguments}, READ_SCOPE, BOOK_SCOPE),
        ("resources/read", {"uri": uri}, BOOK_SCOPE, READ_SCOPE),
    ]
    for method, params, scope, needed in cases:
        sent = server.send(method, params, user=user, scope=scope)
        what = f"{params.get('name', method)} with the scope {scope!r}"
        sent.expect_status(403, what=what)
        challenge = sent.header("www-authenticate")
        expect(
            'error="insufficient_scope"' in challenge and needed in challenge,
            "a 403 does not say which scope is needed",
            expected=f'Bearer error="insufficient_scope", scope="{needed}"',
            observed=challenge,
        )
    state = booking.ask(server.turn()).state
    params = {"name": BOOK, "arguments": booking.arguments, **booking.answers(state)}
    sent = server.send("tools/call", params, user=user, scope=READ_SCOPE, headers={"mcp-name": SEARCH})
    sent.expect_status(400, 403, what="a booking under the name of a tool that reads")
    expect_equal(booking.rows(), before, "the pickups after calls that the scope did not allow")
    server.ask("tools/list", user=user, scope="").result  # noqa: B018 - it is one


@check(task="access", after=("takes_only_its_own_tokens", "finds_shipments"))
def hides_what_belongs_to_others(server: Server, rng: random.Random) -> None:
    """Another customer's shipment is answered in every tool as one that never was; a clerk sees it."""
    facts = Facts(server.world)
    _, user = facts.own(rng.choice(BOOKING))
    _, other = facts.reader(rng)
    theirs = rng.choice(facts.shipments(other, "booked")).shipment_id
    near = {each.shipment_id for each in server.world.shipments}
    nobodys = next(each for each in iter(lambda: f"MF-{rng.randrange(100_000, 1_000_000)}", "") if each not in near)
    for tool, more in ((GET, {}), (HISTORY, {"limit": 3}), (BOOK, {"date": "2026-11-20", "window": "morning"})):
        found, absent = (
            server.call(user, tool, shipment_id=each, **more).sentence.replace(each, "<id>")
            for each in (theirs, nobodys)
        )
        expect_equal(found, absent, f"what {tool} says of another customer's shipment, as of one that never was")
    errors = [
        server.send("resources/read", {"uri": f"orders://shipments/{each}"}, user=user).expect_error(
            -32602, "the resource of a shipment that this user has not"
        )
        for each in (theirs, nobodys)
    ]
    words = [str(error).replace(each, "<id>") for error, each in zip(errors, (theirs, nobodys), strict=True)]
    expect_equal(
        words[0], words[1], "what resources/read says of another customer's shipment, as of one that never was"
    )
    expect_equal(server.call(facts.clerk, GET, shipment_id=theirs).found["shipment_id"], theirs, "what a clerk sees")
    mine = [facts.concise(each) for each in facts.shipments(user)]
    expect_rows(server.call(user, SEARCH, limit=100).found["shipments"], mine, "a search by a user of a customer")
    paid = [invoice(each) for each in facts.invoices(user)]
    expect_rows(server.call(user, INVOICES, limit=200).found["invoices"], paid, "the invoices of a customer's user")


@check(task="access", after=("hides_what_belongs_to_others", "pages_show_every_row_once"))
def a_cursor_opens_no_door(server: Server) -> None:
    """A cursor in the hands of a user of another customer shows none of the rows that it was made for."""
    facts = Facts(server.world)
    (_, user), (_, other) = facts.own(BOOKING[0]), facts.own(BOOKING[1])
    for maker in (facts.clerk, other):
        for tool, key, shown in ((SEARCH, "shipments", facts.shipments), (INVOICES, "invoices", facts.invoices)):
            cursor = server.call(maker, tool, limit=1).found["next_cursor"]
            called = server.call(user, tool, limit=100, cursor=cursor)
            own = {getattr(each, "invoice_id", each.shipment_id) for each in shown(user)}
            rows = [] if called.failed else called.found[key]
            foreign = [row for row in rows if row.get("invoice_id", row["shipment_id"]) not in own]
            expect(not foreign, f"a cursor of a {maker.role} opens rows of others in {tool}", observed=foreign)


@check(task="access", after=("hides_what_belongs_to_others",))
def knows_its_users_now(server: Server, rng: random.Random) -> None:
    """Customer and role are looked up in every request: a user who moves, is promoted or leaves is so at once."""
    facts = Facts(server.world)
    (here, mine), (there, theirs) = facts.own(MOVING), facts.own(BOOKING[2])
    database = server.stage.database
    user = User(f"u-{rng.getrandbits(32):08x}", here.customer_id, "New Here", "booker")
    database.change(
        "INSERT INTO public.users VALUES (%s, %s, %s, %s)", [user.user_id, user.customer_id, user.name, user.role]
    )
    booking = Booking.draw(server, mine, rng, by=user)

    def expect_seen(who: User, when: str) -> None:
        for replica in server.replicas:
            found = server.call_with(user, SEARCH, {"limit": 100}, on=replica).found
            expect_rows(
                found["shipments"],
                [facts.concise(each) for each in facts.shipments(who)][:100],
                f"what a user sees {when}",
                hint="Whatever is kept of a user is old in the next request.",
            )

    try:
        expect_seen(mine, "who is new")
        state = booking.ask(server.turn()).state
        database.change("UPDATE public.users SET role = 'viewer' WHERE user_id = %s", [user.user_id])
        called = booking.answer(server.turn(), state)
        expect(called.failed, "a booker who is a viewer since the first round books", observed=called.result)
        expect(booking.ask(server.turn()).called.failed, "a viewer is asked to confirm a booking", expected="an error")
        expect_equal(booking.rows(), [], "the pickups of a viewer")
        database.change(
            "UPDATE public.users SET customer_id = %s WHERE user_id = %s", [there.customer_id, user.user_id]
        )
        expect_seen(theirs, "who has moved to another customer")
        database.change("UPDATE public.users SET customer_id = NULL, role = 'clerk' WHERE user_id = %s", [user.user_id])
        expect_seen(facts.clerk, "who has become a clerk")
    finally:
        database.change("DELETE FROM public.pickups WHERE booked_by = %s", [user.user_id])
        database.change("DELETE FROM public.users WHERE user_id = %s", [user.user_id])
    for replica in server.replicas:
        sent = server.send("tools/call", {"name": SEARCH, "arguments": {}}, user=user, on=replica)
        sent.expect_status(401, what="a user who has left")


@check(task="access", after=("keeps_a_report_as_it_was",))
def a_report_is_its_makers(server: Server, rng: random.Random) -> None:
    """A report is readable for the user who made it and for nobody else, colleague and clerk included."""
    facts = Facts(server.world)
    customer, user = facts.reader(rng, "booker")
    report = server.call(user, CREATE).found["report"]
    page = server.call(user, READ, report=report, limit=2).found
    colleague = server.world.user("viewer", customer)
    stranger = facts.own(BOOKING[0])[1]
    missing = server.call(colleague, READ, report="x" * len(report)).sentence.replace("x" * len(report), "<id>")
    for who in (colleague, stranger, facts.clerk):
        for more in ({}, {"cursor": page["next_cursor"]}):
            called = server.call(who, READ, report=report, **more)
            expect(called.failed, f"a {who.role} reads the report of another user", observed=called.result)
        said = server.call(who, READ, report=report).sentence.replace(report, "<id>")
        expect_equal(said, missing, "what is said of another user's report, as of one that never was")
    expect_equal(server.call(user, READ, report=report).found["total"], page["total"], "the total for its maker")


@check(task="access", after=("keeps_a_report_as_it_was",))
def nobody_guesses_a_report(server: Server, fresh_server: Server) -> None:
    """Handles of reports are long, random, and others on another day."""
    _, user = Facts(server.world).own(LIMITED)
    here = [str(server.call(user, CREATE).found["report"]) for _ in range(4)]
    there = [str(fresh_server.call_with(user, CREATE, {}, on=fresh_server.stage).found["report"]) for _ in range(3)]
    hint = "secrets.token_urlsafe(32) is enough; a counter, a time or a hash of either is not."
    for handle in here:
        expect(len(handle) >= 20, "a handle is too short to be random", expected="120 bits", observed=handle, hint=hint)
    for number, handle in enumerate([*here, *there]):
        for other in [*here, *there][:number]:
            common = _longest_common(handle, other)
            expect(
                len(common) < 12,
                "two handles have too much in common",
                expected="120 random bits each",
                observed=f"{handle} and {other}: {common!r}",
                hint=hint,
            )
    simple = {
        function(text.encode()).hexdigest()
        for n in range(2000)
        for text in (f"{n}", f"{user.user_id}{n}", f"{user.user_id}:{n}", f"{user.user_id}-{n}", f"report-{n}")
        for function in (hashlib.md5, hashlib.sha1, hashlib.sha256)
    }
    expect(not simple & set(here), "a handle is the hash of a number", observed=sorted(simple & set(here)), hint=hint)


def _longest_common(one: str, other: str) -> str:
    """The longest run of characters that both have at the same place."""
    best = run = ""
    for a, b in zip(one, other, strict=False):
        run = run + a if a == b else ""
        best = max(best, run, key=len)
    return best


@check(task="access", after=("takes_only_its_own_tokens",), seconds=20)
def counts_calls_over_all_replicas(fresh_server: Server) -> None:
    """Of twelve calls at once on two replicas exactly the allowed five are served; the others are told to wait."""
    server = fresh_server
    facts = Facts(server.world)
    customer, user = facts.own(LIMITED)
    sent = _at_once(server, user, [{"name": SEARCH, "arguments": {"limit": 1}}] * 12)
    served = [each for each in sent if each.status == 200]
    expect_equal(
        len(served),
        PER_MINUTE,
        f"how many of 12 calls at once are served with RATE_PER_MINUTE={PER_MINUTE}",
        hint="A count in the process doubles with a second one; counting and adding in two steps lets a crowd in.",
    )
    for each in sent:
        if each not in served:
            _expect_told_to_wait(each)
    outcomes = sorted(row["outcome"] for each in sent for row in server.audit(each.number))
    expect_equal(outcomes, ["ok"] * PER_MINUTE + ["refused"] * 7, "what the audit log says of the twelve")
    server.ask("tools/list", user=user).result  # noqa: B018 - it is one, and no call of a tool
    colleague = server.world.user("viewer", customer)
    for _ in range(PER_MINUTE):
        expect(
            server.call(colleague, GET, shipment_id="MF-0").failed,
            "a shipment that is none is found",
            expected="an error",
        )
    _expect_told_to_wait(server.send("tools/call", {"name": SEARCH, "arguments": {}}, user=colleague))
    old = McpHttp(server.turn().program).send(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": SEARCH, "arguments": {}}},
        {"authorization": f"Bearer {server.authority.token(user.user_id)}", "mcp-protocol-version": "2025-11-25"},
    )
    expect(
        old.response.status >= 400 or "error" in old.response.json(),
        "the older revision is a way around the rate",
        observed=old.response.text,
        hint="Older clients send no Mcp-Method: count what the body asks for.",
    )
    for replica in server.replicas:
        replica.restart(kill=True)
    _expect_told_to_wait(server.send("tools/call", {"name": SEARCH, "arguments": {}}, user=user))


def _expect_told_to_wait(sent: Sent) -> None:
    sent.expect_status(429, what="a call over the rate")
    wait = sent.header("retry-after")
    expect(
        wait.isdecimal() and 1 <= int(wait) <= 60,
        "a 429 does not say when to come again",
        expected="Retry-After: 1 to 60",
        observed=wait,
    )


def _at_once(server: Server, user: User, calls: list[dict[str, Any]]) -> list[Sent]:
    replicas = server.replicas
    numbers = [server.number() for _ in calls]

    def send(turn: int) -> Sent:
        return server.send("tools/call", calls[turn], user=user, on=replicas[turn % 2], number=numbers[turn])

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(send, range(len(calls))))


@check(task="access", after=("asks_for_the_scope",))
def writes_down_every_call(server: Server, rng: random.Random) -> None:
    """Each call of a tool leaves one row with its outcome, before its answer, and without what was asked or found."""
    facts = Facts(server.world)
    _, user = facts.own(rng.choice(BOOKING))
    booking = Booking.draw(server, user, rng)
    shipment_id = booking.shipment_id
    report = server.call(user, CREATE).found["report"]
    cases: list[tuple[str, Any, dict[str, Any], str]] = [
        (GET, {"shipment_id": shipment_id}, {}, "ok"),
        (READ, {"report": report}, {}, "ok"),
        (GET, {"shipment_id": "MF-0"}, {}, "error"),
        (SEARCH, {"limit": 0}, {}, "error"),
        ("orders_nothing", {}, {}, "error"),
        (BOOK, booking.arguments, {}, "input_required"),
        (BOOK, booking.arguments, {"meta": usual_meta(elicits=False)}, "error"),
        (SEARCH, {}, {"scope": ""}, "refused"),
        (BOOK, booking.arguments, {"scope": READ_SCOPE}, "refused"),
    ]
    numbers: list[int | str] = []
    for tool, arguments, options, outcome in cases:
        number: int | str = f"r-{rng.getrandbits(40):x}" if rng.random() < 0.3 else server.number()
        numbers.append(number)
        server.send("tools/call", {"name": tool, "arguments": arguments}, user=user, number=number, **options)
        _expect_row(server, user, tool, outcome, number)
    number = server.number()
    params = {"name": BOOK, "arguments": booking.arguments, **booking.answers("no state of yours")}
    server.send("tools/call", params, user=user, number=number).expect_error(-32602, "an invented requestState")
    _expect_row(server, user, BOOK, "error", number)
    quiet = server.number()
    server.ask("tools/list", user=user, number=quiet)
    server.send("tools/call", {"name": SEARCH, "arguments": {}}, user=None, number=quiet)
    expect_equal(server.audit(quiet), [], "what the audit log says of a list of tools, and of a call without a token")
    rows = server.stage.database.rows(
        "SELECT to_jsonb(a)::text AS row, (SELECT count(*) FROM jsonb_object_keys(to_jsonb(a))) AS columns,"
        " a.at > now() - interval '1 minute' AND a.at <= clock_timestamp() AS now"
        " FROM public.audit_log AS a WHERE request_id = ANY (%s)",
        [[str(each) for each in numbers]],
    )
    for row in rows:
        expect(row["now"], "the time of a row in the audit log is not that of the call", observed=row["row"])
        for word in (shipment_id, report, booking.day):
            expect(word not in row["row"], "the audit log holds what was asked for", observed=row["row"])
        expect_equal(row["columns"], 5, "the number of columns of audit_log")


def _expect_row(server: Server, user: User, tool: str, outcome: str, number: int | str) -> None:
    expected = [{"user_id": user.user_id, "tool": tool, "outcome": outcome, "request_id": str(number)}]
    expect_equal(server.audit(number), expected, f"the rows of audit_log for a call of {tool}")


@check(task="access", after=("asks_for_the_scope",))
def keeps_tokens_to_itself(server: Server, rng: random.Random) -> None:
    """No token, good or bad, is written to the database, a file or a log, in plain text or encoded."""
    facts = Facts(server.world)
    _, user = facts.own(rng.choice(BOOKING))
    booking = Booking.draw(server, user, rng)
    good = server.authority.token(user.user_id, jti=f"{rng.getrandbits(64):x}")
    old = server.authority.token(user.user_id, exp=1_700_000_000, jti=f"{rng.getrandbits(64):x}")
    other = server.authority.token(user.user_id, aud="https://calendar.example", jti=f"{rng.getrandbits(64):x}")
    for replica in server.replicas:
        for token, scope in ((good, ""), (old, ""), (other, "")):
            bearer = {"authorization": f"Bearer {token}"}
            for params in (
                {"name": SEARCH, "arguments": {}},
                {"name": CREATE, "arguments": {}},
                {"name": GET, "arguments": {"shipment_id": "MF-0"}},
                {"name": BOOK, "arguments": booking.arguments},
                {"name": "orders_nothing", "arguments": {}},
            ):
                server.send("tools/call", params, user=user, scope=scope, headers=bearer, on=replica)
            server.send("tools/list", user=user, headers={**bearer, "mcp-method": "nothing"}, on=replica)
            server.send("resources/read", {"uri": "orders://shipments/MF-0"}, user=user, headers=bearer, on=replica)
    needles = {needle: how for token in (good, old, other) for needle, how in _needles(token)}
    for place, find in (("the database", _in_database), ("a file", _in_files), ("what it printed", _in_output)):
        where, needle = find(server, list(needles))
        expect(
            not where,
            f"a token stands in {place}{needles.get(needle, '')}",
            expected="nowhere: whoever reads it there can act as the user",
            observed=f"{where}: …{needle}…",
        )


def _needles(token: str) -> list[tuple[str, str]]:
    """Pieces of a token's signature, as it is and in the usual encodings."""
    signature = token.rpartition(".")[2]
    shifted = [base64.b64encode(token[skip:].encode()).decode() for skip in range(3)]
    return [
        (signature[:24], ""),
        (signature[:24].encode().hex(), " (as hex)"),
        *((each[-40:-8], " (as base64)") for each in shifted),
    ]


def _in_database(server: Server, needles: list[str]) -> tuple[str, str]:
    database = server.stage.database
    for relation in database.relations():
        if relation.kind in ("table", "materialized view", "partitioned table"):
            names = (each.replace('"', '""').replace("%", "%%") for each in (relation.schema, relation.name))
            query = (
                "SELECT needle FROM unnest(%s::text[]) AS needle, "  # noqa: S608 - quoted names of the catalogue
                + ".".join(f'"{each}"' for each in names)
                + " AS t WHERE strpos(t::text, needle) > 0 LIMIT 1"
            )
            for row in database.rows(query, [needles]):
                return relation.name, row["needle"]
    return "", ""


def _in_files(server: Server, needles: list[str]) -> tuple[str, str]:
    for replica in server.replicas:
        own = replica.program.recipe.own
        for path in own.rglob("*") if own else ():
            if path.is_file() and path.stat().st_size < _LARGEST_FILE:
                text = _bytes(path)
                for needle in needles:
                    if needle.encode() in text:
                        return path.name, needle
    return "", ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _in_output(server: Server, needles: list[str]) -> tuple[str, str]:
    for replica in server.replicas:
        for needle in needles:
            if needle in replica.output:
                return "standard error or output", needle
    return "", ""
