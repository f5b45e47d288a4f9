"""Shows exchanges to the learner: who sent what, what came back, how long it took, with everything inert."""

# ruff: noqa: PLC0415  rich takes longer to import than the rest of the command; it is wanted only to print

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from grader.model.journal import Block, Exchange, Request
from grader.model.wires.wire import canonical
from grader.report.inert import inert

TRIMMED = 600  # characters of one message shown
SHOWN_INPUTS = 5  # texts of one embeddings request shown
SHOWN_MESSAGES = 12  # messages of one request shown, the last ones


Line = tuple[str, str]  # text, style


def paint(lines: Iterable[Line], *, width: int = 100, colour: bool = False) -> str:
    """Lines as text for a terminal of that width; nothing in them has an effect of its own."""
    from rich.console import Console
    from rich.text import Text

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
    for text, style in lines:
        console.print(Text(inert(text), style=style, overflow="fold"))
    return page.getvalue()


def trimmed(text: str, limit: int = TRIMMED) -> str:
    """The head and the tail of a long text, and how much is missing between."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 3], text[-limit // 3 :]
    return f"{head} … [{len(text) - len(head) - len(tail)} more characters] … {tail}"


def exchange_lines(exchange: Exchange, number: int) -> Iterator[Line]:
    """One exchange: who sent what, what came back, what it took."""
    request = exchange.request
    yield _title(exchange, number), "bold red" if exchange.error else "bold"
    yield f"  {_accounts(exchange)}", "dim"
    if request.wire == "openai-embeddings":
        yield from _inputs(request)
    else:
        yield from _prompt(request)
    yield from _outcome(exchange)


def total_line(exchanges: Sequence[Exchange]) -> Line:
    """What several exchanges took together."""
    read, written = sum(one.cache_read_tokens for one in exchanges), sum(one.cache_write_tokens for one in exchanges)
    fresh, out = sum(one.input_tokens for one in exchanges), sum(one.output_tokens for one in exchanges)
    cost = sum(exchange.cost_usd for exchange in exchanges)
    requests = "1 request" if len(exchanges) == 1 else f"{len(exchanges):,} requests"
    failed = sum(exchange.failed for exchange in exchanges)
    troubled = f", {failed:,} without a reply" if failed else ""
    return f"{requests}{troubled} · {fresh:,} tokens in{_cached(read, written)}, {out:,} out · {dollars(cost)}", "bold"


def _cached(read: int, written: int) -> str:
    """What came on top of the tokens at full price."""
    parts = [f"{read:,} from the cache"] if read else []
    parts += [f"{written:,} into it" if read else f"{written:,} into the cache"] if written else []
    return f" (and {', '.join(parts)})" if parts else ""


def dollars(amount: float) -> str:
    """An amount with the digits that matter at a token's price."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.6f}"


def _title(exchange: Exchange, number: int) -> str:
    request = exchange.request
    kind = f"{request.wire}{' stream' if request.stream else ''}"
    asked = request.path if request.method == "POST" else f"{request.method} {request.path}"
    named = f" {request.params['custom_id']}" if "custom_id" in request.params else ""
    return f"#{number} {kind}  {asked}{named}  {request.model or '(no model)'}  {exchange.status or 'no status'}"


def _accounts(exchange: Exchange) -> str:
    read, written = exchange.cache_read_tokens, exchange.cache_write_tokens
    fresh = exchange.input_tokens if read or written else exchange.input_tokens or exchange.request.tokens
    parts = [f"{fresh:,} tokens in{_cached(read, written)}, {exchange.output_tokens:,} out"]
    if exchange.priced_as:
        default = " at the default price" if exchange.priced_as == "default" else ""
        parts.append(f"{dollars(exchange.cost_usd)}{default}")
    if exchange.first_byte_seconds is not None:
        parts.append(f"first byte {exchange.first_byte_seconds * 1000:.0f} ms")
    parts.append(f"end {exchange.seconds * 1000:.0f} ms")
    if exchange.attempt > 1:
        parts.append(f"attempt {exchange.attempt}")
    if exchange.conversation:
        parts.append(exchange.conversation)
    return " · ".join(parts)


def _inputs(request: Request) -> Iterator[Line]:
    shortened = f", {request.dimensions} dimensions" if request.dimensions else ""
    texts = "1 text" if len(request.inputs) == 1 else f"{len(request.inputs)} texts"
    yield f"  embeds {texts}{shortened}", ""
    for text in request.inputs[:SHOWN_INPUTS]:
        yield f"  > {trimmed(text, 160)}", "cyan"
    if len(request.inputs) > SHOWN_INPUTS:
        yield f"  … and {len(request.inputs) - SHOWN_INPUTS} more", "dim"


def _prompt(request: Request) -> Iterator[Line]:
    if request.continues:
        yield f"  goes on from {trimmed(request.continues)}", ""
    if request.system:
        yield f"  system: {trimmed(request.system)}", "magenta"
    hidden = max(0, len(request.messages) - SHOWN_MESSAGES)
    if hidden:
        yield f"  … {hidden} earlier messages", "dim"
    for message in request.messages[hidden:]:
        for block in message.blocks or (Block("other"),):
            yield f"  {message.role}: {_block(block)}", "cyan"
    if request.tools:
        yield f"  tools: {', '.join(tool.name for tool in request.tools)}{_choice(request)}", ""


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


def _outcome(exchange: Exchange) -> Iterator[Line]:
    if exchange.thinking:
        yield f"  model thinks: {trimmed(exchange.thinking)}", "dim"
    if exchange.reply_text:
        yield f"  model: {trimmed(exchange.reply_text)}", "green"
    for call in exchange.tool_calls:
        yield f"  model: calls {call.name}({trimmed(canonical(call.arguments))}) [{call.id}]", "green"
    if exchange.stop not in (None, "end", "tool_use"):
        yield f"  stopped: {exchange.stop}", "yellow"
    if exchange.error:
        yield f"  {exchange.step}: {exchange.error}", "red"
    if exchange.closed_early:
        yield "  your program closed the connection before the reply was over", "red"
