"""Speaks to the learner's endpoint in the words of the brief, one conversation at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from grader.checking import (
    Conversation,
    Exchange,
    Mismatch,
    ProgramCrashed,
    Request,
    Response,
    Stage,
    Step,
    expect,
    expect_equal,
)
from grader.checking.freight import User

from .cast import Cast
from .history import Outcome, outcomes

FIELDS = ("conversation", "message_id", "status", "reason", "answer", "approvals", "steps", "tokens")
ARRIVAL_SECONDS = 6.0
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """The answer to a message, of the shape that the brief promises."""

    body: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def answer(self) -> str | None:
        return self.body["answer"]  # type: ignore[no-any-return]  # looked at by `read_ended`

    @property
    def approvals(self) -> list[dict[str, Any]]:
        return list(self.body["approvals"])

    def expect(self, status: str, reason: str | None = None) -> Ended:
        """It ended so, and for this reason."""
        expect_equal((self.status, self.body["reason"]), (status, reason), "status and reason of the run")
        return self


class Desk:
    """The endpoint on one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        # Checks share a database: each sees the rows that were written since it began.
        self._pickups = self._highest("pickup_id", "public.pickups")
        self._credits = self._highest("credit_id", "public.credits")

    def _highest(self, key: str, table: str) -> int:
        return int(self.stage.database.rows(f"SELECT COALESCE(max({key}), 0) AS id FROM {table}")[0]["id"])  # noqa: S608

    def talk(self, cast: Cast, user: User) -> Talk:
        """A new conversation of this user."""
        return Talk(self, user, cast)

    def send(self, user: User | None, method: str, path: str, body: Any = None, *, seconds: float = 12) -> Response:
        """One request in the name of this user; nobody's without one."""
        headers = {"X-User": user.user_id} if user else {}
        return self.stage.program.request(method, path, json=body, headers=headers, seconds=seconds)

    def pickups(self, *shipment_ids: str) -> Rows:
        """The pickups of these shipments that were booked since the check began."""
        query = (
            "SELECT pickup_id, shipment_id, pickup_date::text AS date, time_window AS window, booked_by"
            " FROM public.pickups WHERE shipment_id = ANY (%s) AND pickup_id > %s ORDER BY pickup_id"
        )
        return self.stage.database.rows(query, [list(shipment_ids), self._pickups])

    def credits(self, *invoice_ids: str) -> Rows:
        """The credits of these invoices that were issued since the check began."""
        query = (
            "SELECT credit_id, invoice_id, amount_cents, reason, issued_by"
            " FROM public.credits WHERE invoice_id = ANY (%s) AND credit_id > %s ORDER BY credit_id"
        )
        return self.stage.database.rows(query, [list(invoice_ids), self._credits])

    def decide(self, user: User, approval: Mapping[str, Any], decision: str = "approve", **other: Any) -> Response:
        """POST a decision; with the approval's own hash unless another one is named."""
        body = {"decision": decision, "arguments_hash": approval["arguments_hash"], **other}
        return self.send(user, "POST", f"/approvals/{approval['approval_id']}", body)


class Talk:
    """One conversation: what the user says, and what the model says in it."""

    def __init__(self, desk: Desk, user: User, cast: Cast) -> None:
        self.desk = desk
        self.user = user
        self._cast = cast
        self.name = f"c-{cast.number()}"
        self.opening = f"Order {cast.number()}, please."
        self.model: Conversation = desk.stage.model.conversation(self.opening, self.name)
        self._mark = desk.stage.model.journal.mark()
        self._said = 0

    def script(self, *steps: Step) -> Talk:
        """What the model says next in this conversation."""
        self.model.script(*steps)
        return self

    def words(self) -> str:
        """The next thing the user says: the opening first, then something that was not said before."""
        self._said += 1
        return self.opening if self._said == 1 else f"And {self._cast.number()}?"

    def body(self, message: str | None = None, message_id: str | None = None, **other: Any) -> dict[str, Any]:
        """A body for `/chat`."""
        text = message or self.words()
        return {"conversation": self.name, "message_id": message_id or f"m-{self._said}", "message": text, **other}

    def post(self, body: Mapping[str, Any], user: User | None = None) -> Response:
        """POST to `/chat`."""
        return self.desk.send(user or self.user, "POST", "/chat", body)

    def say(self, message: str | None = None, message_id: str | None = None) -> Ended:
        """Say something and wait until the run has ended."""
        return read_ended(self.post(self.body(message, message_id)), self.name)

    def cancel(self, user: User | None = None) -> Response:
        return self.desk.send(user or self.user, "POST", f"/conversations/{self.name}/cancel")

    def transcript(self, user: User | None = None) -> Response:
        return self.desk.send(user or self.user, "GET", f"/conversations/{self.name}/transcript")

    @property
    def requests(self) -> Sequence[Request]:
        """What the model was sent in it."""
        return self.model.requests

    @property
    def last(self) -> Request:
        """What the model was sent last.

        Raises:
            Mismatch: nothing.
        """
        if not self.requests:
            raise Mismatch("the model was not called", expected="a request with the user's message", observed="none")
        return self.requests[-1]

    def results(self) -> dict[str, Outcome]:
        """The results of tool calls that the model was shown last, by the id of the call."""
        return outcomes(self.last)

    def result(self, call_id: str) -> Outcome:
        """What the model was told about this call."""
        found = self.results()
        expect(call_id in found, f"the call {call_id!r} has no result", expected="one result", observed=sorted(found))
        return found[call_id]

    def exchanges(self) -> list[Exchange]:
        """Its exchanges that have ended."""
        return [one for one in self.desk.stage.model.journal.since(self._mark) if one.conversation == self.name]

    @contextlib.contextmanager
    def held(self, when: Callable[[Request], bool] = lambda _: True) -> Iterator[Callable[[], None]]:
        """Keep the model's replies in this conversation back in the block; call what it gives to wait for one."""
        with self.desk.stage.model.hold(lambda request: self.opening in request.text and when(request)) as held:

            def arrived() -> None:
                expect(
                    held.arrived.wait(ARRIVAL_SECONDS),
                    "the model was not asked",
                    expected="a request of this conversation",
                    observed=f"nothing within {ARRIVAL_SECONDS:g} seconds",
                )

            yield arrived


def read_ended(response: Response, conversation: str = "") -> Ended:
    """The body of a 200 of `/chat` or of an approval.

    Raises:
        Mismatch: it is something else.
    """
    if response.status != 200:
        raise Mismatch(
            f"{response.asked} did not end in an answer",
            expected="200",
            observed=f"{response.status} {response.text[:300]}",
            hint="`grader wire lab-06` shows what the model was sent, and what it refused.",
        )
    body = response.json()
    fits = (
        isinstance(body, dict)
        and all(name in body for name in FIELDS)
        and all(isinstance(body[name], int) and not isinstance(body[name], bool) for name in ("steps", "tokens"))
        and isinstance(body["approvals"], list)
        and isinstance(body["answer"], str) == (body["status"] == "answered")
        and body["conversation"] == (conversation or body["conversation"])
    )
    expect(fits, f"the answer to {response.asked} has another shape", expected=", ".join(FIELDS), observed=body)
    return Ended(body)


def expect_error(response: Response, statuses: Sequence[int], word: str | None, what: str) -> None:
    """An error of this status, with its word where the brief names one."""
    expect(
        response.status in statuses,
        f"not as promised: the status of {what}",
        expected=" or ".join(map(str, statuses)),
        observed=f"{response.status} {response.text[:300]}",
    )
    body = response.json()
    found = body.get("error") if isinstance(body, dict) else None
    expect(
        isinstance(found, str) and (word is None or found == word),
        f"not as promised: the error of {what}",
        expected={"error": word or "<a word>"},
        observed=body,
    )


class InBackground:
    """Something that runs while the check does something else; `result()` waits for it."""

    def __init__(self, action: Callable[[], Response]) -> None:
        self._result: Response | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._thread.start()

    def result(self) -> Response:
        """Its response, or the exception that it ended with."""
        self._thread.join()
        if self._error:
            raise self._error
        assert self._result is not None
        return self._result

    def died(self) -> None:
        """Wait for the end of a request that was under way when its program was killed, whatever that was."""
        with contextlib.suppress(Mismatch, ProgramCrashed):
            self.result()

    def _run(self, action: Callable[[], Response]) -> None:
        try:
            self._result = action()
        except BaseException as error:  # noqa: BLE001 - raised again in the check's own thread
            self._error = error


def at_once(*actions: Callable[[], Response]) -> list[Response]:
    """The responses of requests that are sent at the same moment."""
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], Response]) -> Response:
        barrier.wait(10)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))
