"""Carries out one tool call: checked, as the user, in time, and with a result of bounded size."""

from __future__ import annotations

from assistant.database import Pool
from assistant.replies import Call, Result
from assistant.settings import Settings


class Toolbox:
    """The tools of one program."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings

    async def run(self, user_id: str, conversation: str, call: Call) -> Result:
        """The result that the model is told, whatever happens."""
        raise NotImplementedError(
            "lab-06, tasks tools and parallel: carry the call out, in TOOL_SECONDS and TOOL_CHARS"
        )
