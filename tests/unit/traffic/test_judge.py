"""Verdicts over contents: proposals, modes, renames, and the refusal to guess among candidates that are alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic import light as table
from dxforge.traffic.judge import Case, Readers, Rename, Verdict, find_renames, judge
from dxforge.traffic.light import Obstacle
from dxforge.traffic.model import Action, TrafficLight

GREEN, YELLOW, RED = TrafficLight.GREEN, TrafficLight.YELLOW, TrafficLight.RED
TEXT = b"".join(b"line %d\n" % number for number in range(30))
OTHER = b"".join(b"something else %d\n" % number for number in range(30))


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


def reader(contents: Mapping[str, bytes]) -> Any:
    def read(paths: Collection[str]) -> dict[str, bytes]:
        return {path: contents[path] for path in paths if path in contents}

    return read


def one(
    base: bytes | None,
    local: bytes | None,
    incoming: bytes | None,
    *,
    path: str = "m.py",
    modes: tuple[int, int, int] = (FILE, FILE, FILE),
    new_path: str | None = None,
    base_lost: bool = False,
    review: Any = "modified",
) -> Verdict:
    sides = [
        None if side is None else entry(side, mode) for side, mode in zip((base, local, incoming), modes, strict=True)
    ]
    case = Case(path=path, base=sides[0], local=sides[1], incoming=sides[2], new_path=new_path)
    readers = Readers(
        base=reader({} if base_lost or base is None else {path: base}),
        local=reader({} if local is None else {path: local}),
        incoming=reader({} if incoming is None else {new_path or path: incoming}),
    )
    (verdict,) = judge([case], readers, review=review)
    return verdict


def test_a_clean_merge_is_a_proposal_with_its_content() -> None:
    merged = TEXT.replace(b"line 2\n", b"mine\n").replace(b"line 20\n", b"theirs\n")
    verdict = one(TEXT, TEXT.replace(b"line 2\n", b"mine\n"), TEXT.replace(b"line 20\n", b"theirs\n"))
    assert (verdict.light, verdict.action, verdict.reason) == (YELLOW, Action.PROPOSE, table.MERGED)
    assert verdict.content == merged
    assert verdict.after == entry(merged)


def test_an_overlap_is_red_and_offers_the_incoming_file() -> None:
    theirs = TEXT.replace(b"line 2\n", b"theirs\n")
    verdict = one(TEXT, TEXT.replace(b"line 2\n", b"mine\n"), theirs)
    assert (verdict.light, verdict.action, verdict.reason) == (RED, Action.SET_ASIDE, table.OVERLAP)
    assert verdict.after == entry(theirs)
    assert verdict.content is None


def test_binary_on_both_sides_is_red_and_on_one_side_wins() -> None:
    assert one(b"a\0", b"b\0", b"c\0").reason == table.BINARY
    assert one(b"a\0", b"b\0", b"c\0").light is RED
    kept = one(b"a\0", b"b\0", b"a\0")
    assert (kept.light, kept.action) == (GREEN, Action.KEEP)
    taken = one(b"a\0", b"a\0", b"c\0")
    assert (taken.light, taken.action, taken.after) == (GREEN, Action.UPDATE, entry(b"c\0"))


def test_the_same_change_on_both_sides_is_green_even_among_others() -> None:
    theirs = TEXT.replace(b"line 2\n", b"same\n")
    mine = theirs.replace(b"line 20\n", b"mine\n")
    verdict = one(TEXT, mine, theirs)
    assert (verdict.light, verdict.action, verdict.reason) == (GREEN, Action.KEEP, table.SAME_CHANGE)
    assert verdict.after == entry(mine)


def test_modes_and_contents_from_different_sides_meet() -> None:
    verdict = one(TEXT, TEXT, OTHER, modes=(FILE, EXECUTABLE, FILE))
    assert (verdict.light, verdict.after, verdict.content) == (YELLOW, entry(OTHER, EXECUTABLE), None)
    verdict = one(TEXT, OTHER, TEXT, modes=(FILE, FILE, EXECUTABLE))
    assert (verdict.light, verdict.after, verdict.content) == (YELLOW, entry(OTHER, EXECUTABLE), OTHER)
    mine, theirs = TEXT.replace(b"line 2\n", b"mine\n"), TEXT.replace(b"line 20\n", b"theirs\n")
    verdict = one(TEXT, mine, theirs, modes=(FILE, FILE, EXECUTABLE))
    assert verdict.light is YELLOW
    assert verdict.after is not None
    assert verdict.after.mode == EXECUTABLE


def test_modes_alone() -> None:
    assert one(TEXT, TEXT, TEXT, modes=(FILE, FILE, EXECUTABLE)).after == entry(TEXT, EXECUTABLE)
    assert one(TEXT, TEXT, TEXT, modes=(FILE, EXECUTABLE, FILE)).action is Action.KEEP
    assert one(TEXT, TEXT, TEXT, modes=(FILE, EXECUTABLE, EXECUTABLE)).reason == table.SAME


def test_a_lost_base_asks_for_a_comparison() -> None:
    verdict = one(TEXT, TEXT + b"mine\n", TEXT + b"theirs\n", base_lost=True)
    assert (verdict.light, verdict.reason) == (YELLOW, table.BASE_LOST)
    assert verdict.after == entry(TEXT + b"theirs\n")


def test_a_lost_base_does_not_matter_where_only_one_side_changed() -> None:
    assert one(TEXT, TEXT, OTHER, base_lost=True).action is Action.UPDATE
    assert one(TEXT, OTHER, TEXT, base_lost=True).action is Action.KEEP
    assert one(TEXT, OTHER, OTHER, base_lost=True).reason == table.SAME


def test_an_edit_follows_an_exact_rename() -> None:
    verdict = one(TEXT, TEXT + b"mine\n", TEXT, new_path="new.py")
    assert (verdict.light, verdict.action) == (YELLOW, Action.PROPOSE)
    assert "renamed upstream to new.py" in verdict.reason
    assert verdict.content == TEXT + b"mine\n"
    assert verdict.after == entry(TEXT + b"mine\n")


def test_an_edit_follows_a_rename_with_changes() -> None:
    verdict = one(TEXT, TEXT.replace(b"line 2\n", b"mine\n"), TEXT.replace(b"line 20\n", b"theirs\n"), new_path="n.py")
    assert verdict.light is YELLOW
    assert verdict.content == TEXT.replace(b"line 2\n", b"mine\n").replace(b"line 20\n", b"theirs\n")


def test_a_mode_follows_a_rename() -> None:
    verdict = one(TEXT, TEXT, TEXT, modes=(FILE, EXECUTABLE, FILE), new_path="n.py")
    assert (verdict.light, verdict.after, verdict.content) == (YELLOW, entry(TEXT, EXECUTABLE), TEXT)


def test_a_rename_with_an_overlap_is_red() -> None:
    verdict = one(TEXT, TEXT.replace(b"line 2\n", b"mine\n"), TEXT.replace(b"line 2\n", b"theirs\n"), new_path="n.py")
    assert verdict.light is RED
    assert "renamed upstream to n.py" in verdict.reason


def test_the_same_change_made_before_the_rename_is_still_a_move() -> None:
    theirs = TEXT.replace(b"line 2\n", b"same\n")
    verdict = one(TEXT, theirs, theirs, new_path="n.py")
    assert (verdict.light, verdict.action) == (YELLOW, Action.PROPOSE)
    assert verdict.after == entry(theirs)


def test_review_always_proposes_the_incoming_file() -> None:
    verdict = one(TEXT, TEXT, OTHER, review="always")
    assert (verdict.light, verdict.reason, verdict.after) == (YELLOW, table.ALWAYS, entry(OTHER))


def test_an_obstacle_is_named() -> None:
    case = Case(path="x", base=entry(TEXT), local=Obstacle("a folder is there"), incoming=entry(OTHER))
    (verdict,) = judge([case], Readers(reader({}), reader({}), reader({})), review="modified")
    assert verdict.light is RED
    assert "a folder is there" in verdict.reason


def test_many_cases_keep_their_order() -> None:
    mine, theirs = TEXT.replace(b"line 2\n", b"mine\n"), TEXT.replace(b"line 20\n", b"theirs\n")
    cases = [
        Case(path=name, base=entry(TEXT), local=entry(mine), incoming=entry(side))
        for name, side in (("c", theirs), ("a", TEXT), ("b", theirs), ("d", mine))
    ]
    readers = Readers(
        reader(dict.fromkeys("abcd", TEXT)),
        reader(dict.fromkeys("abcd", mine)),
        reader({"a": TEXT, "b": theirs, "c": theirs, "d": mine}),
    )
    verdicts = judge(cases, readers, review="modified")
    assert [verdict.case.path for verdict in verdicts] == ["c", "a", "b", "d"]
    assert [verdict.light for verdict in verdicts] == [YELLOW, GREEN, YELLOW, GREEN]


# ---- renames


def renames(
    removed: Mapping[str, bytes], added: Mapping[str, bytes], edited: Collection[str], *, lost: Collection[str] = ()
) -> dict[str, Rename]:
    old = {path: entry(content) for path, content in removed.items()}
    return find_renames(
        {path: old[path] for path in edited},
        old,
        {path: entry(content) for path, content in added.items()},
        reader({path: content for path, content in removed.items() if path not in lost}),
        reader(added),
    )


CHANGED = TEXT.replace(b"line 5\n", b"changed\n")


def test_an_exact_rename() -> None:
    assert renames({"a": TEXT}, {"b": TEXT, "c": OTHER}, ["a"]) == {"a": Rename("b")}


def test_a_similar_rename() -> None:
    assert renames({"a": TEXT}, {"b": OTHER, "c": CHANGED}, ["a"]) == {"a": Rename("c")}


def test_nothing_alike_is_no_rename() -> None:
    assert renames({"a": TEXT}, {"b": OTHER}, ["a"]) == {}
    assert renames({"a": TEXT}, {}, ["a"]) == {}


def test_empty_files_are_not_renames() -> None:
    assert renames({"a": b""}, {"b": b""}, ["a"]) == {}


def test_a_rename_to_two_places_is_not_guessed() -> None:
    assert renames({"a": TEXT}, {"c": TEXT, "b": TEXT}, ["a"]) == {"a": Rename(None, ("b", "c"))}
    assert renames({"a": TEXT}, {"c": CHANGED, "b": CHANGED}, ["a"]) == {"a": Rename(None, ("b", "c"))}


def test_two_identical_files_of_which_one_moved_are_not_guessed() -> None:
    for edited in (["a"], ["b"], ["a", "b"]):
        found = renames({"a": TEXT, "b": TEXT}, {"c": TEXT}, edited)
        assert found == dict.fromkeys(edited, Rename(None, ("c",)))
        found = renames({"a": TEXT, "b": TEXT}, {"c": CHANGED}, edited)
        assert found == dict.fromkeys(edited, Rename(None, ("c",)))


def test_two_identical_files_that_both_moved_are_not_guessed() -> None:
    more = TEXT.replace(b"line 9\n", b"more\n")
    found = renames({"a": TEXT, "b": TEXT}, {"c": CHANGED, "d": more}, ["a", "b"])
    assert found == dict.fromkeys(["a", "b"], Rename(None, ("c", "d")))


def test_another_files_exact_new_place_is_not_likened_to_an_edited_one() -> None:
    assert renames({"a": CHANGED, "b": TEXT}, {"c": TEXT}, ["a"]) == {}


def test_the_better_match_wins_even_where_it_was_not_edited() -> None:
    nearer = TEXT.replace(b"line 7\n", b"x\n")
    farther = b"".join(TEXT.splitlines(keepends=True)[:20]) + OTHER[:40]
    assert renames({"a": farther, "b": TEXT}, {"c": nearer}, ["a"]) == {}
    assert renames({"a": farther, "b": TEXT}, {"c": nearer}, ["b"]) == {"b": Rename("c")}


def test_one_file_split_in_two_goes_to_one_of_them_at_most_once() -> None:
    found = renames({"a": TEXT, "b": CHANGED}, {"c": TEXT.replace(b"line 7\n", b"x\n")}, ["a", "b"])
    assert list(found.values()) == [Rename("c")]


def test_a_directory_rename_of_many_files() -> None:
    removed = {
        f"old/{n}.py": b"# %d\n" % n + b"".join(b"%d-%d\n" % (n, line) for line in range(20)) for n in range(250)
    }
    added = {path.replace("old/", "new/"): content + b"changed\n" for path, content in removed.items()}
    found = renames(removed, added, list(removed))
    assert found == {path: Rename(path.replace("old/", "new/")) for path in removed}


def test_a_lost_base_finds_exact_renames_only() -> None:
    assert renames({"a": TEXT}, {"b": TEXT}, ["a"], lost=["a"]) == {"a": Rename("b")}
    assert renames({"a": TEXT}, {"b": CHANGED}, ["a"], lost=["a"]) == {}


def test_symlinks_are_not_renames() -> None:
    found = find_renames(
        {"a": entry(b"t", SYMLINK)},
        {"a": entry(b"t", SYMLINK)},
        {"b": entry(b"t", SYMLINK)},
        reader({"a": b"t"}),
        reader({"b": b"t"}),
    )
    assert found == {}
