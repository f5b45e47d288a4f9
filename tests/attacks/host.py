"""Trip-wires around one attack: what it could read, reach, change or kill on the machine of whoever grades it."""

from __future__ import annotations

import secrets
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import psutil

GONE_SECONDS = 2.0
UNTOUCHED = "written by the host\n"


class Host:
    """Files, sockets and a process that an attack may go for; `breaches` says what it got.

    Everything here is open to every user of the machine: only a sandbox stands between it and the attack.

    Attributes:
        targets: where all that is, as the attack is told.
        token: a variable in the environment of the attack's program, by which its survivors are found.
    """

    def __init__(self, folder: Path, checks: Path, reference: Path) -> None:
        self.token = f"token-{secrets.token_hex(8)}"
        self._canary = f"canary-{secrets.token_hex(8)}"
        self._stack = ExitStack()
        folder.chmod(0o755)
        self._writable = self._file(folder / "open" / "notes.txt", UNTOUCHED)
        (folder / "open").chmod(0o777)
        home = self._file(folder / "home" / ".ssh" / "id", self._canary)
        self._file(checks / "secret.txt", self._canary)
        self._file(reference / "secret.txt", self._canary)
        self._tcp = self._listener(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._udp = self._listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._unix = self._listener(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "open" / "socket"))
        (folder / "open" / "socket").chmod(0o777)
        self._abstract = self._listener(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.token}")
        self._victim = subprocess.Popen(["sleep", "600"], env={"SECRET": self._canary}, cwd=folder)
        self.targets: dict[str, Any] = {
            "writable": str(self._writable),
            "home": str(home),
            "checks": str(checks),
            "reference": str(reference),
            "tcp": self._tcp.getsockname()[1],
            "udp": self._udp.getsockname()[1],
            "unix": self._unix.getsockname(),
            "abstract": self.token,
            "victim": self._victim.pid,
        }

    def breaches(self, loot: list[str]) -> list[str]:
        """What the attack got hold of, as sentences; `loot` is what it told us itself."""
        found = [f"it got: {item[:300]}" for item in loot]
        if self._writable.read_text("utf-8") != UNTOUCHED or len([*self._writable.parent.iterdir()]) != 2:
            found.append("it wrote to the host's files")
        for name in ("tcp", "unix", "abstract"):
            with suppress(BlockingIOError):
                getattr(self, f"_{name}").accept()[0].close()
                found.append(f"it reached the host's {name} socket")
        with suppress(BlockingIOError):
            self._udp.recv(1)
            found.append("it reached the host's udp socket")
        if self._victim.poll() is not None or psutil.Process(self._victim.pid).status() == psutil.STATUS_STOPPED:
            found.append("it ended or stopped the host's process")
        if left := self._survivors():
            found.append(f"its processes live on: {left}")
        return found

    def _survivors(self) -> list[str]:
        """Processes of the attack that are still there 2 seconds after its run."""
        mine = [process for process in psutil.process_iter() if self._is_of_the_attack(process)]
        _, alive = psutil.wait_procs(mine, timeout=GONE_SECONDS)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        return [f"{process.pid}" for process in alive]

    def _is_of_the_attack(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.environ().get("TOKEN") == self.token and process.status() != psutil.STATUS_ZOMBIE
        return False

    def _file(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o666)
        return path

    def _listener(self, family: int, kind: int, address: Any) -> socket.socket:
        listener = self._stack.enter_context(socket.socket(family, kind))
        listener.bind(address)
        listener.setblocking(False)
        if kind == socket.SOCK_STREAM:
            listener.listen(8)
        return listener

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._victim.kill()
        self._victim.wait()
        self._stack.close()
