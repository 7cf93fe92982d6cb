"""A proposal in pieces: hunks with identities, taking some of them, and what they look like."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from dxforge.store.tree import blob_oid

_CONTEXT_LINES = 3
_JOINED_BY_LINES = 1
"""Changes with at most this many unchanged lines between them are one hunk."""
_PLACE_LINES = 5
"""So many lines before and after a hunk tell its place from others like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHunk:
    """Lines ``old_start`` to ``old_end`` (from 0, end excluded) of the old text become ``new`` lines.

    ``digest`` identifies the hunk by what it removes and adds and by where the proposal has it (16 hex digits): it
    stays the same when other hunks are taken, and when lines far from it change.
    """

    old_start: int
    old_end: int
    new_start: int
    new_end: int
    digest: str


def split_lines(content: bytes) -> list[bytes]:
    """Lines with their ends, by line feed only (as diffs count them)."""
    lines = content.split(b"\n")
    ended = [line + b"\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def find_edits(old: bytes, new: bytes, *, joined_by: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """Line ranges that differ: old start and end, new start and end (from 0, ends excluded), in order.

    Args:
        old, new: the texts.
        joined_by: edits with at most this many unchanged lines between them count as one.
    """
    import pygit2

    for hunk in pygit2.Patch.create_from(old, new, context_lines=0, interhunk_lines=joined_by).hunks:
        # A range of no lines names the line before it.
        old_start = hunk.old_start - 1 if hunk.old_lines else hunk.old_start
        new_start = hunk.new_start - 1 if hunk.new_lines else hunk.new_start
        yield old_start, old_start + hunk.old_lines, new_start, new_start + hunk.new_lines


def find_hunks(old: bytes, new: bytes) -> list[RawHunk]:
    """The pieces in which ``new`` differs from ``old``, in order."""
    old_lines, new_lines = split_lines(old), split_lines(new)
    ends = [0, *accumulate(map(len, new_lines))]
    found: list[RawHunk] = []
    for old_start, old_end, new_start, new_end in find_edits(old, new, joined_by=_JOINED_BY_LINES):
        # Taking hunks changes the old text but never the proposal, so a place in the proposal is a lasting one: the
        # lines around it there, and how many places before it look just the same.
        first, last = max(0, new_start - _PLACE_LINES), min(len(new_lines), new_end + _PLACE_LINES)
        place = new[ends[first] : ends[last]]
        removed, added = b"".join(old_lines[old_start:old_end]), new[ends[new_start] : ends[new_end]]
        where = b"%d %d" % (new_start - first, new.count(place, 0, max(0, ends[last] - 1)))
        parts = (removed, added, place, where)
        digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:16]
        while any(known.digest == digest for known in found):  # lines so much alike that no place tells them apart
            digest = hashlib.sha256(digest.encode()).hexdigest()[:16]
        found.append(RawHunk(old_start=old_start, old_end=old_end, new_start=new_start, new_end=new_end, digest=digest))
    return found


def overlapping(base: bytes, local: bytes, hunks: Sequence[RawHunk]) -> list[bool]:
    """Of each hunk, whether it changes lines that the user has edited.

    Args:
        base, local: the user's file as it was installed, and as it is.
        hunks: pieces of a proposal to change ``local``.
    """
    edits = [(start, end) for _, _, start, end in find_edits(base, local)]
    return [any(_meet((hunk.old_start, hunk.old_end), edit) for edit in edits) for hunk in hunks]


def _meet(hunk: tuple[int, int], edit: tuple[int, int]) -> bool:
    """Whether two ranges of lines have one in common; lines that were deleted lie between two others."""
    if edit[0] == edit[1]:
        return hunk[0] <= edit[0] <= hunk[1]
    return hunk[0] < edit[1] and edit[0] < hunk[1]


def take_hunks(old: bytes, new: bytes, hunks: Sequence[RawHunk], chosen: Collection[str]) -> bytes:
    """``old`` with only the ``chosen`` hunks (digests) of ``hunks`` made new."""
    old_lines, new_lines = split_lines(old), split_lines(new)
    result: list[bytes] = []
    position = 0
    for hunk in hunks:
        if hunk.digest in chosen:
            result += old_lines[position : hunk.old_start]
            result += new_lines[hunk.new_start : hunk.new_end]
            position = hunk.old_end
    result += old_lines[position:]
    # A last line without its line feed may no longer be the last one.
    for number, line in enumerate(result[:-1]):
        if not line.endswith(b"\n"):
            result[number] = line + b"\n"
    return b"".join(result)


def show_hunk(old: bytes, new: bytes, hunk: RawHunk) -> tuple[str, tuple[str, ...]]:
    """The hunk's ``@@`` line and its lines with a little context, decoded for people."""
    old_lines, new_lines = split_lines(old), split_lines(new)
    before = old_lines[max(0, hunk.old_start - _CONTEXT_LINES) : hunk.old_start]
    after = old_lines[hunk.old_end : hunk.old_end + _CONTEXT_LINES]
    removed, added = old_lines[hunk.old_start : hunk.old_end], new_lines[hunk.new_start : hunk.new_end]
    around = len(before) + len(after)
    header = (
        f"@@ -{_range(hunk.old_start - len(before), len(removed) + around)} "
        f"+{_range(hunk.new_start - len(before), len(added) + around)} @@"
    )
    marked = [(" ", before), ("-", removed), ("+", added), (" ", after)]
    return header, tuple(mark + line.decode("utf-8", "replace") for mark, lines in marked for line in lines)


def _range(start: int, length: int) -> str:
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"


def unified_diff(old: bytes | None, new: bytes | None, path: str) -> str:
    """A unified diff for people (undecodable bytes replaced); "" where equal, one line where binary."""
    if old == new:
        return ""
    import pygit2

    patch = pygit2.Patch.create_from(old or b"", new or b"", old_as_path=path, new_as_path=path)
    body = patch.data.decode("utf-8", "replace")
    if patch.delta.is_binary:
        return f"Binary files a/{path} and b/{path} differ\n"
    lines = body.split("\n")
    start = next((number for number, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    before = f"a/{path}" if old is not None else "/dev/null"
    after = f"b/{path}" if new is not None else "/dev/null"
    return "\n".join([f"--- {before}", f"+++ {after}", *lines[start:]])


def syntax_problem(path: str, content: bytes) -> str:
    """Why ``content`` would not compile as Python ("" where it would, or is no ``.py`` file)."""
    if not path.endswith(".py"):
        return ""
    # A proposal is asked about when it is listed, decided on and reported: compile it once.
    oid = blob_oid(content)
    problem = _compiled.get(oid)
    if problem is None:
        if len(_compiled) >= _REMEMBERED:
            _compiled.clear()
        problem = _compiled[oid] = _compile(content)
    return problem


_REMEMBERED = 10_000
_compiled: dict[str, str] = {}


def _compile(content: bytes) -> str:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(content, "<merge>", "exec", dont_inherit=True, optimize=2)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""
