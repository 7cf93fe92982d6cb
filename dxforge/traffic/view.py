"""A pending file as text, from every side, for those who show it and write it back."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator

from dxforge.store.tree import Entry
from dxforge.traffic.hunks import show_hunk
from dxforge.traffic.merge import is_binary
from dxforge.traffic.model import FileView, HunkView
from dxforge.traffic.outcome import proposed
from dxforge.traffic.review import Matter, Review, Texts
from dxforge.traffic.standing import standing

MOST_BYTES = 1 << 20
"""A side that is larger is not shown: an editor in a page would stall on it."""

BINARY, TOO_LARGE, UNDECODABLE, LOST = "binary", "too large", "not decodable", "cannot be had any more"


def view(review: Review, matter: Matter) -> FileView:
    """Everything that can be shown of a pending file.

    Raises:
        ChangedMeanwhileError: the user's file is being written just now.
    """
    texts = review.texts(matter)
    contents = {"base": texts.base, "local": texts.local, "incoming": texts.incoming, "proposal": proposed(matter)}
    entries: dict[str, Entry | None] = {
        "base": matter.item.base,
        "local": matter.local,
        "incoming": matter.item.incoming,
        "proposal": matter.verdict.after,
    }
    modes = {side: None if entry is None else f"{entry.mode:o}" for side, entry in entries.items()}
    nothing = dict.fromkeys(contents)
    there = [content for content in contents.values() if content is not None]
    encoding = ""
    if any(is_binary(content) for content in there):
        why_not = BINARY
    elif any(len(content) > MOST_BYTES for content in there):
        why_not = TOO_LARGE
    elif matter.verdict.after is not None and contents["proposal"] is None:
        why_not = LOST
    else:
        encoding = encoding_of(there, matter.change.path)
        why_not = "" if encoding else UNDECODABLE
    if why_not:
        return FileView(standing=standing(matter), sides=nothing, modes=modes, why_not=why_not)
    sides = {side: None if content is None else content.decode(encoding) for side, content in contents.items()}
    return FileView(
        standing=standing(matter),
        sides=sides,
        modes=modes,
        hunks=tuple(_hunks(review, matter, texts, sides["local"] or "", sides["proposal"] or "")),
        encoding=encoding,
        newline=_newline(next((side for side in (sides["local"], sides["proposal"]) if side is not None), "")),
    )


def _hunks(review: Review, matter: Matter, texts: Texts, local: str, proposal: str) -> Iterator[HunkView]:
    shift = 0
    ends = _count(local), _count(proposal)
    overlaps = review.overlapping(matter, texts)
    for number, raw, overlap in zip(review.ids(matter), matter.raw, overlaps, strict=True):
        header, _ = show_hunk(matter.old or b"", matter.new or b"", raw)
        # Not the places in the whole proposal: what was rejected before is not in what we show.
        old, new = [raw.old_start, raw.old_end], [raw.old_start + shift, raw.new_end - raw.new_start]
        new[1] += new[0]
        shift = new[1] - old[1]
        # What differs in its last line feed too differs in the empty line behind it.
        if (old[1], new[1]) == ends and _ended(local) != _ended(proposal):
            old[1] += _ended(local)
            new[1] += _ended(proposal)
        yield HunkView(id=number, header=header, old=(old[0], old[1]), new=(new[0], new[1]), overlaps=overlap)


def _count(text: str) -> int:
    """How many lines there are, by line feeds; an empty one at the end is none."""
    return text.count("\n") + (not _ended(text))


def _ended(text: str) -> bool:
    return not text or text.endswith("\n")


def encoding_of(contents: list[bytes], path: str) -> str:
    """The one encoding that all contents are text in, exactly; "" where there is none.

    UTF-8, or for Python files what they declare (PEP 263).
    """
    for encoding in ("utf-8", *(_declared(content) for content in contents if path.endswith(".py"))):
        try:
            if encoding and all(content.decode(encoding).encode(encoding) == content for content in contents):
                return encoding
        except (UnicodeError, LookupError):
            continue
    return ""


def _declared(content: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except SyntaxError:
        return ""
    return "" if encoding.startswith("utf-8") else encoding


def _newline(text: str) -> str:
    feeds, pairs = text.count("\n"), text.count("\r\n")
    if not feeds:
        return ""
    return "\n" if not pairs else "\r\n" if pairs == feeds else "mixed"
