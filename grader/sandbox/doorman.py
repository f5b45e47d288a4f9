"""The process at the door of a box: in its network but not among its processes, where no program can reach it.

It makes the listening sockets on which the box's program finds its double and its database, hands them out to the run,
and afterwards connects to the program for the run, again handing the sockets out. No bytes pass through it.
"""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import struct
from typing import NoReturn

from grader.sandbox import kernel
from grader.sandbox.bubblewrap import Box

MOST_HANDED = 32
_BACKLOG = 128
_SECONDS = 5.0
_PORT = struct.Struct("=H")
_ERROR = struct.Struct("=i")


def stand(box: Box, ports: tuple[int, ...], report: socket.socket, telling: int) -> None:
    """Enter the box's network and fork the program; returns in the program only, inside the box.

    Args:
        ports: on which the program expects somebody.
        report: gets the program's process id, with the listening sockets of `ports` and the door.
        telling: gets why it went wrong.
    """
    try:
        kernel.die_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        box.enter("user", "net", "pid")
        handed = [_listen(port) for port in ports]
        door, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            box.enter("ipc", "uts", "mnt")
            return
        with outside:
            fds = array.array("i", [outside.fileno(), *(listener.fileno() for listener in handed)])
            report.sendmsg([json.dumps({"pid": pid}).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        ended = os.pidfd_open(pid)
        keep = sorted({door.fileno(), ended})
        for low, high in zip((3, keep[0] + 1, keep[1] + 1), (keep[0], keep[1], 65536), strict=True):
            os.closerange(low, high)
    except BaseException as error:  # noqa: BLE001 - a half-made child must never run the keeper's code
        os.write(telling, f"{type(error).__name__}: {error}".encode())
        os._exit(127)
    _serve(door, ended, pid)


def hear(report: socket.socket) -> tuple[int, list[int]]:
    """For the keeper: the program's process id, the door and the listening sockets; (0, []) when it went wrong."""
    data, handed, _, _ = socket.recv_fds(report, 4096, MOST_HANDED)
    return (int(json.loads(data)["pid"]), list(handed)) if data else (0, [])


def knock(door: socket.socket, port: int) -> socket.socket:
    """For the run: a connection to the program's port; one caller at a time.

    Raises:
        OSError: nothing listens there, or the box has gone.
    """
    door.send(_PORT.pack(port))
    data, handed, _, _ = socket.recv_fds(door, _ERROR.size, 1)
    if not handed:
        number = _ERROR.unpack(data)[0] if data else 0
        raise OSError(number, os.strerror(number) if number else "the box has gone")
    return socket.socket(fileno=handed[0])


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


def _serve(door: socket.socket, ended: int, pid: int) -> NoReturn:
    """Answer knocks until the program ends, then end in the same way."""
    watched = [door.fileno(), ended]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if ended in ready:
            break
        data = door.recv(16)
        if data:
            _open(door, _PORT.unpack(data)[0])
        else:
            watched = [ended]  # the run has closed the door; its keeper ends us
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
        signal.pause()
    os._exit(code)


def _open(door: socket.socket, port: int) -> None:
    with socket.socket() as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(("127.0.0.1", port))
        except OSError as error:
            door.send(_ERROR.pack(error.errno or 110))
            return
        connection.settimeout(None)
        socket.send_fds(door, [_ERROR.pack(0)], [connection.fileno()])
