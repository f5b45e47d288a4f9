"""What Anthropic refuses of the options of a request: thinking, output format, cache breakpoints, diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grader.model.wires import anthropic_schemas
from grader.model.wires.anthropic_catalogue import model_named
from grader.model.wires.anthropic_prompt import last_cacheable, pieces_of
from grader.model.wires.wire import JsonObject, Rejection, objects, require

THINKING = ("adaptive", "between_tools", "disabled", "enabled")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
LEAST_BUDGET = 1024
MOST_MARKS = 4
ORDER = (
    "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed "
    "in the following order: tools, system, messages."
)
UNSUPPORTED = {
    "adaptive": "adaptive thinking is not supported on this model",
    "enabled": (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.'
    ),
    "disabled": (
        '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not '
        "specified."
    ),
    "between_tools": '"thinking.type.between_tools" is not supported for this model.',
}


def check_options(body: JsonObject) -> None:
    """Raises Rejection for the first rule that an option breaks."""
    _check_thinking(body)
    _check_output(body)
    _check_marks(body)
    _check_diagnostics(body.get("diagnostics"))


def _check_thinking(body: JsonObject) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kinds = ", ".join(f"'{kind}'" for kind in THINKING)
    require(isinstance(thinking, dict), "thinking: Input should be an object")
    kind = thinking.get("type")
    require(kind in THINKING, f"thinking: Input tag found using 'type' does not match any of: {kinds}")
    require(kind in model_named(body["model"]).thinks, UNSUPPORTED[kind])
    require(
        thinking.get("display") in (None, "summarized", "omitted", "updates"),
        f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'",
    )
    if kind == "enabled":
        _check_budget(body, thinking)
        choice = body.get("tool_choice")
        forces = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
        require(not forces, "Thinking may not be enabled when tool_choice forces tool use.")
        require(
            body.get("temperature", 1) == 1,
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking",
        )


def _check_budget(body: JsonObject, thinking: JsonObject) -> None:
    budget = thinking.get("budget_tokens")
    require("budget_tokens" in thinking, "thinking.enabled.budget_tokens: Field required")
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise Rejection("thinking.enabled.budget_tokens: Input should be a valid integer")
    require(
        budget >= LEAST_BUDGET,
        f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}",
    )
    most = body.get("max_tokens")
    require(
        not isinstance(most, int) or budget < most,
        "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
        "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
    )


def _check_output(body: JsonObject) -> None:
    config = body.get("output_config")
    if config is None:
        return
    require(isinstance(config, dict), "output_config: Input should be an object")
    for name in config:
        require(name in ("effort", "format"), f"output_config.{name}: Extra inputs are not permitted")
    efforts = ", ".join(f"'{effort}'" for effort in EFFORTS)
    require(config.get("effort") in (None, *EFFORTS), f"output_config.effort: Input should be {efforts}")
    wanted = config.get("format")
    if wanted is None:
        return
    require(isinstance(wanted, dict), "output_config.format: Input should be an object")
    require(wanted.get("type") == "json_schema", "output_config.format.type: Input should be 'json_schema'")
    require("schema" in wanted, "output_config.format.schema: Field required")
    complaint = anthropic_schemas.strict_violation(wanted["schema"])
    require(complaint is None, f"output_config.format.schema: {complaint}")
    strict = [tool["input_schema"] for tool in objects(body.get("tools")) if tool.get("strict") is True]
    complaint = anthropic_schemas.too_complex(strict, wanted["schema"])
    require(complaint is None, str(complaint))


def _check_marks(body: JsonObject) -> None:
    """At most four breakpoints, those that last longer first."""
    controls = [*_controls(body)]
    automatic = body.get("cache_control")
    for place, control in [*controls, *([("cache_control", automatic)] if automatic is not None else [])]:
        at = place if place == "cache_control" else f"{place}.cache_control"
        require(isinstance(control, dict), f"{at}: Input should be an object")
        require(control.get("type") == "ephemeral", f"{at}.type: Input should be 'ephemeral'")
        require(control.get("ttl", "5m") in ("5m", "1h"), f"{at}.ttl: Input should be '5m' or '1h'")
    ttls = [(place, control.get("ttl", "5m")) for place, control in controls]
    if automatic is not None:
        ttls = _with_automatic(body, ttls, automatic.get("ttl", "5m"))
    require(
        len(ttls) <= MOST_MARKS,
        f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {len(ttls)}.",
    )
    for index, (place, ttl) in enumerate(ttls):
        short_before = any(earlier == "5m" for _, earlier in ttls[:index])
        require(not (ttl == "1h" and short_before), f"{place}.cache_control.ttl: {ORDER}")


def _with_automatic(body: JsonObject, ttls: list[tuple[str, str]], ttl: str) -> list[tuple[str, str]]:
    """The breakpoints with the one that the top of the request asks for, on the last block that can have one."""
    pieces = pieces_of(body)
    last = last_cacheable(pieces)
    place = pieces[last].place if last is not None else ""
    there = dict(ttls).get(place)
    require(
        there in (None, ttl),
        f"Top-level cache_control has ttl='{ttl}' but the target block already has cache_control with ttl='{there}'",
    )
    return ttls if there or last is None else [*ttls, (place, ttl)]


def _controls(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every `cache_control` of a block, with its place, in the order in which the prompt is read."""
    for index, tool in enumerate(objects(body.get("tools"))):
        yield from _of_block(tool, f"tools.{index}")
    for index, block in enumerate(objects(body.get("system"))):
        yield from _of_block(block, f"system.{index}")
    for index, message in enumerate(objects(body.get("messages"))):
        for number, block in enumerate(objects(message.get("content"))):
            yield from _of_block(block, f"messages.{index}.content.{number}")


def _of_block(block: JsonObject, place: str) -> Iterator[tuple[str, Any]]:
    kind = block.get("type")
    for number, inner in enumerate(objects(block.get("content")) if kind == "tool_result" else ()):
        yield from _of_block(inner, f"{place}.content.{number}")
    if block.get("cache_control") is None:
        return
    if kind in ("thinking", "redacted_thinking"):
        raise Rejection(f"{place}.{kind}.cache_control: Extra inputs are not permitted")
    yield place, block["cache_control"]


def _check_diagnostics(asked: object) -> None:
    if asked is None:
        return
    require(isinstance(asked, dict), "diagnostics: Input should be an object")
    named = asked.get("previous_message_id") if isinstance(asked, dict) else None
    require(named is None or isinstance(named, str), "diagnostics.previous_message_id: Input should be a valid string")
