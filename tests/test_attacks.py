"""The battery: every hostile program comes to nothing at every level that claims to stop it.

`make test` runs a sample, each class of attack once; `make attacks` runs all of them at every level.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from grader.sandbox import Level
from grader.sandbox.choose import choose
from tests.attacks.attack import LEVELS, Attack, Expected, read_corpus
from tests.attacks.battery import Battery, Outcome, can_run_alone, is_had, problems

CORPUS = read_corpus()
SIDE_BY_SIDE = 6


def _cases() -> list[object]:
    """The quick sample is taken at the level that a run on this machine has."""
    here = choose().mechanism
    return [
        pytest.param(
            attack,
            level,
            id=f"{level}-{attack.id}",
            marks=() if attack.sample and level is here else pytest.mark.attacks,
        )
        for level in LEVELS
        for attack in CORPUS
        if attack.stopped_at(level)
    ]


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Iterator[Callable[[Attack, Level], Outcome]]:
    """Gives the outcome of an attack; all that were selected run side by side from the first question on."""
    from grader.services.postgres import lease

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="at-") as place:
        patch.setattr(tempfile, "tempdir", place)
        with lease("attacks"), Battery() as battery, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            futures: dict[tuple[str, Level], Future[Outcome]] = {}
            for item in request.session.items:
                params = getattr(getattr(item, "callspec", None), "params", {})
                if "attack" in params and item.path == request.path and is_had(params["level"]):
                    attack, level = params["attack"], params["level"]
                    futures[attack.id, level] = pool.submit(battery.run, attack, level)
            yield lambda attack, level: futures[attack.id, level].result()
        for thread in threading.enumerate():
            if thread.name == "grader collect":
                thread.join()
        left = [path.name for path in Path(place).glob("grader-*")]
        assert left == [], "a run left its private folder behind"


@pytest.mark.parametrize(("attack", "level"), _cases())
def test_an_attack_comes_to_nothing(attack: Attack, level: Level, outcome: Callable[[Attack, Level], Outcome]) -> None:
    if not is_had(level):
        pytest.skip(f"this machine does not have level {level}")
    if attack.alone and not can_run_alone():
        pytest.skip("this machine gives no pid namespace, and without one the attack could hurt others")
    assert problems(attack, outcome(attack, level)) == [], attack.tries


@pytest.mark.attacks
def test_a_database_that_grows_without_end_is_named(outcome: Callable[[Attack, Level], Outcome]) -> None:
    (filler,) = (attack for attack in CORPUS if attack.name == "fills_the_disk")
    said = outcome(filler, Level.PROCESS).said
    assert "The program's database has grown to " in said, said


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("name", "said"),
    [("memory_hog_children", "MiB"), ("fills_its_folder", "MiB"), ("files_without_end", "files")],
)
def test_what_a_program_takes_too_much_of_is_named(
    name: str, said: str, outcome: Callable[[Attack, Level], Outcome]
) -> None:
    (greedy,) = (attack for attack in CORPUS if attack.name == name)
    verdict = outcome(greedy, Level.PROCESS).said
    assert "crashed" in verdict.splitlines()[0], verdict
    assert said in verdict, verdict


def test_the_corpus_covers_what_it_should() -> None:
    families = {attack.family for attack in CORPUS}
    assert len(CORPUS) >= 100
    assert {attack.kind for attack in CORPUS} == {"http", "ledger", "cli", "mcp-stdio", "mcp-http", "pytest"}
    assert families == {attack.family for attack in CORPUS if attack.sample} | {"mcp-lies"}, "each class has a sample"
    assert len({attack.id for attack in CORPUS}) == len(CORPUS)


def test_only_right_work_can_get_through() -> None:
    """No level may let a program pass that has not done the work, `process` included."""
    assert [attack.id for attack in CORPUS if attack.expected is Expected.NOT_PASSED and attack.through] == []
