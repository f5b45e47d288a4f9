"""Gives a double a real model to answer in its place: a provider's, a local one, or what one of them said before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from grader.errors import UsageError
from grader.lab import Lab
from grader.model import ModelDouble
from grader.model.upstream import Live, Recording, Relay, Speaks, read_tape, secrets_in
from grader.model.upstream.local import NAME, local_model
from grader.practice.session import Furnish
from grader.recordings import folder_of
from grader.submission import write_fault

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "openai-chat": "OPENAI_API_KEY"}
NEAR = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Upstream:
    """What the command line asks for; without `url` and `replay` it is the local model.

    Attributes:
        speaks: the wire of the upstream.
        model: the model to ask for instead of the program's, or "".
        record: the file to record to, or None for one of ours.
        replay: the file to answer from instead of asking anybody.
    """

    speaks: Speaks
    url: str = ""
    model: str = ""
    record: Path | None = None
    replay: Path | None = None


def upstreamed(lab: Lab, upstream: Upstream, environment: Mapping[str, str] = os.environ) -> Furnish:
    """Makes the upstream answer for a double.

    Raises:
        UsageError: no key for a provider, an address that is none, a recording that cannot be read.
    """
    if upstream.replay:
        tape = read_tape(upstream.replay)
        said = f"{len(tape.takes)} recorded replies of {upstream.replay}, offline"
        return lambda double, _stack: _relay(double, Relay(tape, upstream.speaks, upstream.model), said)
    if not upstream.url:
        return _locally
    key = key_for(upstream, environment)
    path = upstream.record or _recording_of(lab)

    def furnish(double: ModelDouble, _stack: ExitStack) -> str:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The key above all, whatever its variable is called.
            secrets = tuple(dict.fromkeys([*([key] if key else []), *secrets_in(environment)]))
            source = Recording(Live(upstream.url, key), path, secrets)
        except OSError as error:
            raise write_fault(path, error) from error
        again = f"grader up {lab.name} --replay {path} --wire {upstream.speaks}"
        said = f"{upstream.url} ({upstream.speaks}{f', {upstream.model}' if upstream.model else ''}), with your own key"
        said = said if key else said.replace("with your own key", "without a key")
        return _relay(double, Relay(source, upstream.speaks, upstream.model), f"{said}\n  again, offline: {again}")

    return furnish


def key_for(upstream: Upstream, environment: Mapping[str, str]) -> str:
    """The learner's key for the upstream; none is needed for a server on this machine.

    Raises:
        UsageError: the address is none, or there is no key for it.
    """
    host = urlsplit(upstream.url).hostname if upstream.url.startswith(("http://", "https://")) else None
    if not host:
        raise UsageError(
            f"{upstream.url!r} is no address of an upstream",
            mend="Give it as in --upstream https://api.anthropic.com or --upstream http://127.0.0.1:11434/v1.",
            slug="upstream-address",
        )
    name = KEYS[upstream.speaks]
    key = environment.get(name, "")
    if not key and host not in NEAR:
        raise UsageError(
            f"there is no key for {host}: {name} is not set",
            mend=f"Set it for this command alone: {name}=… grader up … The program never sees it.",
            slug="no-upstream-key",
        )
    return key


def _locally(double: ModelDouble, stack: ExitStack) -> str:
    source = Live(stack.enter_context(local_model()))
    return _relay(double, Relay(source, "schema-chat", NAME), f"{NAME} on this machine; small, and often wrong")


def _relay(double: ModelDouble, relay: Relay, said: str) -> str:
    relay.own_models = double.own_models
    double.relay(relay)
    return said


def _recording_of(lab: Lab) -> Path:
    return folder_of(lab) / f"upstream-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"
