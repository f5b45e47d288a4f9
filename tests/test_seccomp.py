"""The filter, run instruction by instruction as the kernel does: what it lets through and what it refuses."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from grader.sandbox import seccomp
from grader.sandbox.seccomp import Policy

ALLOWED = 0
X86, ARM = ("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)
ON_THIS_MACHINE, IN_A_BOX = Policy(own_network=False), Policy(own_network=True)
UNIX, INET, INET6, NETLINK, VSOCK = 1, 2, 10, 16, 40
STREAM, DGRAM, RAW = 1, 2, 3
CLOEXEC = 0o2000000


def _outcome(
    policy: Policy, number: int, *arguments: int, machine: tuple[str, int] = X86, architecture: int | None = None
) -> int:
    """The error number that a call gets, or 0 when it is let through."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, architecture or machine[1], 0, *(value & (2**64 - 1) for value in padded))
    instructions = [*struct.iter_unpack("=HBBI", seccomp.assemble(policy, machine[0]))]
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
                at += if_true if holds else if_false
            case 0x06:
                assert value == 0x7FFF0000 or value >> 16 == 5, "nothing is ever killed"
                return 0 if value == 0x7FFF0000 else value & 0xFFFF
            case _:
                pytest.fail(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", [X86, ARM])
@pytest.mark.parametrize("policy", [ON_THIS_MACHINE, IN_A_BOX])
def test_what_every_program_needs_is_let_through(machine: tuple[str, int], policy: Policy) -> None:
    everyday = {"x86_64": [0, 1, 9, 257, 59, 231, 53, 42, 49, 288], "aarch64": [63, 64, 222, 56, 221, 94, 199, 203]}
    assert [_outcome(policy, number, machine=machine) for number in everyday[machine[0]]] == [ALLOWED] * len(
        everyday[machine[0]]
    )


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("policy", [ON_THIS_MACHINE, IN_A_BOX])
def test_each_refused_call_is_refused_on_each_processor(column: int, policy: Policy) -> None:
    machine = (X86, ARM)[column]
    for numbers, error in (
        *((numbers, errno.EPERM) for numbers in seccomp._REFUSED.values()),
        *((numbers, errno.ENOSYS) for numbers in seccomp._UNKNOWN.values()),
    ):
        if (number := numbers[column]) is not None:
            assert _outcome(policy, number, machine=machine) == error, number


@pytest.mark.parametrize(("column", "header"), [
    (0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    (1, "/usr/include/asm-generic/unistd.h"),
])  # fmt: skip
def test_the_numbers_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed")
    kernels = dict(re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text("utf-8")))
    ours = {**seccomp._REFUSED, **seccomp._UNKNOWN, **seccomp._LOOKED_AT}
    wrong = {
        name: (numbers[column], kernels.get(name))
        for name, numbers in ours.items()
        if str(numbers[column]) != kernels.get(name, "None")
    }
    assert wrong == {}


@pytest.mark.parametrize(("family", "kind", "protocol", "here", "in_a_box"), [
    (INET, STREAM, 0, ALLOWED, ALLOWED),
    (INET6, STREAM | CLOEXEC, 6, ALLOWED, ALLOWED),
    (INET, DGRAM, 0, errno.EPERM, ALLOWED),
    (UNIX, STREAM, 0, errno.EAFNOSUPPORT, ALLOWED),
    (INET, RAW, 0, errno.EPERM, errno.EPERM),
    (NETLINK, RAW, 0, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
    (VSOCK, STREAM, 0, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
    (INET, STREAM, 262, errno.EPROTONOSUPPORT, ALLOWED),  # MPTCP, which Landlock's ports do not bind
    (INET, STREAM, 132, errno.EPROTONOSUPPORT, ALLOWED),  # SCTP
])  # fmt: skip
def test_sockets_are_those_that_landlock_knows(family: int, kind: int, protocol: int, here: int, in_a_box: int) -> None:
    assert _outcome(ON_THIS_MACHINE, 41, family, kind, protocol) == here
    assert _outcome(IN_A_BOX, 41, family, kind, protocol) == in_a_box


def test_no_connection_is_opened_behind_landlocks_back() -> None:
    fast_open = 0x20000000
    assert _outcome(ON_THIS_MACHINE, 44, 3, 0, 0, fast_open) == errno.EPERM
    assert _outcome(ON_THIS_MACHINE, 46, 3, 0, fast_open) == errno.EPERM
    assert _outcome(ON_THIS_MACHINE, 307, 3, 0, 1, fast_open) == errno.EPERM
    assert _outcome(ON_THIS_MACHINE, 44, 3, 0, 0, 0x4000) == ALLOWED


def test_threads_may_be_made_and_namespaces_not() -> None:
    thread = 0x3D0F00
    assert _outcome(IN_A_BOX, 56, thread) == ALLOWED
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert _outcome(IN_A_BOX, 56, thread | namespace) == errno.EPERM


def test_nothing_types_into_a_terminal() -> None:
    assert _outcome(IN_A_BOX, 16, 0, 0x5412) == errno.EPERM
    assert _outcome(IN_A_BOX, 16, 0, 0x541C) == errno.EPERM
    assert _outcome(IN_A_BOX, 16, 0, 0x5401) == ALLOWED


def test_other_sets_of_numbers_do_not_exist() -> None:
    assert _outcome(IN_A_BOX, 0x40000000 | 41, UNIX, STREAM) == errno.ENOSYS
    assert _outcome(IN_A_BOX, 359, VSOCK, STREAM, architecture=0x40000003) == errno.ENOSYS


def test_on_older_kernels_signals_go_to_the_program_alone() -> None:
    policy = Policy(own_network=False, signals_only_to=4711)
    for number in (62, 234):
        assert _outcome(policy, number, 4711) == ALLOWED
        assert _outcome(policy, number, 1) == errno.EPERM
        assert _outcome(policy, number, -1) == errno.EPERM
    assert _outcome(policy, 62, 0) == ALLOWED, "its own group"
    assert _outcome(policy, 200, 4711) == errno.EPERM
    assert _outcome(ON_THIS_MACHINE, 62, 1) == ALLOWED, "where Landlock sees to it"


def test_an_unknown_processor_is_an_error() -> None:
    with pytest.raises(seccomp.UnsupportedProcessorError, match="riscv64"):
        seccomp.assemble(IN_A_BOX, "riscv64")
