"""The model double: plays a language model on real wires, follows a script, and remembers what it was sent."""

from grader.model.batches import Batch, Batches
from grader.model.conversations import Conversation, Leftover, Unmatched
from grader.model.embeddings import Embedder, WordLlamaEmbedder
from grader.model.journal import (
    CHAT_WIRES,
    Block,
    CacheMark,
    Exchange,
    Journal,
    Message,
    Request,
    Tool,
)
from grader.model.lines import from_json, to_json
from grader.model.playbook import Held
from grader.model.script import (
    AsUsual,
    Cut,
    Disconnect,
    Fail,
    Garbage,
    Gate,
    Hold,
    Refuse,
    Reply,
    Responder,
    Slow,
    Step,
    Thinking,
    ToolCall,
    Turn,
    Unfaithful,
    When,
    step_name,
)
from grader.model.server import ModelDouble

__all__ = [
    "CHAT_WIRES",
    "AsUsual",
    "Batch",
    "Batches",
    "Block",
    "CacheMark",
    "Conversation",
    "Cut",
    "Disconnect",
    "Embedder",
    "Exchange",
    "Fail",
    "Garbage",
    "Gate",
    "Held",
    "Hold",
    "Journal",
    "Leftover",
    "Message",
    "ModelDouble",
    "Refuse",
    "Reply",
    "Request",
    "Responder",
    "Slow",
    "Step",
    "Thinking",
    "Tool",
    "ToolCall",
    "Turn",
    "Unfaithful",
    "Unmatched",
    "When",
    "WordLlamaEmbedder",
    "from_json",
    "step_name",
    "to_json",
]
