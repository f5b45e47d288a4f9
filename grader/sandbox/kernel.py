"""System calls that Python 3.11 has no function for, each an OSError when the kernel refuses."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

_libc = ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """The processor as the kernel names it: "x86_64", "aarch64"."""
    return platform.machine()


def prctl(option: int, *values: int) -> None:
    """`prctl(2)`; missing values are 0."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *padded), f"prctl {option}")


def die_with_parent(number: int) -> None:
    """Get this signal when the parent dies; only Linux knows how."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, number)


def become_subreaper() -> None:
    """Be the parent of all descendants that lose theirs; only Linux knows how."""
    if sys.platform == "linux":
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Any system call whose numbers are the same on every processor, or are looked up by the caller."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *converted), f"system call {number}")


def install_filter(program: bytes) -> None:
    """Put a seccomp filter (a list of BPF instructions) on this process and its children for good."""
    instructions = ctypes.create_string_buffer(program)

    class Fprog(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    header = Fprog(len(program) // 8, ctypes.addressof(instructions))
    _checked(_libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(header), 0, 0), "seccomp")


def capset(header: bytes, sets: bytes) -> None:
    """`capset(2)` for this thread."""
    _checked(_libc.capset(header, sets), "capset")


def setns(descriptor: int, what: str) -> None:
    """Enter the namespace that a file of /proc/PID/ns stands for."""
    _checked(_libc.setns(descriptor, 0), f"entering the {what} namespace")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
