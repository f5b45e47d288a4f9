"""What the tests of Responses send: a question, a function, and how they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai
    from openai.types.responses import Response

ASK = "Where is shipment MFX-4471-B?"
LONG = "The shipment waits at Arden for a customs release; storage costs 41 euros a day. " * 20
LOOKUP: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [{"type": "function", "name": "lookup", "parameters": LOOKUP, "strict": True}]


def ask(gpt: openai.OpenAI, **more: Any) -> Response:
    response: Response = gpt.responses.create(**{"model": "any", "input": ASK, **more})
    return response
