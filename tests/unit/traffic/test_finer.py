"""The finer merge: edits that touch, edits far apart in one line; nothing dropped, nothing doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.traffic.finer import ADJACENT, SAME_LINE, agreed_base, merge_finely
from dxforge.traffic.merge import Sides, merge3, merge_many


def test_neighbouring_lines() -> None:
    base = b"import a\nimport b\nx = 1\n"
    assert merge_finely(base, b"import A\nimport b\nx = 1\n", b"import a\nimport B\nx = 1\n", path="m.py") == (
        b"import A\nimport B\nx = 1\n",
        ADJACENT,
    )


def test_edits_far_apart_in_one_line() -> None:
    base = b"def f(a, b, c, d): return a + b + c + d\n"
    mine = b"def g(a, b, c, d): return a + b + c + d\n"
    theirs = b"def f(a, b, c, d): return a + b + c + e\n"
    assert merge_finely(base, mine, theirs, path="m.txt") == (
        b"def g(a, b, c, d): return a + b + c + e\n",
        SAME_LINE,
    )


def test_close_edits_of_one_line_stay_a_conflict() -> None:
    assert merge_finely(b"x = 1 + 2\n", b"x = 5 + 2\n", b"x = 1 + 7\n", path="m.py") is None


def test_two_insertions_at_one_spot_stay_a_conflict() -> None:
    assert merge_finely(b"a\nb\n", b"a\nmine\nb\n", b"a\ntheirs\nb\n", path="m.txt") is None


def test_a_merge_that_no_longer_parses_is_refused() -> None:
    base = b"x = (1,\n     2)\ny = 3\n"
    mine = b"x = [1,\n     2]\ny = 3\n"  # changes both lines of the pair
    theirs = b"x = (1,\n     2)\ny = 4\n"
    assert merge3(base, mine, theirs, path="m.py").clean
    base, mine, theirs = b"f(a\n)\n", b"f(a)\n", b"f(a\n  , b)\n"
    assert merge_finely(base, mine, theirs, path="m.py") is None


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        # one of theirs was taken, next to an edit of mine
        ("a b c d", "MINE B c d", "a B c D", "MINE B c D"),
        ("a b c d", "A MINE c d", "A b c D", "A MINE c D"),
        ("a b c d", "MINE c d", "a c D", "MINE c D"),  # a deletion
        ("a b c d", "MINE b B1 B2 c d", "a b B1 B2 c D", "MINE b B1 B2 c D"),  # an insertion
        ("a b c d", "MINE B1 B2 c d", "a B1 B2 c D", "MINE B1 B2 c D"),  # one line became two
    ],
)
def test_what_was_taken_already_is_told_from_what_is_mine(base: str, mine: str, theirs: str, merged: str) -> None:
    sides = [text.replace(" ", "\n").encode() + b"\n" for text in (base, mine, theirs)]
    result = merge_many({"m.txt": Sides(*sides, taken=True)})["m.txt"]
    assert result.clean
    assert result.content == merged.replace(" ", "\n").encode() + b"\n"


def test_what_was_taken_does_not_hide_a_conflict() -> None:
    for sides in (
        (b"a\nb\nc\n", b"MINE\nB\nc\n", b"THEIRS\nB\nc\n"),
        (b"a\nb\nc\n", b"MINE\nc\n", b"b2\nc\n"),
    ):
        assert not merge_many({"m.txt": Sides(*sides, taken=True)})["m.txt"].clean


def test_what_was_not_taken_is_still_proposed() -> None:
    base, mine, theirs = b"a\nb\nc\nd\n", b"MINE\nb\nd\n", b"a\nB\nc\nD\n"
    assert agreed_base(base, mine, theirs) == base
    assert merge_many({"m.txt": Sides(base, mine, theirs, taken=True)})["m.txt"].content == b"MINE\nB\nD\n"


WORDS = st.integers(6, 24)
EDITS = st.lists(st.tuples(st.sampled_from("rdi"), st.integers(0, 23)), max_size=4)


def _edited(words: list[str], edits: list[tuple[str, int]], mark: str) -> list[str]:
    result = [[word] for word in words]
    for number, (kind, position) in enumerate(edits):
        cell = result[position % len(words)]
        if kind == "r":
            cell[:] = [f"{mark}{number}"]
        elif kind == "d":
            cell.clear()
        else:
            cell.append(f"{mark}{number}")
    return [word for cell in result for word in cell]


def _text(words: list[str], breaks: set[str]) -> bytes:
    """Words on lines; a word in ``breaks`` ends its line."""
    return "".join(word + ("\n" if word in breaks else " ") for word in words).encode()


@given(count=WORDS, every=st.integers(1, 9), mine=EDITS, theirs=EDITS)
def test_no_word_of_either_side_is_dropped_or_doubled(
    count: int, every: int, mine: list[tuple[str, int]], theirs: list[tuple[str, int]]
) -> None:
    words = [f"w{number}" for number in range(count)]
    breaks = set(words[every - 1 :: every])
    ours, yours = _edited(words, mine, "m"), _edited(words, theirs, "t")
    result = merge3(_text(words, breaks), _text(ours, breaks), _text(yours, breaks), path="x.txt")
    if not result.clean:
        return
    merged = result.content.decode().split()
    for side in (ours, yours):
        for word in side:
            if word not in words:
                assert merged.count(word) == 1, (word, merged)
        for word in words:
            if word not in side:
                assert word not in merged, (word, merged)
    for word in words:
        if word in ours and word in yours:
            assert merged.count(word) == 1, (word, merged)
    order = [word for word in merged if word in ours]
    assert order == [word for word in ours if word in order]
