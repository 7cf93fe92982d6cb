"""The command line as a user meets it: real processes, real files, a loopback index."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock
from tests.support.index_server import IndexServer

NUMBER = "src/dx_packages/demo/demo/number.py"
CLASH = "src/dx_packages/demo/demo/clash.py"
OLD = "".join(f"LINE_{number} = {number}\n" for number in range(1, 41))
NEW = OLD.replace("LINE_5 = 5\n", "LINE_5 = 'theirs'\n").replace("LINE_35 = 35\n", "LINE_35 = 'theirs'\n")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path, index: IndexServer) -> Path:
    """A project folder; the index offers demo 1.0 and 2.0."""
    old = {
        "demo/__init__.py": "A = 1\n",
        "demo/number.py": OLD,
        "demo/clash.py": "VALUE = 1\n",
        "demo/same.py": "S = 1\n",
    }
    new = {**old, "demo/__init__.py": "A = 2\n", "demo/number.py": NEW, "demo/clash.py": "VALUE = 2\n"}
    index.wheel("demo", "1.0", old)
    index.wheel("demo", "2.0", new)
    index.wheel("other", "1.0", {"other.py": "O = 1\n"})
    return tmp_path


@pytest.fixture
def dx(root: Path) -> Run:
    """Runs ``python -m dxforge`` in the project (or in ``cwd`` below it) and checks its exit status."""

    def run(
        *args: str, status: int | None = 0, cwd: str = ".", stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "DXFORGE_DEBUG")
        }
        done = subprocess.run(
            [sys.executable, "-m", "dxforge", *args],
            cwd=root / cwd,
            env={**environment, **env},
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def answer(dx: Run) -> Callable[..., dict[str, Any]]:
    """Runs with ``--json``; the one object on standard output."""

    def ask(*args: str, status: int = 0, **options: Any) -> dict[str, Any]:
        done = dx("--json", *args, status=status, **options)
        assert done.stdout.count("\n") == 1
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    return ask


@pytest.fixture
def upgraded(root: Path, dx: Run) -> Path:
    """demo 1.0 edited in two files, then 2.0 installed: one Yellow with two hunks, one Red."""
    dx("init", "--name", "story")
    dx("add", "demo==1.0")
    edit(root, NUMBER, "LINE_20 = 20", "LINE_20 = 'mine'")
    edit(root, CLASH, "1", "'mine'")
    toml = root / "dx.toml"
    toml.write_text(toml.read_text().replace("==1.0", ">=1"))
    dx("install", "--upgrade", status=3)
    return root


def edit(root: Path, path: str, old: str, new: str) -> None:
    file = root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_life(root: Path, dx: Run) -> None:
    assert "Made project story" in dx("init", "--name", "story").stdout
    added = dx("add", "demo==1.0").stdout
    assert re.search(r"demo +1\.0 \(new\) +PyPI +● \d+ Green", added)
    assert (root / NUMBER).read_text() == OLD
    assert "1 package up to date." in dx("install").stdout

    edit(root, NUMBER, "LINE_20 = 20", "LINE_20 = 'mine'")
    edit(root, CLASH, "1", "'mine'")
    assert re.search(r"demo +1\.0 +PyPI +2 files", dx("status").stdout)
    edit(root, "dx.toml", "==1.0", ">=1")
    before = (root / "dx.lock").read_bytes()
    planned = dx("install", "--upgrade", "--dry-run", status=3).stdout
    assert "Nothing was written" in planned
    assert (root / "dx.lock").read_bytes() == before
    done = dx("install", "--upgrade", status=3).stdout
    for text in (planned, done):
        assert re.search(r"demo +1\.0 → 2\.0", text)
        assert re.search(rf"▲ Yellow +{NUMBER}  ", text)
        assert re.search(rf"■ Red +{CLASH}", text)
    assert "2 changes await your decision" in done
    assert re.search(rf"▲ Yellow +{NUMBER} +2 hunks", done)
    assert (root / (CLASH + ".new")).read_text() == "VALUE = 2\n"

    shown = dx("diff", NUMBER).stdout
    assert "+LINE_20 = 'mine'" in shown[shown.index("my edits") : shown.index("theirs")]
    assert "+LINE_5 = 'theirs'" in shown[shown.index("theirs") :]
    first, second = re.findall(r"^@@.*hunk (\d+)$", shown, re.MULTILINE)
    assert "in part, 1 hunk left" in dx("accept", NUMBER, "--hunk", first, status=3).stdout
    assert "LINE_5 = 'theirs'" in (root / NUMBER).read_text()
    assert "LINE_35 = 35" in (root / NUMBER).read_text()
    dx("reject", NUMBER, "--hunk", second, status=3)
    assert "LINE_35 = 35" in (root / NUMBER).read_text()
    dx("resolve", CLASH, "--file", "-", stdin="VALUE = 'both'\n")
    assert (root / CLASH).read_text() == "VALUE = 'both'\n"
    assert not (root / (CLASH + ".new")).exists()
    assert "Nothing awaits a decision" in dx("review").stdout

    undone = dx("undo", status=3).stdout
    assert undone.startswith("Undid resolve")
    assert f"Put back {CLASH}" in undone
    assert (root / CLASH).read_text() == "VALUE = 'mine'\n"
    commands = re.findall(r"^\d+ +\S+ \S+ +(\S+)", dx("log").stdout, re.MULTILINE)
    assert commands[:5] == ["undo", "resolve", "reject", "accept", "install"]
    assert "undone" in dx("log").stdout
    dx("remove", "demo", status=3)
    assert "demo" not in (root / "dx.toml").read_text().split("[packages]")[1].split("[traffic]")[0].replace("# ", "")


def test_install_json(upgraded: Path, answer: Callable[..., dict[str, Any]]) -> None:
    data = answer("install", status=3)
    assert data["ok"] is True
    assert data["packages"] == [{"name": "demo", "from": "2.0", "to": "2.0", "source": "pypi"}]
    assert data["counts"].keys() == {"green", "yellow", "red"}
    assert {item["path"]: item["light"] for item in data["pending"]} == {NUMBER: "yellow", CLASH: "red"}
    for change in data["changes"]:
        assert {"path", "light", "reason", "action"} <= change.keys()


def test_review_diff_status_log_and_doctor_json(upgraded: Path, answer: Callable[..., dict[str, Any]]) -> None:
    review = answer("review", status=3)
    assert review.keys() == {"pending"}
    number = next(item for item in review["pending"] if item["path"] == NUMBER)
    assert number["package"] == "demo"
    assert [hunk.keys() for hunk in number["hunks"]] == [{"id", "header"}] * 2
    diff = answer("diff", NUMBER)
    assert "+LINE_20 = 'mine'" in diff["mine"]
    assert "+LINE_5 = 'theirs'" in diff["theirs"]
    assert "+LINE_5 = 'theirs'" in diff["proposal"]
    status = answer("status")
    assert status.keys() == {"tools", "tasks", "packages", "pending"}
    assert status["packages"][0]["name"] == "demo"
    assert status["packages"][0]["pending"] == 2
    assert len(status["pending"]) == 2
    assert [item["command"] for item in answer("log")["operations"]] == ["install", "add"]
    assert len(answer("log", "-n", "1")["operations"]) == 1
    doctor = answer("doctor")
    assert doctor["ok"] is True
    assert {check["state"] for check in doctor["checks"]} == {"ok"}


def test_everything_at_once(upgraded: Path, dx: Run) -> None:
    dx("accept", "--all")
    assert (upgraded / CLASH).read_text() == "VALUE = 2\n"
    assert "LINE_20 = 'mine'" in (upgraded / NUMBER).read_text()
    assert "Nothing awaits a decision" in dx("accept", "--all").stdout
    assert "Nothing awaits a decision" in dx("reject", "--all").stdout


def test_paths_from_the_current_folder_folders_and_globs(upgraded: Path, dx: Run) -> None:
    dx("diff", "number.py", cwd="src/dx_packages/demo/demo")
    dx("diff", NUMBER, cwd="src/dx_packages/demo/demo")
    assert "clash.py" not in dx("review", "num*", cwd="src/dx_packages/demo/demo", status=3).stdout
    dx("reject", "demo", cwd="src/dx_packages")
    assert "VALUE = 'mine'" in (upgraded / CLASH).read_text()


def test_a_stale_hunk_is_refused_with_the_ones_there_are(upgraded: Path, dx: Run) -> None:
    done = dx("accept", NUMBER, "--hunk", "99", status=1)
    assert "99" in done.stderr
    assert "there are 1, 2" in done.stderr
    assert (upgraded / NUMBER).read_text().count("theirs") == 0


def test_errors_have_statuses_and_reach_standard_error(
    root: Path, dx: Run, answer: Callable[..., dict[str, Any]]
) -> None:
    assert "no dx.toml" in dx("install", status=1).stderr
    dx("init")
    assert "hint: Did you mean `dxforge install`" in dx("instal", status=2).stderr
    for words in (("rollback",), ("prefetch",), ("tasks", "retry"), ("sync", "--pull", "--verify")):
        dx(*words, status=2)
    done = dx("add", "no-such-package", status=1)
    assert done.stdout == ""
    assert "no-such-package" in done.stderr
    assert answer("add", "no-such-package", status=1)["error"]["kind"] == "PackageNotFoundError"
    assert answer("nonsense", status=2)["error"]["kind"] == "UsageError"
    assert answer("diff", "nothing.py", status=1)["error"]["kind"] == "NotPendingError"
    (root / "dx.toml").write_text("[pakages]\n")
    error = answer("install", status=1)["error"]
    assert error["kind"] == "ConfigError"
    assert "packages" in error["hint"]


def test_strict_and_on_yellow(upgraded: Path, dx: Run, answer: Callable[..., dict[str, Any]]) -> None:
    assert "2 changes await your decision" in dx("install", "--strict", status=1).stderr
    data = answer("install", "--strict", status=1)
    assert data["ok"] is False
    assert data["error"]["kind"] == "UndecidedError"
    assert len(data["pending"]) == 2
    dx("install", "--on-yellow", "fail", status=1)


def test_several_packages_and_names(root: Path, dx: Run) -> None:
    dx("init")
    done = dx("add", "demo", "other").stdout
    assert re.search(r"demo +2\.0 \(new\)", done)
    assert re.search(r"other +1\.0 \(new\)", done)
    dx("add", "other", "--name", "mine")
    assert (root / "src/dx_packages/mine/other.py").exists()
    dx("remove", "other", "mine")
    assert sorted(path.name for path in (root / "src/dx_packages").iterdir()) == ["demo"]


def test_a_folder_is_added_as_it_is_seen_from_where_the_user_stands(root: Path, dx: Run) -> None:
    dx("init", "project")
    (root / "theme").mkdir()
    (root / "theme/style.py").write_text("S = 1\n")
    (root / "project/sub").mkdir()
    dx("add", "../../theme", cwd="project/sub")
    assert 'path = "../theme"' in (root / "project/dx.toml").read_text()
    assert (root / "project/src/dx_packages/theme/style.py").exists()


def test_offline_and_locked(root: Path, dx: Run) -> None:
    dx("init")
    assert "offline" in dx("add", "demo", "--offline", status=1).stderr.lower()
    dx("add", "demo==1.0")
    edit(root, "dx.toml", "==1.0", ">=1")
    assert "--locked" in dx("install", "--upgrade", "--locked", status=1).stderr
    dx("install", "--locked", "--offline")


def test_a_name_with_markup_is_shown_as_it_is(root: Path, dx: Run, index: IndexServer) -> None:
    names = ["[bold red]x[/].py", "two  spaces.py", "it's.py", "$(id).py", "宽.py"]
    for version in ("1.0", "2.0"):
        index.wheel("odd", version, {f"odd/{name}": f"V = '{version}'\n" for name in names})
    dx("init")
    dx("add", "odd==1.0")
    for name in names:
        (root / "src/dx_packages/odd/odd" / name).write_text("V = 'mine'\n")
    edit(root, "dx.toml", "==1.0", ">=1")
    done = dx("install", "--upgrade", status=3).stdout
    for name in names:
        assert f"src/dx_packages/odd/odd/{name}  " in done
        dx("diff", f"src/dx_packages/odd/odd/{name}")
    dx("reject", *(f"src/dx_packages/odd/odd/{name}" for name in names))


def test_a_name_that_looks_like_a_glob_means_itself(root: Path, dx: Run, index: IndexServer) -> None:
    names = ["a[1].py", "a1.py"]
    for version in ("1.0", "2.0"):
        index.wheel("globby", version, {f"globby/{name}": f"V = '{version}'\n" for name in names})
    dx("init")
    dx("add", "globby==1.0")
    for name in names:
        (root / "src/dx_packages/globby/globby" / name).write_text("V = 'mine'\n")
    edit(root, "dx.toml", "==1.0", ">=1")
    dx("install", "--upgrade", status=3)
    dx("accept", "src/dx_packages/globby/globby/a[1].py", status=3)
    assert (root / "src/dx_packages/globby/globby/a[1].py").read_text() == "V = '2.0'\n"
    assert (root / "src/dx_packages/globby/globby/a1.py").read_text() == "V = 'mine'\n"


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process")
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_is_one_line_and_130(root: Path, dx: Run, as_json: bool) -> None:
    dx("init")
    with project_lock(prepare_state_dir(root), wait_s=1, events=EventBus()):
        words = [sys.executable, "-m", "dxforge", *(["--json"] if as_json else []), "install"]
        process = subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        waiting = process.stderr.readline()
        assert f"waiting for process {os.getpid()}" in waiting
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    if as_json:
        assert json.loads(out)["ok"] is False
    else:
        assert err.startswith("interrupted: ")
        assert err.count("\n") == 1
    dx("install")


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
def test_a_reader_that_goes_away_is_no_traceback(root: Path, dx: Run) -> None:
    dx("init")
    dx("add", "demo")
    read, write = os.pipe()
    os.close(read)
    for words in (["log"], ["status", "--json"], ["help"], ["install", "-v"]):
        done = subprocess.run(
            [sys.executable, "-m", "dxforge", *words],
            cwd=root,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.returncode == 0
    os.close(write)


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell's syntax")
def test_closed_streams_are_no_traceback(upgraded: Path) -> None:
    def shell(command: str) -> subprocess.CompletedProcess[str]:
        words = ["sh", "-c", f"exec '{sys.executable}' -m dxforge {command}"]
        return subprocess.run(words, cwd=upgraded, capture_output=True, text=True, check=False)

    assert "Project story" in shell("status <&-").stdout
    assert (shell("status >&-").returncode, shell("status >&-").stderr) == (0, "")
    assert shell("nonsense 2>&- >&-").returncode == 2
    done = shell(f"resolve {CLASH} --file - <&-")
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


def complete(root: Path, *words: str) -> list[str]:
    """What bash is offered for the last word."""
    env = {
        **os.environ,
        "_DXFORGE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["dxforge", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dxforge"], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_the_shell_completes_commands_packages_paths_and_hunks(upgraded: Path) -> None:
    assert complete(upgraded, "rev") == ["review"]
    assert complete(upgraded, "install", "d") == ["demo"]
    assert complete(upgraded, "accept", "src/") == [CLASH, NUMBER]
    assert complete(upgraded, "accept", NUMBER, "src/") == [CLASH]
    assert complete(upgraded, "accept", NUMBER, "--hunk", "") == ["1", "2"]
    assert complete(upgraded, "accept", "nothing.py", "--hunk", "") == []
    assert complete(upgraded / "src/dx_packages/demo", "diff", "demo/n") == ["demo/number.py"]


@pytest.mark.skipif(os.name == "nt", reason="no pty")
@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_sees_colours_unless_it_asks_not_to(upgraded: Path, no_color: bool) -> None:
    import pexpect

    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    env.pop("FORCE_COLOR", None)
    env.pop("NO_COLOR", None)
    if no_color:
        env["NO_COLOR"] = "1"
    child = pexpect.spawn(
        sys.executable, ["-m", "dxforge", "review"], cwd=str(upgraded), env=env, encoding="utf-8", dimensions=(50, 100)
    )
    output = child.read()
    child.close()
    assert child.exitstatus == 3
    assert "▲ Yellow" in output
    assert ("\x1b[33m" in output) is not no_color
    assert NUMBER in output


def test_help_and_version_import_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; sys.argv = ['dxforge', {word!r}]\n"
        "import dxforge.commands.cli as cli\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    print(end.code, file=sys.stderr)\n"
        "heavy = {{'rich', 'pygit2', 'requests', 'asyncio', 'IPython', 'tomlkit', 'packaging', 'pypi_simple'}}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for word in ("--help", "--version", "help"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(word=word)], cwd=root, capture_output=True, text=True, check=True
        )
        assert done.stderr == "0\n[]\n"
        assert done.stdout
    done = subprocess.run(
        [sys.executable, "-c", "import sys, dxforge; print('click' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_a_second_run_waits_with_a_message_and_then_names_the_holder(root: Path, dx: Run) -> None:
    dx("init")
    with project_lock(prepare_state_dir(root), wait_s=1, events=EventBus()):
        started = time.monotonic()
        done = dx("install", status=1, DXFORGE_LOCK_WAIT_S="0.3")
        assert time.monotonic() - started >= 0.3
    assert f"waiting for process {os.getpid()}" in done.stderr
    assert f"process {os.getpid()} has been working" in done.stderr
