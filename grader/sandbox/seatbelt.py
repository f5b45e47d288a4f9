"""macOS's sandbox: a profile in its own language, put on a forked process. Not tried on a Mac yet."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from grader.sandbox.files import DEVICES

if TYPE_CHECKING:
    from grader.sandbox.confine import Confinement

_SYSTEM = ("/System", "/Library/Apple", "/Library/Java", "/opt/homebrew", "/private/var/db/dyld", "/private/etc/ssl")


def profile(confinement: Confinement) -> str:
    """What stays allowed, in the profile language: the last matching rule counts, and the first denies everything."""
    read = (*_SYSTEM, *confinement.read)
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow process-exec*)",
        "(allow signal (target same-sandbox))",
        "(allow process-info* (target same-sandbox))",
        "(allow sysctl-read)",
        '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
        "(allow file-read-metadata)",
        f"(allow file-read* {_paths(read)})",
        f"(allow file-read-data {_literals(confinement.names)})" if confinement.names else "",
        f"(allow file-read* file-write* {_paths((confinement.own,))})",
        f"(allow file-read* file-write-data {_literals(DEVICES)})",
        *(f'(allow network-bind (local tcp "localhost:{port}"))' for port in confinement.listen),
        *(f'(allow network-inbound (local tcp "localhost:{port}"))' for port in confinement.listen),
        *(
            f'(allow network-outbound (remote tcp "localhost:{port}"))'
            for port in (*confinement.connect, *confinement.listen)
        ),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def restrict(text: str) -> None:
    """Put a profile on this process and its children for good.

    Raises:
        OSError: this is no Mac, or the profile is refused; the message holds the system's words.
    """
    libc = ctypes.CDLL(None)
    try:
        apply = libc.sandbox_init
    except AttributeError as error:
        raise OSError(0, "this system has no sandbox_init") from error
    said = ctypes.c_char_p()
    if apply(text.encode(), ctypes.c_uint64(0), ctypes.byref(said)) != 0:
        raise OSError(0, (said.value or b"sandbox_init failed").decode("utf-8", "replace"))


def _paths(paths: tuple[str, ...]) -> str:
    return " ".join(f"(subpath {_quoted(path)})" for path in paths)


def _literals(paths: tuple[str, ...]) -> str:
    return " ".join(f"(literal {_quoted(path)})" for path in paths)


def _quoted(path: str) -> str:
    """A string of the profile language."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
