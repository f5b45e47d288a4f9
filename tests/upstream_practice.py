"""What the tests of upstream models ask, on every wire, with the vendors' SDKs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import openai
from pydantic import BaseModel

from grader.model import ModelDouble

KEY = "sk-the-learners-own-key"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Weather(BaseModel):
    """What structured output is parsed into."""

    city: str


@contextmanager
def clients(double: ModelDouble) -> Iterator[tuple[anthropic.Anthropic, openai.OpenAI]]:
    with (
        anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="practice-key", max_retries=0) as claude,
        openai.OpenAI(base_url=double.openai_base_url, api_key="practice-key", max_retries=0) as gpt,
    ):
        yield claude, gpt


WAYS = ("anthropic", "chat", "responses", "anthropic-stream", "chat-stream", "responses-stream")


def say(double: ModelDouble, way: str, text: str = "Hello?") -> str:
    """Asks on one wire with the vendor's SDK; the text of the reply."""
    with clients(double) as (claude, gpt):
        messages: Any = [{"role": "user", "content": text}]
        if way == "anthropic":
            reply = claude.messages.create(model="m", max_tokens=99, system="Be kind.", messages=messages)
            return "".join(block.text for block in reply.content if block.type == "text")
        if way == "anthropic-stream":
            with claude.messages.stream(model="m", max_tokens=99, system="Be kind.", messages=messages) as stream:
                return "".join(stream.text_stream)
        if way == "chat":
            messages.insert(0, {"role": "system", "content": "Be kind."})
            return gpt.chat.completions.create(model="m", messages=messages).choices[0].message.content or ""
        if way == "chat-stream":
            messages.insert(0, {"role": "system", "content": "Be kind."})
            with gpt.chat.completions.stream(model="m", messages=messages) as events:
                return events.get_final_completion().choices[0].message.content or ""
        if way == "responses":
            return gpt.responses.create(model="m", instructions="Be kind.", input=text).output_text
        with gpt.responses.stream(model="m", instructions="Be kind.", input=text) as parts:
            return parts.get_final_response().output_text
