"""An agent with fixed habits: it starts concise, follows cursors, and mends an argument when the error tells it how."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from grader.checking import Mismatch
from grader.checking.freight import User

from .server import TOOLS, Server

SEARCH, GET, HISTORY, INVOICES, CREATE, READ, BOOK = TOOLS
CHARACTERS_PER_TOKEN = 4
_PAGES = 30


@dataclass
class Agent:
    """Works for one user; counts its calls and what it has to read.

    Attributes:
        costs: by question, what it read in characters.
    """

    server: Server
    user: User
    calls: int = 0
    characters: int = 0
    costs: dict[str, int] = field(default_factory=dict)

    def read_tools(self) -> set[str]:
        """tools/list, once: its length counts."""
        result = self.server.ask("tools/list", user=self.user).result
        self.characters += len(json.dumps(result["tools"], ensure_ascii=False, separators=(",", ":")))
        return {tool["name"] for tool in result["tools"]}

    def use(self, tool: str, /, **arguments: Any) -> Any:
        """One call; an error that names a better word for an argument is followed once.

        Raises:
            Mismatch: the error leads nowhere.
        """
        called = self._call(tool, arguments)
        if not called.failed:
            return called.found
        for name, value in arguments.items():
            if isinstance(value, str) and (better := _better(value, called.text)):
                again = self._call(tool, {**arguments, name: better})
                if not again.failed:
                    return again.found
        raise Mismatch(
            f"the agent asked {tool} wrongly, and the error did not lead it on",
            expected="an error that holds the word that would have been right",
            observed=f"{called.text!r} to {json.dumps(arguments)}",
        )

    def pages(self, tool: str, key: str, /, **arguments: Any) -> Iterator[Any]:
        """All rows of a list."""
        for _ in range(_PAGES):
            page = self.use(tool, **arguments)
            yield from page[key]
            if page["next_cursor"] is None:
                return
            arguments["cursor"] = page["next_cursor"]
        raise Mismatch(f"the agent has read {_PAGES} pages of {tool} and gave up")

    def book(self, arguments: Mapping[str, str]) -> Any:
        """Asks its user, who says yes."""
        params: dict[str, Any] = {"name": BOOK, "arguments": arguments}
        first = self.server.ask("tools/call", params, user=self.user).result
        self.calls += 1
        self.characters += len(json.dumps(first.get("inputRequests")))
        answers = {key: {"action": "accept", "content": {"confirm": True}} for key in first.get("inputRequests") or {}}
        return self._call(BOOK, arguments, {"requestState": first.get("requestState"), "inputResponses": answers}).found

    def _call(self, tool: str, arguments: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Any:
        called = self.server.call_with(self.user, tool, arguments, more=more)
        self.calls += 1
        self.characters += len(called.text)
        return called

    @property
    def tokens(self) -> int:
        """What it has read until now."""
        return self.characters // CHARACTERS_PER_TOKEN


def _better(word: str, sentence: str) -> str | None:
    """The word in an error that is nearest to the one that was wrong, if any is near."""
    rest = sentence.replace(word, " ")
    offered = [*re.findall(r"[A-Za-z_]{4,}", rest), *re.findall(r"[A-Z][a-z]+ [A-Z][a-z]+", rest)]
    near = difflib.get_close_matches(word, offered, n=1, cutoff=0.5)
    return near[0] if near else None
