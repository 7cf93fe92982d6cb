"""What a result shows, as plain data: built once, drawn as text, on a terminal or as HTML.

Every string in here is raw; the three renderers escape each span on its way out, so nothing can be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dxforge.background.tasks import TaskState
    from dxforge.build.model import StepState
    from dxforge.orchestrator.status import ToolState
    from dxforge.traffic.model import TrafficLight

Style = Literal["", "strong", "dim", "green", "blue", "teal", "yellow", "red", "added", "removed", "hunk", "command"]


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
    cut_first: bool = False
    """Whether cells of the first column may be cut where a terminal has little room."""
    steady: bool = False
    """Whether it is drawn again and again, in HTML: rows of one line, columns that keep their widths."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Lines of a unified diff; ``labels`` are shown behind the ``@@`` lines, in their order."""

    lines: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """Lines that a program wrote; its colours are left out."""

    lines: tuple[str, ...]
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG that we drew. Only notebooks have room for it."""

    svg: str


@dataclass(frozen=True, slots=True)
class Bar:
    """How far something is: ``done`` of ``total`` (None: nobody knows), and ``amount`` in words."""

    label: Line
    done: int
    total: int | None
    amount: Line


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


_NAME_CHARS = 60
Block = Text | Gap | Table | Diff | Output | Picture | Bar | Section | Commands

_LIGHTS: dict[str, tuple[str, Style]] = {"green": ("●", "green"), "yellow": ("▲", "yellow"), "red": ("■", "red")}
_STATES: dict[str, tuple[str, Style]] = {
    "stopped": ("○", "dim"),
    "starting": ("◐", "yellow"),
    "running": ("◉", "green"),
    "healthy": ("●", "green"),
    "degraded": ("■", "red"),
}
_STEPS: dict[str, tuple[str, Style]] = {
    "run": ("◐ To run", "blue"),
    "restore": ("◉ To restore", "teal"),
    "depends": ("◐ Depends", "yellow"),
    "up-to-date": ("● Up to date", "green"),
    "built": ("● Built", "blue"),
    "restored": ("● Restored", "teal"),
    "failed": ("■ Failed", "red"),
    "skipped": ("○ Skipped", "dim"),
}
_TASKS: dict[str, tuple[str, Style]] = {
    "waiting": ("○ Waiting", "dim"),
    "running": ("◐ Running", "yellow"),
    "done": ("● Done", "green"),
    "failed": ("■ Failed", "red"),
    "cancelled": ("○ Cancelled", "dim"),
}
PLAIN_SHAPES = str.maketrans({"●": "*", "▲": "!", "■": "X", "→": ">", "…": ".", "○": "o", "◐": "~", "◉": "*", "×": "x"})
"""For streams that cannot encode the shapes."""


def light_span(light: TrafficLight, *, count: int | None = None) -> Span:
    """The light as shape and word, never as colour alone; with ``count``, how many there are."""
    shape, style = _LIGHTS[light.value]
    word = light.value.capitalize()
    return Span(f"{shape} {word}" if count is None else f"{shape} {count} {word}", style)


def state_span(state: ToolState) -> Span:
    """A tool's state as colour, shape and word."""
    shape, style = _STATES[state.value]
    return Span(f"{shape} {state.value.capitalize()}", style)


def step_span(state: StepState) -> Span:
    """What becomes or became of a build step, as colour, shape and words."""
    return Span(*_STEPS[state.value])


def task_span(state: TaskState) -> Span:
    """A background task's state as colour, shape and word."""
    return Span(*_TASKS[state.value])


def duration(seconds: float) -> str:
    """Seconds as one reads them: ``4 ms``, ``0.25 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, name, part in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name} {rest} {part}" if rest else f"{whole // large} {name}"
    return f"{whole} s"


def whole_seconds(seconds: float) -> str:
    """`duration` of something that still goes on: without what would change faster than one reads."""
    return duration(int(seconds)) if seconds >= 10 else f"{int(seconds)} s"


def shortened(text: str) -> str:
    """A name that fits into a table."""
    return text if len(text) <= _NAME_CHARS else f"{text[: _NAME_CHARS - 1]}…"


def size(size_bytes: int) -> str:
    """Bytes as one reads them: ``512 B``, ``1.5 KiB``, ``96 MiB``."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.1f} {unit}" if unit != "B" and amount < 9.95 else f"{amount:.0f} {unit}"


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
