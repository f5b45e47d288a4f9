"""`grader up` gives a program what its lab runs on, answers from an open script, and stops cleanly."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from grader.checks.lab_07.practice import model as lab_07_model
from grader.checks.lab_07.reader import NOT_FORCED
from grader.errors import UsageError
from grader.lab import Lab, find_lab
from grader.model import Fail, ModelDouble, Reply, Request, Step, ToolCall, Unfaithful
from grader.model.journal import Block, Message, Tool
from grader.practice import script_file
from grader.practice.answers import answering, lab_model, script_of
from grader.practice.environment import environment_of, export_lines, kept_environment, running_environment
from grader.practice.script_file import ACTIONS, CONDITIONS, ScriptFile, read_script
from grader.recordings import read_last

ROOT = Path(__file__).parent.parent
LAB_07 = find_lab(ROOT, "lab-07", ROOT)


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Practice files of the tests are no business of the user's own sessions."""
    monkeypatch.setenv("GRADER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def script(tmp_path: Path, text: str) -> ScriptFile:
    path = tmp_path / "model.toml"
    path.write_text(f"format = 1\n{text}", "utf-8")
    return read_script(path)


def request(user: str = "", **more: Any) -> Request:
    messages = more.pop("messages", (Message("user", (Block("text", user),)),))
    return Request(1, more.pop("wire", "openai-chat"), "/", messages=messages, **more)


def said(step: Step | None) -> str:
    """The words of a step, or its name."""
    inner = getattr(step, "step", step)
    return getattr(inner, "text", "") or type(inner).__name__


# --- model.toml -----------------------------------------------------------------------------------------------------


def test_the_first_step_whose_conditions_hold_answers(tmp_path: Path) -> None:
    follow = script(
        tmp_path,
        '[[steps]]\nwhen = { user = "Weather", turn = 2 }\nreply = "second"\n'
        '[[steps]]\nwhen = { user = "weather" }\nreply = "first"\n'
        '[[steps]]\nreply = "any"\n',
    )
    first, replied, then = Message("user", ()), Message("assistant", ()), Message("user", (Block("text", "weather"),))
    assert said(follow(request("the WEATHER"))) == "first"
    assert said(follow(request(messages=(first, replied, then)))) == "second"
    assert said(follow(request("else"))) == "any"


@pytest.mark.parametrize(
    ("condition", "fits", "fails"),
    [
        ('user = "a.b"', request("xA.Bx"), request("axb")),
        ('pattern = "^a.b$"', request("axb"), request("AXB")),
        ('system = "be"', request(system="Be short"), request("be")),
        ('text = "be"', request(system="Be short"), request("no")),
        ('model = "opus"', request(model="claude-Opus-5-5"), request(model="gpt")),
        ('tool = "find"', request(tools=(Tool("find", "", {}),)), request(tools=(Tool("finder", "", {}),))),
        ('wire = "anthropic"', request(wire="anthropic"), request()),
        ("turn = 1", request("x"), request(messages=(Message("assistant", ()),))),
        (
            'result = "rain"',
            request(messages=(Message("tool", (Block("tool_result", "Rain all day"),)),)),
            request(messages=(Message("tool", (Block("tool_result", "rain"),)), Message("assistant", ()))),
        ),
    ],
)
def test_each_condition_holds_when_it_should(tmp_path: Path, condition: str, fits: Request, fails: Request) -> None:
    follow = script(tmp_path, f'[[steps]]\nwhen = {{ {condition} }}\nreply = "yes"\n')
    assert follow(fits) is not None
    assert follow(fails) is None


def test_a_step_may_answer_so_often_and_no_more(tmp_path: Path) -> None:
    follow = script(tmp_path, '[[steps]]\nfail = 529\ntimes = 2\n[[steps]]\nreply = "ok"\n')
    assert [said(follow(request())) for _ in range(3)] == ["Fail", "Fail", "ok"]


def test_every_action_and_modifier_reaches_the_wire(tmp_path: Path) -> None:
    follow = script(
        tmp_path,
        """
        [[steps]]
        when = { user = "json" }
        json = { a = [1, 2] }
        [[steps]]
        when = { user = "calls" }
        reply = "Looking."
        calls = [{ name = "find", arguments = { q = "x" } }, { name = "look" }]
        [[steps]]
        when = { user = "refuse" }
        refuse = "No."
        [[steps]]
        when = { user = "garbage" }
        garbage = "<html>"
        [[steps]]
        when = { user = "slow" }
        reply = "late"
        stop = "max_tokens"
        seconds = 0.01
        [[steps]]
        when = { user = "gone" }
        disconnect = true
        [[steps]]
        when = { user = "cut" }
        reply = "long enough to be cut"
        cut_after = 1
        """,
    )
    with ModelDouble() as double:
        double.respond(answering(follow, None))

        def ask(text: str) -> httpx2.Response:
            return httpx2.post(
                double.openai_base_url + "/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": text}]},
                headers={"authorization": "Bearer k"},
            )

        assert ask("json").json()["choices"][0]["message"]["content"] == '{"a": [1, 2]}'
        message = ask("calls").json()["choices"][0]["message"]
        assert message["content"] == "Looking."
        assert [call["function"]["name"] for call in message["tool_calls"]] == ["find", "look"]
        assert ask("refuse").json()["choices"][0]["message"]["refusal"] == "No."
        assert ask("garbage").text == "<html>"
        assert ask("slow").json()["choices"][0]["finish_reason"] == "length"
        for text in ("gone", "cut"):
            with pytest.raises(httpx2.RemoteProtocolError):
                ask(text)
        refused = ask("else")
        assert (refused.status_code, "no step of model.toml fits" in refused.text) == (400, True)
        assert double.protocol_faults == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "`steps` is missing"),
        ('[[steps]]\nreply = "a"\nmood = 1\n', "unknown key `steps[0].mood`"),
        ('[[steps]]\nwhen = { moon = "full" }\nreply = "a"\n', "unknown key `steps[0].when.moon`"),
        ("[[steps]]\n", "needs one of"),
        ('[[steps]]\nreply = "a"\nfail = 500\n', "it has reply, fail"),
        ("[[steps]]\nreply = 5\n", "must be a string"),
        ('[[steps]]\nreply = "a"\nstop = "soon"\n', "must be one of"),
        ('[[steps]]\nreply = "a"\ntimes = 0\n', "at least 1"),
        ('[[steps]]\nwhen = { pattern = "(" }\nreply = "a"\n', "no regular expression"),
        ("[[steps]]\ndisconnect = false\n", "true or left out"),
        ("[[steps]\n", "cannot read"),
    ],
)
def test_a_malformed_script_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        script(tmp_path, text)


def test_a_newer_script_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("format = 2\n")
    with pytest.raises(UsageError, match="format 2"):
        read_script(tmp_path / "model.toml")
    with pytest.raises(UsageError, match="there is no script"):
        script_of(LAB_07, tmp_path / "other.toml")


def test_every_condition_and_action_is_documented() -> None:
    text = (ROOT / "docs" / "practice.md").read_text("utf-8")
    assert [name for name in (*CONDITIONS, *ACTIONS) if f"`{name}`" not in text] == []
    assert set(script_file.TEXTS) < set(CONDITIONS)


def test_the_open_scripts_of_all_labs_are_well_formed() -> None:
    scripts = list(ROOT.glob("labs/*/examples/model.toml"))
    assert [read_script(path).rules for path in scripts if not read_script(path).rules] == []
    assert LAB_07.home / "examples" / "model.toml" in scripts


# --- the model of lab-07 --------------------------------------------------------------------------------------------

PASSAGES = (
    '<passage id="p1" title="Arden depot">Trucks are admitted until 19:35. Drivers wait.</passage>'
    '<passage id="p2" title="Belmere depot">Trucks are admitted until 21:10. Storage costs &amp; more.</passage>'
)


def asked(question: str, *, forced: bool = True) -> Request:
    return request(
        f"{PASSAGES}\n{question}", tools=(Tool("answer", "", {}),), tool_choice=("tool", "answer") if forced else None
    )


def arguments(step: Step) -> dict[str, Any]:
    call = step.step if isinstance(step, Unfaithful) else step
    assert isinstance(call, ToolCall)
    return call.arguments


def test_lab_07s_model_answers_questions_that_nobody_taught_it() -> None:
    model = lab_07_model(LAB_07.home / "examples")
    told = arguments(model(asked("Until when are trucks admitted at Belmere?")))
    assert told["answer"] == "Trucks are admitted until 21:10. [p2]"
    assert told["citations"] == [{"passage_id": "p2", "quote": "Trucks are admitted until 21:10."}]
    assert arguments(model(asked("Who painted the ceiling?")))["answer"] is None
    assert model(asked("Until when are trucks admitted?", forced=False)) == Reply(NOT_FORCED)


def test_lab_07s_model_knows_the_open_questions() -> None:
    model = lab_model(LAB_07)
    assert model is not None
    told = arguments(
        model(
            request(
                '<passage id="1">MFX-4471-B is inspected every 14\nmonths.</passage> '
                "How often is MFX-4471-B inspected?",
                tools=(Tool("answer", "", {}),),
                tool_choice="any",
            )
        )
    )
    assert told["citations"] == [{"passage_id": "1", "quote": "MFX-4471-B is inspected every 14\nmonths."}]


def test_a_lab_of_another_course_has_no_model_of_its_own(lab: Lab) -> None:
    assert lab_model(lab) is None
    assert isinstance(answering(ScriptFile(Path("x")), None)(request()), Fail)


# --- environment ----------------------------------------------------------------------------------------------------


def test_the_environment_is_what_the_brief_promises() -> None:
    double = ModelDouble(port=8407)
    found = environment_of(LAB_07, double, "postgresql://me@here/mine")
    assert found == {
        "PORT": "8000",
        "EMBEDDING_MODEL": "meridian-embed-1",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8407",
        "ANTHROPIC_API_KEY": "practice-key",
        "OPENAI_BASE_URL": "http://127.0.0.1:8407/v1",
        "OPENAI_API_KEY": "practice-key",
        "DATABASE_URL": "postgresql://me@here/mine",
        "PGOPTIONS": "-c enable_seqscan=off",
    }


def test_the_kept_environment_is_private_exact_and_gone_at_the_end(lab: Lab, private_home: Path) -> None:
    awkward = {"A": 'it\'s $HOME `x` "y" \\', "B": ""}
    with kept_environment(lab, awkward) as path:
        assert path.is_relative_to(private_home)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert running_environment(lab) == awkward
        shell = subprocess.run(
            ["sh", "-c", f'{export_lines(awkward)}printf %s "$A"'], capture_output=True, text=True, check=True
        )
        assert shell.stdout == awkward["A"]
        with pytest.raises(UsageError, match=f"running already, as process {os.getpid()}"), kept_environment(lab, {}):
            pass
    assert not path.exists()
    with pytest.raises(UsageError, match="no practice of lab-01 is running"):
        running_environment(lab)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def model_lab(lab: Lab, course: Path) -> Lab:
    """The toy lab with a model and an open script."""
    home = course / "labs" / lab.folder
    toml = home / "lab.toml"
    toml.write_text(toml.read_text() + '\n[services]\nmodel = ["openai", "anthropic"]\n')
    (home / "examples").mkdir()
    (home / "examples" / "model.toml").write_text('format = 1\n[[steps]]\nwhen = { user = "hello" }\nreply = "hi"\n')
    return find_lab(course, "lab-01", course)


@pytest.fixture
def up(model_lab: Lab) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "grader", "--course", str(model_lab.root), "up", "lab-01"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def read_until(stream: IO[str] | None, words: str) -> str:
    """What was printed, up to the line with these words."""
    assert stream
    text = ""
    for line in stream:
        text += line
        if words in line:
            return text
    pytest.fail(f"{words!r} never came: {text}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_a_program_follows_the_wire_and_stops(
    up: subprocess.Popen[str], model_lab: Lab, number: signal.Signals
) -> None:
    said = read_until(up.stdout, "Ctrl-C stops")
    assert "1 steps of labs/lab-01-echo/examples/model.toml" in said
    environment = running_environment(model_lab)
    assert all(f"export {name}={value}\n" in said for name, value in environment.items())
    export = subprocess.run(
        [sys.executable, "-m", "grader", "--course", str(model_lab.root), "up", "lab-01", "--export"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert export.stdout == export_lines(environment)
    again = subprocess.run(
        [sys.executable, "-m", "grader", "--course", str(model_lab.root), "up", "lab-01"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, "running already" in again.stderr) == (2, True)
    reply = httpx2.post(
        environment["OPENAI_BASE_URL"] + "/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "hello \x1b[31m"}]},
        headers={"authorization": "Bearer k"},
    )
    assert reply.json()["choices"][0]["message"]["content"] == "hi"
    followed = read_until(up.stdout, "model: hi")
    assert "user: hello \\x1b[31m" in followed
    up.send_signal(number)
    rest, _ = up.communicate()
    assert up.returncode == 0
    assert "stopped" in rest
    assert "1 request · " in rest
    assert "Traceback" not in rest
    assert [exchange.reply_text for exchange in read_last(model_lab)] == ["hi"]
    with pytest.raises(UsageError):
        running_environment(model_lab)
