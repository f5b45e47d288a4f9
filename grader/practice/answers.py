"""Decides who answers in practice: the steps of model.toml, then the lab's own model, else a sentence that says so."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from grader.lab import Lab
from grader.model import Fail, ModelDouble, Request, Responder, Step
from grader.practice.script_file import ScriptFile, read_script

SCRIPT = "model.toml"


def script_of(lab: Lab, chosen: Path | None) -> ScriptFile:
    """The script to follow: the one chosen, else the lab's open example; an empty one when it has none.

    Raises:
        UsageError: the file is malformed, or the chosen one is not there.
    """
    path = chosen or lab.home / "examples" / SCRIPT
    return read_script(path) if chosen or path.is_file() else ScriptFile(path)


def lab_model(lab: Lab) -> Responder | None:
    """The lab's own model, from the module `practice` beside its checks; None for a lab without one.

    The hook: `grader/checks/lab_NN/practice.py` with `def model(examples: Path) -> Responder`.
    """
    home = Path(__file__).parent.parent / "checks" / f"lab_{lab.number:02}" / "practice.py"
    if home.parent != lab.checks or not home.is_file():
        return None
    make: Callable[[Path], Responder] = importlib.import_module(f"grader.checks.lab_{lab.number:02}.practice").model
    return make(lab.home / "examples")


def answering(script: ScriptFile, model: Responder | None) -> Responder:
    """A responder that asks the script, then the lab's model."""

    def answer(request: Request) -> Step:
        if step := script(request):
            return step
        if model is not None:
            return model(request)
        return Fail(
            400,
            message=f"Nothing answers this request in practice: no step of {script.path.name} fits it, and this lab "
            "has no model of its own. Add a step, or use --upstream or --local-model.",
        )

    return answer


def furnished(lab: Lab, script: Path | None) -> Callable[[ModelDouble, ExitStack], str]:
    """Gives a double the lab's open script and model; the text says what answers.

    Raises:
        UsageError: the script is malformed.
    """
    followed = script_of(lab, script)
    model = lab_model(lab)

    def furnish(double: ModelDouble, _stack: ExitStack) -> str:
        double.respond(answering(followed, model))
        parts = [f"{len(followed.rules)} steps of {_shown(followed.path, lab)}"] if followed.rules else []
        parts += ["the one that the brief describes"] if model else []
        return ", then ".join(parts) or f"nobody; write {_shown(followed.path, lab)}, or name one with --script"

    return furnish


def _shown(path: Path, lab: Lab) -> str:
    return str(path.relative_to(lab.root) if path.is_relative_to(lab.root) else path)
