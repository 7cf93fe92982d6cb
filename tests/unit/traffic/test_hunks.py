"""Hunks: all of them make the new text, none the old, and an id means the same lines for ever."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.traffic.hunks import (
    find_edits,
    find_hunks,
    overlapping,
    show_hunk,
    split_lines,
    syntax_problem,
    take_hunks,
    unified_diff,
)

OLD = b"".join(b"line %d\n" % number for number in range(20))
FAR = b"".join(b"far %d\n" % number for number in range(10))
NEW = OLD.replace(b"line 3\n", b"LINE 3\n").replace(b"line 10\n", b"").replace(b"line 15\n", b"line 15\nadded\n")

TEXTS = st.lists(st.sampled_from([b"a", b"b", b"c", b"", b"\r", b"\xff", b"x y"]), max_size=12).flatmap(
    lambda lines: st.sampled_from([b"\n".join(lines), b"\n".join(lines) + b"\n"])
)


@given(content=st.binary(max_size=60))
def test_lines_join_to_the_same(content: bytes) -> None:
    lines = split_lines(content)
    assert b"".join(lines) == content
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines[:-1])
    assert b"" not in lines


@given(old=TEXTS, new=TEXTS)
def test_all_hunks_make_the_new_and_none_the_old(old: bytes, new: bytes) -> None:
    hunks = find_hunks(old, new)
    digests = [hunk.digest for hunk in hunks]
    assert len(set(digests)) == len(digests)
    assert take_hunks(old, new, hunks, digests) == new
    assert take_hunks(old, new, hunks, ()) == old
    assert bool(hunks) == (old != new)


@given(old=TEXTS, new=TEXTS, data=st.data())
def test_a_part_changes_only_its_own_lines(old: bytes, new: bytes, data: st.DataObject) -> None:
    hunks = find_hunks(old, new)
    chosen = set(data.draw(st.lists(st.sampled_from([hunk.digest for hunk in hunks] or [""]))))
    taken = split_lines(take_hunks(old, new, hunks, chosen))
    old_lines, new_lines = split_lines(old), split_lines(new)
    expected: list[bytes] = []
    position = 0
    for hunk in hunks:
        expected += old_lines[position : hunk.old_start]
        expected += (
            new_lines[hunk.new_start : hunk.new_end]
            if hunk.digest in chosen
            else old_lines[hunk.old_start : hunk.old_end]
        )
        position = hunk.old_end
    expected += old_lines[position:]
    assert [line.rstrip(b"\n") for line in taken] == [line.rstrip(b"\n") for line in expected]


def test_hunks_are_where_the_texts_differ() -> None:
    hunks = find_hunks(OLD, NEW)
    assert [(hunk.old_start, hunk.old_end, hunk.new_start, hunk.new_end) for hunk in hunks] == [
        (3, 4, 3, 4),
        (10, 11, 10, 10),
        (16, 16, 15, 16),
    ]
    assert list(find_edits(OLD, NEW)) == [(3, 4, 3, 4), (10, 11, 10, 10), (16, 16, 15, 16)]
    assert find_hunks(OLD, OLD) == []


def test_changes_one_line_apart_are_one_hunk() -> None:
    near = OLD.replace(b"line 3\n", b"x\n").replace(b"line 5\n", b"y\n")
    apart = OLD.replace(b"line 3\n", b"x\n").replace(b"line 6\n", b"y\n")
    assert len(find_hunks(OLD, near)) == 1
    assert len(find_hunks(OLD, apart)) == 2


def test_a_digest_is_the_same_while_its_lines_are() -> None:
    before = {hunk.digest for hunk in find_hunks(FAR + OLD, FAR + NEW)}
    moved = {hunk.digest for hunk in find_hunks(b"first\n" + FAR + OLD, b"first\n" + FAR + NEW)}
    assert moved == before
    partly = take_hunks(OLD, NEW, find_hunks(OLD, NEW), {find_hunks(OLD, NEW)[0].digest})
    left = [hunk.digest for hunk in find_hunks(partly, NEW)]
    assert left == [hunk.digest for hunk in find_hunks(OLD, NEW)][1:]


def test_taking_one_of_many_alike_leaves_the_others_their_digests() -> None:
    functions = [b"def f%d():\n    x = 1\n    y = 2\n    return x\n\n" % number for number in range(8)]
    old = b"".join(functions)
    new = old.replace(b"():\n", b"():\n    import math\n\n")
    hunks = find_hunks(old, new)
    assert len({hunk.digest for hunk in hunks}) == 8
    taken = {hunks[1].digest, hunks[4].digest}
    left = find_hunks(take_hunks(old, new, hunks, taken), new)
    assert [hunk.digest for hunk in left] == [hunk.digest for hunk in hunks if hunk.digest not in taken]


def test_equal_hunks_are_told_apart() -> None:
    old, new = b"a\n" + OLD + b"a\n", b"b\n" + OLD + b"b\n"
    first, second = find_hunks(old, new)
    assert first.digest != second.digest
    assert take_hunks(old, new, [first, second], {second.digest}) == b"a\n" + OLD + b"b\n"


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (b"a\nMINE\nc\nd\ne\nf\n", b"a\nTHEIRS\nc\nd\nE\nf\n", [True, False]),
        (b"a\nb\nMINE\nc\nd\ne\nf\n", b"a\nb\nc\nd\nE\nf\n", [True, False]),  # an added line goes
        (b"a\nc\nd\ne\nf\n", b"a\nB\nc\nd\nE\nf\n", [True, False]),  # a deleted one comes back
        (b"a\nMINE\nc\nd\ne\nf\n", b"a\nMINE\nnew\nc\nd\ne\nf\n", [False]),  # just below it
        (b"a\nb\nc\nd\ne\nf\n", b"A\nb\nc\nd\nE\nf\n", [False, False]),
        (b"", b"A\n", [True]),
    ],
)
def test_which_hunks_overlap_the_users_edit(mine: bytes, theirs: bytes, expected: list[bool]) -> None:
    assert overlapping(b"a\nb\nc\nd\ne\nf\n", mine, find_hunks(mine, theirs)) == expected


@pytest.mark.parametrize(("old", "new"), [(b"a", b"a\n"), (b"a\n", b"a"), (b"a\nb", b"a\nc"), (b"", b"a"), (b"a", b"")])
def test_no_line_feed_at_the_end(old: bytes, new: bytes) -> None:
    (hunk,) = find_hunks(old, new)
    assert take_hunks(old, new, [hunk], {hunk.digest}) == new


def test_a_last_line_that_is_no_longer_last_gets_its_line_feed() -> None:
    old, new = b"a\nb\nc\nd\nend", b"A\nb\nc\nd\nend\nmore"
    hunks = find_hunks(old, new)
    assert len(hunks) == 2
    assert take_hunks(old, new, hunks, {hunks[0].digest}) == b"A\nb\nc\nd\nend"
    assert take_hunks(old, new, hunks, {hunks[1].digest}) == b"a\nb\nc\nd\nend\nmore"


@given(old=TEXTS, new=TEXTS)
def test_a_shown_hunk_is_a_patch(old: bytes, new: bytes) -> None:
    for hunk in find_hunks(old, new):
        header, lines = show_hunk(old, new, hunk)
        assert header.startswith("@@ -")
        assert header.endswith(" @@")
        removed = [line[1:] for line in lines if line[0] == "-"]
        added = [line[1:] for line in lines if line[0] == "+"]
        assert removed == [line.decode("utf-8", "replace") for line in split_lines(old)[hunk.old_start : hunk.old_end]]
        assert added == [line.decode("utf-8", "replace") for line in split_lines(new)[hunk.new_start : hunk.new_end]]
        assert len([line for line in lines if line[0] == " "]) <= 6


def test_headers_count_as_diff_does() -> None:
    headers = [show_hunk(OLD, NEW, hunk)[0] for hunk in find_hunks(OLD, NEW)]
    assert headers == ["@@ -1,7 +1,7 @@", "@@ -8,7 +8,6 @@", "@@ -14,6 +13,7 @@"]


def test_patch_applies_a_unified_diff(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD)
    diff = unified_diff(OLD, NEW, "f")
    assert diff.startswith("--- a/f\n+++ b/f\n@@ ")
    subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "f").read_bytes() == NEW


def test_a_unified_diff_of_nothing_binary_and_missing() -> None:
    assert unified_diff(OLD, OLD, "f") == ""
    assert unified_diff(b"a\0", b"b\0", "f") == "Binary files a/f and b/f differ\n"
    assert unified_diff(None, b"a\n", "f").startswith("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a")
    assert unified_diff(b"a\n", None, "f").startswith("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a")
    assert "\ufffd" in unified_diff(b"a\n", b"\xff\n", "f")
    assert "\n\\ No newline at end of file" in unified_diff(b"a\n", b"b", "f")


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("a.py", b"x = 1\n", ""),
        ("a.txt", b"x = (\n", ""),
        ("a.py", b"x = (\n", "line 1"),
        ("a.py", b"<<<<<<< ours\n", "line 1"),
        ("a.py", b"x = '\xff'\n", "utf-8"),
        ("a.py", b"# coding: latin-1\nx = '\xff'\n", ""),
        ("a.py", b"x = '\\d'\n", ""),
        ("a.py", b"\0", "null"),
        ("a.py", b"", ""),
    ],
)
def test_what_would_not_compile(path: str, content: bytes, expected: str) -> None:
    problem = syntax_problem(path, content)
    assert expected.lower() in problem.lower()
    assert bool(problem) == bool(expected)
