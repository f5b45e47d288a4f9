"""A recording as JSON, described field by field in docs/report-format.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grader.model.journal import Block, Exchange
from grader.model.prompt_prefix import segments

FORMAT = 2


def render(lab: str, exchanges: Sequence[tuple[int, Exchange]]) -> str:
    """JSON text with a line end; each exchange with the number that `grader wire` shows."""
    first = min((exchange.request.at for _, exchange in exchanges), default=0.0)
    whole = {
        "format": FORMAT,
        "lab": lab,
        "exchanges": [as_dict(number, exchange, exchange.request.at - first) for number, exchange in exchanges],
    }
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()


def as_dict(number: int, exchange: Exchange, arrived: float) -> dict[str, Any]:
    """One exchange; `arrived` is in seconds since the first of the recording."""
    request = exchange.request
    return {
        "number": number,
        "check": exchange.label,
        "conversation": exchange.conversation,
        "attempt": exchange.attempt,
        "wire": request.wire,
        "method": request.method,
        "path": request.path,
        "params": dict(request.params),
        "continues": request.continues,
        "model": request.model,
        "stream": request.stream,
        "max_tokens": request.max_tokens,
        "system": request.system,
        "messages": [
            {"role": message.role, "blocks": [_block(block) for block in message.blocks]}
            for message in request.messages
        ],
        "tools": [
            {"name": tool.name, "description": tool.description, "schema": tool.schema} for tool in request.tools
        ],
        "tool_choice": list(request.tool_choice) if isinstance(request.tool_choice, tuple) else request.tool_choice,
        "cache_marks": [{"place": part.place, "ttl": part.mark} for part in segments(request) if part.mark],
        "inputs": list(request.inputs),
        "dimensions": request.dimensions,
        "reply": {
            "status": exchange.status,
            "step": exchange.step,
            "id": exchange.reply_id,
            "thinking": exchange.thinking,
            "text": exchange.reply_text,
            "tool_calls": [
                {"id": call.id, "name": call.name, "arguments": call.arguments} for call in exchange.tool_calls
            ],
            "stop": exchange.stop,
            "error": exchange.error,
            "closed_early": exchange.closed_early,
        },
        "tokens": {
            "input": exchange.input_tokens,
            "cache_read": exchange.cache_read_tokens,
            "cache_write": exchange.cache_write_tokens,
            "cache_write_1h": exchange.cache_write_1h_tokens,
            "output": exchange.output_tokens,
            "reasoning": exchange.reasoning_tokens,
        },
        "cost_usd": exchange.cost_usd,
        "priced_as": exchange.priced_as,
        "seconds": {
            "arrived": round(arrived, 6),
            "first_byte": _rounded(exchange.first_byte_seconds),
            "end": _rounded(exchange.seconds),
        },
        "headers": dict(request.headers),
        "body": dict(request.body),
    }


def _block(block: Block) -> dict[str, Any]:
    return {
        "kind": block.kind,
        "text": block.text,
        "id": block.id,
        "name": block.name,
        "arguments": block.arguments,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
