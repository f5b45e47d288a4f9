"""Speaks to the learner's server as the brief says: two replicas in turn, over HTTP and on stdio, in raw JSON-RPC."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from grader.checking import (
    Answer,
    Begun,
    McpExchange,
    McpHttp,
    McpStdio,
    Mismatch,
    Stage,
    expect,
    expect_equal,
)
from grader.checking.freight import User, World

from .tokens import BOTH, Authority

VERSION = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
TOOLS = (
    "orders_search_shipments",
    "orders_get_shipment",
    "orders_get_history",
    "orders_list_invoices",
    "orders_create_report",
    "orders_read_report",
    "orders_book_pickup",
)
LONGEST_ERROR = 600
LONGEST_RESULT = 100_000
# What the inside of a server looks like when it leaks. Words of the trade (status, limit) are none of them.
_LEAKS = re.compile(
    r"Traceback|psycopg|asyncpg|sqlalchemy|\bSELECT\b|\bINSERT\b|\bWHERE\b|\bUPDATE\b.*\bSET\b|File \"|\.py\b|line \d+,"
    r"|postgres|127\.0\.0\.1|localhost|relation \"|column \"|violates|syntax error|SQLSTATE",
)


@dataclass(frozen=True)
class Called:
    """A result of a tool: `structuredContent` of one that went well, or the sentence of one that did not."""

    tool: str
    result: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it is an error of the tool."""
        return self.result.get("isError") is True

    @property
    def text(self) -> str:
        """Its one text block."""
        content = self.result.get("content")
        match content:
            case [{"type": "text", "text": str(text)}]:
                return text
        raise Mismatch(
            f"a result of {self.tool} has no text block", expected="one block of type text", observed=content
        )

    @property
    def found(self) -> Any:
        """What it found.

        Raises:
            Mismatch: it is an error of the tool.
        """
        if self.failed or self.result.get("resultType") != "complete":
            raise Mismatch(f"{self.tool} did not do what was asked", expected="a result", observed=self.result)
        return self.result.get("structuredContent")

    @property
    def sentence(self) -> str:
        """What it tells the model that asked wrongly.

        Raises:
            Mismatch: it is no error of the tool.
        """
        if not self.failed:
            raise Mismatch(
                f"{self.tool} took what it should not take", expected="a result with isError", observed=self.result
            )
        return self.text


@dataclass
class Server:
    """Two replicas of the learner's server and a process on stdio, all on one database.

    Attributes:
        session_ids: whether any answer brought an Mcp-Session-Id.
    """

    stage: Stage
    world: World
    authority: Authority
    rng: random.Random
    _turn: int = 0
    _schemas: dict[str, Any] = field(default_factory=dict)

    # --- who ------------------------------------------------------------------------------------------------------

    @property
    def replicas(self) -> tuple[Stage, Stage]:
        """Both, running."""
        return self.stage, self.stage.beside("replica")

    def turn(self) -> Stage:
        """The replica whose turn it is, as a load balancer gives them out."""
        self._turn += 1
        return self.replicas[self._turn % 2]

    def stdio(self, user: User, name: str = "stdio") -> McpStdio:
        """The process on stdio for this user."""
        environment = {"MCP_TRANSPORT": "stdio", "MCP_USER": user.user_id}
        return self.stage.beside(f"{name} {user.user_id}", environment, speaks="mcp-stdio").mcp_stdio

    # --- HTTP -----------------------------------------------------------------------------------------------------

    def headers(
        self, method: str, params: Mapping[str, Any], user: User | None, scope: str = BOTH
    ) -> dict[str, str | None]:
        """The headers that go with a request."""
        name = params.get("name") if method == "tools/call" else params.get("uri")
        return {
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
            "mcp-name": str(name) if method in ("tools/call", "resources/read") else None,
            "authorization": f"Bearer {self.authority.token(user.user_id, scope)}" if user else None,
        }

    def send(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        user: User | None,
        scope: str = BOTH,
        number: int | str | None = None,
        meta: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
        on: Stage | None = None,
        seconds: float | None = None,
    ) -> Sent:
        """Send one request over HTTP and read what comes back, whatever it is.

        Args:
            number: the JSON-RPC id.
            meta: `_meta` instead of the usual one.
            headers: instead of, or beside, the usual ones; None leaves one out.
            on: this replica instead of the one whose turn it is.
        """
        message = request(method, params, number=self.number() if number is None else number, meta=meta)
        every = {**self.headers(method, params or {}, user, scope), **(headers or {})}
        exchange = McpHttp((on or self.turn()).program).send(message, every, seconds=seconds)
        sent = Sent(method, message["id"], exchange)
        expect(
            "mcp-session-id" not in exchange.response.headers,
            "an answer brought a session",
            expected="no Mcp-Session-Id: the next request goes to another replica",
            observed=dict(exchange.response.headers),
        )
        bearer = every.get("authorization") or ""
        expect(
            len(bearer) < 20
            or bearer.rpartition(" ")[2] not in f"{exchange.response.text} {dict(exchange.response.headers)}",
            f"the answer to {method} holds the token",
            observed=exchange.response.text,
        )
        return sent

    def number(self) -> int:
        """A fresh JSON-RPC id."""
        return self.rng.getrandbits(40)

    def ask(self, method: str, params: Mapping[str, Any] | None = None, *, user: User, **options: Any) -> Answer:
        """A request and its answer; a result comes with 200, an error with its status."""
        return self.send(method, params, user=user, **options).answer

    # --- tools ----------------------------------------------------------------------------------------------------

    def call(self, user: User, tool: str, /, **arguments: Any) -> Called:
        """Call a tool with these arguments; what comes back is held against its schema."""
        return self.call_with(user, tool, arguments)

    def call_with(
        self, user: User, tool: str, arguments: Any, *, more: Mapping[str, Any] | None = None, **options: Any
    ) -> Called:
        """As `call`, with arguments of any shape; `more` are params beside them, `options` as in `send`."""
        params = {"name": tool, "arguments": arguments, **(more or {})}
        return self.judged(tool, self.ask("tools/call", params, user=user, **options).result)

    def judged(self, tool: str, result: Any) -> Called:
        """A result that has the shape of one.

        Raises:
            Mismatch: it has no resultType, does not fit the schema, says two things, or shows the inside of the server.
        """
        called = Called(tool, result)
        expect(
            isinstance(result, dict) and result.get("resultType") in ("complete", "input_required"),
            f"a result of {tool} has no resultType",
            expected='"complete" or "input_required"',
            observed=result,
        )
        if result["resultType"] == "input_required":
            return called
        if called.failed:
            self._judge_sentence(called)
            return called
        expect(
            len(called.text) <= LONGEST_RESULT,
            f"a result of {tool} is too long for a model",
            expected=f"a text of at most {LONGEST_RESULT:,} characters",
            observed=f"{len(called.text):,}",
        )
        content = result.get("structuredContent")
        try:
            said = json.loads(called.text)
        except ValueError as error:
            raise Mismatch(f"the text of a result of {tool} is not JSON", observed=called.text) from error
        expect_equal(said, content, f"the text of {tool}, which says the same as structuredContent")
        if problem := schema_problem(content, self.output_schema(tool)):
            raise Mismatch(f"a result of {tool} does not fit its own outputSchema", expected=problem, observed=content)
        return called

    def _judge_sentence(self, called: Called) -> None:
        expect(
            10 <= len(called.text) <= LONGEST_ERROR,
            f"an error of {called.tool} is not a short text",
            expected=f"10 to {LONGEST_ERROR} characters",
            observed=called.text,
        )
        if leak := _LEAKS.search(called.text):
            raise Mismatch(
                f"an error of {called.tool} shows the inside of the server",
                expected="what is wrong and what to do next, in words for a model",
                observed=f"{leak.group()!r} in {called.text!r}",
            )

    def tools(self, user: User, **options: Any) -> dict[str, Mapping[str, Any]]:
        """The tools that it offers, by name."""
        listed = self.ask("tools/list", user=user, **options).result.get("tools")
        expect(isinstance(listed, list), "tools/list has no tools", observed=listed)
        return {str(tool.get("name")): tool for tool in listed}

    def output_schema(self, tool: str) -> Any:
        """The schema that results of this tool promise to fit."""
        if not self._schemas:
            self._schemas = {name: each.get("outputSchema") for name, each in self.tools(self.world.users[0]).items()}
        return self._schemas.get(tool)

    def pages(self, user: User, tool: str, key: str, **arguments: Any) -> Iterator[Any]:
        """Every page of a list, each asked of the other replica."""
        page = self.call(user, tool, **arguments).found
        yield page
        while page["next_cursor"] is not None:
            expect(page[key], f"a page of {tool} is empty and says that more follow", observed=page)
            page = self.call(user, tool, **arguments, cursor=page["next_cursor"]).found
            yield page

    @contextmanager
    def begun(self, replica: Stage, message: Mapping[str, Any], user: User) -> Iterator[Begun]:
        """A request over HTTP whose answer nobody waits for."""
        headers = self.headers(message["method"], message["params"], user)
        every = {"accept": "application/json, text/event-stream", "content-type": "application/json", **headers}
        kept = {name: value for name, value in every.items() if value is not None}
        with replica.program.begun("/mcp", json.dumps(message).encode(), kept) as begun:
            yield begun

    def audit(self, number: int | str) -> list[dict[str, Any]]:
        """What the audit log says of the request with this id."""
        return self.stage.database.rows(
            "SELECT user_id, tool, outcome, request_id FROM public.audit_log WHERE request_id = %s", [str(number)]
        )


@dataclass(frozen=True)
class Sent:
    """A request over HTTP and what came back."""

    method: str
    number: int | str
    exchange: McpExchange

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.exchange.response.status

    @property
    def header(self) -> Callable[[str], str]:
        """A header of the answer by its lower-case name, "" where there is none."""
        return lambda name: self.exchange.response.headers.get(name, "")

    @property
    def answer(self) -> Answer:
        """The JSON-RPC answer.

        Raises:
            Mismatch: there is none, or its status does not go with it.
        """
        if self.status not in (200, 400, 404):
            observed = f"{self.status} {self.exchange.response.text!r}"
            raise Mismatch(f"{self.method} was not answered", expected="a JSON-RPC answer", observed=observed)
        answer = self.exchange.answer(self.method, self.number)
        code = answer.message.get("error", {}).get("code")
        wanted = 200 if code is None else 404 if code == -32601 else 400
        if self.status != wanted:
            raise Mismatch(
                f"the HTTP status does not go with the answer to {self.method}",
                expected=wanted,
                observed=f"{self.status} {self.exchange.response.text!r}",
            )
        return answer

    def expect_error(self, code: int, what: str, hint: str = "") -> Mapping[str, Any]:
        """The JSON-RPC error with this code."""
        answer = self.answer
        if answer.message.get("error", {}).get("code") != code:
            raise Mismatch(f"{what} was not refused", expected=f"error {code}", observed=answer.message, hint=hint)
        return answer.error

    def expect_status(self, *statuses: int, what: str, hint: str = "") -> None:
        """The HTTP status is one of these."""
        expect(
            self.status in statuses,
            f"{what} was not turned away",
            expected=" or ".join(map(str, statuses)),
            observed=f"{self.status} {self.exchange.response.text!r}",
            hint=hint,
        )


def request(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    number: int | str,
    meta: Mapping[str, Any] | None = None,
    elicits: bool = True,
) -> dict[str, Any]:
    """A JSON-RPC request of the revision, with the `_meta` that each one carries."""
    usual = {
        VERSION_KEY: VERSION,
        CAPABILITIES_KEY: {"elicitation": {"form": {}}} if elicits else {},
        CLIENT_KEY: {"name": "check", "version": "1"},
    }
    return {
        "jsonrpc": "2.0",
        "id": number,
        "method": method,
        "params": {**(params or {}), "_meta": usual if meta is None else meta},
    }


def usual_meta(*, elicits: bool = True) -> dict[str, Any]:
    """The `_meta` of a client that can, or cannot, ask its user."""
    meta: dict[str, Any] = request("x", number=0, elicits=elicits)["params"]["_meta"]
    return meta


def schema_problem(value: Any, schema: Any) -> str:
    """Why a value does not fit a schema; "" when it does.

    Raises:
        Mismatch: the schema is none.
    """
    try:
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema, registry=Registry()).validate(value)
    except ValidationError as error:
        return f"{error.json_path}: {error.message[:200]}"
    except (SchemaError, Unresolvable, TypeError) as error:
        raise Mismatch("a schema is no JSON schema", observed=f"{str(error)[:200]} in {schema!r}") from error
    return ""
