"""Which conversations are being worked on in this process, and how to stop one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from assistant.errors import HttpError


@dataclass
class Working:
    """A run under way; `cancelled` tells a wish of the user from the end of the program."""

    cancelled: bool = False
    task: asyncio.Task[object] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Register:
    """One run at a time for a conversation. A killed program leaves nothing here: that is what the brief wants."""

    _working: dict[str, Working] = field(default_factory=dict)

    @contextmanager
    def claim(self, conversation: str) -> Iterator[Working]:
        """Work on a conversation in the block.

        Raises:
            HttpError: somebody else does.
        """
        if conversation in self._working:
            raise HttpError(409, "busy")
        working = self._working[conversation] = Working()
        try:
            yield working
        finally:
            del self._working[conversation]
            working.over.set()

    @asynccontextmanager
    async def turn(self, conversation: str) -> AsyncIterator[Working]:
        """As `claim`, but wait for the others."""
        while conversation in self._working:
            await self._working[conversation].over.wait()
        with self.claim(conversation) as working:
            yield working

    def cancel(self, conversation: str) -> None:
        """Stop the run under way.

        Raises:
            HttpError: there is none.
        """
        working = self._working.get(conversation)
        if working is None or working.task is None:
            raise HttpError(409, "idle")
        working.cancelled = True
