"""The Claude models that this double lists, and what each of them does differently.

Sources: platform.claude.com/docs/en/models (context, output, thinking), …/api/errors (which models refuse prefill,
manual or adaptive thinking), …/build-with-claude/preserved-thinking (what thinking is bound to),
…/build-with-claude/prompt-caching (the shortest prompt that is cached, up to the models of 5), the SDK's warnings
(lifecycles). For later models no source was found for the shortest cached prompt: they have what the same line had at
5, Haiku 5.5 has 1,024. The models of 4.6 to 5 are taken to write 128,000 tokens, as those of 5.5 do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

DATE = re.compile(r"-\d{8}$")


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
    lifecycle: str = "active"


_NEW = Claude("", "", "")  # 5.1 and later: thinking is bound to what came before it
_FIVE = replace(_NEW, binds_prefix=False)
_ALWAYS = ("adaptive",)
_EITHER = ("adaptive", "between_tools", "disabled", "enabled")
_MANUAL = ("disabled", "enabled")
_FOUR_8 = _FIVE
_FOUR_7 = replace(_FIVE, least_cached=2048)
_FOUR_6 = replace(_FIVE, thinks=_EITHER)
_FOUR_5 = replace(_FIVE, context=200_000, most_output=64_000, thinks=_MANUAL, prefills=True)


def _named(kind: Claude, line: str, version: str, **changes: Any) -> Claude:
    name = f"Claude {line.capitalize()} {version.replace('-', '.').capitalize()}"
    return replace(kind, id=f"claude-{line}-{version}", name=name, line=line, **changes)


# All that anthropic.types.Model of SDK 2.12 names, newest first; a name with a date is the model without it.
MODELS = (
    _named(_NEW, "fable", "5-2", thinks=_ALWAYS, least_cached=512),
    _named(_NEW, "mythos", "5-2", thinks=_ALWAYS, least_cached=512),
    _named(_NEW, "opus", "5-5", thinks=_ALWAYS, least_cached=512),
    _named(_NEW, "sonnet", "5-5", binds_account=True),
    _named(_NEW, "haiku", "5-5", binds_account=True),
    _named(_NEW, "fable", "5-1", thinks=_ALWAYS, least_cached=512),
    _named(_NEW, "mythos", "5-1", thinks=_ALWAYS, least_cached=512),
    _named(_FIVE, "opus", "5", least_cached=512),
    _named(_FIVE, "sonnet", "5"),
    _named(_FIVE, "fable", "5", thinks=_ALWAYS, least_cached=512),
    _named(_FIVE, "mythos", "5", thinks=_ALWAYS, least_cached=512),
    _named(_FOUR_8, "opus", "4-8"),
    _named(_FOUR_7, "opus", "4-7"),
    _named(_FOUR_7, "mythos", "preview", thinks=("adaptive", "enabled"), lifecycle="retired"),
    _named(_FOUR_6, "opus", "4-6", least_cached=4096),
    _named(_FOUR_6, "sonnet", "4-6"),
    _named(_FOUR_5, "opus", "4-5", least_cached=4096),
    _named(_FOUR_5, "sonnet", "4-5", lifecycle="deprecated"),
    _named(_FOUR_5, "haiku", "4-5", least_cached=4096),
)
# Any other name is accepted too, and is a model that takes whatever any model takes.
ANY = replace(_FIVE, thinks=_EITHER, prefills=True)


def model_named(name: str) -> Claude:
    """The model's own rules, by its name or one with a date behind it; or those of any other."""
    undated = DATE.sub("", name)
    return next((model for model in MODELS if undated == model.id), ANY)
