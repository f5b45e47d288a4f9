"""The six tools as the model sees them, and the strict reading of what it fills in."""

from __future__ import annotations

from typing import Any


def schemas() -> list[tuple[str, str, dict[str, Any]]]:
    """Name, description and JSON schema of every tool, always in this order and with the same bytes."""
    raise NotImplementedError("lab-06, task tools: describe the six tools of the brief's table")


def read_arguments(name: str, text: str, role: str) -> Any:
    """What the model wants, checked; nothing has happened yet.

    Raises:
        ToolError: no such tool, not for this role, or arguments that do not fit; in this order.
    """
    raise NotImplementedError("lab-06, task tools: check arguments strictly, and say what was wrong with them")
