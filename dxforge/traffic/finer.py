"""A finer merge for what a line merge calls a conflict though no text overlaps. Pure.

A line merge refuses edits that merely touch (two imports added side by side) and edits of the same line that are far
apart in it. Both are merged here, as a *proposal*: they are always Yellow, named for what they are, and a Python file
that compiled on all three sides must still compile. What truly overlaps stays a conflict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from dxforge.traffic.hunks import find_edits, split_lines, syntax_problem

ADJACENT = "neighbouring lines"
SAME_LINE = "different parts of one line"

_TOKEN = re.compile(rb"\w+|\s+|[^\w\s]")
_WORD = re.compile(rb"\w+")
_APART_WORDS = 2
"""Edits of one line need this many unchanged words between them: closer ones are likely about the same thing."""
_MOST_TOKENS = 2000
_MOST_REGIONS = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """Positions ``start`` to ``end`` (excluded) of the base become ``new``."""

    start: int
    end: int
    new: tuple[bytes, ...]


def merge_finely(
    base: bytes, local: bytes, incoming: bytes, *, path: str, taken: bool = False
) -> tuple[bytes, str] | None:
    """The merged content and how it was possible; None where edits overlap.

    ``taken``: some of the incoming edits are in the local side already, because the user took them. Where one of them
    touches an edit of the user's, the two look like one edit; lines that both sides have alike tell them apart.
    """
    base_lines = split_lines(base)
    mine, theirs = _line_edits(base, local), _line_edits(base, incoming)
    result: list[bytes] = []
    how = ADJACENT
    position = 0
    for ours, yours in _clusters(mine, theirs):
        start = min(edit.start for edit in (*ours, *yours))
        end = max(edit.end for edit in (*ours, *yours))
        result += base_lines[position:start]
        segment = base_lines[start:end]
        left, right = _applied(segment, ours, start), _applied(segment, yours, start)
        agreed = _merge_agreed(segment, left, right) if taken and ours and yours else None
        if left == right or not yours:
            result += left
        elif not ours:
            result += right
        elif agreed is not None:
            result += agreed
        else:
            merged = _merge_tokens(b"".join(segment), b"".join(left), b"".join(right))
            if merged is None:
                return None
            result.append(merged)
            how = SAME_LINE
        position = end
    result += base_lines[position:]
    content = b"".join(result)
    if syntax_problem(path, content) and not any(syntax_problem(path, side) for side in (base, local, incoming)):
        return None
    return content, how


def _line_edits(old: bytes, new: bytes) -> list[Edit]:
    lines = split_lines(new)
    return [Edit(start, end, tuple(lines[first:last])) for start, end, first, last in find_edits(old, new)]


def _clusters(mine: Sequence[Edit], theirs: Sequence[Edit]) -> list[tuple[list[Edit], list[Edit]]]:
    """Edits of both sides in order; those that overlap together, those that merely touch apart."""
    sided = sorted([*((edit, 0) for edit in mine), *((edit, 1) for edit in theirs)], key=lambda item: _order(item[0]))
    clusters: list[tuple[list[Edit], list[Edit]]] = []
    for edit, side in sided:
        if clusters:
            last = [known for edits in clusters[-1] for known in edits]
            if any(_overlap(known, edit) for known in last):
                clusters[-1][side].append(edit)
                continue
        clusters.append(([edit], []) if side == 0 else ([], [edit]))
    return clusters


def _order(edit: Edit) -> tuple[int, int]:
    # An insertion comes before a replacement that starts at the same place.
    return edit.start, edit.end


def _overlap(first: Edit, second: Edit) -> bool:
    if first.start == second.start and (first.start == first.end) == (second.start == second.end):
        return True
    return first.start < second.end and second.start < first.end


def _applied(segment: Sequence[bytes], edits: Sequence[Edit], offset: int) -> list[bytes]:
    result: list[bytes] = []
    position = 0
    for edit in edits:
        result += segment[position : edit.start - offset]
        result += edit.new
        position = edit.end - offset
    return [*result, *segment[position:]]


def _merge_agreed(base: Sequence[bytes], left: Sequence[bytes], right: Sequence[bytes]) -> list[bytes] | None:
    """Merge where each difference between the sides is an edit of one of them; what they have alike is agreed upon.

    Lines that are alike stand for as many lines of the base as fit, preferably for their own number.
    """
    regions: list[tuple[Sequence[bytes], Sequence[bytes]]] = [((), ())]
    for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if (tag == "equal") != (len(regions) % 2 == 0):
            regions.append(((), ()))
        regions.append((left[a:b], right[c:d]))
    if len(regions) > _MOST_REGIONS or len(regions) * len(base) > _MOST_TOKENS:
        return None
    dead: set[tuple[int, int]] = set()

    def solve(index: int, position: int) -> list[bytes] | None:
        if index == len(regions):
            return [] if position == len(base) else None
        if (index, position) in dead:
            return None
        ours, yours = regions[index]
        steps: list[tuple[int, Sequence[bytes]]]
        if index % 2 == 0:  # alike
            counts = sorted(range(len(base) - position + 1), key=lambda count: abs(count - len(ours)))
            steps = [(count, ours) for count in counts]
        else:
            pairs = ((yours, ours), (ours, yours))
            steps = [
                (len(same), other) for same, other in pairs if list(base[position : position + len(same)]) == list(same)
            ]
        for count, lines in steps:
            rest = solve(index + 1, position + count)
            if rest is not None:
                return [*lines, *rest]
        dead.add((index, position))
        return None

    if len(regions) % 2 == 0:
        regions.append(((), ()))
    return solve(0, 0)


def _merge_tokens(base: bytes, local: bytes, incoming: bytes) -> bytes | None:
    """Merge edits within lines; None where they are not clearly apart."""
    sides = [_TOKEN.findall(side) for side in (base, local, incoming)]
    if not base or max(map(len, sides)) > _MOST_TOKENS:
        return None
    tokens, mine, theirs = sides[0], _token_edits(sides[0], sides[1]), _token_edits(sides[0], sides[2])
    for ours in mine:
        for yours in theirs:
            if ours != yours and not _apart(tokens, ours, yours):
                return None
    edits = sorted({*mine, *theirs}, key=_order)
    return b"".join(_applied(tokens, edits, 0))


def _token_edits(old: list[bytes], new: list[bytes]) -> list[Edit]:
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [Edit(a, b, tuple(new[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def _apart(tokens: list[bytes], first: Edit, second: Edit) -> bool:
    if first.start > second.start:
        first, second = second, first
    between = tokens[first.end : second.start]
    return first.end <= second.start and sum(bool(_WORD.fullmatch(token)) for token in between) >= _APART_WORDS
