"""Chooses what answers for the model, from options of the command line that exclude each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.errors import UsageError
from grader.lab import Lab
from grader.model.upstream import Speaks
from grader.practice.answers import furnished
from grader.practice.session import Furnish
from grader.practice.upstreams import Upstream, upstreamed


@dataclass(frozen=True)
class Options:
    """What was typed; files as they were typed, and None or "" for what was not."""

    script: str | None = None
    upstream: str | None = None
    wire: str | None = None
    model: str = ""
    record: str | None = None
    replay: str | None = None
    local_model: bool = False


def what_answers(lab: Lab, options: Options) -> Furnish:
    """The lab's open script unless something else was asked for.

    Raises:
        UsageError: options contradict each other or lack another one, or what they name cannot be used.
    """
    ways = {
        "--script": options.script,
        "--upstream": options.upstream,
        "--replay": options.replay,
        "--local-model": options.local_model,
    }
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other", mend="Give one of them.", slug="contradiction")
    if given in ([], ["--script"]):
        return furnished(lab, _path(options.script))
    if options.local_model:
        return upstreamed(lab, Upstream("schema-chat"))
    if options.wire is None:
        raise UsageError(
            f"{given[0]} does not say which wire it speaks",
            mend="Add --wire anthropic, --wire openai or --wire openai-chat.",
            slug="no-wire-named",
        )
    speaks: Speaks = options.wire  # type: ignore[assignment]  # argparse has checked it
    return upstreamed(
        lab, Upstream(speaks, options.upstream or "", options.model, _path(options.record), _path(options.replay))
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None
