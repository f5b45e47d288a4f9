"""Chooses the level of a run: the strongest one that withstands an attack here, remembered until something changes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grader import __version__
from grader.errors import EnvironmentFault
from grader.places import cache_folder
from grader.sandbox import landlock
from grader.sandbox.attack import attack
from grader.sandbox.launcher import bwrap
from grader.sandbox.levels import Isolation, Level, Trial

TOLD = "GRADER_CONTAINER"
ONE_PER_SUBMISSION = "one-per-submission"
_LINUX = (Level.BUBBLEWRAP, Level.LANDLOCK)
_MAC = (Level.SEATBELT,)
_SWITCHES = (
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/user/max_user_namespaces",
)
_APPARMOR_PROFILE = (
    "sudo apt install bubblewrap apparmor-profiles && sudo cp"
    " /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ &&"
    " sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict"
)
_INSTALLERS = {
    "apt-get": "sudo apt install bubblewrap",
    "dnf": "sudo dnf install bubblewrap",
    "pacman": "sudo pacman -S bubblewrap",
    "zypper": "sudo zypper install bubblewrap",
    "apk": "sudo apk add bubblewrap",
}


def choose(
    *,
    chosen: Level | None = None,
    required: Level | None = None,
    afresh: bool = False,
    attack_level: Callable[[Level], Trial] = attack,
) -> Isolation:
    """The level for a run.

    Args:
        chosen: take this one and no other.
        required: fail rather than take a weaker one; the attack is then made anew.
        afresh: attack although an earlier outcome is known.

    Raises:
        EnvironmentFault: `chosen` cannot be had here, or nothing is as strong as `required` (isolation-too-weak).
    """
    if chosen is not None:
        isolation = _as_told(chosen, attack_level)
    else:
        known = None if afresh or required is not None else _remembered()
        isolation = known or _remember(_strongest(attack_level, container=required is Level.CONTAINER))
    if required is not None and not isolation.level.reaches(required):
        raise EnvironmentFault(
            f"programs can be confined at level '{isolation.level}' here, and '{required}' is required:"
            f" {isolation.reason or 'nothing stronger was tried'}",
            mend=isolation.mend or "docs/isolation.md says what each level needs.",
            slug="isolation-too-weak",
        )
    return isolation


def _as_told(level: Level, attack_level: Callable[[Level], Trial]) -> Isolation:
    if level is Level.CONTAINER:
        isolation = _strongest(attack_level, container=True)
        trial = isolation.tried[0] if isolation.level is not Level.CONTAINER else Trial(level, ())
    else:
        isolation = Isolation.chosen(level)
        trial = Trial(level, ()) if level is Level.PROCESS else attack_level(level)
    if trial.weak:
        raise EnvironmentFault(
            f"level '{level}' does not hold here: {_said(trial)}", mend=_mend(trial), slug="isolation-too-weak"
        )
    return isolation


def _strongest(attack_level: Callable[[Level], Trial], *, container: bool) -> Isolation:
    """The strongest level that holds; `container`: say why it is no container even where nobody told of one."""
    tried: list[Trial] = []
    why_no_container = _why_no_container()
    if container or TOLD in os.environ:
        tried.append(Trial(Level.CONTAINER, (why_no_container,) if why_no_container else ()))
    for level in _MAC if sys.platform == "darwin" else _LINUX:
        trial = attack_level(level)
        tried.append(trial)
        if not trial.weak:
            named = level if why_no_container else Level.CONTAINER
            return Isolation(named, level, *_shortfall(tried), tuple(tried))
    return Isolation(Level.PROCESS, Level.PROCESS, *_shortfall(tried), tuple(tried))


def _shortfall(tried: list[Trial]) -> tuple[str, str]:
    """Why it is not the strongest level that was tried, and what to do about that."""
    failed = next((trial for trial in tried if trial.weak), None)
    return (f"not {failed.level}: {_said(failed)}", _mend(failed)) if failed else ("", "")


def _said(trial: Trial) -> str:
    return "; ".join(trial.weak)


def _why_no_container() -> str:
    """Why this is no container that exists for one submission; "" when it is."""
    if os.environ.get(TOLD) != ONE_PER_SUBMISSION:
        return f"{TOLD} is not set to {ONE_PER_SUBMISSION}"
    if not _in_a_container():
        return f"{TOLD} is set, but this is no container: there is neither /.dockerenv nor /run/.containerenv"
    if _has_route():
        return "this container has a network; start it with --network none"
    return ""


def _in_a_container() -> bool:
    """Whether an engine has left its mark."""
    return any(Path(sign).exists() for sign in ("/.dockerenv", "/run/.containerenv"))


def _has_route() -> bool:
    """Whether anything but 127.0.0.1 can be reached."""
    with suppress(OSError):
        lines = Path("/proc/net/route").read_text("ascii").splitlines()[1:]
        return any(line.split()[0] != "lo" for line in lines if line.strip())
    return True


def _mend(trial: Trial) -> str:
    match trial.level:
        case Level.CONTAINER:
            return "docs/isolation.md#level-container has the command."
        case Level.BUBBLEWRAP:
            return _mend_bubblewrap()
        case Level.LANDLOCK if 0 < landlock.abi() < landlock.PORTS_SINCE:
            return "Use Linux 6.7 or newer: this kernel's Landlock knows no TCP ports."
        case Level.LANDLOCK:
            return "Use Linux 6.7 or newer with Landlock switched on (`lsm=landlock,…` on the kernel's command line)."
        case _:
            return "docs/isolation.md says what each level needs."


def _mend_bubblewrap() -> str:
    if bwrap() is None:
        found = next((command for tool, command in _INSTALLERS.items() if shutil.which(tool)), None)
        return found or "uv pip install -c constraints.txt -e '.[bubblewrap]'"
    if _switch(_SWITCHES[0]) == "1":
        return (
            f"sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (or, for bwrap alone: {_APPARMOR_PROFILE})"
        )
    if _switch(_SWITCHES[1]) == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _switch(_SWITCHES[2]) == "0":
        return "sudo sysctl -w user.max_user_namespaces=15000"
    if _in_a_container():
        return (
            "Docker's default profile forbids namespaces inside a container; with"
            " `--security-opt seccomp=unconfined --security-opt systempaths=unconfined` it allows them."
        )
    return "Let users make namespaces, or go on with landlock: docs/isolation.md."


def _switch(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""


# --- memory: an attack takes some tenths of a second, and its outcome changes only with what is in this key -----------


def _key() -> str:
    """All that the outcome depends on: the boot, the kernel, the rights of this process, bwrap, our own code."""
    program = bwrap() or ""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    parts = [
        __version__,
        hashlib.sha256(code).hexdigest(),
        _switch("/proc/sys/kernel/random/boot_id"),
        platform.release(),
        sys.prefix,
        f"{os.geteuid()} {os.getgroups()}",
        *map(_switch, _SWITCHES),
        f"{program} {os.stat(program).st_mtime_ns if program else ''}",
        os.environ.get(TOLD, ""),
        _rights(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _rights() -> str:
    kept = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp:")
    return "".join(line for line in _switch("/proc/self/status").splitlines(keepends=True) if line.startswith(kept))


def _file() -> Path:
    return cache_folder() / "isolation.json"


def _remembered() -> Isolation | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(_file().read_text("utf-8"))
        if known["key"] == _key():
            return _from_json(known["isolation"])
    return None


def _remember(isolation: Isolation) -> Isolation:
    with suppress(OSError):  # a home that cannot be written costs the attack each time, and nothing else
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"key": _key(), "isolation": asdict(isolation)}), "utf-8")
        partial.replace(file)
    return isolation


def _from_json(data: dict[str, Any]) -> Isolation:
    tried = tuple(Trial(Level(trial["level"]), tuple(trial["weak"])) for trial in data["tried"])
    return Isolation(Level(data["level"]), Level(data["mechanism"]), data["reason"], data["mend"], tried)
