"""A hostile program of our own: tries to get out of its level and prints what it managed to do.

It is copied into a program's folder and started like one, with the targets as JSON in its only argument, so it imports
nothing of ours. The grader's side is `attack`.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

_CLONE_NEWUSER = 0x10000000


def main() -> None:
    """Try everything; print a JSON list of what got through."""
    targets = json.loads(sys.argv[1])
    attempts: dict[str, Callable[[dict[str, Any]], object]] = {
        "reads the checks": lambda told: _read(told["checks"]),
        "reads the user's home": lambda told: _read(told["canary"]),
        "writes outside of its folder": lambda told: _append(told["canary"]),
        "reads another process's environment": lambda told: _read(f"/proc/{told['victim']}/environ"),
        "signals another process": lambda told: os.kill(told["victim"], 0),
        "calls a service of this machine over TCP": lambda told: _tcp(told["tcp"]),
        "calls a service of this machine over UDP": lambda told: _udp(told["udp"], told["nonce"]),
        "calls a service of this machine over a socket file": lambda told: _unix(told["unix"]),
        "calls a service of this machine over an abstract socket": lambda told: _unix(f"\0{told['abstract']}"),
        "makes namespaces": lambda _: _unshare(),
        "may gain privileges": lambda _: _new_privileges(),
    }
    through = [what for what, attempt in attempts.items() if _worked(attempt, targets)]
    sys.stdout.write(json.dumps({"nonce": targets["nonce"], "through": through}) + "\n")


def _worked(attempt: Callable[[dict[str, Any]], object], targets: dict[str, Any]) -> bool:
    try:
        attempt(targets)
    except Exception:  # noqa: BLE001 - however it is refused, it is refused
        return False
    return True


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def _tcp(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.recv(1)


def _udp(port: int, nonce: str) -> None:
    """An answer must come back: in a network of its own the datagram just disappears."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.2)
        sender.connect(("127.0.0.1", port))
        sender.send(nonce.encode())
        sender.recv(1)


def _unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


def _unshare() -> None:
    if ctypes.CDLL(None).unshare(_CLONE_NEWUSER) != 0:
        raise PermissionError


def _new_privileges() -> None:
    with open("/proc/self/status", encoding="ascii") as status:
        if any(line.split() == ["NoNewPrivs:", "1"] for line in status):
            raise PermissionError


if __name__ == "__main__":
    main()
