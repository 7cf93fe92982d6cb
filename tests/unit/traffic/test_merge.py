"""Three-way merges of contents: what merges, what must not, and that line ends and odd bytes survive."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.traffic.merge import MergeResult, Sides, is_binary, merge3, merge_many

BASE = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
MINE = BASE.replace(b"two", b"TWO mine")
THEIRS = BASE.replace(b"six", b"SIX theirs")
BOTH = MINE.replace(b"six", b"SIX theirs")


def test_edits_apart_merge() -> None:
    assert merge3(BASE, MINE, THEIRS) == MergeResult(clean=True, content=BOTH)


def test_edits_of_the_same_words_do_not() -> None:
    result = merge3(BASE, BASE.replace(b"four", b"FOUR mine"), BASE.replace(b"four", b"FOUR theirs"))
    assert not result.clean
    assert result.content == b""


def test_an_edit_of_a_deleted_line_does_not() -> None:
    assert not merge3(BASE, BASE.replace(b"four\n", b"FOUR\n"), BASE.replace(b"four\n", b"")).clean


def test_one_sided_changes_win_without_a_merge() -> None:
    assert merge3(BASE, BASE, THEIRS).content == THEIRS
    assert merge3(BASE, MINE, BASE).content == MINE
    assert merge3(BASE, MINE, MINE).content == MINE


def test_crlf_of_the_user_against_an_edit_upstream() -> None:
    result = merge3(BASE, BASE.replace(b"\n", b"\r\n"), THEIRS)
    assert result == MergeResult(clean=True, content=THEIRS.replace(b"\n", b"\r\n"), how="line ends")


def test_crlf_of_upstream_against_an_edit_of_the_user() -> None:
    result = merge3(BASE, MINE, BASE.replace(b"\n", b"\r\n"))
    assert result == MergeResult(clean=True, content=MINE.replace(b"\n", b"\r\n"), how="line ends")


def test_crlf_to_lf_by_the_user_and_edits_on_both_sides() -> None:
    crlf = [text.replace(b"\n", b"\r\n") for text in (BASE, THEIRS)]
    assert merge3(crlf[0], MINE, crlf[1]).content == BOTH


def test_all_crlf_stays_crlf() -> None:
    base, mine, theirs, both = (text.replace(b"\n", b"\r\n") for text in (BASE, MINE, THEIRS, BOTH))
    assert merge3(base, mine, theirs).content == both


def test_mixed_line_ends_are_merged_as_they_are() -> None:
    mixed = BASE.replace(b"one\n", b"one\r\n")
    assert merge3(mixed, mixed.replace(b"two", b"TWO"), mixed.replace(b"six", b"SIX")).content == mixed.replace(
        b"two", b"TWO"
    ).replace(b"six", b"SIX")


def test_line_ends_changed_and_the_same_words_edited() -> None:
    mine = BASE.replace(b"four", b"FOUR mine").replace(b"\n", b"\r\n")
    assert not merge3(BASE, mine, BASE.replace(b"four", b"FOUR theirs")).clean


@pytest.mark.parametrize("side", ["base", "local", "incoming"])
def test_no_line_feed_at_the_end(side: str) -> None:
    sides = {"base": BASE, "local": MINE, "incoming": BASE.replace(b"four", b"FOUR theirs")}
    both = MINE.replace(b"four", b"FOUR theirs")
    sides[side] = sides[side].removesuffix(b"\n")
    result = merge3(**sides)
    assert result == MergeResult(clean=True, content=both if side == "base" else both.removesuffix(b"\n"))


def test_appending_to_a_last_line_without_line_feed_glues_nothing_together() -> None:
    base = b"one\ntwo\nthree\nfour"
    result = merge3(base, b"ONE\ntwo\nthree\nfour", b"one\ntwo\nthree\nfour\nfive")
    assert result.content == b"ONE\ntwo\nthree\nfour\nfive"


def test_marker_like_content_is_content() -> None:
    base = b"<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> other\n" + BASE
    result = merge3(base, base.replace(b"two", b"TWO"), base.replace(b"six", b"SIX"))
    assert result.content == base.replace(b"two", b"TWO").replace(b"six", b"SIX")


def test_latin_1_and_broken_utf_8_survive_byte_for_byte() -> None:
    base = b"# -*- coding: latin-1 -*-\n'caf\xe9'\nb\nc\nd\n'\xff\xfe\x80'\n"
    result = merge3(base, base.replace(b"caf\xe9", b"th\xe9"), base.replace(b"\x80", b"\x81"))
    assert result.content == base.replace(b"caf\xe9", b"th\xe9").replace(b"\x80", b"\x81")


def test_a_lone_carriage_return_is_no_line_end() -> None:
    base = b"a\rb\n" + BASE
    assert merge3(base, base.replace(b"two", b"TWO"), base.replace(b"six", b"SIX")).content == base.replace(
        b"two", b"TWO"
    ).replace(b"six", b"SIX")


@pytest.mark.parametrize("side", ["base", "local", "incoming"])
def test_binary_on_any_side_never_merges(side: str) -> None:
    sides = {"base": BASE, "local": MINE, "incoming": THEIRS}
    sides[side] += b"\0"
    assert merge3(**sides) == MergeResult(clean=False)


def test_binary_is_gits_rule() -> None:
    assert is_binary(b"\0")
    assert is_binary(b"a" * 7999 + b"\0")
    assert not is_binary(b"a" * 8000 + b"\0")
    assert not is_binary(b"\xff\xfe")
    assert not is_binary(b"")


def test_an_empty_base_with_two_different_texts_conflicts() -> None:
    assert not merge3(b"", b"mine\n", b"theirs\n").clean
    assert merge3(b"", b"same\n", b"same\n").content == b"same\n"


def test_emptied_against_edited_conflicts() -> None:
    assert not merge3(BASE, b"", THEIRS).clean
    assert not merge3(BASE, MINE, b"").clean


def test_many_at_once_keep_their_names_apart() -> None:
    files = {
        "a": Sides(BASE, MINE, THEIRS),
        "a/b": Sides(BASE, MINE, MINE.replace(b"TWO mine", b"TWO theirs")),
        "nul": Sides(b"\0", b"\0a", b"\0b"),
        "crlf": Sides(BASE, BASE.replace(b"\n", b"\r\n"), THEIRS),
        "": Sides(BASE, BASE, THEIRS),
    }
    results = merge_many(files)
    assert list(results) == list(files)
    assert [result.clean for result in results.values()] == [True, False, False, True, True]
    assert results["a"].content == BOTH
    assert results[""].content == THEIRS
    assert merge_many({}) == {}


# ---- notebooks


def notebook(*sources: str, outputs: list[Any] | None = None) -> bytes:
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{source.split()[0]}",
            "metadata": {},
            "outputs": outputs or [],
            "source": source.splitlines(keepends=True),
        }
        for source in sources
    ]
    data = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n"


def sources(content: bytes) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(content)["cells"]]


def test_cells_edited_on_each_side_merge() -> None:
    base = notebook("a = 1\nx = 1\n", "b = 1", "c = 1")
    mine = notebook("a = 1\nx = 2\n", "b = 1", "c = 1")
    theirs = notebook("a = 1\nx = 1\n", "b = 1", "c = 2")
    result = merge3(base, mine, theirs, path="pkg/n.ipynb")
    assert result.clean
    assert sources(result.content) == ["a = 1\nx = 2\n", "b = 1", "c = 2"]
    assert result.content.endswith(b"}\n")


def test_two_cells_inserted_at_one_spot_do_not_crash() -> None:
    base = notebook("a = 1", "z = 1")
    mine, theirs = notebook("a = 1", "mine = 1", "z = 1"), notebook("a = 1", "theirs = 1", "z = 1")
    result = merge3(base, mine, theirs, path="n.ipynb")
    if result.clean:
        assert sources(result.content) in (
            ["a = 1", "mine = 1", "theirs = 1", "z = 1"],
            ["a = 1", "theirs = 1", "mine = 1", "z = 1"],
        )


def test_the_same_cell_edited_on_both_sides_is_no_clean_merge() -> None:
    base, mine, theirs = (notebook("a = 1", f"x = {value}") for value in ("0", "'mine'", "'theirs'"))
    assert not merge3(base, mine, theirs, path="n.ipynb").clean


def test_what_is_no_notebook_is_merged_as_text() -> None:
    assert merge3(BASE, MINE, THEIRS, path="n.ipynb") == MergeResult(clean=True, content=BOTH)


def test_a_merged_notebook_is_still_one() -> None:
    base = notebook("a = 'é'", "b = 1", "c = 1")
    result = merge3(
        base,
        base.replace("'é'".encode(), "'ü'".encode()),
        base.replace(b"c = 1", b"c = 2"),
        path="n.ipynb",
    )
    assert result.clean
    assert sources(result.content) == ["a = 'ü'", "b = 1", "c = 2"]
    assert "ü".encode() in result.content


# ---- against git


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]), max_size=8).map(b"".join)


@given(base=LINES, mine=LINES, theirs=LINES)
def test_one_sided_properties(base: bytes, mine: bytes, theirs: bytes) -> None:
    results = merge_many(
        {
            "theirs": Sides(base, base, theirs),
            "mine": Sides(base, mine, base),
            "same": Sides(base, mine, mine),
        }
    )
    assert results["theirs"] == MergeResult(clean=True, content=theirs)
    assert results["mine"] == MergeResult(clean=True, content=mine)
    assert results["same"] == MergeResult(clean=True, content=mine)


def test_what_git_merges_we_merge_alike(tmp_path: Path) -> None:
    edits = [b"one\n", b"two\n", b"three\n", b"four\n", b"five\n", b"six\n", b"seven\n"]
    cases = {}
    for first in range(7):
        for second in range(7):
            for kind, mine in (("replace", b"MINE\n"), ("delete", b""), ("insert", edits[first] + b"MINE\n")):
                local, incoming = edits.copy(), edits.copy()
                local[first], incoming[second] = mine, b"THEIRS\n"
                cases[f"{kind}-{first}-{second}"] = Sides(BASE, b"".join(local), b"".join(incoming))
    results = merge_many(cases)
    disagreements = []
    for name, sides in list(cases.items())[::3]:
        for side in ("base", "local", "incoming"):
            (tmp_path / side).write_bytes(getattr(sides, side))
        git = subprocess.run(
            ["git", "merge-file", "-p", "local", "base", "incoming"], cwd=tmp_path, capture_output=True, check=False
        )
        if git.returncode == 0 and results[name].content != git.stdout:
            disagreements.append(name)
    assert disagreements == []
