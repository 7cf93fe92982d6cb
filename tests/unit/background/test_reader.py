"""The child process that parses: it answers, it may die, and it does not disturb its parent."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path

import psutil
import pytest

from dxforge.background.reader import Reader, ReaderDiedError
from dxforge.background.reading import Place, load
from dxforge.errors import TaskError


def write(folder: Path, **files: str) -> list[str]:
    paths = []
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.write_text(text)
        paths.append(str(path))
    return paths


def test_files_are_read_in_order_and_missing_ones_are_problems(tmp_path: Path) -> None:
    paths = write(tmp_path, a="import x\n", b="def (\n")
    with Reader() as reader:
        answers = reader.read([paths[0], str(tmp_path / "missing.py"), paths[1]], [("x", "import")])
    facts = [load(data) for _, data in answers]
    assert [item.module for item in facts[0].imports] == ["x"] and [item.pattern for item in facts[0].matches] == ["x"]
    assert answers[1][0] is None and "no such file" in facts[1].problems[0].what
    assert facts[2].problems[0].place == Place(1)
    status = os.stat(paths[0])
    assert answers[0][0] == (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def test_warnings_of_the_parser_reach_nobody(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught, Reader() as reader:
        reader.read(write(tmp_path, a="x = '\\d'\nassert (1, 2)\n"), [])
    assert not caught


def test_a_module_of_the_project_cannot_stand_in_for_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ast="raise SystemExit\n", pickle="raise SystemExit\n", good="import x\n")
    monkeypatch.chdir(tmp_path)
    with Reader() as reader:
        ((_, data),) = reader.read([str(tmp_path / "good.py")], [])
    assert load(data).imports


def test_what_kills_the_child_is_found_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxforge.background.reader._JOB_S", 1)
    paths = write(tmp_path, a="import x\n", b="a" * 60 + "!\n", c="import y\n")
    with Reader() as reader:
        answers = [load(data) for _, data in reader.read(paths, [("endless", r"^(a|aa)+$")])]
    assert [bool(facts.problems) for facts in answers] == [False, True, False]
    assert "too much" in answers[1].problems[0].what


def test_it_can_be_stopped_from_another_thread(tmp_path: Path) -> None:
    paths = write(tmp_path, b="a" * 60 + "!\n")
    reader = Reader()
    threading.Timer(0.5, reader.stop).start()
    with pytest.raises(ReaderDiedError):
        reader.read(paths, [("endless", r"^(a|aa)+$")])
    with pytest.raises(ReaderDiedError):
        reader.call("distributions")
    reader.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nice")
def test_it_has_low_priority_and_ends_with_the_reader() -> None:
    with Reader() as reader:
        assert "pytest" in reader.call("distributions")
        assert reader._process is not None
        child = psutil.Process(reader._process.pid)
        assert int(child.nice()) > os.getpriority(os.PRIO_PROCESS, 0)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    import subprocess

    code = (
        "from dxforge.background.reader import Reader\nimport time\nreader = Reader()\nreader.call('read', [], [])\n"
        "print(reader._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = json.loads(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline_s = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_where_python_cannot_be_started_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Reader() as reader, pytest.raises(TaskError, match="could not be started") as caught:
        reader.call("read", [], [])
    assert caught.value.where == "/no/such/python" and caught.value.hint
