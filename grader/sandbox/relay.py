"""Carries TCP connections between this machine's 127.0.0.1 and the network of a box, byte by byte, errors included."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from grader.sandbox import doorman

MOST_CONNECTIONS = 256
_BACKLOG = 128
_PIECE = 64 * 1024
_LOOK_SECONDS = 0.005
_SECONDS = 5.0
_LISTENING = "0A"
_RESET_ON_CLOSE = struct.pack("=ii", 1, 0)

Connect = Callable[[], socket.socket]


class Relay:
    """A port of 127.0.0.1 behind which a server is that confined programs cannot call themselves.

    Attributes:
        port: where they call it.
    """

    def __init__(self, connect: Connect) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=_serve, args=(self._listener, connect), name=f"relay {self.port}", daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        _shut(self._listener)


class Inbound:
    """Lets the run reach a port of the program at the same port here, as soon as the program listens on it.

    Until then a connection is refused, as it would be without a box.

    Raises:
        OSError: EADDRINUSE: somebody else has the port here.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError:
            self._listener.close()
            raise

    def open(self, pid: int, door: Door, ended: threading.Event) -> None:
        """Begin; `ended` is set when the program ends."""

        def wait_and_serve() -> None:
            while not listens(pid, self.port):
                if ended.wait(_LOOK_SECONDS):
                    self.close()
                    return
            _serve(self._listener, lambda: door.connect(self.port))

        threading.Thread(target=wait_and_serve, name=f"inbound {self.port}", daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        _shut(self._listener)


class Door:
    """The run's end of a doorman's socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def connect(self, port: int) -> socket.socket:
        """A connection to a port of the program.

        Raises:
            OSError: nothing listens there, or the program has ended.
        """
        with self._lock:
            return doorman.knock(self._socket, port)

    def close(self) -> None:
        """No more connections."""
        self._socket.close()


def outbound(descriptor: int, port: int) -> Callable[[], None]:
    """Connect whoever comes to this listening socket of a box to the same port here; gives what ends it."""
    listener = socket.socket(fileno=descriptor)

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), _SECONDS)

    threading.Thread(target=_serve, args=(listener, connect), name=f"outbound {port}", daemon=True).start()
    return lambda: _shut(listener)


def listens(pid: int, port: int) -> bool:
    """Whether somebody in the network of that process listens on the port."""
    return any(address.endswith(f":{port:04X}") for address in _listeners(pid))


def listening_at(pid: int) -> set[str]:
    """Where that process's network is listened to, as in "127.0.0.1:8000"."""
    found = set()
    for address in _listeners(pid):
        host, port = address.split(":")
        words = struct.pack(f"={len(host) // 8}I", *(int(host[at : at + 8], 16) for at in range(0, len(host), 8)))
        shown = socket.inet_ntoa(words) if len(words) == 4 else f"[{socket.inet_ntop(socket.AF_INET6, words)}]"
        found.add(f"{shown}:{int(port, 16)}")
    return found


def _listeners(pid: int) -> list[str]:
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    found.append(fields[1])
    return found


def _serve(listener: socket.socket, connect: Connect) -> None:
    """Pair every connection that comes with one that is made, until the listener is shut."""
    free = threading.BoundedSemaphore(MOST_CONNECTIONS)
    with contextlib.suppress(OSError):
        listener.listen(_BACKLOG)
        while True:
            near, _ = listener.accept()
            if not free.acquire(blocking=False):
                _reset(near)
                continue
            threading.Thread(target=_carry, args=(near, connect, free), name="relay", daemon=True).start()


def _carry(near: socket.socket, connect: Connect, free: threading.BoundedSemaphore) -> None:
    try:
        try:
            far = connect()
        except OSError:
            _reset(near)
            return
        far.settimeout(None)
        for end in (near, far):
            if end.family != socket.AF_UNIX:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        broken = threading.Event()
        back = threading.Thread(target=_pump, args=(far, near, broken), name="relay back", daemon=True)
        back.start()
        _pump(near, far, broken)
        back.join()
        near.close()
        far.close()
    finally:
        free.release()


def _pump(source: socket.socket, target: socket.socket, broken: threading.Event) -> None:
    """Carry one direction to its end; a connection that breaks is broken on the other side too."""
    try:
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        if not broken.is_set():
            target.shutdown(socket.SHUT_WR)
    except OSError:
        broken.set()
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                end.shutdown(socket.SHUT_RD)  # wakes the other direction and sends nothing


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.close()


def _shut(listener: socket.socket) -> None:
    """Wake whoever accepts on it, and close it."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
