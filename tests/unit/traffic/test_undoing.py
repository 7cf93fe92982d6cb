"""Which operation would be undone, and going back over several."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.errors import StaleDecisionError, UndoError
from dxforge.traffic.undoing import Undoer
from tests.support.project import PACKAGES, Project, lines

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.start({"a.py": lines()}, {"a.py": MINE})
    made.publish({"a.py": THEIRS})
    made.install()
    made.manager.accept(f"{PACKAGES}/pkg/a.py")
    return made


def undoer(project: Project) -> Undoer:
    return Undoer(project.manager._ground, lambda: "2026-11-23T12:00:00+00:00")


def test_the_last_decision_and_only_that(project: Project) -> None:
    undo = undoer(project)
    last = undo.decision()
    assert last is not None
    assert (last.id, last.command, last.undone) == ("000003", "accept", False)
    with pytest.raises(StaleDecisionError, match="no longer the last: that is accept") as caught:
        undo.only("000002")
    assert caught.value.files == (("operation 000002", caught.value.what),)
    done = undo.only("000003")
    assert (done.record.command, done.record.time) == ("undo", "2026-11-23T12:00:00+00:00")
    assert [change.path for change in done.changes] == [f"{PACKAGES}/pkg/a.py"]
    assert done.review is not None
    assert len(list(done.review.matters())) == 1


def test_undo_after_undo_goes_back_from_decision_to_decision_and_stops_at_the_install(tmp_path: Path) -> None:
    made = Project(tmp_path, "pkg")
    names = ("a.py", "b.py", "c.py")
    made.start(dict.fromkeys(names, lines()), dict.fromkeys(names, MINE))
    made.publish(dict.fromkeys(names, THEIRS))
    made.install()
    trees = [made.tree()]
    for name in names:
        made.manager.accept(f"{PACKAGES}/pkg/{name}")
        trees.append(made.tree())
    undo = undoer(made)
    assert undo.newest() == "000005"

    def last() -> str | None:
        decision = undo.decision()
        return None if decision is None else decision.id

    def back(expected: str) -> None:
        assert last() == expected
        undo.only(expected)

    back("000005")
    back("000004")
    assert made.tree() == trees[1]
    with pytest.raises(StaleDecisionError):
        undo.only("000004")
    made.manager.reject(f"{PACKAGES}/pkg/b.py")
    back("000008")
    back("000003")
    assert made.tree() == trees[0]
    assert last() is None
    with pytest.raises(StaleDecisionError, match="no longer the last: that is install"):
        undo.only("000002")
    # On the command line an undo is an operation, and undoing it brings the decision back: then that one holds again.
    made.manager.undo()
    assert made.tree() == trees[1]
    back("000003")
    assert made.tree() == trees[0]
    assert last() is None
    made.manager.undo("000009")
    assert made.tree() == trees[1]
    assert last() == "000008"


def test_back_over_several(project: Project) -> None:
    report = undoer(project).back_to("2")
    assert report.operation == "000005"
    assert report.pending == []
    assert project.read("a.py") == MINE.encode()
    assert [line.command for line in project.manager.log()][:2] == ["undo", "undo"]


def test_where_dx_toml_cannot_be_read_any_more_it_is_undone_all_the_same(project: Project) -> None:
    (project.root / "dx.toml").write_text("garbage")
    assert undoer(project).only("000003").review is None
    assert project.read("a.py") == MINE.encode()


@pytest.mark.parametrize("operation", ["7", "x"])
def test_there_is_no_such_operation(project: Project, operation: str) -> None:
    with pytest.raises(UndoError, match=f"no operation {operation}"):
        undoer(project).back_to(operation)


def test_nothing_was_done_yet(tmp_path: Path, cache_dir: Path) -> None:
    empty = Project(tmp_path, "pkg")
    assert undoer(empty).decision() is None
    assert undoer(empty).newest() == ""
    with pytest.raises(UndoError, match="nothing has been done"):
        undoer(empty).back_to(None)
