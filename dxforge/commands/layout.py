"""A view as lines of text: columns aligned, foreign text escaped. Terminals colour the lines, pipes just join them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from dxforge.commands.shown import output_line, shown, shown_line
from dxforge.commands.view import (
    Bar,
    Block,
    Commands,
    Diff,
    Gap,
    Line,
    Output,
    Picture,
    Section,
    Span,
    Table,
    Text,
    diff_style,
)

_BETWEEN = 2
_ALIGNED_AT_MOST = 100
_SHARE_OF_FIRST = 3
_LEAST_OF_FIRST = 12
"""Of the window's columns, a first column that may be cut takes a third, and at least so many."""


def layout(blocks: Iterable[Block], *, columns: int | None = None) -> Iterator[Line]:
    """The view line by line, every span escaped.

    Args:
        blocks: the view.
        columns: the window's width; a row that is wider continues below itself. None: as wide as need be.
    """
    for block in blocks:
        match block:
            case Text():
                yield (Span("  " * block.indent), *_escaped(block.line))
            case Gap():
                yield ()
            case Diff():
                yield from _diff(block)
            case Output():
                yield from ((Span("  " * block.indent), Span(output_line(text))) for text in block.lines)
            case Picture():
                pass
            case Bar():
                yield (*_escaped(block.label), Span("  "), *_escaped(block.amount))
            case Table():
                yield from _table(block, columns)
            case Commands():
                yield from _commands(block, columns)
            case Section():
                yield from (_escaped(block.title), ())
                yield from layout(block.blocks, columns=columns)
                yield ()


def plain(blocks: Iterable[Block]) -> str:
    """The whole view as text without a final newline: the same on every machine."""
    return "\n".join("".join(span.text for span in line) for line in layout(blocks))


def diff_lines(block: Diff) -> Iterator[tuple[str, str]]:
    """The lines of a diff, escaped, each with its label or an empty string."""
    labels = iter(block.labels)
    for text in block.lines:
        yield shown_line(text), next(labels, "") if text.startswith("@@") else ""


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal (Unicode Standard Annex 11: wide characters take two)."""
    if text.isascii():
        return len(text)
    return sum(_width_of(character) for character in text)


def _width_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _escaped(line: Line) -> Line:
    return tuple(Span(shown(span.text), span.style) for span in line)


def _diff(block: Diff) -> Iterator[Line]:
    for text, label in diff_lines(block):
        line = (Span(text, diff_style(text)),)
        yield (*line, Span(f"  {label}", "strong")) if label else line


def _commands(block: Commands, columns: int | None) -> Iterator[Line]:
    longest = max((len(command) + _BETWEEN + len(meaning) for command, meaning in block.rows), default=0)
    if columns is None or longest + _BETWEEN <= columns:
        rows = tuple(((Span(command, "command"),), (Span(meaning, "dim"),)) for command, meaning in block.rows)
        yield from _table(Table(rows, indent=1), columns)
        return
    for command, meaning in block.rows:
        yield (Span("  "), *_escaped((Span(command, "command"),)))
        yield (Span("      "), *_escaped((Span(meaning, "dim"),)))


def _table(table: Table, columns: int | None) -> Iterator[Line]:
    rows = [tuple(_escaped(cell) for cell in row) for row in table.rows]
    if table.header:
        rows.insert(0, tuple((Span(name, "strong"),) for name in table.header))
    if not rows:
        return
    if table.cut_first and columns is not None:
        rows = [(_cut(row[0], max(columns // _SHARE_OF_FIRST, _LEAST_OF_FIRST)), *row[1:]) for row in rows]
    widths = [_column_width(column) for column in zip(*rows, strict=True)]
    margin = Span("  " * table.indent)
    for row in rows:
        spans = [margin]
        used = width(margin.text)
        for number, cell in enumerate(row):
            last = number == len(row) - 1
            if last and number and cell and columns is not None and used + _line_width(cell) > columns:
                yield _without_trailing_space(spans)
                below = Span(margin.text + " " * (widths[0] + _BETWEEN))
                *parts, rest = _wrapped(cell, columns - width(below.text))
                yield from ((below, *part) for part in parts)
                spans = [below, *rest]
                continue
            spans.extend(cell)
            if not last:
                spans.append(Span(" " * (max(widths[number] - _line_width(cell), 0) + _BETWEEN)))
                used += max(widths[number], _line_width(cell)) + _BETWEEN
        yield _without_trailing_space(spans)


def _column_width(column: Iterable[Line]) -> int:
    """As wide as its widest cell; a few endless ones do not push everything else out of sight."""
    widths = sorted(map(_line_width, column))
    return max((cell for cell in widths if cell <= _ALIGNED_AT_MOST), default=0)


def _cut(line: Line, room: int) -> Line:
    """``line`` in at most ``room`` columns."""
    if _line_width(line) <= room:
        return line
    kept: list[Span] = []
    left = room - 1
    for span in line:
        text = ""
        for character in span.text:
            if width(text + character) > left:
                return (*kept, Span(f"{text}…", span.style))
            text += character
        kept.append(span)
        left -= width(text)
    return tuple(kept)


def _wrapped(line: Line, room: int) -> list[Line]:
    """``line`` broken between words; a word that is longer than the room stays whole."""
    lines: list[list[Span]] = [[]]
    used, space = 0, ""
    for span in line:
        for text in re.findall(r" +|[^ ]+", span.text):
            if text.isspace():
                space = text
                continue
            if used and used + len(space) + width(text) > room:
                lines.append([])
                used, space = 0, ""
            lines[-1].append(Span(f"{space if used else ''}{text}", span.style))
            used += len(space) + width(text)
            space = ""
    return [tuple(spans) for spans in lines]


def _line_width(line: Line) -> int:
    return sum(width(span.text) for span in line)


def _without_trailing_space(spans: list[Span]) -> Line:
    while spans and not spans[-1].text.strip(" "):
        spans.pop()
    return tuple(spans)
