"""Landlock: the files that a process may touch and the TCP ports that it may use, for it and its children, for good.

Facts: Documentation/userspace-api/landlock.rst of the kernel. Rules only allow; a right over a folder holds for all
that lies beneath it. ABI 4 (Linux 6.7) brought TCP ports, ABI 6 (Linux 6.12) signals and abstract sockets.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from grader.sandbox import kernel

PORTS_SINCE = 4
SCOPES_SINCE = 6

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH, _NET_PORT = 1, 2
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # what a rule on a single file may name


@dataclass(frozen=True)
class Rules:
    """What stays allowed.

    Attributes:
        read: files and folders to read and execute.
        names: folders of which the names, but not the contents, may be read.
        write: folders to do anything in, except making devices.
        devices: devices to read and write.
        bind, connect: TCP ports, of whatever address; both None: the network is not restricted here.
    """

    read: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    bind: tuple[int, ...] | None = None
    connect: tuple[int, ...] | None = None


def abi() -> int:
    """The kernel's version of Landlock; 0 where there is none or it is switched off."""
    with suppress(OSError):
        return kernel.syscall(_CREATE_RULESET, None, 0, 1)
    return 0


def restrict(rules: Rules) -> None:
    """Keep this process and its children to the rules; `no_new_privs` must be set.

    Raises:
        OSError: the kernel refuses, or is too old for rules about ports.
    """
    version = abi()
    files = _ALL_OF_ABI_1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        files |= right if version >= since else 0
    network = _BIND_TCP | _CONNECT_TCP if rules.bind is not None or rules.connect is not None else 0
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, network, scopes)[: 24 if scopes else 16 if network else 8]
    ruleset = kernel.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        _allow(ruleset, rules.read, files & (_EXECUTE | _READ_FILE | _READ_DIR))
        _allow(ruleset, rules.names, _READ_DIR)
        _allow(ruleset, rules.write, files & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV))
        _allow(ruleset, rules.devices, files & (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV))
        for right, ports in ((_BIND_TCP, rules.bind), (_CONNECT_TCP, rules.connect)):
            for port in set(ports or ()):
                kernel.syscall(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", right, port), 0)
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there need not be allowed
        try:
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            rule = struct.pack("=Qi", rights if folder else rights & _OF_FILES, descriptor)
            kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        finally:
            os.close(descriptor)
