"""A view as plain text, for pipes, files and ``text/plain`` in notebooks: the same on every machine."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from dxforge.commands.shown import shown, shown_line
from dxforge.commands.view import Block, Commands, Diff, Gap, Line, Section, Table, Text, line


def plain(blocks: Iterable[Block]) -> str:
    """The whole view, without a final newline."""
    lines: list[str] = []
    for block in blocks:
        _add(lines, block)
    return "\n".join(lines)


def plain_line(line: Line) -> str:
    """One line of spans."""
    return "".join(shown(span.text) for span in line)


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal (Unicode Standard Annex 11: wide characters take two)."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def diff_lines(block: Diff) -> Iterable[tuple[str, str]]:
    """The lines of a diff as shown, each with its label or an empty string."""
    labels = iter(block.labels)
    for text in block.lines:
        yield shown_line(text), next(labels, "") if text.startswith("@@") else ""


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _add(lines: list[str], block: Block) -> None:
    match block:
        case Text():
            lines.append("  " * block.indent + plain_line(block.line))
        case Gap():
            lines.append("")
        case Table():
            lines.extend(_table(block))
        case Diff():
            lines.extend(f"{text}  {label}" if label else text for text, label in diff_lines(block))
        case Commands():
            rows = tuple((line(command), line(meaning)) for command, meaning in block.rows)
            lines.extend(_table(Table(rows, indent=1)))
        case Section():
            lines.extend((plain_line(block.title), ""))
            for inner in block.blocks:
                _add(lines, inner)
            lines.append("")


def _table(table: Table) -> Iterable[str]:
    rows = [[plain_line(cell) for cell in row] for row in table.rows]
    if table.header:
        rows.insert(0, list(table.header))
    widths = [max(width(cell) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        cells = (cell + " " * (widths[number] - width(cell)) for number, cell in enumerate(row))
        yield ("  " * table.indent + "  ".join(cells)).rstrip(" ")
