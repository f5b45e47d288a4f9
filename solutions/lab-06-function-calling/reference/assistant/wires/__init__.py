"""The two wires: each turns a conversation into a vendor's request, and the vendor's stream into a `Reply`."""

from assistant.wires.anthropic_wire import AnthropicWire
from assistant.wires.openai_wire import OpenAIWire
from assistant.wires.wire import Wire


def open_wire(name: str) -> Wire:
    """The wire that MODEL_WIRE names."""
    return {"anthropic": AnthropicWire, "openai": OpenAIWire}[name]()


__all__ = ["Wire", "open_wire"]
