"""Edge cases of real trees, from git's t6400-t6436, jj, dpkg and chezmoi (issue text: facts, "Merging")."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.errors import ApplyError, ChangedMeanwhileError, DxForgeError, WriteError
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK
from dxforge.traffic.ground import Ground
from dxforge.traffic.journal import Journal
from dxforge.traffic.model import Action
from tests.support.archives import Exec, Link
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said

REST = {"rest.py": "rest = 1\n"}
MINE = lines(_2="mine = 1")
THEIRS = lines(_15="theirs = 1")
BOTH = lines(_2="mine = 1", _15="theirs = 1")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


def at_checkpoint(monkeypatch: pytest.MonkeyPatch, name: str, action: Callable[[], object]) -> None:
    """Have ``action`` done at a step of the next operation."""
    original = Ground.journal
    done = []

    def journal(self: Ground) -> Journal:
        made = original(self)

        def checkpoint(at: str) -> None:
            if at == name and not done:
                done.append(at)
                action()

        made.checkpoint = checkpoint
        return made

    monkeypatch.setattr(Ground, "journal", journal)


# ---- symlinks in the way


def test_a_symlinked_folder_in_the_package_is_not_written_through(project: Project) -> None:
    project.start({**REST, "sub/a.py": "a\n", "sub/b.py": "b\n"})
    outside = project.base / "outside"
    project.path("sub").rename(outside)
    project.path("sub").symlink_to(outside)
    project.publish({**REST, "sub/a.py": "a 2\n", "sub/new.py": "n\n"})
    report = project.install()
    assert {path: light for path, light in said(report).items() if light is not GREEN} == {
        "sub/a.py": RED,
        "sub/new.py": RED,
    }
    assert sorted(os.listdir(outside)) == ["a.py", "b.py"]
    assert (outside / "a.py").read_bytes() == b"a\n"
    with pytest.raises(DxForgeError, match="symlink"):
        project.manager.accept(f"{PACKAGES}/pkg/sub/a.py")
    assert (outside / "a.py").read_bytes() == b"a\n"
    project.manager.reject([change.path for change in report.pending])
    assert project.install().pending == []


@pytest.mark.parametrize("level", ["src", "src/dx_packages"])
def test_a_symlinked_folder_above_the_package_is_not_written_through(project: Project, level: str) -> None:
    project.start(REST)
    outside = project.base / "outside"
    (project.root / level).rename(outside)
    (project.root / level).symlink_to(outside)
    project.publish({"rest.py": "rest = 2\n"})
    before = project.whole()
    with pytest.raises(WriteError, match="symlink") as caught:
        project.install()
    assert caught.value.hint
    assert project.whole() == before
    assert os.listdir(project.root / ".dx" / "journal") == []
    assert next(outside.rglob("rest.py")).read_bytes() == b"rest = 1\n"


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_something_else_where_the_package_should_be(project: Project, kind: str) -> None:
    project.publish(REST)
    project.path().parent.mkdir(parents=True)
    if kind == "symlink":
        (project.base / "outside").mkdir()
        project.path().symlink_to(project.base / "outside")
    else:
        project.path().write_text("mine\n")
    before = project.whole()
    with pytest.raises(ApplyError, match="not a folder"):
        project.install()
    assert project.whole() == before


# ---- files of the user's own


def test_untracked_files_are_never_overwritten_nor_listed(project: Project) -> None:
    project.start({**REST, "sub/a.py": "a\n"}, {"own.py": "mine\n", "sub/own.py": "mine\n", "new/own.py": "mine\n"})
    os.mkfifo(project.path("pipe"))
    assert said(project.install()) == {}
    project.publish({"rest.py": "rest = 2\n", "new/theirs.py": "t\n", "own.py": "theirs\n"})
    report = project.install()
    assert said(report) == {"rest.py": GREEN, "sub/a.py": GREEN, "new/theirs.py": GREEN, "own.py": YELLOW}
    for path in ("own.py", "sub/own.py", "new/own.py"):
        assert project.read(path) == b"mine\n"
    assert project.path("pipe").is_fifo()


def test_a_folder_of_the_users_is_kept_when_its_last_package_file_goes(project: Project) -> None:
    project.start({**REST, "sub/deep/a.py": "a\n", "gone/b.py": "b\n"}, {"sub/own.py": "mine\n"})
    project.publish(REST)
    project.install()
    assert sorted(project.tree()) == ["rest.py", "sub/own.py"]
    assert not project.path("sub/deep").exists()
    assert not project.path("gone").exists()


def test_first_install_over_the_users_files(project: Project) -> None:
    """A folder that was there before dxforge: equal files are adopted, others asked about."""
    project.publish({"same.py": "same\n", "other.py": "theirs\n", "new.py": "new\n", "link": "a file\n"})
    project.write("same.py", "same\n")
    project.write("other.py", "mine\n")
    project.write("own.py", "mine\n")
    project.path("link").symlink_to("own.py")
    report = project.install()
    assert said(report) == {"other.py": YELLOW, "new.py": GREEN, "link": RED}
    assert project.tree() == {
        "same.py": (FILE, b"same\n"),
        "other.py": (FILE, b"mine\n"),
        "new.py": (FILE, b"new\n"),
        "own.py": (FILE, b"mine\n"),
        "link": (SYMLINK, b"own.py"),
        "link.new": (FILE, b"a file\n"),
    }
    project.manager.accept([change.path for change in report.pending])
    assert project.tree()["link"] == (FILE, b"a file\n")
    assert project.read("own.py") == b"mine\n"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_whatever_is_called_new_is_left(project: Project, make: Callable[[Path], object]) -> None:
    project.start({"m.py": lines()}, {"m.py": MINE})
    make(project.path("m.py.new"))
    status = project.path("m.py.new").lstat()
    project.publish({"m.py": lines(_2="clash")})
    report = project.install()
    assert of(report, "m.py").set_aside == f"{PACKAGES}/pkg/m.py.new.1"
    assert project.path("m.py.new").lstat().st_ino == status.st_ino
    assert project.read("m.py.new.1") == lines(_2="clash").encode()


def test_a_file_of_the_package_called_new_is_not_taken_for_ours(project: Project) -> None:
    project.start({"m.py": lines(), "m.py.new": "upstream's own\n"}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash"), "m.py.new": "upstream's own\n", "m.py.new.1": "this too\n"})
    report = project.install()
    assert of(report, "m.py").set_aside == f"{PACKAGES}/pkg/m.py.new.2"
    assert project.read("m.py.new") == b"upstream's own\n"
    assert project.read("m.py.new.1") == b"this too\n"
    project.manager.reject(f"{PACKAGES}/pkg/m.py")
    assert sorted(project.tree()) == ["m.py", "m.py.new", "m.py.new.1"]


# ---- renames


def test_a_case_only_rename_with_an_edit(project: Project) -> None:
    project.start({**REST, "Module.py": lines()}, {"Module.py": MINE})
    project.publish({**REST, "module.py": lines()})
    report = project.install()
    assert of(report, "Module.py").new_path == f"{PACKAGES}/pkg/module.py"
    project.manager.accept(f"{PACKAGES}/pkg/Module.py")
    assert project.tree() == {"rest.py": (FILE, b"rest = 1\n"), "module.py": (FILE, MINE.encode())}


def test_a_case_only_rename_without_an_edit(project: Project) -> None:
    project.start({**REST, "Module.py": lines()})
    project.publish({**REST, "module.py": lines()})
    assert set(said(project.install()).values()) == {GREEN}
    assert sorted(project.tree()) == ["module.py", "rest.py"]


def test_a_directory_rename_carries_every_edit(project: Project) -> None:
    old = {f"old/m{number}.py": f"# {number}\n" + lines() for number in range(5)}
    project.start({**REST, **old}, {"old/m1.py": old["old/m1.py"].replace("line 2", "mine 2"), "old/own.py": "mine\n"})
    project.replace("old/m3.py", "line 4", "mine 4")
    project.publish({**REST, **{path.replace("old/", "new/"): text + "more\n" for path, text in old.items()}})
    report = project.install()
    assert {change.path: change.new_path for change in report.pending} == {
        f"{PACKAGES}/pkg/old/m1.py": f"{PACKAGES}/pkg/new/m1.py",
        f"{PACKAGES}/pkg/old/m3.py": f"{PACKAGES}/pkg/new/m3.py",
    }
    project.manager.accept([change.path for change in report.pending])
    tree = project.tree()
    assert sorted(tree) == [*(f"new/m{number}.py" for number in range(5)), "old/own.py", "rest.py"]
    assert b"mine 2" in tree["new/m1.py"][1] and tree["new/m1.py"][1].endswith(b"more\n")
    assert b"mine 4" in tree["new/m3.py"][1]
    project.manager.undo()
    assert sorted(project.tree()) == sorted({*tree, "old/m1.py", "old/m3.py"})


def test_a_rename_to_two_places_is_not_guessed(project: Project) -> None:
    project.start({"a.py": lines()}, {"a.py": MINE})
    project.publish({"b.py": lines(), "c.py": lines()})
    report = project.install()
    change = of(report, "a.py")
    assert (change.light, change.new_path) == (RED, None)
    assert "b.py, c.py" in change.reason
    assert project.read("a.py") == MINE.encode()
    again = project.install()
    assert (again.operation, of(again, "a.py").reason) == (None, change.reason)


def test_a_pending_rename_survives_a_second_install_and_the_next_version(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": lines()})
    first = of(project.install(), "old.py")
    again = project.install()
    assert (again.operation, [change.new_path for change in again.pending]) == (None, [first.new_path])
    project.publish({**REST, "new.py": THEIRS})
    report = project.install()
    assert [(change.light, change.new_path) for change in report.pending] == [(YELLOW, first.new_path)]
    assert project.read("new.py") == THEIRS.encode()
    project.manager.accept(f"{PACKAGES}/pkg/old.py")
    assert project.read("new.py") == BOTH.encode()
    assert not project.path("old.py").exists()


def test_a_pending_rename_whose_new_name_goes_again(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": lines()})
    project.install()
    project.publish(REST)
    report = project.install()
    assert [(change.light, change.new_path) for change in report.pending] == [(RED, None)]
    assert project.read("old.py") == MINE.encode()
    assert not project.path("new.py").exists()


def test_a_rename_where_the_user_deleted_the_new_name(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": THEIRS})
    project.install()
    project.path("new.py").unlink()
    project.manager.accept(f"{PACKAGES}/pkg/old.py")
    assert project.tree() == {"rest.py": (FILE, b"rest = 1\n"), "new.py": (FILE, BOTH.encode())}


def test_a_rename_where_the_user_edited_the_new_name_too(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": THEIRS})
    project.install()
    project.replace("new.py", "line 9 = 9", "also mine = 1")
    assert [change.new_path for change in project.install().pending] == [f"{PACKAGES}/pkg/new.py"]
    project.manager.accept(f"{PACKAGES}/pkg/old.py")
    assert project.read("new.py") == lines(_2="mine = 1", _9="also mine = 1", _15="theirs = 1").encode()


def test_a_rename_where_both_names_hold_overlapping_edits(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": THEIRS})
    project.install()
    project.replace("new.py", "line 2 = 2", "other = 1")
    before = project.whole()
    with pytest.raises(DxForgeError) as caught:
        project.manager.accept(f"{PACKAGES}/pkg/old.py")
    assert caught.value.hint
    assert project.whole() == before


def test_a_rename_onto_a_file_of_the_users(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE, "new.py": "mine too\n"})
    project.publish({**REST, "new.py": lines()})
    report = project.install()
    assert of(report, "new.py").light is YELLOW
    assert of(report, "old.py").light is RED
    assert (project.read("old.py"), project.read("new.py")) == (MINE.encode(), b"mine too\n")


def test_empty_files_are_not_renames(project: Project) -> None:
    project.start({**REST, "a/__init__.py": ""}, {"a/__init__.py": "mine = 1\n"})
    project.publish({**REST, "b/__init__.py": ""})
    report = project.install()
    assert (of(report, "a/__init__.py").light, of(report, "a/__init__.py").new_path) == (RED, None)


# ---- contents


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ("a\nb\nc\nd\ne", "A\nb\nc\nd\ne", "a\nb\nc\nd\nE", "A\nb\nc\nd\nE"),
        ("a\nb\nc\nd\ne", "A\nb\nc\nd\ne", "a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n"),
        ("a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\ne", "A\nb\nc\nd\ne"),
        ("<<<<<<< a\n1\n=======\n2\n3\n>>>>>>> b\n", "<<<<<<< A\n1\n=======\n2\n3\n>>>>>>> b\n",
         "<<<<<<< a\n1\n=======\n2\n3\n>>>>>>> B\n", "<<<<<<< A\n1\n=======\n2\n3\n>>>>>>> B\n"),
        ("\r\n".join("abcde") + "\r\n", "\r\n".join("Abcde") + "\r\n", "\r\n".join("abcdE") + "\r\n",
         "\r\n".join("AbcdE") + "\r\n"),
        ("a\rb\rc\n1\n2\n3\n", "a\rB\rc\n1\n2\n3\n", "a\rb\rc\n1\n2\n4\n", "a\rB\rc\n1\n2\n4\n"),
        ("\u2028a\n1\n2\n\u0085b\n", "\u2028A\n1\n2\n\u0085b\n", "\u2028a\n1\n2\n\u0085B\n",
         "\u2028A\n1\n2\n\u0085B\n"),
    ],
)  # fmt: skip
def test_texts_of_all_kinds_merge(project: Project, base: str, mine: str, theirs: str, merged: str) -> None:
    project.start({"f": base}, {"f": mine})
    project.publish({"f": theirs})
    assert of(project.install(), "f").light is YELLOW
    project.manager.accept(f"{PACKAGES}/pkg/f")
    assert project.read("f") == merged.encode()


def test_latin_1_source(project: Project) -> None:
    base = "# coding: latin-1\nname = 'café'\na = 1\nb = 1\nc = 1\n".encode("latin-1")
    project.start({"m.py": base}, {"m.py": base.replace(b"caf", b"CAF")})
    project.publish({"m.py": base.replace(b"c = 1", b"c = 2")})
    report = project.install()
    assert of(report, "m.py").light is YELLOW
    assert project.manager.pending()[0].broken == ""
    assert "CAF\ufffd" in project.manager.diff(f"{PACKAGES}/pkg/m.py").mine
    project.manager.accept(f"{PACKAGES}/pkg/m.py")
    assert project.read("m.py") == base.replace(b"caf", b"CAF").replace(b"c = 1", b"c = 2")


def test_an_empty_file_is_a_file(project: Project) -> None:
    project.start({"empty.py": "", "filled.py": "x\n"})
    project.publish({"empty.py": "x\n", "filled.py": ""})
    assert said(project.install()) == {"empty.py": GREEN, "filled.py": GREEN}
    assert project.tree() == {"empty.py": (FILE, b"x\n"), "filled.py": (FILE, b"")}
    project.write("empty.py", "")
    assert said(project.install()) == {"empty.py": GREEN}
    assert project.read("empty.py") == b""


def test_an_emptied_file_against_an_update_is_red(project: Project) -> None:
    project.start({"m.py": lines()}, {"m.py": ""})
    project.publish({"m.py": THEIRS})
    assert of(project.install(), "m.py").light is RED
    assert project.read("m.py") == b""


def test_modes_merge_with_contents(project: Project) -> None:
    project.start({"run.sh": lines()}, {"run.sh": MINE})
    project.publish({"run.sh": Exec(THEIRS)})
    report = project.install()
    assert of(report, "run.sh").light is YELLOW
    project.manager.accept(f"{PACKAGES}/pkg/run.sh")
    assert project.tree() == {"run.sh": (EXECUTABLE, BOTH.encode())}


def test_a_mode_of_the_users_against_a_mode_back(project: Project) -> None:
    project.start({"run.sh": Exec("a\n")})
    project.path("run.sh").chmod(0o644)
    project.publish({"run.sh": Exec("b\n")})
    assert of(project.install(), "run.sh").light is YELLOW
    project.manager.accept(f"{PACKAGES}/pkg/run.sh")
    assert project.tree() == {"run.sh": (FILE, b"b\n")}


def test_a_merge_that_no_longer_parses_says_so(project: Project) -> None:
    base = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    project.start(
        {"m.py": base}, {"m.py": base.replace("def f():\n    return 1\n", "def f(\n    a,\n):\n    return 1\n")}
    )
    project.publish({"m.py": base.replace("    return 2\n", "    return (2\n")})
    project.install()
    (change,) = project.manager.pending()
    assert change.broken.startswith("line ")
    assert change.light is YELLOW


# ---- names


@pytest.mark.parametrize("name", [b"caf\xe9.py", b"\xff\xfe"])
def test_a_name_of_the_users_that_is_no_utf_8(project: Project, name: bytes) -> None:
    text = os.fsdecode(name)
    project.start(REST, {text: "mine\n"})
    assert said(project.install()) == {}
    project.publish({"rest.py": "rest = 2\n"})
    assert said(project.install()) == {"rest.py": GREEN}
    assert project.read(text) == b"mine\n"


@pytest.mark.parametrize(
    "name", ["with space.py", "quo'te\".py", "[a]*?.py", "-dash.py", "ünï😀.py", "#hash", "a b/c d"]
)
def test_awkward_names(project: Project, name: str) -> None:
    project.start({name: lines()}, {name: MINE})
    project.publish({name: THEIRS})
    report = project.install()
    path = f"{PACKAGES}/pkg/{name}"
    assert [change.path for change in report.pending] == [path]
    assert project.manager.diff(path).mine
    project.manager.accept(path)
    assert project.read(name) == BOTH.encode()
    project.manager.undo()
    assert project.read(name) == MINE.encode()


# ---- time


def test_an_edit_of_the_same_size_right_after_an_install_is_seen(project: Project) -> None:
    """A racy timestamp: the edit lands in the same tick, and its times are set to those of the installed file."""
    project.start({"m.py": "a = 1\n"})
    status = project.path("m.py").stat()
    project.write("m.py", "b = 2\n")
    os.utime(project.path("m.py"), ns=(status.st_atime_ns, status.st_mtime_ns))
    project.publish({"m.py": "c = 3\n"})
    report = project.install()
    assert of(report, "m.py").light is RED
    assert project.read("m.py") == b"b = 2\n"


def test_times_alone_change_nothing(project: Project) -> None:
    project.start({"m.py": "a = 1\n", "b.py": "b\n"})
    os.utime(project.path("m.py"), (0, 0))
    report = project.install()
    assert (said(report), report.operation) == ({}, None)
    shutil.copy(project.path("b.py"), project.path("copy"))
    project.path("copy").rename(project.path("b.py"))
    assert project.install().operation is None


@pytest.mark.parametrize("step", ["stage", "staged", "recorded"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda package: (package / "u.py").write_text("at the last moment\n"),
        lambda package: (package / "u.py").unlink(),
        lambda package: (package / "gone.py").write_text("at the last moment\n"),
        lambda package: (package / "new.py").write_text("at the last moment\n"),
        lambda package: (package / "new.py").mkdir(),
        lambda package: (package / "u.py").chmod(0o755),
    ],
)
def test_an_edit_while_the_plan_is_carried_out_stops_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, step: str, edit: Callable[[Path], object]
) -> None:
    project.start({"u.py": "a\n", "gone.py": "g\n"})
    project.publish({"u.py": "b\n", "new.py": "n\n"})
    lock = project.lock_text()
    edited = []

    def act() -> None:
        edit(project.path())
        edited.append(project.whole())

    at_checkpoint(monkeypatch, step, act)
    with pytest.raises(ChangedMeanwhileError) as caught:
        project.install()
    assert caught.value.hint
    assert project.whole() == edited[0]
    assert project.lock_text() == lock
    # Planned anew, the edit is treated as any other.
    report = project.install()
    assert project.whole().special == {}
    assert report.operation is not None


def test_an_edit_between_plan_and_apply_stops_it(project: Project) -> None:
    project.start({"u.py": "a\n", "rest.py": "r\n"})
    project.publish({"u.py": "b\n", "rest.py": "r\n"})
    plan = asyncio.run(project.manager.plan())
    project.write("u.py", "in between\n")
    before = project.whole()
    with pytest.raises(ChangedMeanwhileError):
        asyncio.run(project.manager.apply(plan))
    assert project.whole() == before


def test_an_edit_of_something_else_between_plan_and_apply_does_not(project: Project) -> None:
    project.start({"u.py": "a\n", "rest.py": "r\n"})
    project.publish({"u.py": "b\n", "rest.py": "r\n"})
    plan = asyncio.run(project.manager.plan())
    project.write("rest.py", "in between\n")
    asyncio.run(project.manager.apply(plan))
    assert (project.read("u.py"), project.read("rest.py")) == (b"b\n", b"in between\n")
    assert said(project.install()) == {"rest.py": GREEN}


def test_another_operation_between_plan_and_apply_stops_it(project: Project) -> None:
    project.start({"u.py": "a\n"})
    project.publish({"u.py": "b\n"})
    plan = asyncio.run(project.manager.plan())
    project.install()
    before = project.whole()
    with pytest.raises(DxForgeError):
        asyncio.run(project.manager.apply(plan))
    assert project.whole() == before


def test_the_published_folder_changes_while_it_is_installed(project: Project) -> None:
    """What was planned is what is written: the archive was packed when the plan was made."""
    project.start({"u.py": "a\n"})
    project.publish({"u.py": "b\n"})
    plan = asyncio.run(project.manager.plan())
    project.publish({"u.py": "c\n"})
    asyncio.run(project.manager.apply(plan))
    assert project.read("u.py") == b"b\n"
    project.install()
    assert project.read("u.py") == b"c\n"


# ---- special files and links


def test_special_files_in_the_package_folder_are_left(project: Project) -> None:
    project.start({**REST, "sub/a.py": "a\n"})
    os.mkfifo(project.path("pipe"))
    os.mkfifo(project.path("sub/pipe"))
    assert project.install().operation is None
    project.publish(REST)
    project.install()
    assert project.path("pipe").is_fifo() and project.path("sub/pipe").is_fifo()
    report = project.remove()
    assert report.pending == []
    assert project.path("pipe").is_fifo() and project.path("sub/pipe").is_fifo()


def test_symlinks_travel_and_are_not_followed(project: Project) -> None:
    project.start({"real/a.py": "a\n", "alias": Link("real"), "one.py": Link("real/a.py")})
    assert project.tree()["alias"] == (SYMLINK, b"real")
    project.publish({"real/a.py": "b\n", "alias": Link("real"), "one.py": Link("real/a.py")})
    assert said(project.install()) == {"real/a.py": GREEN}
    assert project.path("one.py").read_bytes() == b"b\n"
    # An editor that writes through the link edits the real file, and that is what is said.
    project.path("one.py").write_bytes(b"mine\n")
    assert said(project.install()) == {"real/a.py": GREEN}
    assert of(project.install(), "real/a.py").action is Action.KEEP


def test_hunks_of_a_symlink_against_a_file_are_not_offered(project: Project) -> None:
    project.start({"s": "a\n"})
    project.path("s").unlink()
    project.path("s").symlink_to("mine")
    project.publish({"s": lines()})
    project.install()
    (change,) = project.manager.pending()
    assert change.hunks == ()
    assert change.light is RED
