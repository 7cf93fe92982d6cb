from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from dxforge.commands import actions
from dxforge.commands.cli import run
from dxforge.commands.run import run_line
from dxforge.errors import ProjectError, UsageError


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache_dir: Path) -> None:
    for name in ("FORCE_COLOR", "DXFORGE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_run_line_gives_results_and_raises_errors(tmp_path: Path) -> None:
    result = run_line(["init", "--name", "demo"], cwd=tmp_path)
    assert (result.exit_code, result.to_json()) == (0, {"ok": True, "name": "demo", "folder": "."})
    with pytest.raises(ProjectError) as caught:
        run_line(["init"], cwd=tmp_path)
    assert caught.value.where == str(tmp_path / "dx.toml")
    with pytest.raises(UsageError):
        run_line(["nonsense"], cwd=tmp_path)


def test_an_error_is_a_line_and_a_hint_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "no dx.toml" in err
    assert "\n  hint: " in err
    assert len(err.splitlines()) == 2


def test_usage_is_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["instal"]) == 2
    assert "Did you mean `dxforge install`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        (["--json", "status"], 1, "ProjectError"),
        (["status", "--json"], 1, "ProjectError"),
        (["--json", "instal"], 2, "UsageError"),
        (["accept", "--json"], 2, "UsageError"),
        (["-C", "nowhere", "--json", "status"], 1, "ProjectError"),
    ],
)
def test_json_errors_are_one_object_on_standard_output(
    words: list[str], status: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == status
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert data["ok"] is False
    assert data["error"].keys() == {"kind", "what", "where", "hint"}
    assert data["error"]["kind"] == kind
    assert err == ""


def test_json_is_printed_even_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "-q", "--json", "--name", "x"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "x"


def test_quiet_shows_nothing_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-q", "init"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["-q", "init"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_init_makes_folders_and_does_not_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "deep/demo"]) == 0
    text = (tmp_path / "deep/demo/dx.toml").read_text()
    assert 'name = "demo"' in text
    assert "dxforge -C deep/demo add" in capsys.readouterr().out
    assert run(["-C", "deep", "init", "demo"]) == 1
    assert (tmp_path / "deep/demo/dx.toml").read_text() == text


def test_a_bug_of_ours_is_one_line_and_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(actions, "execute", lambda *_: 1 / 0)
    assert run(["status"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in err
    assert "DXFORGE_DEBUG=1" in err
    assert "Traceback" not in err
    assert run(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "ZeroDivisionError"
    monkeypatch.setenv("DXFORGE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["status"])


def test_a_stream_that_knows_no_shapes_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert run(["init", "--name", "naïve"]) == 0
    assert run(["doctor"]) == 0
    text = raw.getvalue().decode("ascii")
    assert "na\\xefve" in text
    assert "* ok" in text


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to remove the current folder")
def test_a_current_folder_that_is_gone_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    assert run(["status"]) == 1
    assert "the current folder no longer exists" in capsys.readouterr().err


def test_the_nearest_project_upward_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "--name", "outer"])
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    os.chdir(inner)
    capsys.readouterr()
    assert run(["status"]) == 0
    assert "Project outer" in capsys.readouterr().out
    run(["init", "--name", "inner"])
    capsys.readouterr()
    assert run(["status"]) == 0
    assert "Project inner" in capsys.readouterr().out
    assert run(["-C", str(tmp_path), "status"]) == 0
    assert "Project outer" in capsys.readouterr().out
