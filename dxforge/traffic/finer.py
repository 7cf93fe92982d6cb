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


@dataclass(frozen=True, slots=True)
class Edit:
    """Positions ``start`` to ``end`` (excluded) of the base become ``new``."""

    start: int
    end: int
    new: tuple[bytes, ...]


def agreed_base(base: bytes, local: bytes, incoming: bytes) -> bytes:
    """The base with those incoming edits made that the local side has already, because the user took them.

    Without that, a taken edit right beside an edit of the user's would look like one edit of his.
    """
    away = list(find_edits(incoming, local))
    old, new, mine = split_lines(base), split_lines(incoming), split_lines(local)

    def there(start: int, end: int, first: int, last: int) -> bool:
        """Whether local has the edit: its new lines untouched, or the lines that it deletes gone from their place."""
        if first < last:
            return not any(a < last and first < b for a, b, _, _ in away)
        gone = b"".join(old[start:end])
        return not any(a <= first <= b and gone in b"".join(mine[c:d]) for a, b, c, d in away)

    result: list[bytes] = []
    position = 0
    for start, end, first, last in find_edits(base, incoming):
        result += old[position:start]
        result += new[first:last] if there(start, end, first, last) else old[start:end]
        position = end
    return b"".join([*result, *old[position:]])


def merge_finely(base: bytes, local: bytes, incoming: bytes, *, path: str) -> tuple[bytes, str] | None:
    """The merged content and how it was possible; None where edits overlap."""
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
        if left == right or not yours:
            result += left
        elif not ours:
            result += right
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
