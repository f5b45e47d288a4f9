"""Shows exchanges to the learner: who sent what, what came back, how long it took, with everything inert."""

# ruff: noqa: PLC0415  rich takes longer to import than the rest of the command; it is wanted only to print

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from grader.model.journal import Block, Exchange, Request
from grader.model.wires.wire import canonical
from grader.report.inert import inert

if TYPE_CHECKING:
    from rich.text import Text

TRIMMED = 600  # characters of one message shown
SHOWN_INPUTS = 5  # texts of one embeddings request shown
SHOWN_MESSAGES = 12  # messages of one request shown, the last ones


def render(exchanges: Iterable[Exchange], width: int = 100, colour: bool = False) -> str:
    """The exchanges as text for a terminal of that width, in order of arrival."""
    from rich.console import Console

    page = io.StringIO()
    console = Console(
        file=page,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for exchange in exchanges:
        for line in _lines(exchange):
            console.print(line)
        console.print()
    return page.getvalue()


def trimmed(text: str, limit: int = TRIMMED) -> str:
    """The head and the tail of a long text, and how much is missing between."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 3], text[-limit // 3 :]
    return f"{head} … [{len(text) - len(head) - len(tail)} more characters] … {tail}"


def _lines(exchange: Exchange) -> Iterator[Text]:
    request = exchange.request
    yield _line(_title(exchange), style="bold red" if exchange.error else "bold")
    if request.wire == "openai-embeddings":
        yield from _inputs(request)
    else:
        yield from _prompt(request)
    yield from _outcome(exchange)


def _title(exchange: Exchange) -> str:
    request = exchange.request
    kind = f"{request.wire}{' stream' if request.stream else ''}"
    counted = f"{exchange.input_tokens or request.tokens} tokens in, {exchange.output_tokens} out"
    timing = f"{exchange.seconds * 1000:.0f} ms"
    place = f"#{request.number} {kind}  {request.path}  {request.model or '(no model)'}"
    return f"{place}  {exchange.status}  {counted}  {timing}"


def _inputs(request: Request) -> Iterator[Text]:
    shortened = f", {request.dimensions} dimensions" if request.dimensions else ""
    yield _line(f"  embeds {len(request.inputs)} texts{shortened}")
    for text in request.inputs[:SHOWN_INPUTS]:
        yield _line(f"  > {trimmed(text, 160)}", style="cyan")
    if len(request.inputs) > SHOWN_INPUTS:
        yield _line(f"  … and {len(request.inputs) - SHOWN_INPUTS} more", style="dim")


def _prompt(request: Request) -> Iterator[Text]:
    if request.system:
        yield _line(f"  system: {trimmed(request.system)}", style="magenta")
    hidden = max(0, len(request.messages) - SHOWN_MESSAGES)
    if hidden:
        yield _line(f"  … {hidden} earlier messages", style="dim")
    for message in request.messages[hidden:]:
        for block in message.blocks or (Block("other"),):
            yield _line(f"  {message.role}: {_block(block)}", style="cyan")
    if request.tools:
        yield _line(f"  tools: {', '.join(tool.name for tool in request.tools)}{_choice(request)}")


def _choice(request: Request) -> str:
    match request.tool_choice:
        case None:
            return ""
        case ("tool", name):
            return f" (must call {name})"
        case choice:
            return f" (choice: {choice})"


def _block(block: Block) -> str:
    match block.kind:
        case "text":
            return trimmed(block.text)
        case "tool_use":
            return f"calls {block.name}({trimmed(_arguments(block.arguments))}) [{block.id}]"
        case "tool_result":
            return f"result of [{block.id}]: {trimmed(block.text)}"
        case kind:
            return f"({kind}) {trimmed(block.text)}"


def _arguments(arguments: dict[str, Any] | None) -> str:
    return "?" if arguments is None else canonical(arguments)


def _outcome(exchange: Exchange) -> Iterator[Text]:
    if exchange.reply_text:
        yield _line(f"  model: {trimmed(exchange.reply_text)}", style="green")
    for call in exchange.tool_calls:
        yield _line(f"  model: calls {call.name}({trimmed(canonical(call.arguments))}) [{call.id}]", style="green")
    if exchange.stop not in (None, "end", "tool_use"):
        yield _line(f"  stopped: {exchange.stop}", style="yellow")
    if exchange.error:
        yield _line(f"  {exchange.step}: {exchange.error}", style="red")
    if exchange.closed_early:
        yield _line("  your program closed the connection before the reply was over", style="red")


def _line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(inert(text), style=style, overflow="fold")
