"""Decisions about what was seen: all or nothing, nothing about old news, no look at anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from dxforge.errors import ReviewError, StaleDecisionError, StaleHunkError, UndoError, UsageError
from dxforge.traffic import lock_text
from dxforge.traffic.lock import PendingFile
from dxforge.traffic.model import Decision, Standing
from tests.support.archives import Files
from tests.support.project import PACKAGES, Project, lines

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1", _15="fifteen = 1")
BOTH = lines(_2="mine = 1", _9="nine = 1", _15="fifteen = 1")
NAMES = ("a.py", "b.py", "c.py", "d/e.py")


def at(name: str) -> str:
    return f"{PACKAGES}/pkg/{name}"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    """Four files with two hunks each to decide on."""
    made = Project(tmp_path, "pkg")
    made.start(dict.fromkeys(NAMES, lines()), dict.fromkeys(NAMES, MINE))
    made.publish(dict.fromkeys(NAMES, THEIRS))
    made.install()
    return made


def look(project: Project) -> dict[str, Standing]:
    return {known.path: known for known in project.manager.reviewing.pending()}


def versions(project: Project, *names: str) -> dict[str, str]:
    found = look(project)
    return {at(name): found[at(name)].version for name in names}


def as_listed_anew(project: Project, decision: Decision, before: dict[str, Standing]) -> None:
    """What a decision says it changed in the list is what has changed in the list."""
    after = look(Project(project.base, root=project.root))
    expected = {path: known for path, known in before.items() if path not in decision.gone}
    expected |= {known.path: known for known in decision.changed}
    assert expected == after
    assert not {known.path for known in decision.changed} & set(decision.gone)


@pytest.mark.parametrize("what", ["accept", "reject"])
def test_files_are_decided_on_together(project: Project, what: Literal["accept", "reject"]) -> None:
    before = look(project)
    decision = project.manager.reviewing.decide(what, versions(project, "a.py", "d/e.py"))
    assert decision.gone == (at("a.py"), at("d/e.py"))
    assert decision.changed == ()
    as_listed_anew(project, decision, before)
    for name in NAMES:
        taken = what == "accept" and name in ("a.py", "d/e.py")
        assert project.read(name) == (BOTH if taken else MINE).encode()
    last = project.manager.log()[0]
    assert (last.id, last.command, last.summary) == (decision.operation, what, "2 files")


def test_a_hunk_is_decided_on_and_the_file_changes_in_the_list(project: Project) -> None:
    before = look(project)
    decision = project.manager.reviewing.decide("accept", versions(project, "a.py"), ["2"])
    (changed,) = decision.changed
    assert (changed.path, changed.hunks, decision.gone) == (at("a.py"), 1, ())
    as_listed_anew(project, decision, before)
    again = project.manager.reviewing.decide("reject", {changed.path: changed.version}, ["1"])
    assert again.gone == (changed.path,)
    assert project.read("a.py") == lines(_2="mine = 1", _15="fifteen = 1").encode()


def test_once_prepared_a_decision_puts_no_other_file_into_words(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    encode = lock_text.encode_pending

    def noted(item: PendingFile) -> dict[str, Any]:
        written.append(item.path)
        return encode(item)

    monkeypatch.setattr(lock_text, "encode_pending", noted)
    reviewing = Project(project.base, root=project.root).manager.reviewing
    before = project.lock_text()
    reviewing.prepare()
    assert (sorted(written), project.lock_text()) == (sorted(NAMES), before)
    written.clear()
    reviewing.decide("accept", versions(project, "a.py"), ["2"])
    assert written == ["a.py"]


def test_one_stale_file_stops_all_and_nothing_is_done(project: Project) -> None:
    wanted = versions(project, *NAMES)
    project.write("b.py", MINE + "later = 1\n")
    project.manager.accept(at("c.py"), "1")
    project.manager.reject(at("d/e.py"))
    whole, lock, log = project.whole(), project.lock_text(), project.manager.log()
    with pytest.raises(StaleDecisionError) as caught:
        project.manager.reviewing.decide("accept", wanted)
    assert dict(caught.value.files) == {
        at("b.py"): "your file has changed",
        at("c.py"): "some of its hunks have been decided on",
        at("d/e.py"): "it has been decided on",
    }
    assert caught.value.where == at("b.py")
    assert (project.whole(), project.lock_text(), project.manager.log()) == (whole, lock, log)


def test_a_file_that_needs_no_decision_any_more_is_stale(project: Project) -> None:
    wanted = versions(project, "a.py")
    project.write("a.py", THEIRS)
    with pytest.raises(StaleDecisionError, match="need no decision"):
        project.manager.reviewing.decide("accept", wanted)


def test_an_upgrade_in_between_makes_it_stale_though_the_file_is_as_it_was(project: Project) -> None:
    wanted = versions(project, "a.py")
    project.publish(dict.fromkeys(NAMES, THEIRS + "more = 1\n"))
    Project(project.base, root=project.root).install()
    with pytest.raises(StaleDecisionError, match="another version"):
        project.manager.reviewing.decide("accept", wanted)
    assert project.read("a.py") == MINE.encode()


def test_hunks_that_are_not_there_are_stale(project: Project) -> None:
    whole, lock = project.whole(), project.lock_text()
    with pytest.raises(StaleDecisionError) as caught:
        project.manager.reviewing.decide("accept", versions(project, "a.py"), ["1", "7"])
    assert isinstance(caught.value.__cause__, StaleHunkError)
    assert caught.value.files[0][0] == at("a.py")
    assert (project.whole(), project.lock_text()) == (whole, lock)


def test_what_cannot_mean_anything_is_refused(project: Project) -> None:
    reviewing = project.manager.reviewing
    wanted = versions(project, "a.py", "b.py")
    with pytest.raises(UsageError):
        reviewing.decide("accept", {})
    with pytest.raises(UsageError):
        reviewing.decide("accept", wanted, ["1"])
    assert reviewing.last() is None
    assert project.manager.log()[0].command == "install"


def test_no_other_pending_file_is_looked_at(project: Project) -> None:
    wanted = versions(project, "a.py")
    project.path("b.py").unlink()
    project.path("b.py").mkdir()
    project.path("c.py").chmod(0)
    before = look(project)[at("c.py")] if _reads_everything(project) else None
    decision = project.manager.reviewing.decide("accept", wanted)
    assert decision.gone == (at("a.py"),)
    project.path("c.py").chmod(0o644)
    assert before is None or look(project)[at("c.py")] == before


def _reads_everything(project: Project) -> bool:
    try:
        project.read("c.py")
    except PermissionError:
        return False
    return True


def test_a_file_in_the_way_stops_all(project: Project) -> None:
    project.path("b.py").unlink()
    project.path("b.py").mkdir()
    wanted = versions(project, "a.py", "b.py")
    whole = project.whole()
    with pytest.raises(ReviewError) as caught:
        project.manager.reviewing.decide("accept", wanted)
    assert caught.value.where == at("b.py")
    assert project.whole() == whole
    assert project.manager.reviewing.decide("reject", wanted).gone == (at("a.py"), at("b.py"))


def test_a_decision_that_changes_another_pending_file_says_so(tmp_path: Path, cache_dir: Path) -> None:
    """A rename carries an edit into a file that is itself pending."""
    project = Project(tmp_path, "pkg")
    old: Files = {"old.py": lines(), "new.py": "short\n"}
    project.start(old, {"old.py": MINE, "new.py": "mine\n"})
    project.publish({"new.py": THEIRS})
    project.install()
    before = look(project)
    for path in sorted(before):
        decision = project.manager.reviewing.decide("accept", {path: look(project)[path].version})
        as_listed_anew(project, decision, before)
        before = look(project)
    assert before == {}


# ---- resolutions


def test_a_resolution_is_written_as_it_is(project: Project) -> None:
    before = look(project)
    decision = project.manager.reviewing.resolve(at("a.py"), before[at("a.py")].version, "own\r\nwords é")
    assert decision.gone == (at("a.py"),)
    assert project.read("a.py") == "own\r\nwords é".encode()
    as_listed_anew(project, decision, before)


def test_a_resolution_keeps_the_encoding(tmp_path: Path, cache_dir: Path) -> None:
    cookie = "# coding: latin-1\n# caf\xe9\n"
    project = Project(tmp_path, "pkg")
    project.start({"a.py": (cookie + lines()).encode("latin-1")}, {"a.py": (cookie + MINE).encode("latin-1")})
    project.publish({"a.py": (cookie + THEIRS).encode("latin-1")})
    project.install()
    version = look(project)[at("a.py")].version
    whole = project.whole()
    with pytest.raises(ReviewError, match="iso-8859-1"):
        project.manager.reviewing.resolve(at("a.py"), version, cookie + "# 日本\n")
    assert project.whole() == whole
    project.manager.reviewing.resolve(at("a.py"), version, cookie + "# own \xe9\n")
    assert project.read("a.py") == (cookie + "# own \xe9\n").encode("latin-1")


def test_half_a_character_is_no_text(project: Project) -> None:
    with pytest.raises(ReviewError, match="utf-8"):
        project.manager.reviewing.resolve(at("a.py"), look(project)[at("a.py")].version, "\ud800")


def test_a_resolution_of_what_has_changed_is_stale(project: Project) -> None:
    version = look(project)[at("a.py")].version
    project.write("a.py", "later\n")
    with pytest.raises(StaleDecisionError):
        project.manager.reviewing.resolve(at("a.py"), version, "own\n")
    assert project.read("a.py") == b"later\n"
    project.write("a.py", b"\0binary")
    with pytest.raises(StaleDecisionError):
        project.manager.reviewing.resolve(at("a.py"), version, "own\n")


def test_what_is_no_text_is_not_resolved_with_text(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"a.bin": b"\0a"}, {"a.bin": b"\0b"})
    project.publish({"a.bin": b"\0c"})
    project.install()
    with pytest.raises(ReviewError, match="binary") as caught:
        project.manager.reviewing.resolve(at("a.bin"), look(project)[at("a.bin")].version, "own\n")
    assert "dxforge resolve" in caught.value.hint


# ---- undo


def test_the_last_operation_is_undone_and_the_list_is_as_it_was(project: Project) -> None:
    reviewing, before = project.manager.reviewing, look(project)
    decision = reviewing.decide("accept", versions(project, "a.py", "b.py"))
    last = reviewing.last()
    assert last is not None
    assert (last.id, last.command, last.summary) == (decision.operation, "accept", "2 files")
    after = look(project)
    back = reviewing.undo(last.id)
    assert {known.path for known in back.changed} == {at("a.py"), at("b.py")}
    as_listed_anew(project, back, after)
    assert look(project) == before
    assert reviewing.last() is None
    project.manager.undo()
    assert reviewing.last() == last
    assert look(project) == after


def test_an_undo_of_what_is_not_the_last_any_more_is_stale(project: Project) -> None:
    reviewing = project.manager.reviewing
    reviewing.decide("reject", versions(project, "a.py"))
    last = reviewing.last()
    assert last is not None
    reviewing.decide("reject", versions(project, "b.py"))
    whole, lock, log = project.whole(), project.lock_text(), project.manager.log()
    for operation in (last.id, "000099", "", "x"):
        with pytest.raises(StaleDecisionError) as caught:
            reviewing.undo(operation)
        assert caught.value.files
    assert (project.whole(), project.lock_text(), project.manager.log()) == (whole, lock, log)


def test_an_install_is_no_decision_to_take_back(project: Project) -> None:
    reviewing, before = project.manager.reviewing, look(project)
    assert reviewing.last() is None
    with pytest.raises(StaleDecisionError):
        reviewing.undo(reviewing.newest())
    assert look(project) == before


def test_later_edits_in_the_way_stop_an_undo(project: Project) -> None:
    decision = project.manager.reviewing.decide("accept", versions(project, "a.py"))
    project.write("a.py", BOTH.replace("nine = 1", "ten = 1"))
    with pytest.raises(UndoError):
        project.manager.reviewing.undo(decision.operation)
    assert project.read("a.py") == BOTH.replace("nine = 1", "ten = 1").encode()


def test_nothing_to_undo(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    assert project.manager.reviewing.last() is None
    with pytest.raises(StaleDecisionError):
        project.manager.reviewing.undo("000001")


def another_branch(project: Project) -> None:
    lock = project.root / "dx.lock"
    lock.write_text(lock.read_text().replace("pkg.tar", "other.tar"))


def line_ends(project: Project) -> None:
    lock = project.root / "dx.lock"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(("change", "undoable"), [(another_branch, False), (line_ends, True)])
def test_what_another_branch_has_is_not_undoable(
    project: Project, change: Callable[[Project], None], undoable: bool
) -> None:
    project.manager.reviewing.decide("reject", versions(project, "a.py"))
    change(project)
    assert (project.manager.reviewing.last() is not None) == undoable
