"""Which files of this machine a confined program may read: its interpreter, its libraries, the system's; never ours."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grader

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
# Nothing in these says more than which users and which names this machine knows.
_SETTINGS = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
]
# Java keeps its configuration there on Debian, behind links from /usr/lib/jvm.
_SETTINGS_LIKE = "java*"
_MACHINE = ("/sys/devices/system/cpu", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# What Java, Node and Python look up about the machine; a program's own folder in /proc comes on top.
_PROC = [
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/sys/net/core/somaxconn",
    "/proc/uptime",
    "/proc/version",
]


@dataclass(frozen=True)
class Readable:
    """What may be read.

    Attributes:
        trees: files and folders with all beneath them, but for `hidden`.
        hidden: folders inside a tree that stay closed.
    """

    trees: tuple[str, ...]
    hidden: tuple[str, ...]

    def with_toolchain(self, argv: Sequence[str], environment: Mapping[str, str]) -> Readable:
        """Also the installation that `argv[0]` belongs to, where it lies outside of the system's folders."""
        found = shutil.which(argv[0], path=environment.get("PATH")) if argv else None
        if not found or _within(Path(found).resolve(), self.trees):
            return self
        return Readable((*self.trees, *_installation(Path(found).resolve())), self.hidden)

    def rules(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """For Landlock, which cannot take back what it allowed: paths to read, and folders to list only."""
        read: list[str] = []
        names: list[str] = []
        for tree in self.trees:
            _spare(Path(tree).resolve(), {Path(folder) for folder in self.hidden}, read, names)
        return tuple(dict.fromkeys(read)), tuple(dict.fromkeys(names))

    def mounts(self) -> tuple[tuple[str, bool], ...]:
        """For namespaces: paths in the order in which they are mounted, each with whether it is covered instead."""
        trees = [Path(tree) for tree in self.trees]
        covers = [path for path in map(Path, self.hidden) if any(path.is_relative_to(tree) for tree in trees)]
        order = sorted({*trees, *covers}, key=lambda path: len(path.parts))
        return tuple((str(path), path in covers) for path in order)


def readable(hidden: Iterable[Path] = ()) -> Readable:
    """What a program that runs on this interpreter may read.

    Args:
        hidden: more folders of the grader's, such as the checks of a course elsewhere.
    """
    settings = [*_SETTINGS, *map(str, sorted(Path("/etc").glob(_SETTINGS_LIKE)))]
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    prefixes += [str(Path(prefix).resolve()) for prefix in prefixes]
    there = [path for path in (*_SYSTEM, *prefixes, *settings, *_MACHINE) if Path(path).exists()]
    ours = (*_ours(), *(folder.resolve() for folder in hidden))
    return Readable(tuple(dict.fromkeys(there)), tuple(dict.fromkeys(map(str, ours))))


def of_proc(pid: int) -> tuple[str, ...]:
    """What a program may read in the machine's own /proc."""
    return (*_PROC, f"/proc/{pid}")


def _ours() -> Iterator[Path]:
    """The grader's own folder, and the whole course where that is run from a checkout."""
    package = Path(grader.__file__).resolve().parent
    yield package
    if (package.parent / "labs").is_dir():
        yield package.parent


def _installation(program: Path) -> Iterator[str]:
    """The folder `X` of a program `X/bin/program` if it looks like an installation and not like a home."""
    prefix = program.parent.parent
    home = Path.home()
    alone = home.is_relative_to(prefix) or prefix == home / ".local"
    installed = program.parent.name == "bin" and (prefix / "lib").is_dir() and not alone
    yield str(prefix if installed else program)


def _spare(tree: Path, hidden: set[Path], read: list[str], names: list[str]) -> None:
    """Allow a tree; where something hidden lies inside, its children one by one."""
    if tree in hidden:
        return
    if not any(folder.is_relative_to(tree) for folder in hidden):
        read.append(str(tree))
        return
    names.append(str(tree))
    for child in sorted(tree.iterdir()):
        if not child.is_symlink():  # what a link leads to is allowed, or not, where it lies
            _spare(child, hidden, read, names)


def _within(path: Path, trees: Iterable[str]) -> bool:
    return any(path.is_relative_to(Path(tree).resolve()) for tree in trees)
