"""The project's own links to archives: a base outlives the cache, the folder and the index."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dxforge.errors import SourceError
from dxforge.events import EventBus
from dxforge.traffic.ground import Ground
from dxforge.traffic.lock import loads
from dxforge.traffic.shelf import Shelf
from tests.support.project import Project, lines


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.start({"m.py": lines()})
    return made


def archives(project: Project) -> list[Path]:
    return sorted((project.root / ".dx" / "archives").glob("*/*"))


def shelf_of(project: Project) -> tuple[Shelf, dict[str, object]]:
    workspace = Ground(project.root, EventBus()).workspace()
    return workspace.shelf, {name: package.pin for name, package in workspace.lock.packages.items()}


def test_an_archive_is_a_hard_link_to_the_cached_one(project: Project, cache_dir: Path) -> None:
    (link,) = archives(project)
    assert link.stat().st_nlink == 2
    assert link.name in (project.lock_text() or "")


def test_it_serves_when_cache_and_folder_are_gone(project: Project, cache_dir: Path) -> None:
    shutil.rmtree(cache_dir)
    shutil.rmtree(project.base / "upstream")
    shelf, _ = shelf_of(project)
    pin = loads(project.lock_text()).packages["pkg"].pin
    package = shelf.package(pin)
    assert dict(package.read()) == {"m.py": lines().encode()}
    assert shelf.package(pin) is package


def test_a_project_opens_an_archive_once_and_again_when_it_is_another_file(project: Project) -> None:
    ground = Ground(project.root, EventBus())
    pin = loads(project.lock_text()).packages["pkg"].pin
    package = ground.workspace().shelf.package(pin)
    assert ground.workspace().shelf.package(pin) is package
    (link,) = archives(project)
    shutil.copyfile(link, link.with_suffix(".copy"))
    link.with_suffix(".copy").replace(link)
    again = ground.workspace().shelf.package(pin)
    assert again is not package
    assert dict(again.read()) == {"m.py": lines().encode()}
    link.unlink()
    assert ground.workspace().shelf.package(pin) is not again  # from the cache
    damaged = project.root / "damaged"
    damaged.write_bytes(b"no archive")
    damaged.replace(link)
    assert dict(ground.workspace().shelf.package(pin).read()) == {"m.py": lines().encode()}


def test_what_is_nowhere_is_an_error_unless_the_lock_knows_the_files(project: Project, cache_dir: Path) -> None:
    shutil.rmtree(cache_dir)
    shutil.rmtree(project.base / "upstream")
    shutil.rmtree(project.root / ".dx")
    shelf, _ = shelf_of(project)
    locked = loads(project.lock_text()).packages["pkg"]
    with pytest.raises(SourceError):
        shelf.package(locked.pin)
    with pytest.raises(SourceError):
        shelf.tree(locked.pin, None)
    assert set(shelf.tree(locked.pin, locked.files)) == {"m.py"}


def test_archives_stay_as_long_as_an_operation_or_the_lock_names_them(project: Project) -> None:
    for number in range(3):
        project.publish({"m.py": lines(_9=f"v {number}")})
        project.install()
    assert len(archives(project)) == 4
    operations = project.root / ".dx" / "operations"
    for operation in sorted(operations.iterdir())[:-1]:
        shutil.rmtree(operation)
    project.publish({"m.py": lines(_9="v 3")})
    project.install()
    # What the kept operations go from and to: 1 and 2, then 2 and 3.
    assert len(archives(project)) == 3
    project.manager.undo()
    assert project.read("m.py") == lines(_9="v 2").encode()


def test_on_another_file_system_it_is_a_copy(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    project.publish({"m.py": lines(_9="v 2")})
    project.install()
    assert len(archives(project)) == 2
    assert min(link.stat().st_nlink for link in archives(project)) == 1


def test_a_pending_base_is_kept_through_many_versions(project: Project, cache_dir: Path) -> None:
    project.replace("m.py", "line 2 = 2", "mine = 1")
    for number in range(3):
        project.publish({"m.py": lines(_9=f"v {number}")})
        project.install()
        for operation in (project.root / ".dx" / "operations").iterdir():
            shutil.rmtree(operation)
    shutil.rmtree(cache_dir)
    (change,) = project.manager.pending()
    assert "-line 9 = 9" in project.manager.diff(change.path).theirs
    project.manager.accept(change.path)
    assert project.read("m.py") == lines(_2="mine = 1", _9="v 2").encode()
