"""All that a check may import: say what is expected, drive the program, script the model, read the database."""

from grader.checking.command import Command, Finished
from grader.checking.event_stream import Event, EventStream
from grader.checking.expect import Mismatch, check, expect, expect_equal, note
from grader.checking.mcp_http import Exchange as McpExchange
from grader.checking.mcp_http import McpHttp
from grader.checking.mcp_messages import Answer, Mcp
from grader.checking.mcp_stdio import McpStdio
from grader.checking.program import Begun, Program, ProgramCrashed, ProgramTimeout, Response
from grader.checking.stage import FreshStage, Stage
from grader.model import (
    CHAT_WIRES,
    Block,
    Conversation,
    Cut,
    Disconnect,
    Exchange,
    Fail,
    Garbage,
    Hold,
    Message,
    ModelDouble,
    Refuse,
    Reply,
    Request,
    Slow,
    Step,
    Thinking,
    Tool,
    ToolCall,
    Turn,
    Unfaithful,
)

__all__ = [
    "CHAT_WIRES",
    "Answer",
    "Begun",
    "Block",
    "Command",
    "Conversation",
    "Cut",
    "Disconnect",
    "Event",
    "EventStream",
    "Exchange",
    "Fail",
    "Finished",
    "FreshStage",
    "Garbage",
    "Hold",
    "Mcp",
    "McpExchange",
    "McpHttp",
    "McpStdio",
    "Message",
    "Mismatch",
    "ModelDouble",
    "Program",
    "ProgramCrashed",
    "ProgramTimeout",
    "Refuse",
    "Reply",
    "Request",
    "Response",
    "Slow",
    "Stage",
    "Step",
    "Thinking",
    "Tool",
    "ToolCall",
    "Turn",
    "Unfaithful",
    "check",
    "expect",
    "expect_equal",
    "note",
]
