"""Every row of the contract's table, end to end: what is said, and what lies on the disk afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK
from dxforge.traffic.model import Action, TrafficLight
from tests.support.archives import Exec, Files, Link
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said

REST: Files = {"rest.py": "rest = 1\n"}
MINE = lines(_2="mine = 1")
THEIRS = lines(_15="theirs = 1")
CLASH = lines(_2="theirs = 1")
BOTH = lines(_2="mine = 1", _15="theirs = 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One situation of the file ``m.py``: published, edited, published again, and what must come of it."""

    name: str
    base: str | Exec | Link | None
    edit: Callable[[Path], object] | None = None
    incoming: str | Exec | Link | None
    light: TrafficLight | None
    action: Action | None = None
    after: tuple[int, str] | None
    aside: str | None = None
    reason: str = ""


def writes(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def links(target: str) -> Callable[[Path], object]:
    return lambda path: (path.unlink(missing_ok=True), path.symlink_to(target))


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "mine.txt").write_text("mine\n")


ROWS = [
    Row(name="new", base=None, incoming="new\n", light=GREEN, action=Action.CREATE, after=(FILE, "new\n")),
    Row(name="equal", base="a\n", edit=writes("b\n"), incoming="b\n", light=None, after=(FILE, "b\n")),
    Row(name="update", base="a\n", incoming="b\n", light=GREEN, action=Action.UPDATE, after=(FILE, "b\n")),
    Row(name="mode", base="a\n", incoming=Exec("a\n"), light=GREEN, action=Action.UPDATE, after=(EXECUTABLE, "a\n")),
    Row(name="relinked", base=Link("a"), incoming=Link("b"), light=GREEN, action=Action.UPDATE, after=(SYMLINK, "b")),
    Row(name="becomes a link", base="a", incoming=Link("b"), light=GREEN, action=Action.UPDATE, after=(SYMLINK, "b")),
    Row(name="becomes a file", base=Link("b"), incoming="a", light=GREEN, action=Action.UPDATE, after=(FILE, "a")),
    Row(name="removed", base="a\n", incoming=None, light=GREEN, action=Action.DELETE, after=None),
    Row(
        name="edit stays",
        base="a\n",
        edit=writes("mine\n"),
        incoming="a\n",
        light=GREEN,
        action=Action.KEEP,
        after=(FILE, "mine\n"),
        reason="your edit",
    ),
    Row(
        name="mode stays",
        base="a\n",
        edit=lambda path: path.chmod(0o755),
        incoming="a\n",
        light=GREEN,
        action=Action.KEEP,
        after=(EXECUTABLE, "a\n"),
    ),
    Row(
        name="link stays",
        base="a\n",
        edit=links("elsewhere"),
        incoming="a\n",
        light=GREEN,
        action=Action.KEEP,
        after=(SYMLINK, "elsewhere"),
    ),
    Row(
        name="deletion stays",
        base="a\n",
        edit=Path.unlink,
        incoming="a\n",
        light=GREEN,
        action=Action.KEEP,
        after=None,
        reason="stays deleted",
    ),
    Row(name="both deleted", base="a\n", edit=Path.unlink, incoming=None, light=None, after=None),
    Row(
        name="clean merge",
        base=lines(),
        edit=writes(MINE),
        incoming=THEIRS,
        light=YELLOW,
        action=Action.PROPOSE,
        after=(FILE, MINE),
        reason="merge cleanly",
    ),
    Row(
        name="deleted and changed",
        base="a\n",
        edit=Path.unlink,
        incoming="b\n",
        light=YELLOW,
        action=Action.PROPOSE,
        after=None,
        reason="you deleted it, upstream changed it",
    ),
    Row(
        name="in the way",
        base=None,
        edit=writes("mine\n"),
        incoming="theirs\n",
        light=YELLOW,
        action=Action.PROPOSE,
        after=(FILE, "mine\n"),
        reason="in the way",
    ),
    Row(
        name="equal in the way", base=None, edit=writes("same\n"), incoming="same\n", light=None, after=(FILE, "same\n")
    ),
    Row(
        name="same change among others",
        base=lines(),
        edit=writes(BOTH),
        incoming=THEIRS,
        light=GREEN,
        action=Action.KEEP,
        after=(FILE, BOTH),
    ),
    Row(
        name="overlap",
        base=lines(),
        edit=writes(MINE),
        incoming=CLASH,
        light=RED,
        action=Action.SET_ASIDE,
        after=(FILE, MINE),
        aside=CLASH,
        reason="overlap",
    ),
    Row(
        name="binary",
        base="\0a",
        edit=writes("\0b"),
        incoming="\0c",
        light=RED,
        action=Action.SET_ASIDE,
        after=(FILE, "\0b"),
        aside="\0c",
        reason="binary",
    ),
    Row(
        name="edited and removed",
        base="a\n",
        edit=writes("mine\n"),
        incoming=None,
        light=RED,
        action=Action.SET_ASIDE,
        after=(FILE, "mine\n"),
        reason="removed upstream",
    ),
    Row(
        name="mode edited and removed",
        base="a\n",
        edit=lambda path: path.chmod(0o755),
        incoming=None,
        light=RED,
        action=Action.SET_ASIDE,
        after=(EXECUTABLE, "a\n"),
    ),
    Row(
        name="link for an update",
        base="a\n",
        edit=links("elsewhere"),
        incoming="b\n",
        light=RED,
        action=Action.SET_ASIDE,
        after=(SYMLINK, "elsewhere"),
        aside="b\n",
        reason="symlink",
    ),
    Row(
        name="links both changed",
        base=Link("a"),
        edit=links("b"),
        incoming=Link("c"),
        light=RED,
        action=Action.SET_ASIDE,
        after=(SYMLINK, "b"),
        aside="c",
    ),
    Row(
        name="mode here, content there",
        base="a\n",
        edit=lambda path: path.chmod(0o755),
        incoming="b\n",
        light=YELLOW,
        action=Action.PROPOSE,
        after=(EXECUTABLE, "a\n"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_of_the_table(tmp_path: Path, cache_dir: Path, row: Row) -> None:
    project = Project(tmp_path, "pkg")
    project.start({**REST, **({} if row.base is None else {"m.py": row.base})})
    target = project.path("m.py")
    if row.edit is not None:
        row.edit(target)
    project.publish({**REST, **({} if row.incoming is None else {"m.py": row.incoming})})

    report = project.install()

    asides = {} if row.aside is None else {"m.py.new"}
    if row.light is None:
        assert said(report) == {}
    else:
        change = of(report, "m.py")
        assert (change.light, change.action) == (row.light, row.action)
        assert row.reason in change.reason
        assert change.set_aside == (f"{PACKAGES}/pkg/m.py.new" if asides else None)
    waiting = row.light in (YELLOW, RED)
    assert [change.path for change in report.pending] == ([f"{PACKAGES}/pkg/m.py"] if waiting else [])
    assert [change.path for change in project.manager.pending()] == [change.path for change in report.pending]
    tree = project.tree()
    assert tree.pop("rest.py") == (FILE, b"rest = 1\n")
    if row.aside is not None:
        assert tree.pop("m.py.new")[1] == row.aside.encode()
    assert tree == ({} if row.after is None else {"m.py": (row.after[0], row.after[1].encode())})

    # A second install says the same of what waits, and changes nothing.
    before, lock = project.whole(), project.lock_text()
    again = project.install()
    assert project.whole() == before
    assert project.lock_text() == lock
    assert again.operation is None
    assert [change.path for change in again.pending] == [change.path for change in report.pending]


@pytest.mark.parametrize("row", [row for row in ROWS if row.light in (YELLOW, RED)], ids=lambda row: row.name)
@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_decision_on_a_row(tmp_path: Path, cache_dir: Path, row: Row, decision: str) -> None:
    project = Project(tmp_path, "pkg")
    project.start({**REST, **({} if row.base is None else {"m.py": row.base})})
    assert row.edit is not None
    row.edit(project.path("m.py"))
    project.publish({**REST, **({} if row.incoming is None else {"m.py": row.incoming})})
    project.install()
    before, lock = project.whole(), project.lock_text()
    path = f"{PACKAGES}/pkg/m.py"

    report = project.manager.accept(path) if decision == "accept" else project.manager.reject(path)

    assert report.pending == []
    assert project.manager.pending() == []
    tree = project.tree()
    tree.pop("rest.py")
    assert "m.py.new" not in tree
    kept = {} if row.after is None else {"m.py": (row.after[0], row.after[1].encode())}
    if decision == "reject":
        assert tree == kept
    elif row.name == "clean merge":
        assert tree == {"m.py": (FILE, BOTH.encode())}
    elif row.name == "mode here, content there":
        assert tree == {"m.py": (EXECUTABLE, b"b\n")}
    elif row.incoming is None:
        assert tree == {}
    else:
        mode, content = (SYMLINK, row.incoming.target) if isinstance(row.incoming, Link) else (FILE, row.incoming)
        assert tree == {"m.py": (mode, content.encode())}
    # The base has moved: it is an edit of the user's from now on, or nothing.
    again = project.install()
    assert again.pending == []
    assert again.counts.yellow == again.counts.red == 0
    assert project.tree() == {**tree, "rest.py": (FILE, b"rest = 1\n")}
    project.manager.undo()
    assert (project.whole(), project.lock_text()) == (before, lock)


SWAPS: list[tuple[str, Files, Callable[[Path], object], Files, str]] = [
    ("file -> folder here", {"s": "a\n"}, lambda pkg: folder(pkg / "s"), {"s": "b\n"}, "a folder is there"),
    (
        "folder -> file here",
        {"s/in.py": "a\n"},
        lambda pkg: ((pkg / "s/in.py").unlink(), (pkg / "s").rmdir(), (pkg / "s").write_text("mine\n")),
        {"s/in.py": "b\n"},
        "a file is at s",
    ),
    (
        "folder -> symlink here",
        {"s/in.py": "a\n"},
        lambda pkg: ((pkg / "s").rename(pkg / "moved"), (pkg / "s").symlink_to("moved")),
        {"s/in.py": "b\n"},
        "a symlink is at s",
    ),
    (
        "file -> FIFO here",
        {"s": "a\n"},
        lambda pkg: ((pkg / "s").unlink(), os.mkfifo(pkg / "s")),
        {"s": "b\n"},
        "a FIFO is there",
    ),
    (
        "edited file -> folder upstream",
        {"s": "a\n"},
        lambda pkg: (pkg / "s").write_text("mine\n"),
        {"s/in.py": "b\n"},
        "a file is at s",
    ),
    (
        "folder with an edit -> file upstream",
        {"s/in.py": "a\n"},
        lambda pkg: (pkg / "s/in.py").write_text("mine\n"),
        {"s": "b\n"},
        "a folder is there",
    ),
    (
        "folder with an own file -> file upstream",
        {"s/in.py": "a\n"},
        lambda pkg: (pkg / "s/own.py").write_text("mine\n"),
        {"s": "b\n"},
        "a folder is there",
    ),
    (
        "edited file -> symlink upstream",
        {"s": "a\n"},
        lambda pkg: (pkg / "s").write_text("mine\n"),
        {"s": Link("rest.py")},
        "a symlink or folder on the other",
    ),
    (
        "changed symlink -> file upstream",
        {"s": Link("rest.py")},
        lambda pkg: ((pkg / "s").unlink(), (pkg / "s").symlink_to("mine")),
        {"s": "b\n"},
        "a symlink or folder on the other",
    ),
]


@pytest.mark.parametrize(("name", "base", "edit", "incoming", "reason"), SWAPS, ids=[swap[0] for swap in SWAPS])
def test_a_swap_is_red_and_keeps_what_the_user_has(
    tmp_path: Path,
    cache_dir: Path,
    name: str,
    base: Files,
    edit: Callable[[Path], object],
    incoming: Files,
    reason: str,
) -> None:
    project = Project(tmp_path, "pkg")
    project.start({**REST, **base})
    edit(project.path())
    mine = project.tree()
    project.publish({**REST, **incoming})
    report = project.install()
    assert report.pending
    assert {change.light for change in report.pending} == {RED}
    assert any(reason in change.reason for change in report.pending)
    tree = project.tree()
    for change in report.pending:
        if change.set_aside is not None:
            content = tree.pop(change.set_aside.removeprefix(f"{PACKAGES}/pkg/"))[1]
            (wanted,) = incoming.values()
            assert content == (wanted.target if isinstance(wanted, Link) else str(wanted)).encode()
    unedited = {path for path in base if path in mine and path not in incoming and mine[path][1] == b"a\n"}
    assert tree == {path: value for path, value in mine.items() if path not in unedited}
    assert project.install().operation is None
    # Rejecting keeps everything, and nothing is asked again.
    project.manager.reject([change.path for change in report.pending])
    assert project.manager.pending() == []
    kept = project.tree()
    assert project.install().pending == []
    assert project.tree() == kept


@pytest.mark.parametrize(
    ("base", "incoming"),
    [
        ({"s": "a\n"}, {"s/in.py": "b\n"}),
        ({"s/in.py": "a\n", "s/deep/er.py": "a\n"}, {"s": "b\n"}),
        ({"s/in.py": "a\n"}, {"s": Link("rest.py")}),
        ({"s": Link("rest.py")}, {"s/in.py": "b\n"}),
        ({"s": Link("rest.py")}, {"s": "b\n"}),
        ({"s": "a\n"}, {"s": Link("rest.py")}),
    ],
)
def test_a_swap_upstream_of_what_nobody_edited_is_green(
    tmp_path: Path, cache_dir: Path, base: Files, incoming: Files
) -> None:
    project = Project(tmp_path, "pkg")
    project.start({**REST, **base})
    before = project.whole()
    project.publish({**REST, **incoming})
    report = project.install()
    assert report.pending == []
    assert set(said(report).values()) == {GREEN}
    after = project.whole()
    assert set(project.tree()) == {"rest.py", *incoming}
    project.manager.undo()
    assert project.whole() == before
    project.manager.undo()
    assert project.whole() == after
