"""Carries out one tool call: checked, as the user, in time, and with a result of bounded size."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass

import psycopg

from assistant.arguments import READS, read_arguments
from assistant.database import Pool
from assistant.effects import act_once, error_result
from assistant.errors import ToolError
from assistant.reads import read
from assistant.replies import Call, Result
from assistant.settings import Settings
from assistant.users import find_user

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Toolbox:
    """The tools of one program."""

    pool: Pool
    settings: Settings

    async def run(self, user_id: str, conversation: str, call: Call) -> Result:
        """The result that the model is told, whatever happens; only a cancellation comes out as one."""
        try:
            # A statement that is cancelled this way is cancelled in the database too, and its transaction rolled back.
            async with asyncio.timeout(self.settings.tool_seconds):
                return self.fitted(await asyncio.shield(self._run(user_id, conversation, call)))
        except TimeoutError:
            return error_result(
                ToolError(
                    "timeout", f"{call.name} took longer than {self.settings.tool_seconds:g} s. Nothing was done."
                )
            )
        except ToolError as error:
            return self.fitted(error_result(error))
        except psycopg.Error:
            log.exception("a tool call failed")
            return error_result(ToolError("failed", f"{call.name} does not work at the moment. Nothing was done."))

    async def _run(self, user_id: str, conversation: str, call: Call) -> Result:
        async with self.pool.connection() as connection:
            user = await find_user(connection, user_id)
            if user is None:  # removed a moment ago
                raise ToolError("forbidden", "The user is not known any more.")
            arguments = read_arguments(call.name, call.arguments, user.role)
            if call.name in READS:
                return Result(json.dumps(await read(connection, user, arguments), ensure_ascii=False))
            return await act_once(connection, user, conversation, call.id, arguments)

    def fitted(self, result: Result) -> Result:
        """The result with a text of at most TOOL_CHARS characters, which says so when it was cut."""
        length = len(result.text)
        if length <= self.settings.tool_chars:
            return result
        notice = f"[truncated: {length} characters in all]"
        return Result(result.text[: self.settings.tool_chars - len(notice)] + notice, result.error)
