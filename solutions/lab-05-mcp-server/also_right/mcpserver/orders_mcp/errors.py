"""What the model is told when a tool cannot do what it asks."""

from __future__ import annotations

from mcp.server.mcpserver.exceptions import ToolError as SdkToolError


class ToolError(SdkToolError):
    """The SDK shows its message to the model; 600 characters are enough for a sentence or two."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:600])
