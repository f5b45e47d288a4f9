"""The Claude models that this double lists, and what each of them does differently.

Sources: platform.claude.com/docs/en/models (context, output, thinking), .../build-with-claude/preserved-thinking (what
thinking is bound to). The shortest cached prompt is that of the generation before, 512 tokens for Opus 5 and 1,024 for
Sonnet 5; no source was found for the models of 5.5 and none for Haiku 5.5, which gets 1,024.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claude:
    """One model: lengths are in tokens.

    Attributes:
        least_cached: a prompt shorter than this is never cached.
        thinks: the types of `thinking` that it takes.
        binds_prefix: its thinking is valid only after the very prompt that it was thought after.
        binds_account: its thinking is shown only to the account that it was made for.
        prefills: whether a conversation may end with the beginning of the reply.
    """

    id: str
    name: str
    line: str
    context: int = 1_000_000
    most_output: int = 128_000
    least_cached: int = 1024
    thinks: tuple[str, ...] = ("adaptive", "between_tools", "disabled")
    binds_prefix: bool = True
    binds_account: bool = False
    prefills: bool = False


MODELS = (
    Claude("claude-opus-5-5", "Claude Opus 5.5", "opus", least_cached=512, thinks=("adaptive",)),
    Claude("claude-sonnet-5-5", "Claude Sonnet 5.5", "sonnet", binds_account=True),
    Claude("claude-haiku-5-5", "Claude Haiku 5.5", "haiku", binds_account=True),
)
# Any other name is accepted too, and is an older model that takes whatever any model takes.
ANY = Claude(
    "",
    "",
    "",
    thinks=("adaptive", "between_tools", "disabled", "enabled"),
    binds_prefix=False,
    prefills=True,
)


def model_named(name: str) -> Claude:
    """The model's own rules, by its name or one with a date behind it; or those of any other."""
    return next((model for model in MODELS if name == model.id or name.startswith(f"{model.id}-")), ANY)
