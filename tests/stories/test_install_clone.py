"""A fresh clone (no ``.dx``) with edited packages installs, upgrades and merges as the original would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dxforge.errors import DxForgeError, ReviewError
from dxforge.store.tree import FILE
from dxforge.traffic.model import Action
from tests.support.archives import Exec, Link
from tests.support.index_server import IndexServer
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said, snapshot

MINE = lines(_2="mine = 1")
THEIRS = lines(_15="theirs = 1")
BOTH = lines(_2="mine = 1", _15="theirs = 1")
PATH = f"{PACKAGES}/pkg/m.py"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


def forget(cache_dir: Path) -> None:
    """Another machine: nothing is cached there."""
    shutil.rmtree(cache_dir)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_edits_are_known_as_edits(project: Project, cache_dir: Path, elsewhere: bool) -> None:
    project.start({"m.py": lines(), "b.py": "b\n", "x": Exec("x\n"), "l": Link("b.py")}, {"m.py": MINE, "b.py": None})
    clone = project.clone()
    if elsewhere:
        forget(cache_dir)
    report = clone.install()
    assert report.operation is None
    assert said(report) == {"m.py": GREEN, "b.py": GREEN}
    assert clone.whole() == project.whole()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_upgrade_there_is_the_upgrade_here(project: Project, cache_dir: Path, elsewhere: bool) -> None:
    project.start(
        {"m.py": lines(), "r.py": lines(), "b.bin": b"\0a", "gone.py": "g\n", "u.py": "u\n"},
        {"m.py": MINE, "r.py": MINE, "b.bin": b"\0mine", "gone.py": "mine\n"},
    )
    clone = project.clone()
    project.publish({"m.py": THEIRS, "r.py": lines(_2="clash"), "b.bin": b"\0c", "u.py": "u 2\n", "n.py": "n\n"})
    here = project.install()
    if elsewhere:
        forget(cache_dir)
    there = clone.install()
    if elsewhere:
        # The folder has moved on and nobody has what it was: files that only one side changed do not need it.
        assert said(there) == {**said(here), "r.py": YELLOW, "b.bin": YELLOW}
        assert "can no longer be had" in of(there, "m.py").reason
        clone.manager.reject([change.path for change in there.pending])
        assert clone.read("m.py") == MINE.encode()
    else:
        assert said(there) == said(here)
        assert clone.whole() == project.whole()
        for each in (project, clone):
            each.manager.accept(PATH)
        assert clone.whole() == project.whole()
        assert clone.read("m.py") == BOTH.encode()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_upgrade_from_an_index(tmp_path: Path, index: IndexServer, cache_dir: Path, elsewhere: bool) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines(), "demo/r.py": lines()})
    project = Project(tmp_path, toml='demo = ""\n')
    project.install()
    project.write("demo/m.py", MINE, "demo")
    project.write("demo/r.py", MINE, "demo")
    clone = project.clone()
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS, "demo/r.py": lines(_2="clash")})
    here = project.install(upgrade=True)
    if elsewhere:
        forget(cache_dir)
    there = clone.install(upgrade=True)
    assert said(there, "demo") == said(here, "demo")
    assert clone.whole() == project.whole()
    # And again, with the decisions still open: their base is 1.0's.
    second = clone.clone("second")
    index.wheel("demo", "1.2", {"demo/m.py": lines(_15="theirs = 2"), "demo/r.py": lines(_2="clash 2")})
    if elsewhere:
        forget(cache_dir)
    for each in (clone, second):
        report = each.install(upgrade=True)
        assert of(report, "demo/m.py", "demo").light is YELLOW
        assert "-line 15 = 15" in each.manager.diff(f"{PACKAGES}/demo/demo/m.py").theirs
    assert second.whole() == clone.whole()


def test_open_decisions_are_known(project: Project) -> None:
    project.start(
        {"m.py": lines(), "r.py": lines(), "gone.py": "g\n", "old.py": "# old\n" + lines()},
        {"m.py": MINE, "r.py": MINE, "gone.py": "mine\n", "old.py": "# old\n" + MINE},
    )
    project.publish({"m.py": THEIRS, "r.py": lines(_2="clash"), "new.py": "# old\n" + THEIRS})
    project.install()
    clone = project.clone()
    assert clone.manager.pending() == project.manager.pending()
    assert clone.manager.packages() == project.manager.packages()
    for path in ("m.py", "r.py", "gone.py", "old.py"):
        assert clone.manager.diff(f"{PACKAGES}/pkg/{path}") == project.manager.diff(f"{PACKAGES}/pkg/{path}")
    report = clone.install()
    assert (report.operation, len(report.pending)) == (None, 4)
    for each in (project, clone):
        each.manager.accept([change.path for change in each.manager.pending()])
    assert clone.whole() == project.whole()
    assert clone.read("new.py") == ("# old\n" + BOTH).encode()


def test_open_decisions_whose_proposal_is_lost(project: Project, cache_dir: Path) -> None:
    project.start({"m.py": lines(), "d.py": "d\n", "gone.py": "g\n"}, {"m.py": MINE, "d.py": None, "gone.py": "mine\n"})
    project.publish({"m.py": THEIRS, "d.py": "d 2\n"})
    project.install()
    project.publish({"m.py": lines(_9="later = 1"), "d.py": "d 3\n"})
    clone = project.clone()
    forget(cache_dir)
    shutil.rmtree(project.root / ".dx")
    pending = {change.path: change for change in clone.manager.pending()}
    assert set(pending) == {PATH, f"{PACKAGES}/pkg/d.py", f"{PACKAGES}/pkg/gone.py"}
    assert pending[PATH].light is YELLOW
    assert pending[PATH].hunks == ()
    before = clone.whole()
    for path in (PATH, f"{PACKAGES}/pkg/d.py"):
        with pytest.raises(ReviewError) as caught:
            clone.manager.accept(path)
        assert "install" in caught.value.hint
        clone.manager.diff(path)
    assert clone.whole() == before
    report = clone.install()
    assert clone.read("m.py") == MINE.encode()
    assert "can no longer be had" in of(report, "m.py").reason
    clone.manager.resolve(PATH, lines(_2="mine = 1", _9="later = 1"))
    clone.manager.accept(f"{PACKAGES}/pkg/d.py")
    clone.manager.accept(f"{PACKAGES}/pkg/gone.py")
    assert clone.install().pending == []
    assert sorted(clone.tree()) == ["d.py", "m.py"]


def test_the_packages_need_not_be_in_version_control(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    """Where only dx.toml and dx.lock are committed, a clone gets the locked files."""
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    project = Project(tmp_path, toml='demo = ""\n')
    project.install()
    index.wheel("demo", "1.1", {"demo/m.py": "b\n"})
    clone = project.clone()
    shutil.rmtree(clone.root / "src")
    forget(cache_dir)
    report = clone.install()
    assert set(said(report, "demo").values()) == {GREEN}
    assert clone.whole() == project.whole()


def test_a_deleted_package_folder_comes_back(project: Project) -> None:
    project.start({"m.py": "a\n", "sub/b.py": "b\n"}, {"m.py": "mine\n"})
    shutil.rmtree(project.path())
    report = project.install()
    assert said(report) == {"m.py": GREEN, "sub/b.py": GREEN}
    assert {change.action for change in report.changes} == {Action.CREATE}
    assert project.tree() == {"m.py": (FILE, b"a\n"), "sub/b.py": (FILE, b"b\n")}
    assert project.install().operation is None


def test_a_deleted_package_folder_with_open_decisions(project: Project) -> None:
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash")})
    project.install()
    shutil.rmtree(project.path())
    assert [change.light for change in project.manager.pending()] == [YELLOW]
    report = project.install()
    assert report.pending == []
    assert project.tree() == {"m.py": (FILE, lines(_2="clash").encode())}


def test_deleting_everything_of_ours_loses_nothing_of_the_users(project: Project) -> None:
    project.start({"m.py": lines(), "b.py": "b\n"}, {"m.py": MINE, "own.py": "own\n"})
    (project.root / "dx.lock").unlink()
    shutil.rmtree(project.root / ".dx")
    project.publish({"m.py": THEIRS, "b.py": "b\n"})
    report = project.install()
    assert said(report) == {"m.py": YELLOW}
    assert of(report, "m.py").reason.startswith("a file of yours stands in the way")
    assert project.read("m.py") == MINE.encode()
    assert project.read("own.py") == b"own\n"


def test_a_package_that_was_leaving_comes_back_elsewhere(project: Project, cache_dir: Path) -> None:
    project.start({"m.py": lines(), "b.py": "b\n"}, {"m.py": MINE})
    toml = (project.root / "dx.toml").read_text()
    project.remove()
    project.publish({"m.py": THEIRS, "b.py": "b\n"})
    clone = project.clone()
    forget(cache_dir)
    (clone.root / "dx.toml").write_text(toml)
    report = clone.install()
    assert said(report) == {"m.py": YELLOW, "b.py": GREEN}
    assert clone.read("m.py") == MINE.encode()


def test_through_git(project: Project) -> None:
    """The real thing: commit, clone, and go on; the user's repository is neither read nor written by us."""

    def git(where: Path, *arguments: str) -> str:
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_{what}": "me@here" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        return subprocess.run(
            ["git", *arguments], cwd=where, env=environment, check=True, capture_output=True, text=True
        ).stdout

    project.start({"m.py": lines(), "x": Exec("x\n")}, {"m.py": MINE})
    project.publish({"m.py": THEIRS, "x": Exec("x\n")})
    project.install()
    git(project.root, "init", "-q", "-b", "main")
    git(project.root, "add", "-A")
    assert ".dx" not in git(project.root, "status", "--short", "--ignored=no")
    git(project.root, "commit", "-q", "-m", "one")
    state = snapshot(project.root / ".git")
    clone_root = project.base / "cloned"
    git(project.base, "clone", "-q", str(project.root), str(clone_root))
    clone = Project(project.base, root=clone_root)
    assert [change.path for change in clone.manager.pending()] == [PATH]
    clone.manager.accept(PATH)
    assert clone.read("m.py") == BOTH.encode()
    assert sorted(git(clone_root, "status", "--short").split()) == ["M", "M", "dx.lock", PATH]
    project.install()
    assert snapshot(project.root / ".git") == state
    # Another branch, another lock: no operation of this one is undone there.
    git(clone_root, "checkout", "-q", "--", ".")
    with pytest.raises(DxForgeError):
        clone.manager.undo()
    assert [change.light for change in clone.manager.pending()] == [YELLOW]
    assert RED not in {change.light for change in clone.install().changes}
