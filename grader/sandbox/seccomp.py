"""A seccomp filter of our own: the system calls that no program of a lab needs and that lead out of its bounds.

libseccomp is not on every machine and cannot be had from a wheel, so the filter is written here as BPF. A call that is
refused fails with an error number; nothing is killed for trying.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from grader.sandbox import kernel

# name: number on x86_64, number on aarch64 (where it exists)
_REFUSED: dict[str, tuple[int, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory that no limit counts, or that outlives the program
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # kernel interfaces with a history
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "vhangup": (153, 58),
    "uselib": (134, None),
    # the machine itself
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "acct": (163, 89),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
}
# Callers fall back when these do not exist; refused, some would give up.
_UNKNOWN: dict[str, tuple[int, int | None]] = {
    "clone3": (435, 435),  # its flags lie in memory, where a filter cannot look; libc then uses clone
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
_LOOKED_AT: dict[str, tuple[int, int | None]] = {
    "clone": (56, 220),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000  # x86_64's second set of numbers

_CLONE_NEW = 0x7E020000  # user, pid, net, ipc, uts, cgroup and mount namespaces
_MSG_FASTOPEN = 0x20000000  # connects without asking Landlock
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into the terminal
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET = 1, 2, 5
_IPPROTO_TCP = 6

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


@dataclass(frozen=True)
class Policy:
    """What differs between levels.

    Attributes:
        own_network: the process has a network of its own, so every kind of address and UDP are harmless; otherwise
            only TCP over IPv4 and IPv6, whose ports Landlock knows.
        signals_only_to: a process id: signals to others are refused; 0: Landlock sees to that.
    """

    own_network: bool
    signals_only_to: int = 0


class UnsupportedProcessorError(OSError):
    """No numbers are known for this processor."""


def restrict(policy: Policy) -> None:
    """Filter this process and its children for good; `no_new_privs` must be set.

    Raises:
        OSError: the kernel refuses, or the processor is none that we know.
    """
    kernel.install_filter(assemble(policy, kernel.machine()))


def assemble(policy: Policy, machine: str) -> bytes:
    """The filter as BPF instructions; between blocks the accumulator holds the number of the call.

    Raises:
        UnsupportedProcessorError: the processor is none that we know.
    """
    if machine not in _ARCHITECTURES:
        raise UnsupportedProcessorError(errno.ENOSYS, f"no system call numbers are known for {machine!r}")
    column, architecture = _ARCHITECTURES[machine]

    def number(name: str) -> int:
        found = _LOOKED_AT[name][column]
        assert found is not None
        return found

    blocks = [
        _load(_ARCHITECTURE),
        _if(_EQUAL, architecture, skip_false=0, skip_true=1),
        _refuse(errno.ENOSYS),
        _load(_NUMBER),
        _if(_AT_LEAST, _X32, skip_false=1),
        _refuse(errno.ENOSYS),
        *(_call(numbers[column], _refuse(errno.EPERM)) for numbers in _REFUSED.values()),
        *(_call(numbers[column], _refuse(errno.ENOSYS)) for numbers in _UNKNOWN.values()),
        _call(number("clone"), _argument(0) + _if(_ANY_BIT, _CLONE_NEW, skip_false=1) + _refuse(errno.EPERM)),
        _call(number("ioctl"), _argument(1) + _refuse_values((_TIOCSTI, _TIOCLINUX), errno.EPERM)),
        _call(number("socket"), _socket(policy)),
        *(
            _call(number(name), _argument(flags) + _if(_ANY_BIT, _MSG_FASTOPEN, skip_false=1) + _refuse(errno.EPERM))
            for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3))
        ),
        *_signals(policy.signals_only_to, number),
        _return(_ALLOW),
    ]
    return b"".join(blocks)


def _socket(policy: Policy) -> bytes:
    if policy.own_network:
        families: tuple[int, ...] = (_AF_UNIX, _AF_INET, _AF_INET6)
        kinds: tuple[int, ...] = (_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET)
        return _argument(0) + _allow_values(families, errno.EAFNOSUPPORT) + _kind() + _allow_values(kinds, errno.EPERM)
    return (
        _argument(0)
        + _allow_values((_AF_INET, _AF_INET6), errno.EAFNOSUPPORT)
        + _kind()
        + _allow_values((_SOCK_STREAM,), errno.EPERM)
        # MPTCP and SCTP are streams too, and Landlock's ports do not bind them.
        + _argument(2)
        + _allow_values((0, _IPPROTO_TCP), errno.EPROTONOSUPPORT)
    )


def _signals(only_to: int, number: object) -> list[bytes]:
    if not only_to:
        return []
    assert callable(number)
    to_itself = _argument(0) + _allow_values((only_to, 0), errno.EPERM)
    return [
        *(_call(number(name), to_itself) for name in ("kill", "tgkill")),
        *(_call(number(name), _refuse(errno.EPERM)) for name in ("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")),
        _call(number("pidfd_send_signal"), _refuse(errno.EPERM)),
    ]


def _call(number: int | None, body: bytes) -> bytes:
    """Run `body` for this call only; behind it the accumulator holds the number again."""
    if number is None:
        return b""
    body += _load(_NUMBER)
    return _if(_EQUAL, number, skip_false=len(body) // 8) + body


def _argument(index: int) -> bytes:
    """The lower half of an argument; the upper half means nothing to the calls looked at."""
    return _load(_FIRST_ARGUMENT + 8 * index)


def _kind() -> bytes:
    """Of a socket's type, without the flags that may be set in it."""
    return _argument(1) + _instruction(_AND, 0, 0, 0xF)


def _allow_values(values: tuple[int, ...], error: int) -> bytes:
    """Go on where the accumulator holds one of these, refuse otherwise."""
    tests = [_if(_EQUAL, value, skip_true=len(values) - index) for index, value in enumerate(values)]
    return b"".join(tests) + _refuse(error)


def _refuse_values(values: tuple[int, ...], error: int) -> bytes:
    return b"".join(_if(_EQUAL, value, skip_false=1) + _refuse(error) for value in values)


def _if(test: int, value: int, *, skip_true: int = 0, skip_false: int = 0) -> bytes:
    return _instruction(test, skip_true, skip_false, value)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, 0, 0, offset)


def _refuse(error: int) -> bytes:
    return _return(_ERRNO | error)


def _return(value: int) -> bytes:
    return _instruction(_RETURN, 0, 0, value)


def _instruction(code: int, skip_true: int, skip_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, skip_true, skip_false, value & 0xFFFFFFFF)
