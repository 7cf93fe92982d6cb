"""What a result shows, as plain data: built once, drawn as text, on a terminal or as HTML.

Every string in here is raw; the three renderers escape each span on its way out, so nothing can be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dxforge.traffic.model import TrafficLight

Style = Literal["", "strong", "dim", "green", "yellow", "red", "added", "removed", "hunk", "command"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text in one style."""

    text: str
    style: Style = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """One line. ``indent`` is in steps of two columns."""

    line: Line
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """An empty line between two blocks."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells each; ``header`` may be empty."""

    rows: tuple[tuple[Line, ...], ...]
    header: tuple[str, ...] = ()
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Diff:
    """Lines of a unified diff; ``labels`` are shown behind the ``@@`` lines, in their order."""

    lines: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part that can be folded where the medium can (``opened`` says how it starts)."""

    title: Line
    blocks: tuple[Block, ...]
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands to type next, each with what it does."""

    rows: tuple[tuple[str, str], ...]


Block = Text | Gap | Table | Diff | Section | Commands

_LIGHTS: dict[str, tuple[str, Style]] = {"green": ("●", "green"), "yellow": ("▲", "yellow"), "red": ("■", "red")}
PLAIN_SHAPES = str.maketrans({"●": "*", "▲": "!", "■": "X", "→": ">", "…": "."})
"""For streams that cannot encode the shapes."""


def light_span(light: TrafficLight, *, count: int | None = None) -> Span:
    """The light as shape and word, never as colour alone; with ``count``, how many there are."""
    shape, style = _LIGHTS[light.value]
    word = light.value.capitalize()
    return Span(f"{shape} {word}" if count is None else f"{shape} {count} {word}", style)


def line(*parts: str | Span) -> Line:
    """A line of spans and plain strings; empty strings vanish."""
    spans = (part if isinstance(part, Span) else Span(part) for part in parts)
    return tuple(span for span in spans if span.text)


def diff_style(text: str) -> Style:
    """How a line of a unified diff is drawn."""
    if text.startswith("@@"):
        return "hunk"
    if text.startswith(("+++", "---", "\\")):
        return "dim"
    if text.startswith("+"):
        return "added"
    if text.startswith("-"):
        return "removed"
    return ""
