"""A view on a terminal, coloured by rich (which honours NO_COLOR)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dxforge.commands.layout import layout
from dxforge.commands.view import Block, Style

if TYPE_CHECKING:
    from rich.console import Console

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
    from rich.text import Text

    for line in layout(blocks, columns=console.width):
        # Soft-wrapped: the terminal itself breaks long lines, so that they stay whole when they are copied.
        console.print(Text.assemble(*((span.text, _STYLES[span.style]) for span in line)), soft_wrap=True)
