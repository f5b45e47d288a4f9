"""Which level a run gets, why it is not a stronger one, and what programs are shown of the machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.errors import EnvironmentFault
from grader.sandbox import Isolation, Level, Trial, bubblewrap, choose, seatbelt
from grader.sandbox.choose import ONE_PER_SUBMISSION, TOLD
from grader.sandbox.confine import Confinement
from grader.sandbox.files import Readable, readable

Attack = Callable[[Level], Trial]
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="the ladder of Linux")


@pytest.fixture(autouse=True)
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered, and nobody has told of a container."""
    monkeypatch.setenv("GRADER_HOME", str(tmp_path / "grader"))
    monkeypatch.delenv(TOLD, raising=False)


def _only(*holds: Level) -> Attack:
    """An attack that gets through everywhere but at these levels."""
    return lambda level: Trial(level, () if level in holds else ("reads the checks",))


def test_the_strongest_level_that_holds_is_taken() -> None:
    assert choose.choose(attack_level=_only(Level.BUBBLEWRAP, Level.LANDLOCK)).level is Level.BUBBLEWRAP


def test_a_weaker_level_says_why_and_what_to_do() -> None:
    isolation = choose.choose(attack_level=_only(Level.LANDLOCK))
    assert (isolation.level, isolation.reason) == (Level.LANDLOCK, "not bubblewrap: reads the checks")
    assert isolation.mend


def test_where_nothing_holds_it_is_practice() -> None:
    isolation = choose.choose(attack_level=_only())
    assert isolation.level is Level.PROCESS
    assert isolation.level.label == "process only: practice, unsandboxed"
    assert [trial.level for trial in isolation.tried] == [Level.BUBBLEWRAP, Level.LANDLOCK]


def test_a_required_level_is_never_degraded() -> None:
    with pytest.raises(EnvironmentFault, match="level 'landlock' here, and 'bubblewrap' is required") as fault:
        choose.choose(required=Level.BUBBLEWRAP, attack_level=_only(Level.LANDLOCK))
    assert (fault.value.slug, fault.value.exit_code) == ("isolation-too-weak", 3)


def test_a_required_container_says_what_it_lacks() -> None:
    with pytest.raises(EnvironmentFault, match="GRADER_CONTAINER is not set to one-per-submission"):
        choose.choose(required=Level.CONTAINER, attack_level=_only(Level.BUBBLEWRAP))


def test_a_stronger_level_than_required_will_do() -> None:
    assert choose.choose(required=Level.LANDLOCK, attack_level=_only(Level.BUBBLEWRAP)).level is Level.BUBBLEWRAP


def test_a_chosen_level_that_does_not_hold_is_an_error() -> None:
    with pytest.raises(EnvironmentFault, match="level 'landlock' does not hold here: reads the checks"):
        choose.choose(chosen=Level.LANDLOCK, attack_level=_only(Level.BUBBLEWRAP))
    assert choose.choose(chosen=Level.PROCESS, attack_level=_only()).level is Level.PROCESS


def test_the_outcome_is_remembered_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Level] = []

    def attack(level: Level) -> Trial:
        asked.append(level)
        return Trial(level, ())

    first = choose.choose(attack_level=attack)
    assert choose.choose(attack_level=attack) == first
    assert asked == [Level.BUBBLEWRAP], "once"
    choose.choose(required=Level.BUBBLEWRAP, attack_level=attack)
    assert len(asked) == 2, "who requires a level is not content with a memory"
    monkeypatch.setattr(choose, "bwrap", lambda: __file__)
    choose.choose(attack_level=attack)
    assert len(asked) == 3, "another bwrap, another attack"


def test_a_memory_that_cannot_be_read_is_no_memory() -> None:
    choose.choose(attack_level=_only(Level.LANDLOCK))
    choose._file().write_text('{"key": 1')
    assert choose.choose(attack_level=_only(Level.BUBBLEWRAP)).level is Level.BUBBLEWRAP


@pytest.mark.parametrize(("switches", "mend"), [
    ({choose._SWITCHES[0]: "1"}, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ({choose._SWITCHES[1]: "0"}, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    ({choose._SWITCHES[2]: "0"}, "sudo sysctl -w user.max_user_namespaces=15000"),
])  # fmt: skip
def test_the_mend_is_the_exact_command(switches: dict[str, str], mend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "bwrap", lambda: "/usr/bin/env")
    monkeypatch.setattr(choose, "_switch", lambda path: switches.get(path, ""))
    assert choose.choose(attack_level=_only()).mend.startswith(mend)


def test_without_bwrap_the_mend_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "bwrap", lambda: None)
    monkeypatch.setattr("shutil.which", lambda tool: tool if tool == "apt-get" else None)
    assert choose.choose(attack_level=_only()).mend == "sudo apt install bubblewrap"


@pytest.mark.parametrize(("place", "level", "why"), [
    ((ONE_PER_SUBMISSION, True, False), Level.CONTAINER, ""),
    ((ONE_PER_SUBMISSION, True, True), Level.LANDLOCK, "--network none"),
    ((ONE_PER_SUBMISSION, False, False), Level.LANDLOCK, "no container"),
    (("yes", True, False), Level.LANDLOCK, "is not set to one-per-submission"),
])  # fmt: skip
def test_a_container_counts_when_it_is_told_and_looks_like_one(
    place: tuple[str, bool, bool], level: Level, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, container, route = place
    monkeypatch.setenv(TOLD, told)
    monkeypatch.setattr(choose, "_in_a_container", lambda: container)
    monkeypatch.setattr(choose, "_has_route", lambda: route)
    isolation = choose.choose(attack_level=_only(Level.LANDLOCK))
    assert (isolation.level, isolation.mechanism, isolation.official) == (
        level, Level.LANDLOCK, level is Level.CONTAINER,
    )  # fmt: skip
    assert why in isolation.reason


def test_the_levels_have_an_order() -> None:
    assert Level.CONTAINER.reaches(Level.BUBBLEWRAP)
    assert Level.LANDLOCK.reaches(Level.LANDLOCK)
    assert not Level.PROCESS.reaches(Level.LANDLOCK)
    assert not Level.LANDLOCK.reaches(Level.BUBBLEWRAP)


# --- what programs see ------------------------------------------------------------------------------------------------


def test_a_hidden_folder_inside_a_tree_stays_closed(tmp_path: Path) -> None:
    for folder in ("lib/site/grader/checks", "lib/site/numpy", "lib/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib" / "site" / "link").symlink_to(tmp_path / "lib" / "site" / "grader")
    seen = Readable((str(tmp_path / "lib"),), (str(tmp_path / "lib" / "site" / "grader"),))
    read, names = seen.rules()
    assert read == (str(tmp_path / "lib" / "other"), str(tmp_path / "lib" / "site" / "numpy"))
    assert names == (str(tmp_path / "lib"), str(tmp_path / "lib" / "site"))
    assert seen.mounts() == ((str(tmp_path / "lib"), False), (str(tmp_path / "lib" / "site" / "grader"), True))


def test_the_checkout_and_the_home_are_in_no_tree() -> None:
    read, _ = readable().rules()
    package = Path(sys.modules["grader"].__file__ or "").resolve().parent
    for secret in (package, package / "checks", package.parent / "solutions", Path.home() / ".ssh"):
        assert [path for path in read if secret.is_relative_to(path)] == []
    assert any(Path(sys.executable).is_relative_to(path) for path in read), "its own interpreter"


def test_the_installation_of_another_language_is_read_too(tmp_path: Path) -> None:
    for folder in ("node-20/bin", "node-20/lib"):
        (tmp_path / folder).mkdir(parents=True)
    program = tmp_path / "node-20" / "bin" / "node"
    program.touch(mode=0o755)
    seen = Readable(("/usr",), ()).with_toolchain(["node"], {"PATH": str(program.parent)})
    assert seen.trees == ("/usr", str(tmp_path / "node-20"))


def test_a_home_is_no_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("bin", "lib"):
        (tmp_path / folder).mkdir()
    program = tmp_path / "bin" / "tool"
    program.touch(mode=0o755)
    seen = Readable(("/usr",), ()).with_toolchain(["tool"], {"PATH": str(program.parent)})
    assert seen.trees == ("/usr", str(program))


def test_a_box_is_made_from_above_to_below(tmp_path: Path) -> None:
    options = bubblewrap.arguments([("/usr", False), ("/usr/src/course", True)], str(tmp_path / "own"), 64)
    text = " ".join(options)
    assert text.index("--tmpfs /tmp") < text.index(f"--dir {tmp_path}") < text.index(f"--bind {tmp_path}/own")
    assert text.index("--ro-bind-try /usr /usr") < text.index("--tmpfs /usr/src/course")
    assert "--size 67108864" in text
    assert {"--unshare-net", "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--cap-drop"} <= set(options)
    assert ("--unshare-user" in options) == (os.geteuid() != 0)


def test_a_seatbelt_profile_denies_by_default() -> None:
    profile = seatbelt.profile(
        Confinement(
            Level.SEATBELT, '/private/tmp/o"wn', read=("/opt/python",), names=("/opt",), listen=(8001,), connect=(9001,)
        )
    )
    assert profile.startswith("(version 1)\n(deny default)\n")
    assert '(allow file-read* file-write* (subpath "/private/tmp/o\\"wn"))' in profile
    assert '(subpath "/opt/python")' in profile
    assert '(allow network-outbound (remote tcp "localhost:9001"))' in profile
    assert '(allow network-bind (local tcp "localhost:8001"))' in profile
    assert profile.count("(") == profile.count(")")
    assert "network-outbound" not in seatbelt.profile(Confinement(Level.SEATBELT, "/x"))


def test_a_confinement_survives_the_line_to_its_keeper() -> None:
    from dataclasses import asdict

    sent = Confinement(Level.BUBBLEWRAP, "/own", ("/usr",), ("/",), (("/usr", False), ("/usr/x", True)), (1,), (2, 3))
    assert Confinement.of(json.loads(json.dumps(asdict(sent)))) == sent


def test_an_isolation_survives_its_file() -> None:
    chosen = choose.choose(attack_level=_only(Level.LANDLOCK))
    assert choose._remembered() == chosen
    assert isinstance(chosen, Isolation)
