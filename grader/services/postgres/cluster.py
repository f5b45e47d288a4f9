"""The files of one disposable cluster: where they lie, how they are made, who may log in."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grader.services.postgres import faults
from grader.services.postgres.endpoint import Endpoint
from grader.services.postgres.engine import PLAIN_ENVIRONMENT, Account, Engine
from grader.services.postgres.home import LONGEST_SOCKET, Home, choose_parent, memory_folders, owned
from grader.services.postgres.processes import tied_to_us

# The cluster is disposable, so nothing waits for the disk; synchronous_commit stays on, because without it a commit
# just before a kill -9 of the server is lost, and labs kill. mmap: a killed server leaves no segments in /dev/shm.
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0777
max_connections = 200
superuser_reserved_connections = 10
password_encryption = scram-sha-256
shared_buffers = 256MB
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
max_wal_size = 512MB
authentication_timeout = 10s
checkpoint_timeout = 1h
autovacuum = off
jit = off
max_parallel_maintenance_workers = 0
max_parallel_workers_per_gather = 0
client_connection_check_interval = 1s
log_min_messages = log
log_checkpoints = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""
# The administrator comes through the socket only. A role may enter the database of its name; the grader's reader is
# a member of that role (samerole). Learners use TCP, because a Java program cannot speak unix sockets.
ACCESS = """
local all      postgres                scram-sha-256
local sameuser all                     scram-sha-256
local samerole all                     scram-sha-256
local all      all                     reject
host  all      postgres 0.0.0.0/0      reject
host  sameuser all      127.0.0.1/32   scram-sha-256
host  all      all      0.0.0.0/0      reject
host  all      all      ::/0           reject
"""
LEAST_ROOM = 64 * 1024**2  # bytes that an empty cluster takes
LAYOUT = hashlib.sha256((SETTINGS + ACCESS).encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """Where the cluster lies and where its socket is."""

    data: Path
    sockets: Path

    @property
    def complete(self) -> Path:
        """Written last: a cluster that was left half made is made again, and so is one of older settings."""
        return self.data.parent / "complete"

    def endpoint(self, home: Home, port: int) -> Endpoint:
        login = {
            "host": str(self.sockets),
            "port": str(port),
            "user": "postgres",
            "password": home.password.read_text(encoding="ascii"),
            "dbname": "postgres",
        }
        return Endpoint("embedded", login, "127.0.0.1")


def settle(home: Home, engine: Engine, copied: str | None) -> Place:
    """The place of the last start, or a fresh one."""
    known = home.place()
    folders = [known.get("cluster"), known.get("sockets")]
    if all(isinstance(folder, str) and owned(Path(folder)) for folder in folders):
        cluster, sockets = (Path(str(folder)) for folder in folders)
    else:
        cluster = _private_folder(_parent(home, engine), engine)
        sockets = cluster
        if len(os.fsencode(cluster / "run" / ".s.PGSQL.65535")) > LONGEST_SOCKET:
            sockets = _private_folder(Path(tempfile.gettempdir()), engine)
    place = {"cluster": str(cluster), "sockets": str(sockets), "engine": copied}
    home.write_place({key: folder for key, folder in place.items() if folder})
    for folder in (cluster / "data", sockets / "run"):
        folder.mkdir(exist_ok=True, mode=0o700)
    _give(sockets / "run", engine.server)
    if engine.server is not None:
        (sockets / "run").chmod(0o755)
    return Place(cluster / "data", sockets / "run")


def _parent(home: Home, engine: Engine) -> Path:
    if chosen := os.environ.get("GRADER_POSTGRES_DATA"):
        return Path(chosen)
    disks = [home.folder, Path(tempfile.gettempdir()), Path("/var/tmp")]  # noqa: S108  # a fresh private folder is made in it
    return choose_parent(memory_folders(), disks, other_user=engine.server is not None)


def _private_folder(parent: Path, engine: Engine) -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix="grader-pg-", dir=parent))
    except OSError as error:
        raise faults.cache_read_only(str(parent), error.strerror or str(error)) from error
    if engine.server is not None:
        folder.chmod(0o711)  # our own folder: the server's user walks through it and cannot list it
    return folder


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def create(home: Home, engine: Engine, place: Place) -> None:
    """Make an empty cluster with a new random superuser password, replacing what is there.

    Raises:
        EnvironmentFault: disk-full, database-start.
    """
    place.complete.unlink(missing_ok=True)
    shutil.rmtree(place.data, ignore_errors=True)
    place.data.mkdir(mode=0o700)
    _give(place.data, engine.creator)
    password = secrets.token_urlsafe(24)
    _write_private(home.password, password)
    handed = place.sockets / ".password"
    _write_private(handed, password)
    _give(handed, engine.creator)
    try:
        _initdb(engine, place, handed)
        with (place.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(SETTINGS)
        (place.data / "pg_hba.conf").write_text(ACCESS)
    except OSError as error:
        if error.errno == 28:
            raise faults.disk_full(str(place.data), "no space left on device") from error
        raise
    finally:
        handed.unlink()
    if engine.server is not None:
        for folder, _, files in os.walk(place.data):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                _give(path, engine.server)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _initdb(engine: Engine, place: Place, password: Path) -> None:
    flags = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-data-checksums"]
    done = subprocess.run(
        [engine.programs / "initdb", "-D", place.data, f"--pwfile={password}", *flags],
        cwd="/",
        env=PLAIN_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=tied_to_us(signal.SIGKILL),  # safe: the supervisor has one thread
        **(engine.creator.child() if engine.creator else {}),
    )
    if done.returncode == 0:
        return
    shutil.rmtree(place.data, ignore_errors=True)
    full = "No space left on device" in done.stderr or "Disk quota exceeded" in done.stderr
    if full or shutil.disk_usage(place.data.parent).free < LEAST_ROOM:  # initdb may just say that a child aborted
        raise faults.disk_full(str(place.data), "no space left on device while making the cluster")
    raise faults.start_failed(f"initdb said: {last_lines(done.stderr)}")


def last_lines(text: str, count: int = 3) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:])
