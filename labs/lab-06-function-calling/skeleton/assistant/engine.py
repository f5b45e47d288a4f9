"""The loop: model and tools in turn, until the model answers, a human is needed, or a budget is used up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assistant.database import Pool
from assistant.settings import Settings
from assistant.tools import Toolbox
from assistant.users import User
from assistant.wires import Wire

# Told about every text delta and every tool result, for clients that stream.
OnEvent = Callable[[str, dict[str, Any]], None]


class Engine:
    """Carries runs out."""

    def __init__(self, pool: Pool, settings: Settings, wire: Wire, toolbox: Toolbox) -> None:
        self._pool = pool
        self._settings = settings
        self._wire = wire
        self._toolbox = toolbox

    async def work(self, user: User, run: Any, on_event: OnEvent | None) -> dict[str, Any]:
        """Take a run up where it stands and bring it to an end; the body for the client."""
        raise NotImplementedError(
            "lab-06, tasks loop, budgets, parallel and stream: one step after another, each stored"
        )
