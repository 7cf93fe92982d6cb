"""``analyze_traffic_safety``: the light for one file, as the contract says, in a package or anywhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dxforge.errors import UsageError
from dxforge.traffic.manager import TrafficManager
from tests.support.archives import Link
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines

MINE = lines(_2="mine = 1")
PATH = f"{PACKAGES}/pkg/m.py"


def test_without_a_project(tmp_path: Path, cache_dir: Path) -> None:
    manager = TrafficManager(tmp_path)
    assert manager.analyze_traffic_safety("none.py", "a\n") is GREEN
    (tmp_path / "a.py").write_text("a\n")
    assert manager.analyze_traffic_safety("a.py", "a\n") is GREEN
    assert manager.analyze_traffic_safety("a.py", b"a\n") is GREEN
    assert manager.analyze_traffic_safety("a.py", "b\n") is YELLOW
    assert manager.analyze_traffic_safety(tmp_path / "a.py", "b\n") is YELLOW
    assert list(tmp_path.iterdir()) == [tmp_path / "a.py"]


def test_what_is_no_file(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    manager = TrafficManager(tmp_path)
    for name in ("folder", "pipe", "link"):
        assert manager.analyze_traffic_safety(name, "a\n") is RED


def test_outside_of_the_project(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "project").mkdir()
    with pytest.raises(UsageError):
        TrafficManager(tmp_path / "project").analyze_traffic_safety(tmp_path / "other.py", "a\n")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.start({"m.py": lines(), "b.bin": b"\0a", "l": Link("m.py")})
    return made


@pytest.mark.parametrize(
    ("local", "new", "light"),
    [
        (lines(), lines(), GREEN),
        (lines(), lines(_9="x"), GREEN),
        (MINE, lines(), GREEN),
        (MINE, MINE, GREEN),
        (MINE, lines(_15="x"), YELLOW),
        (MINE, lines(_2="clash"), RED),
        (MINE, lines(_2="mine = 1", _15="x"), YELLOW),
        (lines(_2="mine = 1", _15="x"), lines(_15="x"), GREEN),
        (None, lines(_9="x"), GREEN),
    ],
)
def test_of_a_file_with_a_base(project: Project, local: str | None, new: str, light: object) -> None:
    if local is None:
        project.path("m.py").unlink()
    else:
        project.write("m.py", local)
    before = project.whole()
    assert project.manager.analyze_traffic_safety(PATH, new) is light
    assert project.whole() == before


def test_of_a_binary_a_link_and_a_file_of_the_users(project: Project) -> None:
    analyze = project.manager.analyze_traffic_safety
    project.write("own.py", "mine\n")
    assert analyze(f"{PACKAGES}/pkg/own.py", "other\n") is YELLOW
    assert analyze(f"{PACKAGES}/pkg/l", "m.py") is not YELLOW
    project.write("b.bin", b"\0b")
    assert analyze(f"{PACKAGES}/pkg/b.bin", b"\0c") is RED
    assert analyze(f"{PACKAGES}/pkg/b.bin", b"\0a") is GREEN


def test_of_a_file_that_waits_the_base_is_the_one_that_was_decided_on(project: Project) -> None:
    project.write("m.py", MINE)
    project.publish({"m.py": lines(_15="theirs = 1"), "b.bin": b"\0a", "l": Link("m.py")})
    project.install()
    assert project.manager.analyze_traffic_safety(PATH, lines()) is GREEN
    assert project.manager.analyze_traffic_safety(PATH, lines(_15="theirs = 1")) is YELLOW


def test_text_of_any_kind(project: Project) -> None:
    assert project.manager.analyze_traffic_safety(PATH, "\ud800") is GREEN
    assert project.manager.analyze_traffic_safety(PATH, b"\xff") is GREEN


def test_review_always(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg", toml='[traffic]\nreview = "always"\n')
    project.start({"m.py": "a\n"})
    assert project.manager.analyze_traffic_safety(PATH, "b\n") is YELLOW
    assert project.manager.analyze_traffic_safety(PATH, "a\n") is GREEN
