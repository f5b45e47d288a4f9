"""The loop: model and tools in turn, until the model answers, a human is needed, or a budget is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assistant import approvals, memory
from assistant.arguments import read_arguments
from assistant.budgets import INVALID, used_up
from assistant.database import Connection, Pool
from assistant.effects import known_effect
from assistant.errors import ToolError
from assistant.replies import Run, Step
from assistant.running import Working
from assistant.settings import Settings
from assistant.tools import Toolbox
from assistant.users import User
from assistant.wires import Wire

# Told about every text delta and every tool result, for clients that stream.
OnEvent = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Engine:
    """Carries runs out. All that it knows about one stands in the database: it can be taken up after any crash."""

    pool: Pool
    settings: Settings
    wire: Wire
    toolbox: Toolbox

    async def work(self, user: User, run: Run, working: Working, on_event: OnEvent | None) -> dict[str, Any]:
        """Take a run up where it stands and bring it to an end; the body for the client.

        Raises:
            UpstreamError: the model does not answer. The run can be taken up again.
        """
        reason = "cancelled"
        try:
            return await self._loop(user, run, on_event)
        except TimeoutError:
            reason = "max_seconds"
        except asyncio.CancelledError:
            if not working.cancelled:
                raise  # the program is told to end; the run goes on after the restart
        # What was under way has been rolled back or is committed: both can be read now.
        async with self.pool.connection() as connection:
            return await self._stop(connection, run, reason)

    async def _loop(self, user: User, run: Run, on_event: OnEvent | None) -> dict[str, Any]:
        ends = asyncio.get_running_loop().time() + self.settings.max_seconds
        while True:
            if asyncio.get_running_loop().time() > ends:
                raise TimeoutError
            async with self.pool.connection() as connection:
                conversation = await memory.load(connection, run.conversation)
            run = conversation[run.number]
            last = run.steps[-1] if run.steps else None
            if last is None or last.is_answered:
                on_text = (lambda text: on_event("text", {"delta": text})) if on_event else None
                reply = await self.wire.ask(conversation[: run.number + 1], on_text)
                async with self.pool.connection() as connection:
                    await memory.add_reply(connection, run, self.wire.name, reply)
                continue
            async with self.pool.connection() as connection:
                if (outcome := await self._ending(connection, user, run, last)) is not None:
                    return outcome
            await self._carry_out(user, run, last, on_event)
            async with self.pool.connection() as connection:
                if (outcome := await self._asked(connection, run)) is not None:
                    return outcome

    async def _ending(self, connection: Connection, user: User, run: Run, last: Step) -> dict[str, Any] | None:
        """The outcome if the last reply leaves nothing to be carried out."""
        if last.reply.ending in ("refused", "truncated"):
            return await self._stop(connection, run, last.reply.ending)
        if not last.reply.calls:
            return await self._end(connection, run, "answered", answer=last.reply.text)
        untouched = len(last.open_calls) == len(last.reply.calls)
        invalid = sum(_is_invalid(call.name, call.arguments, user.role) for call in last.reply.calls)
        if untouched and (reason := used_up(self.settings, run, last, invalid)):
            return await self._stop(connection, run, reason)
        return None

    async def _carry_out(self, user: User, run: Run, step: Step, on_event: OnEvent | None) -> None:
        """All open calls of a reply at the same time, but for those that wait for a human."""
        ready: list[int] = []
        async with self.pool.connection() as connection:
            for index in step.open_calls:
                call = step.reply.calls[index]
                known = await known_effect(connection, run.conversation, call.id)
                if known or not approvals.needs_approval(call, user.role):
                    ready.append(index)  # a repetition is answered with the first result: nobody is asked again
                    continue
                await approvals.ask(connection, run, step.position, index, call, self.settings.approval_seconds)
                match await approvals.decision_of(connection, run, step.position, index):
                    case "approve":
                        ready.append(index)
                    case "deny" | "expired" as decision:
                        await memory.add_result(connection, run, step.position, index, approvals.refusal(decision))
        async with asyncio.TaskGroup() as group:
            for index in ready:
                group.create_task(self._call(user, run, step, index, on_event))

    async def _call(self, user: User, run: Run, step: Step, index: int, on_event: OnEvent | None) -> None:
        call = step.reply.calls[index]
        result = await self.toolbox.run(user.user_id, run.conversation, call)
        async with self.pool.connection() as connection:
            await memory.add_result(connection, run, step.position, index, result)
        if on_event:
            on_event("tool", {"id": call.id, "name": call.name, "error": result.error})

    async def _asked(self, connection: Connection, run: Run) -> dict[str, Any] | None:
        """The outcome if a human has to be waited for.

        Under the run's lock: an answer that comes at this moment is seen here, or takes the run up again afterwards.
        """
        async with connection.transaction():
            await memory.lock(connection, run)
            if not await approvals.pending(connection, run):
                return None
            return await self._end(connection, run, "awaiting_approval")

    async def _stop(self, connection: Connection, run: Run, reason: str) -> dict[str, Any]:
        run = (await memory.load(connection, run.conversation))[run.number]
        await memory.close_open_calls(connection, run)
        return await self._end(connection, run, "stopped", reason=reason)

    async def _end(
        self, connection: Connection, run: Run, status: str, *, reason: str | None = None, answer: str | None = None
    ) -> dict[str, Any]:
        outcome = {
            "conversation": run.conversation,
            "message_id": run.message_id,
            "status": status,
            "reason": reason,
            "answer": answer,
            "approvals": await approvals.pending(connection, run) if status == "awaiting_approval" else [],
            "steps": len(run.steps),
            "tokens": sum(step.reply.tokens for step in run.steps),
        }
        await memory.end(connection, run, outcome)
        return outcome


def _is_invalid(name: str, arguments: str, role: str) -> bool:
    try:
        read_arguments(name, arguments, role)
    except ToolError as error:
        return error.word in INVALID
    return False
