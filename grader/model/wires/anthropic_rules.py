"""What Anthropic Messages refuses with 400, in its order and close to its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grader.model.wires.anthropic_blocks import check_block, check_content
from grader.model.wires.anthropic_catalogue import model_named
from grader.model.wires.anthropic_option_rules import check_options
from grader.model.wires.anthropic_tool_rules import check_calls, check_pairs, check_tools
from grader.model.wires.wire import JsonObject, Rejection, is_whole, objects, require

# anthropic.types.MessageCreateParams of SDK 2.12, plus the sampling knobs that older models still take on the wire.
FIELDS = frozenset(
    {
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
BETA_FIELDS = frozenset({"thread"})  # looked at before, where threads are kept
# Of anthropic.types.beta: taken by the vendor with the beta header that belongs to it, not played by this double.
NOT_PLAYED = frozenset(
    {"billing_policy", "compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers"}
)
TIERS = ("auto", "standard_only")
SPEEDS = (None, "fast", "standard")
MOST_MESSAGES = 100_000
ROLES = ("user", "assistant", "system")


def check(
    body: JsonObject,
    headers: Mapping[str, str],
    *,
    resumes: bool = False,
    ours: Callable[[str], bool] = lambda _: False,
) -> None:
    """Raises Rejection for the first rule that the request breaks.

    Args:
        resumes: its last message is the reply of a paused turn, sent back to be gone on with.
        ours: whether this double made a call by that id although its tool was not offered.
    """
    check_prompt(body, headers, needed=("model", "max_tokens", "messages"), known=FIELDS | BETA_FIELDS, ours=ours)
    _check_max_tokens(body)
    _check_end(body, resumes=resumes)


def check_prompt(
    body: JsonObject,
    headers: Mapping[str, str],
    *,
    needed: tuple[str, ...],
    known: frozenset[str],
    ours: Callable[[str], bool],
) -> None:
    """The rules that counting tokens has too: those of the prompt, without how the reply is to be made."""
    if not headers.get("anthropic-version"):
        raise Rejection("anthropic-version: header is required")
    for name in needed:
        require(name in body, f"{name}: Field required")
    for name in body:
        played = name not in NOT_PLAYED or "anthropic-beta" not in headers
        require(played, f"{name}: the vendor takes it in a beta, the model double of these labs does not play it")
        require(name in known, f"{name}: Extra inputs are not permitted")
    _check_scalars(body)
    _check_system(body.get("system"))
    _check_messages(body["messages"])
    _check_places(body["messages"])
    check_pairs(body["messages"])
    check_tools(body.get("tools"), body.get("tool_choice"))
    check_calls(body["messages"], body.get("tools"), ours=ours)
    check_options(body)


def _check_scalars(body: JsonObject) -> None:
    model = body["model"]
    require(isinstance(model, str), "model: Input should be a valid string")
    require(model, "model: String should have at least 1 character")
    require(isinstance(body.get("stream", False), bool), "stream: Input should be a valid boolean")
    sequences = body.get("stop_sequences", [])
    require(
        isinstance(sequences, list) and all(isinstance(item, str) for item in sequences),
        "stop_sequences: Input should be a valid list of strings",
    )
    spoken = all(item.strip() for item in sequences)
    require(spoken, "stop_sequences: each stop sequence must contain non-whitespace")
    require(body.get("service_tier", "auto") in TIERS, "service_tier: Input should be 'auto' or 'standard_only'")
    require(body.get("speed") in SPEEDS, "speed: Input should be 'fast' or 'standard'")
    most_likely = body.get("top_k", 0)
    require(is_whole(most_likely) and most_likely >= 0, "top_k: Input should be a valid integer, 0 or more")
    require(isinstance(body.get("metadata", {}), dict), "metadata: Input should be an object")
    for name, top in (("temperature", 1), ("top_p", 1)):
        value = body.get(name, 0)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        require(number and 0 <= value <= top, f"{name}: range: 0..{top}")


def _check_max_tokens(body: JsonObject) -> None:
    most = model_named(body["model"]).most_output
    max_tokens = body["max_tokens"]
    require(is_whole(max_tokens), "max_tokens: Input should be a valid integer")
    require(max_tokens >= 0, "max_tokens: Input should be greater than or equal to 0")
    require(
        max_tokens <= most,
        f"max_tokens: {max_tokens} > {most}, which is the maximum allowed number of output tokens for {body['model']}",
    )
    if max_tokens == 0:
        _check_warming(body)


def _check_warming(body: JsonObject) -> None:
    """`max_tokens: 0` only fills the cache: nothing that asks for a reply of some kind goes with it."""
    choice, config = body.get("tool_choice") or {}, body.get("output_config") or {}
    for wrong, what in (
        (body.get("stream"), "`stream: true`"),
        (isinstance(body.get("thinking"), dict) and body["thinking"].get("type") == "enabled", "enabled thinking"),
        (isinstance(choice, dict) and choice.get("type") in ("any", "tool"), "a tool_choice that forces tool use"),
        (isinstance(config, dict) and config.get("format"), "`output_config.format`"),
    ):
        require(not wrong, f"max_tokens: 0 cannot be used with {what}")


def _check_end(body: JsonObject, *, resumes: bool) -> None:
    """Where a conversation may not end: with the beginning of the reply."""
    last = body["messages"][-1]
    if last["role"] != "assistant" or resumes:
        return
    require(
        model_named(body["model"]).prefills,
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    )
    blocks = objects(last["content"])
    text = last["content"] if isinstance(last["content"], str) else blocks[-1].get("text", "") if blocks else ""
    require(
        not isinstance(text, str) or text == text.rstrip(),
        "messages: final assistant content cannot end with trailing whitespace",
    )


def _check_system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    require(isinstance(system, list), "system: Input should be a valid string or a list of text blocks")
    for index, block in enumerate(system if isinstance(system, list) else ()):
        place = f"system.{index}"
        require(isinstance(block, dict) and block.get("type") == "text", f"{place}: Input should be a text block")
        check_block(block, place)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise Rejection("messages: Input should be a valid list")
    require(messages, "messages: at least one message is required")
    require(len(messages) <= MOST_MESSAGES, f"messages: at most {MOST_MESSAGES} messages are allowed")
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if not isinstance(message, dict):
            raise Rejection(f"{place}: Input should be an object")
        for name in ("role", "content"):
            require(name in message, f"{place}.{name}: Field required")
        extra = sorted(set(message) - {"role", "content"})
        require(not extra, f"{place}.{''.join(extra[:1])}: Extra inputs are not permitted")
        require(message["role"] in ROLES, f"{place}.role: Input should be 'user', 'assistant' or 'system'")
        last_words = index == len(messages) - 1 and message["role"] == "assistant"
        check_content(message["content"], place, may_be_empty=last_words)


def _check_places(messages: list[JsonObject]) -> None:
    """A system message stands right after a user's, and nothing but a reply of the model's comes after it."""
    for index, message in enumerate(messages):
        if message["role"] != "system":
            continue
        before = messages[index - 1]["role"] if index else None
        after = messages[index + 1]["role"] if index + 1 < len(messages) else "assistant"
        require(
            before == "user" and after == "assistant",
            f"messages.{index}: a `system` message must immediately follow a `user` turn and must be the last message "
            "or be followed by an `assistant` turn",
        )
