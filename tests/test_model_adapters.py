"""The adapters that labs use, LangChain, LangGraph, deepeval and MCP, take the double for the provider.

Skipped where an extra is not installed; `pip install -c constraints.txt -e '.[agents,evals]'` brings them all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pydantic
import pytest

from grader.model.script import Fail, Refuse, Reply, ToolCall, Turn
from grader.model.server import ModelDouble

# deepeval reads these when it is imported and again when the process ends; nothing of a test may go out.
os.environ.update({"DEEPEVAL_TELEMETRY_OPT_OUT": "1", "DEEPEVAL_FILE_SYSTEM": "READ_ONLY"})
# Warnings here are about code that is not ours.
pytestmark = pytest.mark.filterwarnings("default")


class Shipment(pydantic.BaseModel):
    """Where a shipment is."""

    id: str
    days: int


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()
    assert running.leftover == ()


def needs(module: str, extra: str) -> Any:
    return pytest.importorskip(module, reason=f"the extra '{extra}' is not installed")


@pytest.fixture(params=["anthropic", "openai-chat", "openai-responses"])
def chat(running: ModelDouble, request: pytest.FixtureRequest) -> Any:
    """LangChain's chat model on each wire."""
    if request.param == "anthropic":
        made: Any = needs("langchain_anthropic", "agents").ChatAnthropic(
            model="claude-sonnet-5-5", base_url=running.anthropic_base_url, api_key="k", max_retries=1
        )
    else:
        made = needs("langchain_openai", "agents").ChatOpenAI(
            model="gpt-6.2-sol",
            base_url=running.openai_base_url,
            api_key="k",
            max_retries=1,
            use_responses_api=request.param == "openai-responses",
        )
    return made


def test_langchain_gets_a_reply_and_its_usage(double: ModelDouble, chat: Any) -> None:
    double.script(Reply("At Arden."))
    message = chat.invoke("Where is it?")
    assert message.text == "At Arden."
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == (3, 3)


def test_langchain_streams(double: ModelDouble, chat: Any) -> None:
    double.script(Reply("The shipment waits at Arden for a customs release."))
    pieces = [chunk.text for chunk in chat.stream("Where is it?")]
    assert "".join(pieces) == "The shipment waits at Arden for a customs release."
    assert len([piece for piece in pieces if piece]) > 2


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all: LangChain keeps its HTTP client, which lives in the loop of its first use."""
    with asyncio.Runner() as runner:
        yield runner


def test_langchain_works_async(double: ModelDouble, chat: Any, loop: asyncio.Runner) -> None:
    double.script(Reply("At Arden."))
    assert loop.run(chat.ainvoke("Where is it?")).text == "At Arden."


def test_langchain_calls_tools_and_answers(double: ModelDouble, chat: Any) -> None:
    tool = needs("langchain_core.tools", "agents").tool

    @tool  # type: ignore[untyped-decorator]  # the library is imported where it is there
    def lookup(id: str) -> str:  # noqa: A002  the model sees the name
        """Finds a shipment."""
        return f"{id} is at berth 4"

    bound = chat.bind_tools([lookup])
    double.script(Turn(ToolCall("lookup", {"id": "7"}), ToolCall("lookup", {"id": "8"})), Reply("Both at Arden."))
    history: list[Any] = [("user", "Where are 7 and 8?")]
    first = bound.invoke(history)
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("lookup", {"id": "7"}),
        ("lookup", {"id": "8"}),
    ]
    told = [lookup.invoke(call) for call in first.tool_calls]
    assert bound.invoke([*history, first, *told]).text == "Both at Arden."
    assert "8 is at berth 4" in double.journal.requests()[-1].text


def test_langchain_gets_structured_output(double: ModelDouble, chat: Any) -> None:
    double.script(Reply('{"id": "MFX", "days": 3}'))
    structured = chat.with_structured_output(Shipment, method="json_schema")
    assert structured.invoke("Where is it?") == Shipment(id="MFX", days=3)


def test_langchain_retries_an_overload(double: ModelDouble, chat: Any) -> None:
    double.script(Fail(529), Reply("recovered"))
    assert chat.invoke("Where is it?").text == "recovered"


def test_langchain_embeds(double: ModelDouble) -> None:
    embeddings = needs("langchain_openai", "agents").OpenAIEmbeddings(
        model="meridian-embed-1",
        base_url=double.openai_base_url,
        api_key="k",
        check_embedding_ctx_length=False,
    )
    near, far, asked = embeddings.embed_documents(["storage fees at the port", "a recipe for soup", "harbour charges"])

    def dot(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert dot(asked, near) > dot(asked, far)


def test_langgraph_loops_until_the_model_is_done(double: ModelDouble, chat: Any) -> None:
    graph = needs("langgraph.graph", "agents")
    prebuilt = needs("langgraph.prebuilt", "agents")
    tool = needs("langchain_core.tools", "agents").tool

    @tool  # type: ignore[untyped-decorator]  # the library is imported where it is there
    def lookup(id: str) -> str:  # noqa: A002  the model sees the name
        """Finds a shipment."""
        return f"{id} is at berth 4"

    bound = chat.bind_tools([lookup])
    builder = graph.StateGraph(graph.MessagesState)
    builder.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    builder.add_node("tools", prebuilt.ToolNode([lookup]))
    builder.add_edge(graph.START, "model")
    builder.add_conditional_edges("model", prebuilt.tools_condition)
    builder.add_edge("tools", "model")
    shipment = double.conversation("shipment 7").script(
        ToolCall("lookup", {"id": "7"}), ToolCall("lookup", {"id": "7b"}), Reply("At Arden.")
    )
    end = builder.compile().invoke({"messages": [("user", "Where is shipment 7?")]})
    assert end["messages"][-1].text == "At Arden."
    assert [len(request.messages) for request in shipment.requests] == [1, 3, 5]


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_deepeval_judges_with_a_model_of_ours(double: ModelDouble, vendor: str) -> None:
    models = needs("deepeval.models", "evals")
    metrics = needs("deepeval.metrics", "evals")
    cases = needs("deepeval.test_case", "evals")

    class Judge(models.DeepEvalBaseLLM):  # type: ignore[misc,name-defined]  # the library is imported where it is there
        def load_model(self) -> Any:
            return None

        def get_model_name(self) -> str:
            return "judge"

        def generate(self, prompt: str, schema: Any = None) -> Any:
            if vendor == "anthropic":
                with anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="k") as claude:
                    said: Any = claude.messages.parse(
                        model="any",
                        max_tokens=500,
                        messages=[{"role": "user", "content": prompt}],
                        output_format=schema,
                    )
                    return said.parsed_output
            with openai.OpenAI(base_url=double.openai_base_url, api_key="k") as gpt:
                return gpt.responses.parse(model="any", input=prompt, text_format=schema).output_parsed

        async def a_generate(self, prompt: str, schema: Any = None) -> Any:
            return self.generate(prompt, schema)

    double.script(Reply('{"reason": "It names the berth.", "score": 8}'))
    metric = metrics.GEval(
        name="Names the berth",
        evaluation_params=[cases.SingleTurnParams.ACTUAL_OUTPUT],
        evaluation_steps=["Look for a berth."],
        model=Judge(),
        async_mode=False,
    )
    metric.measure(cases.LLMTestCase(input="Where?", actual_output="At berth 4."), _show_indicator=False)
    assert (metric.score, metric.reason) == (0.8, "It names the berth.")
    assert "At berth 4." in double.journal.requests()[-1].text


def test_an_mcp_client_offers_a_servers_tools_to_the_model(double: ModelDouble) -> None:
    mcp = needs("mcp", "mcp")
    server = needs("mcp.server.mcpserver", "mcp").MCPServer("shipments")

    @server.tool()  # type: ignore[untyped-decorator]  # the library is imported where it is there
    def lookup(id: str) -> str:  # noqa: A002  the model sees the name
        """Finds a shipment."""
        return f"{id} is at berth 4"

    async def answer(question: str) -> str:
        """The loop of every MCP client: the model asks, the server does, until the model has said its last."""
        async with (
            mcp.Client(server) as tools,
            anthropic.AsyncAnthropic(base_url=double.anthropic_base_url, api_key="k") as claude,
        ):
            offered: list[Any] = [
                {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
                for tool in (await tools.list_tools()).tools
            ]
            messages: list[Any] = [{"role": "user", "content": question}]
            while True:
                said = await claude.messages.create(model="any", max_tokens=500, messages=messages, tools=offered)
                calls = [block for block in said.content if block.type == "tool_use"]
                if not calls:
                    return "".join(block.text for block in said.content if block.type == "text")
                results = []
                for call in calls:
                    done = await tools.call_tool(call.name, call.input)
                    text = "".join(part.text for part in done.content)
                    results.append({"type": "tool_result", "tool_use_id": call.id, "content": text})
                messages += [said.to_param(), {"role": "user", "content": results}]

    double.script(ToolCall("lookup", {"id": "7"}), Reply("At berth 4."))
    assert asyncio.run(answer("Where is 7?")) == "At berth 4."
    assert double.journal.requests()[-2].tools[0].name == "lookup"
    assert double.journal.requests()[-1].messages[-1].text == "7 is at berth 4"


def test_a_refusal_reaches_langchain(double: ModelDouble, chat: Any) -> None:
    double.script(Refuse("I will not."))
    message = chat.invoke("Help me smuggle.")
    assert "I will not." in str(message.model_dump())
