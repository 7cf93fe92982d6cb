"""What the best peers get wrong today, each as a story (copier 9.19, cruft 2.16, nbdime 4.0; see the issues named)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dxforge.store.tree import EXECUTABLE, FILE
from dxforge.traffic.model import Action
from tests.support.archives import Exec
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said

REST = {"rest.py": "rest = 1\n"}
MINE = lines(_2="mine = 1")
THEIRS = lines(_15="theirs = 1")
BOTH = lines(_2="mine = 1", _15="theirs = 1")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


# ---- copier


def test_a_binary_that_only_the_user_edited_stays(project: Project) -> None:
    project.start({"logo.png": b"\x89PNG\0old", "m.py": "a\n"}, {"logo.png": b"\x89PNG\0mine"})
    project.publish({"logo.png": b"\x89PNG\0old", "m.py": "b\n"})
    report = project.install()
    assert project.read("logo.png") == b"\x89PNG\0mine"
    assert said(report) == {"logo.png": GREEN, "m.py": GREEN}
    assert report.pending == []


def test_edits_in_a_renamed_file_do_not_vanish(project: Project) -> None:
    project.start({**REST, "old.py": lines()}, {"old.py": MINE})
    project.publish({**REST, "new.py": THEIRS})
    report = project.install()
    change = of(report, "old.py")
    assert (change.light, change.action, change.new_path) == (YELLOW, Action.PROPOSE, f"{PACKAGES}/pkg/new.py")
    assert project.read("old.py") == MINE.encode()
    assert project.read("new.py") == THEIRS.encode()
    project.manager.accept(change.path)
    assert project.tree() == {"rest.py": (FILE, b"rest = 1\n"), "new.py": (FILE, BOTH.encode())}
    again = project.install()
    assert (again.pending, again.operation) == ([], None)
    assert of(again, "new.py").reason.startswith("your edit")


def test_edits_in_a_deleted_file_do_not_vanish(project: Project) -> None:
    project.start({**REST, "m.py": lines()}, {"m.py": MINE})
    project.publish(REST)
    report = project.install()
    assert of(report, "m.py").light is RED
    assert project.read("m.py") == MINE.encode()
    project.manager.reject(f"{PACKAGES}/pkg/m.py")
    assert project.read("m.py") == MINE.encode()
    assert project.install().pending == []


@pytest.mark.parametrize("name", ["m.py.rej", "m.py.new", "m.py.orig", "notes.new"])
def test_the_users_own_leftovers_are_not_touched(project: Project, name: str) -> None:
    project.start({"m.py": lines()}, {"m.py": MINE, name: "mine\n"})
    project.publish({"m.py": lines(_2="clash = 1")})
    report = project.install()
    assert project.read(name) == b"mine\n"
    aside = of(report, "m.py").set_aside
    assert aside == f"{PACKAGES}/pkg/m.py.new" + (".1" if name == "m.py.new" else "")
    for decide in (project.manager.accept, project.manager.undo, project.manager.reject):
        decide(f"{PACKAGES}/pkg/m.py") if decide != project.manager.undo else project.manager.undo()
        assert project.read(name) == b"mine\n"


# ---- cruft


def test_the_base_moves_only_with_a_decision(project: Project) -> None:
    """cruft recorded the new baseline though the change was dropped: the next update never showed it again."""
    project.start({"m.py": lines(), "b.bin": b"\0old"}, {"m.py": MINE, "b.bin": b"\0mine", "add.py": "mine\n"})
    project.publish({"m.py": lines(_2="theirs = 1"), "b.bin": b"\0new", "add.py": "theirs\n"})
    first = project.install()
    assert {change.path.split("/")[-1] for change in first.pending} == {"m.py", "b.bin", "add.py"}
    project.publish({"m.py": lines(_2="theirs = 1", _9="more = 1"), "b.bin": b"\0newer", "add.py": "theirs 2\n"})
    second = project.install()
    assert {change.path.split("/")[-1] for change in second.pending} == {"m.py", "b.bin", "add.py"}
    # Three-way still, from the first base: line 9 is theirs, line 2 clashes.
    theirs = project.manager.diff(f"{PACKAGES}/pkg/m.py").theirs
    assert "-line 2 = 2" in theirs
    assert "+more = 1" in theirs


def test_two_identical_files_are_not_paired_by_guessing(project: Project) -> None:
    project.start({"a.py": lines(), "b.py": lines()}, {"a.py": MINE})
    project.publish({"b2.py": lines(), "a2.py": lines()})
    report = project.install()
    change = of(report, "a.py")
    assert change.light is RED
    assert change.new_path is None
    assert "a2.py, b2.py" in change.reason
    assert project.read("a.py") == MINE.encode()
    assert project.read("a2.py") == project.read("b2.py") == lines().encode()


def test_a_change_that_both_sides_made_is_no_conflict(project: Project) -> None:
    project.start({"m.py": lines()}, {"m.py": THEIRS})
    project.publish({"m.py": THEIRS})
    report = project.install()
    assert report.pending == []
    assert project.read("m.py") == THEIRS.encode()


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_line_ends_are_no_conflict(project: Project, decision: str) -> None:
    """An EOL-only change against an upstream edit is a whole-file conflict in copier and cruft."""
    crlf = lines().replace("\n", "\r\n")
    project.start({"m.py": lines()}, {"m.py": crlf})
    project.publish({"m.py": THEIRS})
    report = project.install()
    change = of(report, "m.py")
    assert change.light is YELLOW
    assert "line ends" in change.reason
    (hunk,) = project.manager.pending()[0].hunks
    assert "+theirs = 1\r\n" in hunk.lines
    getattr(project.manager, decision)(change.path)
    assert project.read("m.py") == (THEIRS.replace("\n", "\r\n") if decision == "accept" else crlf).encode()
    assert project.install().pending == []


# ---- nbdime


def notebook(*cells: str) -> str:
    data: dict[str, Any] = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"c-{source.split()[0]}",
                "metadata": {},
                "outputs": [],
                "source": [source],
            }
            for source in cells
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(data, indent=1) + "\n"


def cells(content: bytes) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(content)["cells"]]


def test_notebooks_merge_cell_by_cell(project: Project) -> None:
    project.start({"n.ipynb": notebook("a = 1", "b = 1")}, {"n.ipynb": notebook("a = 2", "b = 1")})
    project.publish({"n.ipynb": notebook("a = 1", "b = 1", "c = 1")})
    report = project.install()
    assert of(report, "n.ipynb").light is YELLOW
    assert cells(project.read("n.ipynb")) == ["a = 2", "b = 1"]
    project.manager.accept(f"{PACKAGES}/pkg/n.ipynb")
    assert cells(project.read("n.ipynb")) == ["a = 2", "b = 1", "c = 1"]


def test_cells_inserted_at_one_spot_by_both_do_not_crash(project: Project) -> None:
    project.start({"n.ipynb": notebook("a = 1", "z = 1")}, {"n.ipynb": notebook("a = 1", "mine = 1", "z = 1")})
    project.publish({"n.ipynb": notebook("a = 1", "theirs = 1", "z = 1")})
    report = project.install()
    assert of(report, "n.ipynb").light in (YELLOW, RED)
    assert cells(project.read("n.ipynb")) == ["a = 1", "mine = 1", "z = 1"]


# ---- what their users ask for


def test_the_base_is_kept_per_file(project: Project) -> None:
    """cruft#181: each file's base advances with its own decision."""
    project.start({"a.py": lines(), "b.py": lines()}, {"a.py": MINE, "b.py": MINE})
    project.publish({"a.py": THEIRS, "b.py": THEIRS})
    project.install()
    project.manager.reject(f"{PACKAGES}/pkg/a.py")
    project.publish({"a.py": lines(_15="theirs = 2"), "b.py": lines(_15="theirs = 2")})
    report = project.install()
    # a.py: rejected once, and upstream touched those very lines again. b.py: never decided, so merged from the start.
    assert {change.path for change in report.pending} == {f"{PACKAGES}/pkg/a.py", f"{PACKAGES}/pkg/b.py"}
    theirs = project.manager.diff(f"{PACKAGES}/pkg/a.py").theirs
    assert "-theirs = 1" in theirs
    theirs = project.manager.diff(f"{PACKAGES}/pkg/b.py").theirs
    assert "-line 15 = 15" in theirs


def test_a_rejected_change_is_not_asked_about_again(project: Project) -> None:
    """chezmoi#4152."""
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": THEIRS})
    project.install()
    project.manager.reject(f"{PACKAGES}/pkg/m.py")
    assert project.install().pending == []
    project.publish({"m.py": THEIRS + "new = 1\n"})
    report = project.install()
    (hunk,) = project.manager.pending()[0].hunks
    assert [line for line in hunk.lines if line[0] in "+-"] == ["+new = 1\n"]
    project.manager.accept(report.pending[0].path)
    assert project.read("m.py") == (MINE + "new = 1\n").encode()


def test_deletions_are_told_once(project: Project) -> None:
    """copier#1735."""
    project.start({**REST, "docs.md": "docs\n"}, {"docs.md": None})
    first = project.install()
    assert of(first, "docs.md").reason.startswith("you deleted it")
    assert said(project.install()) == {}
    assert said(project.install()) == {}
    project.publish({"rest.py": "rest = 2\n", "docs.md": "docs\n"})
    assert said(project.install())["rest.py"] is GREEN
    assert not project.path("docs.md").exists()


def test_a_mode_alone_is_a_change(project: Project) -> None:
    """copier#2135, #2604."""
    project.start({"run.sh": "#!/bin/sh\n"})
    project.publish({"run.sh": Exec("#!/bin/sh\n")})
    report = project.install()
    assert of(report, "run.sh").action is Action.UPDATE
    assert project.tree()["run.sh"] == (EXECUTABLE, b"#!/bin/sh\n")
    project.publish({"run.sh": "#!/bin/sh\n"})
    project.install()
    assert project.tree()["run.sh"] == (FILE, b"#!/bin/sh\n")


def test_my_edits_and_theirs_are_shown_apart(project: Project) -> None:
    """shadcn-ui#2121."""
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": THEIRS})
    project.install()
    diff = project.manager.diff(f"{PACKAGES}/pkg/m.py")

    def changed(text: str) -> list[str]:
        return [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]

    assert changed(diff.mine) == ["-line 2 = 2", "+mine = 1"]
    assert changed(diff.theirs) == ["-line 15 = 15", "+theirs = 1"]
    assert changed(diff.proposal) == ["-line 15 = 15", "+theirs = 1"]


def test_the_printed_plan_is_the_executed_one(project: Project) -> None:
    """copier#1263."""
    import asyncio

    project.start({"m.py": lines(), "u.py": "a\n", "gone.py": "g\n"}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash"), "u.py": "b\n", "new.py": "n\n"})
    before = project.whole()
    plan = asyncio.run(project.manager.plan())
    printed = plan.report()
    assert printed.dry_run
    assert project.whole() == before
    report = asyncio.run(project.manager.apply(plan))
    assert report.changes == printed.changes
    assert report.packages == printed.packages
    assert (report.dry_run, printed.operation) == (False, None)
    assert said(report) == {"m.py": RED, "u.py": GREEN, "gone.py": GREEN, "new.py": GREEN}


def test_undo_of_an_update(project: Project) -> None:
    """chezmoi#4194."""
    project.start({"m.py": lines(), "u.py": "a\n", "gone.py": "g\n"}, {"m.py": MINE})
    before, lock = project.whole(), project.lock_text()
    project.publish({"m.py": lines(_2="clash"), "u.py": "b\n", "new.py": "n\n"})
    project.install()
    project.manager.undo()
    assert (project.whole(), project.lock_text()) == (before, lock)


def test_the_incoming_file_is_put_beside_the_users(project: Project) -> None:
    """abc#598; and never a .rej alone (cruft#49)."""
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash = 1")})
    project.install()
    assert project.tree() == {
        "m.py": (FILE, MINE.encode()),
        "m.py.new": (FILE, lines(_2="clash = 1").encode()),
    }


def test_partial_acceptance(project: Project) -> None:
    """copier#1153."""
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": lines(_9="nine = 1", _15="fifteen = 1")})
    project.install()
    path = f"{PACKAGES}/pkg/m.py"
    first, second = project.manager.pending()[0].hunks
    report = project.manager.accept(path, [first.id])
    assert [change.path for change in report.pending] == [path]
    assert project.read("m.py") == lines(_2="mine = 1", _9="nine = 1").encode()
    report = project.manager.reject(path, [second.id])
    assert report.pending == []
    assert project.read("m.py") == lines(_2="mine = 1", _9="nine = 1").encode()
    assert project.install().pending == []


def test_a_failure_is_loud_and_changes_nothing(project: Project) -> None:
    """patch-package#239."""
    from dxforge.errors import SourceError

    project.start({"m.py": "a\n"})
    before = project.whole()
    for file in (project.base / "upstream" / "pkg").iterdir():
        file.unlink()
    os.rmdir(project.base / "upstream" / "pkg")
    with pytest.raises(SourceError) as caught:
        project.install()
    assert caught.value.hint
    assert project.whole() == before
