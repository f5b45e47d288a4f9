"""A stage is what a check plays on: the running program, the model double it calls, and its database."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from grader.checking.command import Command
from grader.checking.expect import Mismatch
from grader.checking.mcp_http import McpHttp
from grader.checking.mcp_messages import Mcp
from grader.checking.mcp_stdio import McpStdio
from grader.checking.program import Program, ProgramCrashed, Recipe
from grader.checking.within_reach import elsewhere, moved, ports
from grader.errors import GraderError, GraderFault
from grader.model import ModelDouble
from grader.sandbox import Level, Relay
from grader.submission import copy_tree, without_room, write_fault

if TYPE_CHECKING:
    from grader.model import Exchange
    from grader.sandbox import Launcher
    from grader.services.postgres import Database, Server

TERM_SECONDS = 5.0
SHARED_STARTS = 4
# What drives a program, by what its lab.toml says it speaks. A pytest suite is a command that happens to run tests.
Driver = Program | Command | McpStdio
DRIVERS: dict[str, type[Driver]] = {
    "http": Program,
    "mcp-http": Program,
    "mcp-stdio": McpStdio,
    "cli": Command,
    "pytest": Command,
}


class FreshStage(Protocol):
    """What `fresh_stage` gives: a stage with its own program, database and double, gone after the check.

    `shared_stage` gives one that stays: all checks that ask for the same variables share it.
    """

    def __call__(self, environment: Mapping[str, str] | None = None) -> Stage: ...


@dataclass
class Stage:
    """One program with its services.

    Attributes:
        model: the double that answers this program's model and embedding calls.
    """

    model: ModelDouble
    _theatre: Theatre
    _recipe: Recipe
    _database: Database | None
    _speaks: str
    _besides: dict[str, Stage] = field(default_factory=dict)
    _driver: Driver = field(init=False)

    def __post_init__(self) -> None:
        self._driver = self._theatre.start(self._recipe, self._speaks)

    @property
    def program(self) -> Program:
        """The running HTTP service (`speaks = "http"` or "mcp-http")."""
        if isinstance(self._driver, Program):
            return self._driver
        raise self._speaks_otherwise("program")

    @property
    def command(self) -> Command:
        """The command line (`speaks = "cli"` or "pytest")."""
        if isinstance(self._driver, Command):
            return self._driver
        raise self._speaks_otherwise("command")

    @property
    def mcp(self) -> Mcp:
        """The running MCP server, on either transport; over HTTP at /mcp."""
        if isinstance(self._driver, McpStdio):
            return self._driver
        return McpHttp(self.program)

    @property
    def mcp_stdio(self) -> McpStdio:
        """The running MCP server on its standard streams (`speaks = "mcp-stdio"`)."""
        if isinstance(self._driver, McpStdio):
            return self._driver
        raise self._speaks_otherwise("mcp_stdio")

    def _speaks_otherwise(self, name: str) -> GraderFault:
        return GraderFault(
            f"the check asks for `stage.{name}`, but the program speaks {self._speaks!r}",
            mend="Set `speaks` under [program] in its lab.toml, or ask for what it speaks.",
            slug="lab-invalid",
        )

    @property
    def alive(self) -> bool:
        """Whether the program can still be asked."""
        return self._driver.alive

    @property
    def output(self) -> str:
        """The end of what the program printed."""
        return self._driver.output

    def kill(self) -> None:
        """SIGKILL the program."""
        self._driver.kill()

    @property
    def database(self) -> Database:
        """Its own database, read with the program's own credentials."""
        if self._database is None:
            raise GraderFault(
                "the check reads a database, but the lab has none",
                mend="Set `postgres = true` under [services] in its lab.toml.",
                slug="lab-invalid",
            )
        return self._database

    def restart(self, environment: Mapping[str, str] | None = None, *, kill: bool = False) -> None:
        """Stop the program (SIGTERM, or SIGKILL as a power cut) and start it on the same database, on another port.

        Args:
            environment: variables to change for this start and later ones.

        Raises:
            ProgramCrashed: it does not end within 5 seconds of SIGTERM, or does not start again.
        """
        if not kill and self._driver.alive:
            self._driver.signal(signal.SIGTERM)
            if self._driver.wait(TERM_SECONDS) is None:
                output = self._driver.output
                self._driver.close()
                raise ProgramCrashed(
                    f"the program still ran {TERM_SECONDS:g} seconds after SIGTERM",
                    output,
                    "Stop serving and exit: does a handler swallow the signal, or is a thread waited for?",
                )
        self._driver.close()
        self._recipe = replace(self._recipe, environment={**self._recipe.environment, **(environment or {})})
        self._driver = self._theatre.start(self._recipe, self._speaks)

    def beside(self, name: str, environment: Mapping[str, str] | None = None, *, speaks: str = "") -> Stage:
        """The same program once more, on the same database and double: a second replica, or another transport.

        It is started when it is first asked for by this name, and again when it has died; it ends with this stage.

        Args:
            name: of the second program, such as "replica"; what it was started with belongs to the name.
            environment: variables that differ from those of this stage's program.
            speaks: how it is driven, as in lab.toml; left out: as this one is.

        Raises:
            ProgramCrashed: it does not start.
        """
        if name not in self._besides:
            recipe = replace(self._recipe, environment={**self._recipe.environment, **(environment or {})})
            self._besides[name] = Stage(self.model, self._theatre, recipe, self._database, speaks or self._speaks)
        self._besides[name].revive()
        return self._besides[name]

    def revive(self) -> None:
        """Start the program again when an earlier check left it dead."""
        if not self.alive:
            self.restart(kill=True)

    def end_sessions(self) -> None:
        """End what a killed program has left running in its database."""
        if self._database:
            with contextlib.suppress(GraderError):  # a server that is gone runs nothing
                self._database.terminate_sessions()

    def close(self) -> None:
        """Kill the program, and those beside it."""
        for stage in self._besides.values():
            stage.close()
        self._driver.close()


@dataclass
class Shared:
    """A warm stage: whether the check under way has asked for it, and how often it had to be started."""

    stage: Stage | None = None
    used: bool = False
    starts: int = 0
    failure: ProgramCrashed | None = None


Environment = tuple[tuple[str, str], ...]


class Theatre:
    """Makes the stages of one run: holds the launcher, the database lease and what programs are promised.

    The lease is taken in the background as soon as the theatre opens: the server starts while libraries load.
    """

    def __init__(
        self,
        launcher: Launcher,
        recipe: Recipe,
        *,
        speaks: str = "http",
        wires: tuple[str, ...],
        postgres: bool,
        postgres_settings: Mapping[str, str],
        postgres_mb: int = 1024,
        seconds: float,
        purpose: str,
        listen: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._launcher = launcher
        self._listen = listen
        self._check = ""
        self._recipe = recipe
        self.speaks = speaks
        self._wires = wires
        self._seconds = seconds
        self._postgres_settings = postgres_settings
        self._postgres_mb = postgres_mb
        self.starting_database = ""  # SQL that every database of the run holds when its program starts
        self.starting_environment: Mapping[str, str] = {}  # what the brief promises and every run draws anew
        self._stack = ExitStack()
        self._server: Server | None = None
        self._server_error: BaseException | None = None
        self._shared: dict[Environment, Shared] = {}
        self._starts = 0
        self._started: list[Driver] = []
        self._printed: list[tuple[Driver, int]] = []
        self._ended = 0
        self._doubles: list[ModelDouble] = []
        self.start_failure: ProgramCrashed | None = None
        self.lost: GraderError | None = None
        self._leasing: threading.Thread | None = None
        if postgres:
            self._leasing = threading.Thread(target=self._lease, args=(purpose,), name="lease", daemon=True)
            self._leasing.start()

    def start(self, recipe: Recipe, speaks: str) -> Driver:
        """Start a program in a fresh copy of its files, with a fresh home: what it left on disk is gone."""
        self._starts += 1
        home = recipe.folder.parent / f"start-{self._starts}"
        try:
            (home / "scratch").mkdir(parents=True)
        except OSError as error:
            raise write_fault(home, error) from error
        copy_tree(self._recipe.folder, home / "submission")
        environment = {**recipe.environment, "HOME": str(home / "scratch"), "TMPDIR": str(home / "scratch")}
        recipe = replace(
            recipe,
            folder=home / "submission",
            environment=environment,
            own=home,
            connect=ports([*environment.values()]),
        )
        driver = DRIVERS[speaks](self._launcher, recipe, seconds=self._seconds)
        self._started.append(driver)
        return driver

    def printed(self) -> str:
        """What programs have printed since the last check began, and what was ended in their database."""
        began = dict(self._printed)
        ended = self._server.ended[self._ended :] if self._server else ()
        return "".join(
            (*(driver.kept.text(began.get(driver, 0)) for driver in self._started), *map("{}\n".format, ended))
        )

    def shared(self, environment: Mapping[str, str] | None = None) -> Stage:
        """The run's warm stage for these variables, started on first use and again when a check left it dead.

        Raises:
            ProgramCrashed: it does not start, or died too often.
        """
        if self.start_failure:
            raise self.start_failure
        shared = self._shared.setdefault(tuple(sorted((environment or {}).items())), Shared())
        if shared.failure:
            raise shared.failure
        shared.used = True
        try:
            if shared.stage is None:
                shared.starts += 1
                shared.stage = self._stack.enter_context(self.fresh(environment))
            elif not shared.stage.alive:
                shared.starts += 1
                if shared.starts > SHARED_STARTS:
                    raise ProgramCrashed(
                        f"the program had to be started {SHARED_STARTS} times and is not started again",
                        shared.stage.output,
                        "Mend the checks above that crashed or timed out first.",
                    )
                shared.stage.revive()
        except ProgramCrashed as crash:
            shared.failure = crash
            if not environment:  # it would not start for any other check either
                self.start_failure = crash
            raise
        return shared.stage

    @contextmanager
    def fresh(self, environment: Mapping[str, str] | None = None) -> Iterator[Stage]:
        """A stage of its own, closed at the end."""
        with ExitStack() as stack:
            model = stack.enter_context(ModelDouble())
            model.journal.label(self._check)
            if self._listen:
                model.journal.listen(self._listen)
            self._doubles.append(model)
            database = self._create_database()
            if database:
                stack.callback(database.drop)
            promised = {
                **self._promised(model),
                **({"DATABASE_URL": self._within_reach(database.url)} if database else {}),
                **self.starting_environment,
                **(environment or {}),
            }
            recipe = replace(self._recipe, environment={**self._recipe.environment, **promised})
            try:
                stage = Stage(model, self, recipe, database, self.speaks)
            except ProgramCrashed as crash:
                if not environment:  # it would not start for any other check either
                    self.start_failure = crash
                raise
            stack.callback(stage.close)
            yield stage

    def begin(self, check: str) -> None:
        """A check begins: what programs send from now on is recorded under its name."""
        for shared in self._shared.values():
            shared.used = False
        self._printed = [(driver, driver.kept.total) for driver in self._started if driver.alive]
        self._started = [driver for driver, _ in self._printed]
        self._ended = len(self._server.ended) if self._server else 0
        self._check = check
        for double in self._doubles:
            double.journal.label(check)

    def expect_settled(self) -> None:
        """After a check that passed: no program has said what nobody asked for, and the script was played to its end.

        Raises:
            Mismatch: a message that no request has, a model call that met no step, or steps never asked for.
        """
        for driver in self._started:
            driver.expect_sound()
        for double in self._doubles:
            if turned_away := double.journal.turned_away:
                raise Mismatch(
                    "the program sent the model more than one run may hold",
                    observed=f"{turned_away:,} requests beyond the {double.journal.mark():,} that were kept",
                    hint="Is a loop without an end asking the model, or a whole corpus sent in every request?",
                )
            if unmatched := double.unmatched:
                raise Mismatch(
                    "the program made a model call that nothing in this scenario calls for",
                    observed=f"{len(unmatched)} unexpected; of the first, {unmatched[0].sentence}",
                    hint="Is it retrying, or calling the model where the brief says it is not called?",
                )
            if leftover := double.leftover:
                raise Mismatch(
                    "the program made fewer model calls than this scenario needs",
                    observed=f"{len(leftover)} fewer; {leftover[0].sentence}",
                    hint="Is the answer made up without the model, or is a call missing?",
                )

    def double_fault(self) -> GraderFault | None:
        """What a double of this run did wrong during the last check; then every double starts afresh."""
        faults = [fault for double in self._doubles for fault in double.protocol_faults]
        for double in self._doubles:
            double.reset()
        if not faults:
            return None
        return GraderFault(
            f"the model double broke its protocol: {faults[0]}", mend="Please report it.", slug="double-fault"
        )

    def over_limit(self) -> GraderError | None:
        """After a check: the program's database that has outgrown its limit; then it is not started again."""
        over = self._server.over_limit() if self._server else None
        if over:
            self.start_failure = ProgramCrashed(over.what.rstrip("."))
        return over

    def look_around(self) -> GraderError | None:
        """After a check that did not pass: what of this machine's went away and may be the reason.

        From then on nothing can be graded; `lost` keeps why.
        """
        if self._leasing and not self._leasing.is_alive() and isinstance(self._server_error, GraderError):
            self.lost = self._server_error
        self.lost = (
            self.lost
            or self._launcher.lost()
            or (self._server.lost() if self._server else None)
            or without_room(self._recipe.folder)
        )
        return self.lost

    def after_hang(self) -> None:
        """The last check hung or saw a crash: the next one gets a program that has been started anew."""
        for shared in self._shared.values():
            if shared.stage and shared.used:
                shared.stage.kill()
                shared.stage.end_sessions()

    def close(self) -> None:
        """Close every stage and end the lease."""
        with contextlib.ExitStack() as last:
            last.callback(self._stack.close)
            if self._leasing:
                self._leasing.join()

    def _promised(self, model: ModelDouble) -> dict[str, str]:
        promised: dict[str, str] = {}
        if "anthropic" in self._wires:
            promised |= {"ANTHROPIC_BASE_URL": model.anthropic_base_url, "ANTHROPIC_API_KEY": "practice-key"}
        if "openai" in self._wires:
            promised |= {"OPENAI_BASE_URL": model.openai_base_url, "OPENAI_API_KEY": "practice-key"}
        return promised

    def _within_reach(self, url: str) -> str:
        """The database's address as a program of this run can call it."""
        if self._launcher.level is Level.PROCESS or (connect := elsewhere(url)) is None:
            return url
        relay = Relay(connect)
        self._stack.callback(relay.close)
        return moved(url, relay.port)

    def _create_database(self) -> Database | None:
        if self._leasing is None:
            return None
        from grader.services.postgres import Template  # noqa: PLC0415 - labs without a database never load psycopg

        self._leasing.join()
        if self._server_error:
            raise self._server_error
        assert self._server is not None
        return self._server.create(
            Template(self.starting_database), self._postgres_settings, most_bytes=self._postgres_mb * 2**20
        )

    def _lease(self, purpose: str) -> None:
        from grader.services.postgres import lease  # noqa: PLC0415 - as above

        try:
            self._server = self._stack.enter_context(lease(purpose))
        except Exception as error:  # noqa: BLE001 - raised again in the check that needs the database
            self._server_error = error
