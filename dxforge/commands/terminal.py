"""A view on a terminal, coloured by rich (which honours NO_COLOR)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from dxforge.commands.layout import layout
from dxforge.commands.view import PLAIN_SHAPES, Block, Style

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live as Screen
    from rich.text import Text

_STYLES: dict[Style, str] = {
    "": "",
    "strong": "bold",
    "dim": "dim",
    "green": "green",
    "blue": "blue",
    "teal": "cyan",
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
    for text in _texts(blocks, console):
        # Soft-wrapped: the terminal itself breaks long lines, so that they stay whole when they are copied.
        console.print(text, soft_wrap=True)


def start_screen(console: Console) -> Screen:
    """A place at the bottom of the terminal for :func:`redraw`; it vanishes when it is stopped."""
    from rich.live import Live as Screen

    screen = Screen(console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    screen.start()
    return screen


def redraw(screen: Screen, blocks: Iterable[Block]) -> None:
    """Show the view in place of the former one, a line of the terminal for each of its lines."""
    from rich.console import Group

    texts = list(_texts(blocks, screen.console))
    for text in texts:
        text.no_wrap, text.overflow = True, "ellipsis"
    screen.update(Group(*texts), refresh=True)


def encodable(text: str, stream: TextIO) -> str:
    """``text`` in the stream's encoding, or the nearest to it."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN_SHAPES).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _texts(blocks: Iterable[Block], console: Console) -> Iterator[Text]:
    from rich.text import Text

    for line in layout(blocks, columns=console.width):
        yield Text.assemble(*((span.text, _STYLES[span.style]) for span in line))
