"""``health.log``: whether a tool's output says that it is ready."""

from __future__ import annotations

import re
from pathlib import Path

from dxforge.orchestrator.logs import LINE_BYTES, since

_META = frozenset("\\.^$*+?{}[]|()")


class Search:
    """Looks for ``text`` within the lines of an output that comes in pieces.

    As plain text, also in a line that is not complete yet; and in complete lines as a regular expression (Python's
    ``re``), where it can be one. Of a line longer than 64 KiB, the parts are lines.
    """

    def __init__(self, text: str) -> None:
        self._wanted = text.encode()
        self._pattern = _pattern(text)
        self._rest = b""
        self._line = b""

    def feed(self, piece: bytes) -> bool:
        """Whether it is there, with ``piece``."""
        # The text holds no line end, so what is found lies within one line.
        if not self._wanted:
            return False
        searched = self._rest + piece
        self._rest = searched[-len(self._wanted) + 1 :] if len(self._wanted) > 1 else b""
        return self._wanted in searched or self._matches(piece)

    def _matches(self, piece: bytes) -> bool:
        pattern = self._pattern
        if pattern is None:
            return False
        *lines, self._line = (self._line + piece).split(b"\n")
        if len(self._line) > LINE_BYTES:
            lines.append(self._line)
            self._line = b""
        return any(pattern.search(line.removesuffix(b"\r").decode(errors="replace")) for line in lines)


def was_said(folder: Path, mark: tuple[int, int], text: str) -> bool:
    """Whether it stands in the log after ``mark``."""
    search = Search(text)
    return any(search.feed(piece) for piece in since(folder, mark))


def _pattern(text: str) -> re.Pattern[str] | None:
    if not _META.intersection(text):
        return None
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        return None  # plain text only
