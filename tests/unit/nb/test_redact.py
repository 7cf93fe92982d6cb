from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.build.model import BuildReport, Step, StepResult, StepState
from dxforge.commands.builds import BuildResult
from dxforge.errors import ToolStartError
from dxforge_nb.redact import Redactor, redacted, redactor_for

SECRET = "canary-8f3a"
HIDE = Redactor([SECRET])


def test_the_value_of_a_secret_is_replaced_wherever_it_stands() -> None:
    assert HIDE(f"a{SECRET}b {SECRET}") == "a***b ***"
    assert HIDE("nothing") == "nothing"
    assert not Redactor(["", "short"])
    assert Redactor(["short"])("short") == "short"
    assert Redactor(["abcdef", "abcdefgh"])("abcdefghi abcdef") == "***i ***"
    assert Redactor(["a.*b+c"])("a.*b+c aXbbc") == "*** aXbbc"


def test_of_a_secret_of_several_lines_each_line_is_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----\n"
    assert Redactor([key])("x MIIEvQIBADAN y") == "x *** y"
    assert Redactor([key])(f"<{key}>") == "<***\n>"


@given(st.data())
def test_a_stream_hides_a_secret_however_it_is_cut(data: st.DataObject) -> None:
    secrets = ["canary-8f3a", "ananas-ananas", "canary-9xxxxxxxx"]
    words = data.draw(st.lists(st.sampled_from([*secrets, "can", "canary-8f3", "ana", "\n", "text "]), max_size=8))
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    stream = Redactor(secrets).stream()
    pieces = [stream(text[start:end]) for start, end in itertools.pairwise([0, *cuts, len(text)])]
    shown = "".join(pieces) + stream.rest()
    assert shown == Redactor(secrets)(text)


def test_a_stream_holds_back_only_what_may_become_a_secret() -> None:
    stream = HIDE.stream()
    assert stream("10%\r") == "10%\r"
    assert stream("a can") == "a "
    assert stream("dle") == "candle"
    assert stream("canary") == ""
    assert stream.rest() == "canary"


def test_every_text_of_a_result_is_gone_through_and_the_rest_stays_what_it_is() -> None:
    step = Step(index=0, id="0", tool="sh", args=("-c", SECRET))
    result = StepResult(step=step, state=StepState.FAILED, why="", error=f"said {SECRET}", stdout=f"x {SECRET}\n")
    build = BuildResult(report=BuildReport(ok=False, steps=(result,)), detailed=True)
    hidden = redacted(build, HIDE)
    assert SECRET not in str(hidden.to_json()) + hidden.text() + hidden._repr_html_() + repr(hidden.failure())
    assert hidden.report.steps[0].state is StepState.FAILED  # type: ignore[union-attr]
    assert SECRET in str(build.to_json())
    clean = BuildResult(report=BuildReport(ok=True))
    assert redacted(clean, HIDE) is clean
    assert redacted({"a": [1, (SECRET, {SECRET})], "b": None}, HIDE) == {"a": [1, ("***", {"***"})], "b": None}


def test_an_error_is_changed_where_it_stands() -> None:
    error = ToolStartError(f"ended: {SECRET}", tool="web", log_tail=(f"token={SECRET}",))
    assert redacted(error, HIDE) is error
    assert SECRET not in f"{error} {error.args} {error.log_tail}"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("API_TOKEN", "abcdef-123", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdef-123", True),
        ("PASSED_ON", "abcdef-123", True),
        ("NOT_PASSED_ON", "abcdef-123", False),
        ("PASSED_ON", "/home/user/data", False),
        ("DATABASE_URL", "postgres://user:hunter22@db/x", True),
    ],
)
def test_what_is_secret_in_an_environment(project: Path, name: str, value: str, secret: bool) -> None:
    shown = redactor_for(project / "sub", {name: value})(f"it is {value}")
    assert (value not in shown) is secret


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a tool that takes over a variable."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "dx.toml").write_text('[project]\nname = "p"\n[tools.t]\nbinary_path = "t"\npass_env = ["PASSED_ON"]\n')
    return tmp_path


def test_a_project_that_cannot_be_read_hides_what_it_can(tmp_path: Path) -> None:
    environ = {"PASSED_ON": "abcdef-123", "TOKEN": "ghijkl-456"}
    assert redactor_for(tmp_path, environ)("abcdef-123 ghijkl-456") == "abcdef-123 ***"
    (tmp_path / "dx.toml").write_text("not = toml =")
    assert redactor_for(tmp_path, environ)("abcdef-123 ghijkl-456") == "abcdef-123 ***"
