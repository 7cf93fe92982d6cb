"""Deciding: by file, folder, glob and hunk; what goes stale; the life of a ``.new`` file; undo and redo."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dxforge.errors import DxForgeError, NotPendingError, StaleHunkError, UndoError, UsageError
from dxforge.store.tree import EXECUTABLE, FILE
from dxforge.traffic.model import Action
from tests.support.archives import Exec, Files
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project, lines, of, said

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1", _15="fifteen = 1")
BOTH = lines(_2="mine = 1", _9="nine = 1", _15="fifteen = 1")
PATH = f"{PACKAGES}/pkg/m.py"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


@pytest.fixture
def pending(project: Project) -> Project:
    """A project with two hunks of ``m.py`` to decide on."""
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": THEIRS})
    project.install()
    return project


# ---- choosing


def several(project: Project) -> None:
    old: Files = {path: lines() for path in ("a.py", "sub/b.py", "sub/deep/c.py", "d.txt")}
    project.start(old, dict.fromkeys(old, MINE))
    project.publish(dict.fromkeys(old, THEIRS))
    project.install()


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (["a.py"], ["d.txt", "sub/b.py", "sub/deep/c.py"]),
        (["a.py", "d.txt"], ["sub/b.py", "sub/deep/c.py"]),
        (["sub"], ["a.py", "d.txt"]),
        (["sub/"], ["a.py", "d.txt"]),
        (["*.py"], ["d.txt"]),
        (["sub/*/c.py"], ["a.py", "d.txt", "sub/b.py"]),
        ([""], []),
    ],
)
def test_files_folders_and_globs(project: Project, wanted: list[str], left: list[str]) -> None:
    several(project)
    report = project.manager.accept([f"{PACKAGES}/pkg/{path}" for path in wanted])
    assert sorted(change.path for change in report.pending) == [f"{PACKAGES}/pkg/{path}" for path in left]
    tree = project.tree()
    for path in ("a.py", "sub/b.py", "sub/deep/c.py", "d.txt"):
        assert tree[path][1] == (MINE if path in left else BOTH).encode()


def test_an_absolute_path_and_one_with_a_dot(pending: Project) -> None:
    pending.manager.accept(str(pending.root / PATH))
    pending.manager.undo()
    pending.manager.accept(f"./{PATH}")
    assert pending.read("m.py") == BOTH.encode()


@pytest.mark.parametrize("path", [f"{PACKAGES}/pkg/M.py", "m.py", f"{PACKAGES}/other", "/elsewhere/m.py"])
def test_a_path_where_nothing_waits_is_an_error_with_a_way_out(pending: Project, path: str) -> None:
    before = pending.whole()
    with pytest.raises((NotPendingError, UsageError)) as caught:
        pending.manager.accept(path)
    assert caught.value.hint
    assert pending.whole() == before


def test_one_path_that_is_wrong_stops_all(project: Project) -> None:
    several(project)
    with pytest.raises(NotPendingError):
        project.manager.accept([f"{PACKAGES}/pkg/a.py", f"{PACKAGES}/pkg/nothing.py"])
    assert len(project.manager.pending()) == 4


# ---- hunks


def test_hunks_one_by_one(pending: Project) -> None:
    first, second = pending.manager.pending()[0].hunks
    assert (first.id, second.id) == ("1", "2")
    report = pending.manager.accept(PATH, "2")
    assert report.changes[0].reason.startswith("accepted in part")
    assert pending.read("m.py") == lines(_2="mine = 1", _15="fifteen = 1").encode()
    (left,) = pending.manager.pending()[0].hunks
    assert left.id == "1"
    assert left.lines == first.lines
    report = pending.manager.accept(PATH, 1)
    assert report.pending == []
    assert pending.read("m.py") == BOTH.encode()


def test_several_hunks_at_once(pending: Project) -> None:
    report = pending.manager.accept(PATH, ["1", "2"])
    assert report.pending == []
    assert pending.read("m.py") == BOTH.encode()


def test_refusing_hunks_one_by_one(pending: Project) -> None:
    report = pending.manager.reject(PATH, "1")
    assert [change.path for change in report.pending] == [PATH]
    assert pending.read("m.py") == MINE.encode()
    (left,) = pending.manager.pending()[0].hunks
    assert left.id == "2"
    assert pending.manager.accept(PATH).pending == []
    assert pending.read("m.py") == lines(_2="mine = 1", _15="fifteen = 1").encode()
    assert pending.install().pending == []


def test_refusing_every_hunk_is_refusing_the_file(pending: Project) -> None:
    pending.manager.reject(PATH, "2")
    assert pending.manager.reject(PATH, "1").pending == []
    assert pending.read("m.py") == MINE.encode()
    assert pending.install().pending == []


def test_a_refused_hunk_stays_refused_in_another_process(pending: Project) -> None:
    pending.manager.reject(PATH, "1")
    clone = pending.clone()
    (change,) = clone.manager.pending()
    assert [line for hunk in change.hunks for line in hunk.lines if line[0] in "+-"] == [
        "-line 15 = 15\n",
        "+fifteen = 1\n",
    ]


def test_a_refused_hunk_is_asked_about_again_only_when_upstream_touches_it(pending: Project) -> None:
    pending.manager.reject(PATH, "1")
    pending.manager.accept(PATH, "2")
    assert pending.manager.pending() == []
    pending.publish({"m.py": THEIRS + "more = 1\n"})
    assert pending.install().pending
    (hunk,) = pending.manager.pending()[0].hunks
    assert [line for line in hunk.lines if line[0] in "+-"] == ["+more = 1\n"]
    pending.manager.accept(PATH)
    pending.publish({"m.py": lines(_9="nine = 2", _15="fifteen = 1") + "more = 1\n"})
    report = pending.install()
    assert of(report, "m.py").light is RED
    pending.manager.reject(PATH)
    assert pending.install().pending == []


def test_a_refused_hunk_stays_refused_while_the_rest_waits_through_an_upgrade(pending: Project) -> None:
    pending.manager.reject(PATH, "1")
    pending.publish({"m.py": THEIRS + "more = 1\n"})
    pending.install()
    shown = [line for hunk in pending.manager.pending()[0].hunks for line in hunk.lines if line[0] == "+"]
    assert shown == ["+fifteen = 1\n", "+more = 1\n"]
    pending.install(on_yellow="accept")
    assert b"nine = 1" not in pending.read("m.py")


def test_a_refused_hunk_is_not_taken_when_the_edit_is_taken_back(pending: Project) -> None:
    pending.manager.reject(PATH, "1")
    pending.write("m.py", lines())
    report = pending.install()
    assert of(report, "m.py").light is YELLOW
    assert pending.read("m.py") == lines().encode()
    pending.manager.accept(PATH)
    assert pending.read("m.py") == lines(_15="fifteen = 1").encode()


@pytest.mark.parametrize("hunk", ["3", "0", "x", "-1", ""])
def test_a_hunk_that_is_not_there_is_refused_with_those_that_are(pending: Project, hunk: str) -> None:
    before = pending.whole()
    with pytest.raises(StaleHunkError) as caught:
        pending.manager.accept(PATH, ["1", hunk])
    assert caught.value.hunks == ("1", "2")
    assert pending.whole() == before
    assert pending.manager.log()[0].command == "install"


def test_a_hunk_that_has_gone_is_refused(pending: Project) -> None:
    pending.replace("m.py", "line 9 = 9", "nine = 1")  # the user makes that change himself
    with pytest.raises(StaleHunkError) as caught:
        pending.manager.accept(PATH, "1")
    assert caught.value.hunks == ("2",)


def test_an_id_means_the_same_hunk_after_an_edit_elsewhere(pending: Project) -> None:
    before = pending.manager.pending()[0].hunks
    pending.write("m.py", "# a new first line\n" + MINE)
    after = pending.manager.pending()[0].hunks
    assert [hunk.id for hunk in after] == [hunk.id for hunk in before]
    assert [hunk.header for hunk in after] != [hunk.header for hunk in before]
    pending.manager.accept(PATH, "2")
    assert pending.read("m.py") == b"# a new first line\n" + lines(_2="mine = 1", _15="fifteen = 1").encode()


def test_hunks_belong_to_one_file(project: Project) -> None:
    several(project)
    with pytest.raises(UsageError, match="exactly one"):
        project.manager.accept(f"{PACKAGES}/pkg/sub", "1")


def test_hunks_of_what_has_none(project: Project) -> None:
    project.start({"b.bin": "\0a", "gone.py": "a\n"}, {"b.bin": "\0b", "gone.py": "mine\n"})
    project.publish({"b.bin": "\0c"})
    project.install()
    for path in ("b.bin", "gone.py"):
        with pytest.raises(UsageError, match="no hunks"):
            project.manager.accept(f"{PACKAGES}/pkg/{path}", "1")
        with pytest.raises(UsageError, match="no hunks"):
            project.manager.reject(f"{PACKAGES}/pkg/{path}", "1")


def test_hunks_of_a_red_file_are_those_of_the_incoming_one(project: Project) -> None:
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash = 1", _15="fifteen = 1")})
    project.install()
    (change,) = project.manager.pending()
    assert change.light is RED
    shown = [[line for line in hunk.lines if line[0] in "+-"] for hunk in change.hunks]
    assert shown == [["-mine = 1\n", "+clash = 1\n"], ["-line 15 = 15\n", "+fifteen = 1\n"]]
    project.manager.accept(PATH, "2")
    assert project.read("m.py") == lines(_2="mine = 1", _15="fifteen = 1").encode()
    assert project.path("m.py.new").exists()
    project.manager.reject(PATH, "1")
    assert project.manager.pending() == []
    assert not project.path("m.py.new").exists()
    assert project.install().pending == []


def test_the_mode_comes_with_the_last_hunk(project: Project) -> None:
    project.start({"run.sh": lines()}, {"run.sh": MINE})
    project.publish({"run.sh": Exec(THEIRS)})
    project.install()
    path = f"{PACKAGES}/pkg/run.sh"
    project.manager.accept(path, "1")
    assert project.tree()["run.sh"][0] == FILE
    project.manager.accept(path, "2")
    assert project.tree() == {"run.sh": (EXECUTABLE, BOTH.encode())}


def test_a_mode_alone_is_taken_as_a_whole(project: Project) -> None:
    project.start({"run.sh": "a\n"}, {"run.sh": "a\n"})
    project.path("run.sh").chmod(0o755)
    project.publish({"run.sh": "b\n"})
    project.install()
    project.manager.accept(f"{PACKAGES}/pkg/run.sh")
    assert project.tree() == {"run.sh": (EXECUTABLE, b"b\n")}


# ---- deciding in other ways


def test_resolving_by_hand(pending: Project) -> None:
    report = pending.manager.resolve(PATH, "resolved = 'é'\n")
    assert report.pending == []
    assert pending.read("m.py") == "resolved = 'é'\n".encode()
    assert of(report, "m.py").reason.startswith("resolved")
    assert pending.install().pending == []
    pending.manager.undo()
    assert pending.read("m.py") == MINE.encode()
    assert len(pending.manager.pending()) == 1


def test_resolving_with_bytes_and_at_a_rename(project: Project) -> None:
    project.start({"rest.py": "r\n", "old.py": lines()}, {"old.py": MINE})
    project.publish({"rest.py": "r\n", "new.py": THEIRS})
    project.install()
    project.manager.resolve(f"{PACKAGES}/pkg/old.py", b"\xff\n")
    assert project.tree() == {"rest.py": (FILE, b"r\n"), "new.py": (FILE, b"\xff\n")}
    assert project.install().pending == []


def test_a_name_means_the_file_of_that_name_before_one_that_would_get_it(project: Project) -> None:
    project.start({"rest.py": "r\n", "old.py": lines()}, {"old.py": MINE})
    project.publish({"rest.py": "r\n", "new.py": THEIRS})
    project.install()
    project.write("new.py", lines(_0="mine = 0", _9="nine = 1", _15="fifteen = 1"))
    project.publish({"rest.py": "r\n", "new.py": lines(_0="theirs = 0", _9="nine = 1", _15="fifteen = 1")})
    pending = {change.path: change.new_path for change in project.install(upgrade=True).pending}
    assert pending == {f"{PACKAGES}/pkg/old.py": f"{PACKAGES}/pkg/new.py", f"{PACKAGES}/pkg/new.py": None}
    project.manager.resolve(f"{PACKAGES}/pkg/new.py", "both\n")
    assert project.read("new.py") == b"both\n"
    assert project.read("old.py") == MINE.encode()


def test_resolving_a_deletion(project: Project) -> None:
    project.start({"rest.py": "r\n", "m.py": "a\n"}, {"m.py": None})
    project.publish({"rest.py": "r\n", "m.py": "b\n"})
    project.install()
    project.manager.resolve(PATH, "c\n")
    assert project.read("m.py") == b"c\n"


def test_merging_in_an_editor_settles_it(pending: Project) -> None:
    pending.write("m.py", BOTH)
    assert pending.manager.pending() == []
    report = pending.install()
    assert report.pending == []
    assert pending.manager.packages()[0].pending == 0


def test_taking_the_edit_back_lets_the_update_through(pending: Project) -> None:
    pending.write("m.py", lines())
    (change,) = pending.manager.pending()
    assert change.light is YELLOW
    assert "took your edit back" in change.reason
    report = pending.install()
    assert (of(report, "m.py").light, of(report, "m.py").action) == (GREEN, Action.UPDATE)
    assert pending.read("m.py") == THEIRS.encode()


def test_deleting_the_file_while_it_waits(pending: Project) -> None:
    pending.path("m.py").unlink()
    (change,) = pending.manager.pending()
    assert (change.light, change.reason) == (YELLOW, "you deleted it, upstream changed it")
    pending.manager.reject(PATH)
    assert pending.install().pending == []
    assert not pending.path("m.py").exists()


def test_editing_further_while_it_waits(pending: Project) -> None:
    pending.replace("m.py", "line 5 = 5", "five = 1")
    pending.manager.accept(PATH)
    assert pending.read("m.py") == lines(_2="mine = 1", _5="five = 1", _9="nine = 1", _15="fifteen = 1").encode()


def test_a_matter_settled_by_the_next_version(pending: Project) -> None:
    pending.publish({"m.py": lines()})
    report = pending.install()
    assert report.pending == []
    assert pending.read("m.py") == MINE.encode()


# ---- the .new file


@pytest.fixture
def red(project: Project) -> Project:
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": lines(_2="clash = 1")})
    project.install()
    return project


@pytest.mark.parametrize("decision", ["accept", "reject", "resolve"])
def test_it_goes_with_the_decision(red: Project, decision: str) -> None:
    if decision == "resolve":
        red.manager.resolve(PATH, "resolved\n")
    else:
        getattr(red.manager, decision)(PATH)
    assert sorted(red.tree()) == ["m.py"]
    red.manager.undo()
    assert sorted(red.tree()) == ["m.py", "m.py.new"]


def test_it_follows_the_next_version(red: Project) -> None:
    red.publish({"m.py": lines(_2="clash = 2")})
    red.install()
    assert red.tree() == {"m.py": (FILE, MINE.encode()), "m.py.new": (FILE, lines(_2="clash = 2").encode())}


def test_it_goes_when_the_next_version_merges(red: Project) -> None:
    red.publish({"m.py": lines(_15="fifteen = 1")})
    report = red.install()
    assert of(report, "m.py").light is YELLOW
    assert sorted(red.tree()) == ["m.py"]


def test_it_goes_when_upstream_removes_the_file(red: Project) -> None:
    red.publish({"rest.py": "r\n"})
    report = red.install()
    assert of(report, "m.py").light is RED
    assert sorted(red.tree()) == ["m.py", "rest.py"]


def test_one_that_the_user_edited_is_his(red: Project) -> None:
    red.write("m.py.new", "my notes\n")
    red.publish({"m.py": lines(_2="clash = 2")})
    report = red.install()
    assert of(report, "m.py").set_aside == f"{PATH}.new.1"
    assert red.read("m.py.new") == b"my notes\n"
    red.manager.accept(PATH)
    assert sorted(red.tree()) == ["m.py", "m.py.new"]
    assert red.read("m.py.new") == b"my notes\n"


def test_one_that_the_user_deleted_comes_back_with_an_install(red: Project) -> None:
    red.path("m.py.new").unlink()
    assert [change.light for change in red.manager.pending()] == [RED]
    red.install()
    assert red.read("m.py.new") == lines(_2="clash = 1").encode()
    red.path("m.py.new").unlink()
    red.manager.accept(PATH)
    assert red.tree() == {"m.py": (FILE, lines(_2="clash = 1").encode())}


def test_it_goes_with_the_package(red: Project) -> None:
    report = red.remove()
    assert [change.path for change in report.pending] == [PATH]
    assert sorted(red.tree()) == ["m.py"]


def test_a_file_that_was_in_the_way_and_left_upstream_leaves_no_new_behind(project: Project) -> None:
    project.start({"rest.py": "r\n"})
    project.path("s").symlink_to("rest.py")
    project.publish({"rest.py": "r\n", "s": "a file\n"})
    assert of(project.install(), "s").light is RED
    assert sorted(project.tree()) == ["rest.py", "s", "s.new"]
    project.publish({"rest.py": "r\n"})
    assert project.install().pending == []
    assert sorted(project.tree()) == ["rest.py", "s"]


# ---- undo


def test_a_chain_of_operations_each_undone_in_place(pending: Project) -> None:
    states = [pending.whole()]
    for step in (
        lambda: pending.manager.accept(PATH, "1"),
        lambda: pending.manager.reject(PATH, "2"),
        pending.manager.undo,
        lambda: pending.manager.resolve(PATH, "r\n"),
        pending.remove,
    ):
        step()
        states.append(pending.whole())
    pending.manager.undo()
    assert pending.whole() == states[4]
    pending.manager.undo()
    assert pending.whole() == states[5]
    commands = [(line.command, line.undone) for line in pending.manager.log()]
    assert commands == [
        ("undo", False),
        ("undo", True),
        ("remove", False),
        ("resolve", False),
        ("undo", False),
        ("reject", True),
        ("accept", False),
        ("install", False),
        ("install", False),
    ]


def test_going_back_to_before_an_operation(pending: Project) -> None:
    states = [pending.whole()]
    for step in (lambda: pending.manager.accept(PATH, "1"), lambda: pending.manager.accept(PATH, "2")):
        step()
        states.append(pending.whole())
    identity = pending.manager.log()[1].id
    pending.manager.undo(identity.lstrip("0"))
    assert pending.whole() == states[0]
    with pytest.raises(UndoError) as caught:
        pending.manager.undo("99")
    assert "99" in str(caught.value)
    assert pending.whole() == states[0]


def test_undo_of_a_reject_asks_again(pending: Project) -> None:
    pending.manager.reject(PATH)
    report = pending.manager.undo()
    assert [change.path for change in report.pending] == [PATH]
    assert len(pending.manager.pending()[0].hunks) == 2


def test_undo_of_an_accept_with_a_later_edit_elsewhere(pending: Project) -> None:
    pending.manager.accept(PATH)
    pending.replace("m.py", "line 18 = 18", "later = 1")
    pending.manager.undo()
    assert pending.read("m.py") == lines(_2="mine = 1", _18="later = 1").encode()
    assert len(pending.manager.pending()) == 1


def test_undo_of_an_install_with_a_later_edit_elsewhere(project: Project) -> None:
    project.start({"m.py": lines()})
    project.publish({"m.py": THEIRS})
    project.install()
    project.replace("m.py", "line 2 = 2", "later = 1")
    project.manager.undo()
    assert project.read("m.py") == lines(_2="later = 1").encode()


def test_undo_with_a_later_edit_in_the_way(pending: Project) -> None:
    pending.manager.accept(PATH)
    pending.replace("m.py", "nine = 1", "my nine = 1")
    before = pending.whole()
    with pytest.raises(UndoError) as caught:
        pending.manager.undo()
    assert PATH in caught.value.where
    assert pending.whole() == before


def test_undo_of_the_first_install(project: Project) -> None:
    before = project.whole().files
    project.start({"m.py": "a\n", "sub/b.py": "b\n"})
    after = project.whole()
    project.manager.undo()
    assert project.whole().files == before
    assert not project.path().exists()
    project.manager.undo()
    assert project.whole() == after


def test_undo_of_the_first_install_leaves_the_users_edit(project: Project) -> None:
    project.start({"m.py": "a\n", "b.py": "b\n"}, {"own.py": "mine\n"})
    project.manager.undo()
    assert project.tree() == {"own.py": (FILE, b"mine\n")}
    project.manager.undo()
    assert sorted(project.tree()) == ["b.py", "m.py", "own.py"]


def test_undo_where_nothing_was_done(project: Project) -> None:
    with pytest.raises(UndoError) as caught:
        project.manager.undo()
    assert caught.value.hint
    assert project.manager.log() == []


def test_undo_on_another_branch(pending: Project) -> None:
    (pending.root / "dx.lock").write_text("version = 1\n")
    with pytest.raises(UndoError, match=r"dx\.lock"):
        pending.manager.undo()


def test_undo_of_a_removal_with_an_edit(project: Project) -> None:
    project.start({"m.py": "a\n", "b.py": "b\n"}, {"m.py": "mine\n", "own.py": "own\n"})
    before = project.whole()
    report = project.remove()
    assert said(report) == {"m.py": RED, "b.py": GREEN}
    assert sorted(project.tree()) == ["m.py", "own.py"]
    project.manager.undo()
    assert project.whole() == before


# ---- removing


def test_a_removed_package_goes_wholly_where_nothing_was_edited(project: Project) -> None:
    project.start({"m.py": "a\n", "sub/b.py": "b\n"})
    report = project.remove()
    assert set(said(report).values()) == {GREEN}
    assert not project.path().exists()
    assert project.lock_text() is None
    assert "pkg" not in (project.root / "dx.toml").read_text()
    assert [(change.from_version is not None, change.to_version) for change in report.packages] == [(True, None)]


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_edits_of_a_removed_package_await_a_decision(project: Project, decision: str) -> None:
    project.start({"m.py": "a\n", "b.py": "b\n"}, {"m.py": "mine\n"})
    report = project.remove()
    assert [(change.path, change.light) for change in report.pending] == [(PATH, RED)]
    assert [(status.name, status.leaving, status.pending) for status in project.manager.packages()] == [
        ("pkg", True, 1)
    ]
    assert project.install().pending[0].path == PATH
    getattr(project.manager, decision)(PATH)
    assert project.manager.packages() == []
    assert project.lock_text() is None
    assert project.path("m.py").exists() == (decision == "reject")
    assert project.install().pending == []


def test_a_removed_package_that_comes_back_merges_from_where_it_was(project: Project) -> None:
    project.start({"m.py": lines(), "b.py": "b\n"}, {"m.py": MINE})
    toml = (project.root / "dx.toml").read_text()
    project.remove()
    (project.root / "dx.toml").write_text(toml)
    project.publish({"m.py": THEIRS, "b.py": "b\n"})
    report = project.install()
    assert said(report) == {"m.py": YELLOW, "b.py": GREEN}
    project.manager.accept(PATH)
    assert project.read("m.py") == BOTH.encode()


def test_a_package_gone_from_the_file_goes_with_the_next_install(project: Project) -> None:
    project.start({"m.py": "a\n"})
    (project.root / "dx.toml").write_text('[project]\nname = "demo"\n')
    report = project.install()
    assert said(report) == {"m.py": GREEN}
    assert not project.path().exists()


def test_removing_what_is_not_there(project: Project) -> None:
    project.start({"m.py": "a\n"})
    with pytest.raises(DxForgeError) as caught:
        asyncio.run(project.manager.remove("pgk"))
    assert "pkg" in str(caught.value)


def test_deleting_the_last_edited_file_of_a_leaving_package_settles_it(project: Project) -> None:
    project.start({"m.py": "a\n", "b.py": "b\n"}, {"m.py": "mine\n"})
    project.remove()
    project.path("m.py").unlink()
    assert project.manager.pending() == []
    assert [status.pending for status in project.manager.packages()] in ([], [0])
    project.install()
    assert project.lock_text() is None
