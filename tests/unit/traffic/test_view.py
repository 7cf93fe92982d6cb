"""A pending file as text: exact, with hunks that fit it, and honest about what is no text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dxforge.errors import StaleDecisionError
from dxforge.traffic.model import FileView
from dxforge.traffic.view import MOST_BYTES, encoding_of
from tests.support.archives import Exec, Files, Link
from tests.support.project import PACKAGES, Project, lines

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1", _15="fifteen = 1\nsixteen = 1")
PATH = f"{PACKAGES}/pkg/m.py"
SIDES = ("base", "local", "incoming", "proposal")
Content = bytes | str | Exec | Link | None


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


def pending(
    project: Project, base: Content, local: bytes | str | None, incoming: Content, path: str = "m.py"
) -> FileView:
    """The view of one file with these sides."""

    def files(content: Content) -> Files:
        return {"keep": ""} if content is None else {"keep": "", path: content}

    project.publish(files(base))
    project.install()
    if local is None:
        project.path(path).unlink(missing_ok=True)
    else:
        project.write(path, local)
    project.publish(files(incoming))
    project.install()
    return project.manager.reviewing.view(f"{PACKAGES}/pkg/{path}")


def applied(view: FileView) -> str:
    """The user's file with every hunk taken from the proposal, by the ranges alone."""
    old, new = ((view.sides[side] or "").split("\n") for side in ("local", "proposal"))
    for hunk in reversed(view.hunks):
        old[slice(*hunk.old)] = new[slice(*hunk.new)]
    return "\n".join(old)


def test_a_merge_from_every_side(project: Project) -> None:
    view = pending(project, lines(), MINE, THEIRS)
    both = lines(_2="mine = 1", _9="nine = 1", _15="fifteen = 1\nsixteen = 1")
    assert view.sides == {"base": lines(), "local": MINE, "incoming": THEIRS, "proposal": both}
    assert view.modes == dict.fromkeys(SIDES, "100644")
    assert [(hunk.id, hunk.old, hunk.new) for hunk in view.hunks] == [
        ("1", (9, 10), (9, 10)),
        ("2", (15, 16), (15, 17)),
    ]
    assert [hunk.header for hunk in view.hunks] == [hunk.header for hunk in project.manager.pending()[0].hunks]
    assert (view.encoding, view.newline, view.why_not) == ("utf-8", "\n", "")
    assert applied(view) == both
    assert view.standing == project.manager.reviewing.pending()[0]


def test_as_json(project: Project) -> None:
    view = pending(project, lines(), MINE, THEIRS)
    data = view.to_json()
    assert data["entry"] == view.standing.to_json()
    assert data["hunks"][1] == {"id": "2", "header": view.hunks[1].header, "old": [15, 16], "new": [15, 17]} | {
        "overlaps": False
    }
    assert data.keys() == {"entry", "sides", "modes", "hunks", "encoding", "newline", "why_not"}


def test_what_was_rejected_is_not_proposed_any_more(project: Project) -> None:
    pending(project, lines(), MINE, THEIRS)
    project.manager.reject(PATH, "1")
    view = project.manager.reviewing.view(PATH)
    assert view.sides["proposal"] == lines(_2="mine = 1", _15="fifteen = 1\nsixteen = 1") == applied(view)
    assert [(hunk.id, hunk.old, hunk.new) for hunk in view.hunks] == [("2", (15, 16), (15, 17))]
    project.manager.accept(PATH)
    assert project.read("m.py").decode() == view.sides["proposal"]


def test_overlapping_edits_propose_theirs(project: Project) -> None:
    view = pending(project, "a\nb\n", "mine\nb\n", "theirs\nb\n")
    assert view.standing.light == "red"
    assert view.sides == {"base": "a\nb\n", "local": "mine\nb\n", "incoming": "theirs\nb\n", "proposal": "theirs\nb\n"}
    assert applied(view) == "theirs\nb\n"


def test_of_a_red_file_the_hunks_that_overlap_the_edit_are_marked(project: Project) -> None:
    mine = lines(_2="mine = 1", _9="mine = 9")
    view = pending(project, lines(), mine, lines(_2="theirs = 1", _15="fifteen = 1"))
    assert [(hunk.old, hunk.overlaps) for hunk in view.hunks] == [((2, 3), True), ((9, 10), True), ((15, 16), False)]
    diff = project.manager.diff(PATH)
    assert [hunk.overlaps for hunk in diff.change.hunks] == [True, True, False]
    project.manager.accept(PATH, "3")
    assert [hunk.overlaps for hunk in project.manager.reviewing.view(PATH).hunks] == [True, True]


def test_without_a_base_nothing_is_known_to_overlap(project: Project) -> None:
    view = pending(project, None, "mine\n", "theirs\n")
    assert [hunk.overlaps for hunk in view.hunks] == [False]


def test_a_removed_file(project: Project) -> None:
    view = pending(project, "a\n", "mine\n", None)
    assert view.sides == {"base": "a\n", "local": "mine\n", "incoming": None, "proposal": None}
    assert view.modes == {"base": "100644", "local": "100644", "incoming": None, "proposal": None}
    assert (view.hunks, view.why_not) == ((), "")


def test_a_file_that_the_user_removed(project: Project) -> None:
    view = pending(project, "a\n", None, "theirs\n")
    assert view.sides == {"base": "a\n", "local": None, "incoming": "theirs\n", "proposal": "theirs\n"}
    assert (view.hunks, view.newline) == ((), "\n")


def test_a_file_without_a_base(project: Project) -> None:
    view = pending(project, None, "mine\n", "theirs\n")
    assert view.sides == {"base": None, "local": "mine\n", "incoming": "theirs\n", "proposal": "theirs\n"}


def test_a_renamed_file(project: Project) -> None:
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"n.py": THEIRS})
    project.install()
    view = project.manager.reviewing.view(PATH)
    assert view.standing.new_path == f"{PACKAGES}/pkg/n.py"
    assert view.sides["local"] == MINE
    assert view.sides["incoming"] == THEIRS
    assert view.sides["proposal"] == lines(_2="mine = 1", _9="nine = 1", _15="fifteen = 1\nsixteen = 1")
    assert view.hunks == ()


def test_a_change_of_mode_alone_shows(project: Project) -> None:
    project.start({"m.py": lines()})
    project.path("m.py").chmod(0o755)
    project.publish({"m.py": THEIRS})
    project.install()
    view = project.manager.reviewing.view(PATH)
    assert view.modes == {"base": "100644", "local": "100755", "incoming": "100644", "proposal": "100755"}


def test_a_symlink_is_its_target(project: Project) -> None:
    view = pending(project, Link("a"), None, Link("b"))
    assert view.sides == {"base": "a", "local": None, "incoming": "b", "proposal": "b"}
    assert view.modes["proposal"] == "120000"


@pytest.mark.parametrize(("end", "newline"), [("\n", "\n"), ("\r\n", "\r\n")])
def test_line_ends_are_part_of_the_lines(project: Project, end: str, newline: str) -> None:
    base, mine, theirs = (text.replace("\n", end) for text in (lines(), MINE, THEIRS))
    view = pending(project, base.encode(), mine.encode(), theirs.encode())
    assert view.sides["local"] == mine
    assert view.newline == newline
    assert applied(view) == view.sides["proposal"]
    assert (view.sides["proposal"] or "").count("\r") == (len(lines().split("\n")) if end == "\r\n" else 0)


def test_mixed_line_ends(project: Project) -> None:
    view = pending(project, b"a\r\nb\nc\nd\n", b"mine\r\nb\nc\nd\n", b"a\r\nb\nc\ntheirs\n")
    assert (view.newline, view.sides["proposal"]) == ("mixed", "mine\r\nb\nc\ntheirs\n")


@pytest.mark.parametrize("base", [b"a\nb\nc", b"a\nb\nc\n"])
@pytest.mark.parametrize("mine", [b"mine\nb\nc", b"mine\nb\nc\n"])
@pytest.mark.parametrize("theirs", [b"a\nb\ntheirs", b"a\nb\ntheirs\n"])
def test_no_newline_at_the_end(project: Project, base: bytes, mine: bytes, theirs: bytes) -> None:
    view = pending(project, base, mine, theirs)
    assert applied(view) == view.sides["proposal"]
    assert view.sides["local"] == mine.decode()
    project.manager.accept(PATH)
    assert project.read("m.py").decode() == view.sides["proposal"]


def test_form_feeds_and_other_separators_end_no_line(project: Project) -> None:
    odd = "a\x0cb\u2028c\x85d\x1e\n"
    view = pending(project, odd + lines(), odd + MINE, odd + THEIRS)
    assert [hunk.old for hunk in view.hunks] == [(10, 11), (16, 17)]


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "why"),
    [
        (b"\0a", b"\0b", b"\0c", "binary"),
        (b"a\n", b"b\n", b"\0c", "binary"),
        (b"\xff\n" + b"a\n" * 9, b"mine\n" + b"a\n" * 9, b"\xff\n" + b"a\n" * 9 + b"b\n", "not decodable"),
        (b"", b"a" * (MOST_BYTES + 1), b"b", "too large"),
    ],
)
def test_what_cannot_be_shown_can_be_decided_on(
    project: Project, base: bytes, mine: bytes, theirs: bytes, why: str
) -> None:
    view = pending(project, base, mine, theirs)
    assert view.why_not == why
    assert view.sides == dict.fromkeys(SIDES)
    assert (view.hunks, view.encoding) == ((), "")
    assert view.standing.binary == (why == "binary")
    project.manager.reviewing.decide("accept", {PATH: view.standing.version})
    assert project.manager.pending() == []


def test_a_mebibyte_is_shown(project: Project) -> None:
    view = pending(project, b"a\n", b"a" * MOST_BYTES, b"b\n")
    assert view.sides["local"] == "a" * MOST_BYTES


def test_a_declared_encoding(project: Project) -> None:
    cookie = "# -*- coding: latin-1 -*-\n# caf\xe9\n"
    view = pending(
        project,
        (cookie + lines()).encode("latin-1"),
        (cookie + MINE).encode("latin-1"),
        (cookie + THEIRS).encode("latin-1"),
    )
    assert view.encoding == "iso-8859-1"
    assert view.sides["local"] == cookie + MINE
    assert applied(view) == view.sides["proposal"]


@pytest.mark.parametrize(
    ("contents", "path", "expected"),
    [
        ([b"a", "é".encode()], "a.txt", "utf-8"),
        ([b"\xef\xbb\xbfa"], "a.txt", "utf-8"),
        ([b"\xe9"], "a.txt", ""),
        ([b"# coding: latin-1\n\xe9"], "a.txt", ""),
        ([b"# coding: latin-1\n\xe9"], "a.py", "iso-8859-1"),
        ([b"plain", b"# coding: cp1252\n\xe9"], "a.py", "cp1252"),
        ([b"# coding: rot13\n\xe9"], "a.py", ""),
        ([b"# coding: no-such-thing\n\xe9"], "a.py", ""),
        ([b"# coding: ascii\n\xe9"], "a.py", ""),
        ([b"\xff\xfea"], "a.py", ""),
        ([], "a.py", "utf-8"),
    ],
)
def test_the_one_encoding_of_all_sides(contents: list[bytes], path: str, expected: str) -> None:
    assert encoding_of(contents, path) == expected


def test_what_is_not_pending_is_refused(project: Project) -> None:
    pending(project, lines(), MINE, THEIRS)
    for path in ("keep", "none.py", "../../../etc/passwd", ""):
        with pytest.raises(StaleDecisionError) as caught:
            project.manager.reviewing.view(f"{PACKAGES}/pkg/{path}")
        assert caught.value.hint
    project.write("m.py", THEIRS)
    with pytest.raises(StaleDecisionError, match="need no decision"):
        project.manager.reviewing.view(PATH)


def test_a_lost_base_is_no_file_that_never_was(project: Project, cache_dir: Path) -> None:
    def lose() -> None:
        for place in (project.root / ".dx", cache_dir):
            shutil.rmtree(place / "archives", ignore_errors=True)

    pending(project, lines(), MINE, THEIRS)
    lose()
    view = Project(project.base, root=project.root).manager.reviewing.view(PATH)
    assert (view.sides["base"], view.modes["base"]) == (None, "100644")
    assert (view.sides["local"], view.sides["proposal"], view.why_not) == (MINE, THEIRS, "")
    project.publish({"keep": "", "m.py": "another\n"})
    lose()
    view = Project(project.base, root=project.root).manager.reviewing.view(PATH)
    assert (view.why_not, view.sides) == ("cannot be had any more", dict.fromkeys(SIDES))
