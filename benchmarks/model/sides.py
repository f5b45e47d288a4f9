"""The three chat endpoints as the official SDKs use them, so that one case of the battery is played on each."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from pydantic import BaseModel

from benchmarks.model.doubles import Double

SECONDS = 8.0
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = ("weather", "tickets")


# Clients that a case has made; the battery closes them when the case is over.
_opened: list[anthropic.Anthropic | openai.OpenAI] = []


def close_clients() -> None:
    """Closes every synchronous client that was made since the last time."""
    while _opened:
        _opened.pop().close()


class Place(BaseModel):
    """What structured output is parsed into."""

    city: str


@dataclass(frozen=True)
class Said:
    """What came back, as the SDK shows it."""

    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    stop: str | None = None
    refused: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    raw: Any = None


class Side(ABC):
    """One endpoint through its SDK; `strict` has the SDK hold replies against its types."""

    name: str
    connection_error: type[Exception]
    timeout_error: type[Exception]
    status_error: type[Exception]

    def __init__(self, double: Double, *, retries: int = 0, strict: bool = False, seconds: float = SECONDS) -> None:
        self.double = double
        self.options: dict[str, Any] = {
            "api_key": "k",
            "max_retries": retries,
            "timeout": seconds,
            "_strict_response_validation": strict,
        }

    @abstractmethod
    def ask(self, *, tools: bool = False, force: str = "", max_tokens: int = 50) -> Said: ...

    @abstractmethod
    def stream(self, *, tools: bool = False) -> Said: ...

    @abstractmethod
    async def ask_async(self) -> Said: ...

    @abstractmethod
    async def stream_async(self) -> Said: ...

    @abstractmethod
    def parse(self) -> Any: ...

    @abstractmethod
    def two_rounds(self) -> tuple[Said, Said]:
        """A tool call, and what is said when its result `wet` has been sent."""

    @abstractmethod
    def orphan(self) -> None:
        """Sends the result of a call that nobody made."""

    @abstractmethod
    def bad_schema(self) -> None:
        """Sends a tool whose schema is none."""


class Anthropic(Side):
    """Anthropic Messages."""

    name = "anthropic"
    connection_error, timeout_error = anthropic.APIConnectionError, anthropic.APITimeoutError
    status_error = anthropic.APIStatusError
    question: Any = ({"role": "user", "content": "Hello?"},)

    @property
    def client(self) -> anthropic.Anthropic:
        made = anthropic.Anthropic(base_url=self.double.anthropic_url, **self.options)
        _opened.append(made)
        return made

    @property
    def async_client(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.double.anthropic_url, **self.options)

    def _request(self, *, tools: bool, force: str = "", max_tokens: int = 50) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": "claude-opus-5-5",
            "max_tokens": max_tokens,
            "messages": list(self.question),
        }
        if tools:
            request["tools"] = [{"name": name, "description": name, "input_schema": SCHEMA} for name in TOOLS]
        if force:
            request["tool_choice"] = {"type": "tool", "name": force}
        return request

    def ask(self, *, tools: bool = False, force: str = "", max_tokens: int = 50) -> Said:
        return self._said(self.client.messages.create(**self._request(tools=tools, force=force, max_tokens=max_tokens)))

    def stream(self, *, tools: bool = False) -> Said:
        with self.client.messages.stream(**self._request(tools=tools)) as stream:
            for _ in stream:
                pass
            return self._said(stream.get_final_message())

    async def ask_async(self) -> Said:
        async with self.async_client as client:
            return self._said(await client.messages.create(**self._request(tools=False)))

    async def stream_async(self) -> Said:
        async with self.async_client as client, client.messages.stream(**self._request(tools=False)) as stream:
            return self._said(await stream.get_final_message())

    def parse(self) -> Any:
        return self.client.messages.parse(**self._request(tools=False), output_format=Place).parsed_output

    def two_rounds(self) -> tuple[Said, Said]:
        request = self._request(tools=True)
        first = self.client.messages.create(**request)
        call = next(block for block in first.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "wet"}
        request["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        return self._said(first), self._said(self.client.messages.create(**request))

    def orphan(self) -> None:
        request = self._request(tools=True)
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "wet"}
        request["messages"] = [{"role": "user", "content": [result]}]
        self.client.messages.create(**request)

    def bad_schema(self) -> None:
        request = self._request(tools=True)
        request["tools"][0]["input_schema"] = {"type": "banana"}
        self.client.messages.create(**request)

    def _said(self, message: Any) -> Said:
        return Said(
            text="".join(block.text for block in message.content if block.type == "text"),
            calls=tuple((block.name, block.input) for block in message.content if block.type == "tool_use"),
            stop={"end_turn": "end", "max_tokens": "max_tokens", "tool_use": "tool_use"}.get(message.stop_reason),
            refused=message.stop_reason == "refusal",
            input_tokens=message.usage.input_tokens,
            output_tokens=message.usage.output_tokens,
            raw=message,
        )


class OpenAISide(Side):
    """What both endpoints of OpenAI's have in common."""

    connection_error, timeout_error = openai.APIConnectionError, openai.APITimeoutError
    status_error = openai.APIStatusError

    @property
    def client(self) -> openai.OpenAI:
        made = openai.OpenAI(base_url=self.double.openai_url, **self.options)
        _opened.append(made)
        return made

    @property
    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.double.openai_url, **self.options)


class Chat(OpenAISide):
    """OpenAI Chat Completions."""

    name = "chat"

    def _request(self, *, tools: bool, force: str = "", max_tokens: int = 50) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": "gpt-6.1-sol",
            "messages": [{"role": "user", "content": "Hello?"}],
            "max_completion_tokens": max_tokens,
        }
        if tools:
            functions = [{"name": name, "description": name, "parameters": SCHEMA, "strict": True} for name in TOOLS]
            request["tools"] = [{"type": "function", "function": function} for function in functions]
        if force:
            request["tool_choice"] = {"type": "function", "function": {"name": force}}
        return request

    def ask(self, *, tools: bool = False, force: str = "", max_tokens: int = 50) -> Said:
        request = self._request(tools=tools, force=force, max_tokens=max_tokens)
        return self._said(self.client.chat.completions.create(**request))

    def stream(self, *, tools: bool = False) -> Said:
        options: Any = {"include_usage": True}
        with self.client.chat.completions.stream(**self._request(tools=tools), stream_options=options) as stream:
            for _ in stream:
                pass
            return self._said(stream.get_final_completion())

    async def ask_async(self) -> Said:
        async with self.async_client as client:
            return self._said(await client.chat.completions.create(**self._request(tools=False)))

    async def stream_async(self) -> Said:
        async with self.async_client as client, client.chat.completions.stream(**self._request(tools=False)) as stream:
            return self._said(await stream.get_final_completion())

    def parse(self) -> Any:
        reply = self.client.chat.completions.parse(**self._request(tools=False), response_format=Place)
        return reply.choices[0].message.parsed

    def two_rounds(self) -> tuple[Said, Said]:
        request = self._request(tools=True)
        first = self.client.chat.completions.create(**request)
        message = first.choices[0].message
        assert message.tool_calls
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "wet"}
        request["messages"] += [message, result]
        return self._said(first), self._said(self.client.chat.completions.create(**request))

    def orphan(self) -> None:
        request = self._request(tools=True)
        request["messages"].append({"role": "tool", "tool_call_id": "call_1", "content": "wet"})
        self.client.chat.completions.create(**request)

    def bad_schema(self) -> None:
        request = self._request(tools=True)
        request["tools"][0]["function"]["parameters"] = {"type": "object", "properties": {"a": {"type": "banana"}}}
        self.client.chat.completions.create(**request)

    def _said(self, completion: Any) -> Said:
        choice, usage = completion.choices[0], completion.usage
        calls = choice.message.tool_calls or []
        stops = {"stop": "end", "length": "max_tokens", "tool_calls": "tool_use"}
        return Said(
            text=choice.message.content or "",
            calls=tuple((call.function.name, json.loads(call.function.arguments)) for call in calls),
            stop=stops.get(choice.finish_reason),
            refused=bool(choice.message.refusal),
            input_tokens=usage.prompt_tokens if usage else 0,
            output_tokens=usage.completion_tokens if usage else 0,
            raw=completion,
        )


class Responses(OpenAISide):
    """OpenAI Responses."""

    name = "responses"

    def _request(self, *, tools: bool, force: str = "", max_tokens: int = 50) -> dict[str, Any]:
        request: dict[str, Any] = {"model": "gpt-6.1-sol", "input": "Hello?", "max_output_tokens": max_tokens}
        if tools:
            functions = [{"name": name, "description": name, "parameters": SCHEMA, "strict": True} for name in TOOLS]
            request["tools"] = [{"type": "function", **function} for function in functions]
        if force:
            request["tool_choice"] = {"type": "function", "name": force}
        return request

    def ask(self, *, tools: bool = False, force: str = "", max_tokens: int = 50) -> Said:
        request = self._request(tools=tools, force=force, max_tokens=max_tokens)
        return self._said(self.client.responses.create(**request))

    def stream(self, *, tools: bool = False) -> Said:
        with self.client.responses.stream(**self._request(tools=tools)) as stream:
            for _ in stream:
                pass
            return self._said(stream.get_final_response())

    async def ask_async(self) -> Said:
        async with self.async_client as client:
            return self._said(await client.responses.create(**self._request(tools=False)))

    async def stream_async(self) -> Said:
        async with self.async_client as client, client.responses.stream(**self._request(tools=False)) as stream:
            return self._said(await stream.get_final_response())

    def parse(self) -> Any:
        return self.client.responses.parse(**self._request(tools=False), text_format=Place).output_parsed

    def two_rounds(self) -> tuple[Said, Said]:
        request = self._request(tools=True)
        first = self.client.responses.create(**request)
        call = next(item for item in first.output if item.type == "function_call")
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "wet"}
        request["input"] = [{"role": "user", "content": "Hello?"}, *first.output, output]
        return self._said(first), self._said(self.client.responses.create(**request))

    def orphan(self) -> None:
        request = self._request(tools=True)
        request["input"] = [{"type": "function_call_output", "call_id": "call_1", "output": "wet"}]
        self.client.responses.create(**request)

    def bad_schema(self) -> None:
        request = self._request(tools=True)
        request["tools"][0]["parameters"] = {"type": "object", "properties": {"a": {"type": "banana"}}}
        self.client.responses.create(**request)

    def _said(self, response: Any) -> Said:
        calls = [item for item in response.output if item.type == "function_call"]
        parts = [part for item in response.output if item.type == "message" for part in item.content]
        cut = response.incomplete_details and response.incomplete_details.reason == "max_output_tokens"
        return Said(
            text=response.output_text,
            calls=tuple((call.name, json.loads(call.arguments)) for call in calls),
            stop="max_tokens" if cut else "tool_use" if calls else "end",
            refused=any(part.type == "refusal" for part in parts),
            input_tokens=response.usage.input_tokens if response.usage else 0,
            output_tokens=response.usage.output_tokens if response.usage else 0,
            raw=response,
        )


SIDES: tuple[type[Side], ...] = (Anthropic, Chat, Responses)
