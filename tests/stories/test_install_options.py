"""Installing from an index: versions, locks, names, offline, dependencies, and runs that nobody watches."""

from __future__ import annotations

import asyncio
import shutil
import tomllib
from pathlib import Path

import pytest

from dxforge.config.model import PathSpec, PyPISpec
from dxforge.errors import (
    ConfigError,
    DxForgeError,
    LockfileError,
    NoMatchingVersionError,
    OfflineError,
    PackageNotFoundError,
    ProjectError,
    UndecidedError,
    UsageError,
)
from dxforge.store.tree import FILE
from dxforge.traffic.manager import TrafficManager
from dxforge.traffic.model import Action
from tests.support.index_server import IndexServer
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said

MINE = lines(_2="mine = 1")
THEIRS = lines(_15="theirs = 1")
BOTH = lines(_2="mine = 1", _15="theirs = 1")


def demo(tmp_path: Path, toml: str = 'demo = ">=1"\n') -> Project:
    return Project(tmp_path, toml=toml)


def versions(project: Project) -> dict[str, str]:
    text = project.lock_text()
    return {} if text is None else {item["name"]: item["version"] for item in tomllib.loads(text)["package"]}


# ---- versions and the lock


def test_the_newest_that_fits_then_what_is_locked_then_an_upgrade(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines()})
    project = demo(tmp_path)
    report = project.install()
    assert [(package.name, package.from_version, package.to_version) for package in report.packages] == [
        ("demo", None, "1.0")
    ]
    assert {"demo/m.py", "demo-1.0.dist-info/METADATA"} <= set(project.tree("demo"))
    project.write("demo/m.py", MINE, "demo")
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS})
    index.forget_requests()
    again = project.install()
    assert (versions(project), again.operation, index.paths) == ({"demo": "1.0"}, None, [])
    report = project.install(upgrade=True)
    assert versions(project) == {"demo": "1.1"}
    assert of(report, "demo/m.py", "demo").light is YELLOW
    lights = set(said(report, "demo").values())
    assert lights == {GREEN, YELLOW}
    project.manager.accept(f"{PACKAGES}/demo/demo/m.py")
    assert project.read("demo/m.py", "demo") == BOTH.encode()


def test_a_narrower_specifier_moves_the_lock(tmp_path: Path, index: IndexServer) -> None:
    for version in ("1.0", "1.1", "2.0"):
        index.wheel("demo", version, {"demo/m.py": f"v = {version}\n"})
    project = demo(tmp_path)
    project.install()
    assert versions(project) == {"demo": "2.0"}
    toml = project.root / "dx.toml"
    toml.write_text(toml.read_text().replace(">=1", "<2"))
    report = project.install()
    assert versions(project) == {"demo": "1.1"}
    assert [(package.from_version, package.to_version) for package in report.packages] == [("2.0", "1.1")]
    assert project.read("demo/m.py", "demo") == b"v = 1.1\n"


def test_the_lock_is_the_same_for_the_same(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    index.wheel("other", "1.0", {"other/m.py": "a\n"})
    texts = []
    for number, toml in enumerate(('demo = ""\nother = ""\n', 'other = ""\ndemo = ""\n')):
        (tmp_path / str(number)).mkdir()
        project = Project(tmp_path / str(number), toml=toml)
        project.install()
        texts.append(project.lock_text())
    assert texts[0] == texts[1] is not None
    assert "127.0.0.1" not in str(texts[0])


def test_locked_takes_the_lock_or_nothing(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    project = demo(tmp_path)
    with pytest.raises(LockfileError, match="locked"):
        project.install(locked=True)
    assert not project.path(name="demo").exists()
    project.install()
    index.wheel("demo", "1.1", {"demo/m.py": "b\n"})
    assert project.install(locked=True).operation is None
    before = project.whole()
    with pytest.raises(LockfileError) as caught:
        project.install(locked=True, upgrade=True)
    assert "demo" in str(caught.value)
    assert caught.value.hint
    assert project.whole() == before
    # A fresh clone installs exactly what is locked.
    clone = project.clone()
    shutil.rmtree(clone.path(name="demo"))
    assert said(clone.install(locked=True), "demo")
    assert versions(clone) == {"demo": "1.0"}
    assert clone.tree("demo") == project.tree("demo")


def test_locked_does_not_refuse_a_decision_that_is_still_open(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines()})
    project = demo(tmp_path)
    project.install()
    project.write("demo/m.py", MINE, "demo")
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS})
    project.install(upgrade=True)
    assert project.install(locked=True).pending
    clone = project.clone()
    assert [change.path for change in clone.install(locked=True).pending] == [f"{PACKAGES}/demo/demo/m.py"]


def test_offline_works_from_the_cache(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    project = demo(tmp_path)
    with pytest.raises(OfflineError):
        project.install(offline=True)
    assert not project.path(name="demo").exists()
    project.install()
    index.stop()
    clone = project.clone()
    shutil.rmtree(clone.path(name="demo"))
    clone.install(offline=True)
    assert clone.tree("demo") == project.tree("demo")
    shutil.rmtree(clone.root / ".dx")
    shutil.rmtree(clone.path(name="demo"))
    shutil.rmtree(cache_dir)
    before = clone.whole()
    with pytest.raises(OfflineError) as caught:
        clone.install(offline=True)
    assert caught.value.hint
    assert clone.whole() == before


def test_a_base_survives_a_cleared_cache(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines()})
    project = demo(tmp_path)
    project.install()
    project.write("demo/m.py", MINE, "demo")
    shutil.rmtree(cache_dir)
    index.withdraw("demo", "demo-1.0-py3-none-any.whl")
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS})
    report = project.install(upgrade=True)
    assert of(report, "demo/m.py", "demo").light is YELLOW
    project.manager.accept(f"{PACKAGES}/demo/demo/m.py")
    assert project.read("demo/m.py", "demo") == BOTH.encode()


def test_a_base_is_downloaded_again_where_it_is_missing(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines()})
    project = demo(tmp_path)
    project.install()
    project.write("demo/m.py", MINE, "demo")
    clone = project.clone()
    shutil.rmtree(cache_dir)
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS})
    report = clone.install(upgrade=True)
    assert of(report, "demo/m.py", "demo").light is YELLOW
    assert clone.manager.pending()[0].hunks


def test_a_damaged_archive_in_the_project_is_had_again(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": lines()})
    project = demo(tmp_path)
    project.install()
    project.write("demo/m.py", MINE, "demo")
    for archive in (project.root / ".dx" / "archives").glob("*/*"):
        archive.chmod(0o644)
        archive.write_bytes(b"rot")  # the same bytes as in the cache: it is a link
    index.wheel("demo", "1.1", {"demo/m.py": THEIRS})
    report = project.install(upgrade=True)
    assert of(report, "demo/m.py", "demo").light is YELLOW
    assert project.manager.pending()[0].hunks


# ---- names


def test_only_the_named_packages(tmp_path: Path, index: IndexServer) -> None:
    for name in ("one", "two"):
        index.wheel(name, "1.0", {f"{name}/m.py": "a\n"})
    project = Project(tmp_path, toml='one = ""\ntwo = ""\n')
    project.install("two")
    assert versions(project) == {"two": "1.0"}
    project.install()
    for name in ("one", "two"):
        index.wheel(name, "1.1", {f"{name}/m.py": "b\n"})
    project.install("one", upgrade=True)
    assert versions(project) == {"one": "1.1", "two": "1.0"}
    assert project.read("two/m.py", "two") == b"a\n"


def test_what_waits_elsewhere_is_still_told(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "one", "two")
    for name in ("one", "two"):
        project.publish({"m.py": lines()}, name)
    project.install()
    project.write("m.py", MINE, "one")
    project.publish({"m.py": THEIRS}, "one")
    project.install()
    project.publish({"m.py": THEIRS}, "two")
    report = project.install("two")
    assert said(report, "two") == {"m.py": GREEN}
    assert [change.path for change in report.pending] == [f"{PACKAGES}/one/m.py"]
    plan = asyncio.run(project.manager.plan(["two"]))
    assert [change.path for change in plan.report().pending] == [f"{PACKAGES}/one/m.py"]


def test_a_name_that_is_not_declared(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "humanize")
    project.publish({"m.py": "a\n"}, "humanize")
    with pytest.raises(UsageError, match="humanize") as caught:
        project.install("humanise")
    assert "humanise" in str(caught.value)


def test_named_install_leaves_what_left_the_file(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "one", "two")
    for name in ("one", "two"):
        project.publish({"m.py": "a\n"}, name)
    project.install()
    toml = project.root / "dx.toml"
    toml.write_text("".join(line for line in toml.read_text().splitlines(keepends=True) if not line.startswith("one")))
    project.install("two")
    assert project.path("m.py", "one").exists()
    project.install()
    assert not project.path(name="one").exists()


# ---- adding and choosing a version


def test_install_package_declares_it(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    index.wheel("demo", "2.0", {"demo/m.py": "b\n"})
    root = tmp_path / "empty"
    root.mkdir()
    manager = TrafficManager(root)
    report = asyncio.run(manager.install_package("demo", "1.0"))
    assert report.ok
    assert tomllib.loads((root / "dx.toml").read_text())["packages"] == {"demo": "==1.0"}
    asyncio.run(manager.install_package("demo", ">=1"))
    assert tomllib.loads((root / "dx.toml").read_text())["packages"] == {"demo": ">=1"}
    manager.undo()
    assert tomllib.loads((root / "dx.toml").read_text())["packages"] == {"demo": "==1.0"}
    manager.undo()
    manager.undo()


def test_an_exact_version_that_the_file_allows_moves_only_the_lock(tmp_path: Path, index: IndexServer) -> None:
    for version in ("1.0", "1.1"):
        index.wheel("demo", version, {"demo/m.py": f"v = {version}\n"})
    project = demo(tmp_path)
    project.install()
    toml = (project.root / "dx.toml").read_text()
    asyncio.run(project.manager.install_package("demo", "1.0"))
    assert (versions(project), (project.root / "dx.toml").read_text()) == ({"demo": "1.0"}, toml)
    assert project.install().operation is None
    assert versions(project) == {"demo": "1.0"}


def test_a_version_of_what_is_not_from_the_index(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"m.py": "a\n"})
    with pytest.raises(UsageError, match="does not come from the Python index"):
        asyncio.run(project.manager.install_package("pkg", "1.0"))
    assert asyncio.run(project.manager.install_package("pkg")).operation is None


def test_undo_of_the_first_package_takes_the_file_along(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    root = tmp_path / "empty"
    root.mkdir()
    manager = TrafficManager(root)
    asyncio.run(manager.install_package("demo"))
    manager.undo()
    assert not (root / "dx.toml").exists() and not (root / "dx.lock").exists()
    assert not (root / PACKAGES / "demo").exists()


@pytest.mark.parametrize(
    "text", ['# mine\n[project]\nname = "demo"\n\n[packages] # here\n', '[project]\r\nname = "demo"\r\n']
)
def test_add_keeps_the_file_as_it_is(tmp_path: Path, cache_dir: Path, text: str) -> None:
    project = Project(tmp_path)
    toml = project.root / "dx.toml"
    toml.write_bytes(text.encode())
    project.publish({"m.py": "a\n"})
    asyncio.run(project.manager.add(PathSpec(name="pkg", path="../upstream/pkg")))
    assert toml.read_bytes().startswith(text.rstrip().encode())
    assert tomllib.loads(toml.read_text())["packages"] == {"pkg": {"path": "../upstream/pkg"}}
    project.remove()
    assert "pkg" not in toml.read_text()
    project.manager.undo()
    assert "pkg" in toml.read_text()
    project.manager.undo()
    assert "pkg" not in toml.read_text()


def test_a_file_with_an_executable_bit_can_be_edited(tmp_path: Path, cache_dir: Path) -> None:
    """As every file has one on some file systems."""
    project = Project(tmp_path)
    (project.root / "dx.toml").chmod(0o755)
    project.publish({"m.py": "a\n"})
    asyncio.run(project.manager.add(PathSpec(name="pkg", path="../upstream/pkg")))
    assert project.path("m.py").exists()


def test_an_addition_that_cannot_be_had_leaves_the_file(tmp_path: Path, index: IndexServer) -> None:
    project = Project(tmp_path)
    before = project.whole()
    with pytest.raises(PackageNotFoundError):
        asyncio.run(project.manager.add(PyPISpec(name="nothing")))
    assert project.whole() == before


def test_where_there_is_no_project(tmp_path: Path, cache_dir: Path) -> None:
    manager = TrafficManager(tmp_path)
    for call in (
        lambda: asyncio.run(manager.install_all_dependencies()),
        lambda: asyncio.run(manager.plan()),
        lambda: asyncio.run(manager.remove("x")),
        manager.pending,
        manager.packages,
        lambda: manager.accept("x"),
        lambda: manager.diff("x"),
    ):
        with pytest.raises(ProjectError) as caught:
            call()  # type: ignore[operator]
        assert caught.value.hint
    assert manager.log() == []
    for call in (lambda: asyncio.run(TrafficManager(tmp_path / "none").install_all_dependencies()),):
        with pytest.raises(ProjectError):
            call()


@pytest.mark.parametrize(
    "toml", ["demo = 5\n", 'demo = ">>1"\n', "[traffic]\nreviw = 1\n", 'a = ""\nA = ""\n', "demo = \n"]
)
def test_a_bad_file_changes_nothing(tmp_path: Path, cache_dir: Path, toml: str) -> None:
    project = Project(tmp_path, toml=toml)
    before = project.whole()
    with pytest.raises(ConfigError) as caught:
        project.install()
    assert "dx.toml" in str(caught.value)
    assert project.whole() == before


@pytest.mark.parametrize("text", ["", "version = 9\n", "x", "version = 1\n[[package]]\nname = 1\n", "<<<<<<< HEAD\n"])
def test_a_bad_lock_changes_nothing(tmp_path: Path, cache_dir: Path, text: str) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"m.py": "a\n"})
    (project.root / "dx.lock").write_text(text)
    before = project.whole()
    for call in (project.install, project.manager.pending, project.manager.packages, project.remove):
        with pytest.raises(LockfileError):
            call()  # type: ignore[operator]
    assert project.whole() == before


def test_no_version_that_fits(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "0.9", {"demo/m.py": "a\n"})
    project = demo(tmp_path)
    with pytest.raises(NoMatchingVersionError):
        project.install()
    assert project.lock_text() is None


# ---- a run that nobody watches


def scene(project: Project) -> None:
    project.start(
        {"y.py": lines(), "r.py": lines(), "g.py": "a\n", "old.py": "x = 1\n" + lines()},
        {"y.py": MINE, "r.py": MINE, "old.py": "x = 1\n" + MINE},
    )
    project.publish({"y.py": THEIRS, "r.py": lines(_2="clash = 1"), "g.py": "b\n", "new.py": "x = 1\n" + THEIRS})


def test_keep_decides_for_the_user_once(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg", toml='[traffic]\non_yellow = "keep"\n')
    scene(project)
    report = project.install()
    assert said(report) == {"y.py": YELLOW, "r.py": RED, "g.py": GREEN, "old.py": YELLOW, "new.py": GREEN}
    assert of(report, "y.py").action is Action.KEEP
    assert [change.path for change in report.pending] == [f"{PACKAGES}/pkg/r.py"]
    assert project.read("y.py") == MINE.encode()
    assert project.install(on_yellow="ask").operation is None


def test_accept_takes_what_merges(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    scene(project)
    report = project.install(on_yellow="accept")
    assert project.read("y.py") == BOTH.encode()
    assert of(report, "y.py").action is Action.UPDATE
    assert {change.path for change in report.pending} == {f"{PACKAGES}/pkg/r.py", f"{PACKAGES}/pkg/old.py"}
    assert project.read("r.py") == MINE.encode()
    project.manager.undo()
    assert project.read("y.py") == MINE.encode()


def test_accept_does_not_take_what_no_longer_parses(tmp_path: Path, cache_dir: Path) -> None:
    base = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    project = Project(tmp_path, "pkg")
    project.start({"m.py": base}, {"m.py": base.replace("return 1", "return 10")})
    project.publish({"m.py": base.replace("return 2", "return (2")})
    report = project.install(on_yellow="accept")
    assert [change.path for change in report.pending] == [f"{PACKAGES}/pkg/m.py"]


def test_fail_installs_nothing(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg", toml='[traffic]\non_yellow = "fail"\n')
    scene(project)
    before, lock = project.whole(), project.lock_text()
    with pytest.raises(UndecidedError) as caught:
        project.install()
    assert caught.value.where.startswith(f"{PACKAGES}/pkg/")
    assert (project.whole(), project.lock_text()) == (before, lock)
    project.publish({"y.py": lines(), "r.py": lines(), "g.py": "b\n", "old.py": "x = 1\n" + lines()})
    assert project.install().pending == []


def test_review_always_asks_about_updates_too(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg", toml='[traffic]\nreview = "always"\n')
    project.start({"m.py": lines(), "gone.py": "a\n"})
    project.publish({"m.py": lines(_2="two = 1", _15="fifteen = 1"), "new.py": "n\n"})
    report = project.install()
    assert said(report) == {"m.py": YELLOW, "gone.py": GREEN, "new.py": GREEN}
    assert project.read("m.py") == lines().encode()
    path = f"{PACKAGES}/pkg/m.py"
    project.manager.accept(path, "1")
    project.manager.reject(path, "2")
    assert project.read("m.py") == lines(_2="two = 1").encode()
    assert project.install().pending == []


# ---- packages that bring others


def test_dependencies_come_and_go_with_their_package(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("app", "1.0", {"app/m.py": "a\n"}, requires=["lib>=1"])
    index.wheel("lib", "1.0", {"lib/m.py": "l\n"})
    index.wheel("lib", "1.1", {"lib/m.py": "l 2\n"})
    project = Project(tmp_path, toml='app = { version = "", with_dependencies = true }\n')
    project.install()
    assert versions(project) == {"app": "1.0", "lib": "1.1"}
    assert project.install().operation is None
    project.write("lib/m.py", "mine\n", "lib")
    index.wheel("app", "2.0", {"app/m.py": "b\n"})
    report = project.install(upgrade=True)
    assert versions(project)["app"] == "2.0"
    assert of(report, "lib/m.py", "lib").light is RED
    assert project.read("lib/m.py", "lib") == b"mine\n"
    assert not (project.path("lib-1.1.dist-info", "lib")).exists()


def test_removing_a_package_takes_what_only_it_needed(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("app", "1.0", {"app/m.py": "a\n"}, requires=["lib>=1"])
    index.wheel("lib", "1.0", {"lib/m.py": "l\n"})
    project = Project(tmp_path, toml='app = { version = "", with_dependencies = true }\n')
    project.install()
    before = project.whole()
    report = project.remove("app")
    assert {package.name for package in report.packages} == {"app", "lib"}
    assert project.lock_text() is None
    project.manager.undo()
    assert project.whole() == before


# ---- listing


def test_packages_count_edits_and_open_decisions(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"a.py": lines(), "b.py": "b\n", "c.py": "c\n"}, {"a.py": MINE, "c.py": None, "own.py": "mine\n"})
    (status,) = project.manager.packages()
    assert (status.name, status.source, status.edited, status.pending, status.leaving) == ("pkg", "path", 2, 0, False)
    project.publish({"a.py": THEIRS, "b.py": "b\n", "c.py": "c\n"})
    project.install()
    (status,) = project.manager.packages()
    assert (status.edited, status.pending) == (2, 1)
    assert project.manager.log()[0].summary.startswith("pkg ")
    (file,) = [item for item in project.tree().items() if item[0] == "b.py"]
    assert file == ("b.py", (FILE, b"b\n"))


def test_the_diff_of_an_edit_that_does_not_wait(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"a.py": lines(), "b.py": "b\n"}, {"a.py": MINE})
    diff = project.manager.diff(f"{PACKAGES}/pkg/a.py")
    assert "+mine = 1" in diff.mine
    assert (diff.theirs, diff.proposal, diff.change.light) == ("", "", GREEN)
    assert project.manager.diff(f"{PACKAGES}/pkg/b.py").mine == ""
    with pytest.raises(DxForgeError):
        project.manager.diff(f"{PACKAGES}/pkg/own.py")
