"""A view on a terminal, through rich: colours (unless NO_COLOR), tables that fit the window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dxforge.commands.plain import diff_lines
from dxforge.commands.shown import shown
from dxforge.commands.view import Block, Commands, Diff, Gap, Line, Section, Span, Style, Table, Text, diff_style

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

_STYLES: dict[Style, str] = {
    "": "",
    "strong": "bold",
    "dim": "dim",
    "green": "green",
    "yellow": "yellow",
    "red": "bold red",
    "added": "green",
    "removed": "red",
    "hunk": "cyan",
    "command": "cyan",
}


def console_for(stream: TextIO) -> Console:
    """A console that takes text literally: no markup, no emoji codes, no guessed highlights."""
    from rich.console import Console

    return Console(file=stream, markup=False, emoji=False, highlight=False)


def print_view(blocks: Iterable[Block], console: Console) -> None:
    """Draw the whole view."""
    for block in blocks:
        _print(block, console)


def _print(block: Block, console: Console) -> None:
    match block:
        case Text():
            _line(console, rich_line((Span("  " * block.indent), *block.line)))
        case Gap():
            console.print()
        case Table():
            console.print(_table(block))
        case Diff():
            for text, label in diff_lines(block):
                spans = (Span(text, diff_style(text)), Span(f"  {label}" if label else "", "strong"))
                # Soft-wrapped: the terminal breaks long lines, so that they stay whole when copied.
                _line(console, rich_line(spans, tabs=True))
        case Commands():
            _commands(block, console)
        case Section():
            _line(console, rich_line(block.title))
            console.print()
            print_view(block.blocks, console)
            console.print()


def rich_line(line: Line, *, tabs: bool = False) -> RichText:
    """Spans as rich's text, each escaped."""
    from rich.text import Text as RichText

    text = RichText()
    for span in line:
        # A diff's lines are escaped already, all but their tabs.
        text.append(span.text if tabs else shown(span.text), style=_STYLES[span.style])
    return text


def _line(console: Console, text: RichText) -> None:
    console.print(text, soft_wrap=True)


def _commands(block: Commands, console: Console) -> None:
    for command, meaning in block.rows:
        spans = (Span("  "), Span(command, "command"), Span(f"  {meaning}", "dim"))
        _line(console, rich_line(spans))


def _table(table: Table) -> RichTable:
    from rich.padding import Padding
    from rich.table import Table as RichTable

    drawn = RichTable(box=None, show_header=bool(table.header), header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    columns = max((len(row) for row in table.rows), default=len(table.header))
    for number in range(columns):
        name = table.header[number] if number < len(table.header) else ""
        drawn.add_column(name, no_wrap=number in (0, table.whole), overflow="fold")
    for row in table.rows:
        drawn.add_row(*(rich_line(cell) for cell in row))
    return Padding(drawn, (0, 0, 0, 2 * table.indent)) if table.indent else drawn  # type: ignore[return-value]
