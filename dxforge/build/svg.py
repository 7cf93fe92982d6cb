"""Text, colours and frame of the pictures of a build."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable

from dxforge.build.model import StepState

MARGIN = 24
HEAD = 56
"""Where a picture's own content begins, in px from its left and its top."""

# Light and dark, in that order; readable against the picture's own ground of either.
COLOURS = {
    StepState.BUILT: ("#1f6feb", "#58a6ff"),
    StepState.RUN: ("#1f6feb", "#58a6ff"),
    StepState.RESTORED: ("#0a7c86", "#39c5cf"),
    StepState.RESTORE: ("#0a7c86", "#39c5cf"),
    StepState.UP_TO_DATE: ("#1a7f37", "#3fb950"),
    StepState.DEPENDS: ("#8250df", "#bc8cff"),
    StepState.FAILED: ("#cf222e", "#ff7b72"),
    StepState.SKIPPED: ("#6e7781", "#8b949e"),
}
LIVE_COLOURS = {"running": ("#9a6700", "#e3b341"), "waiting": ("#8c959f", "#6e7681")}
"""Of steps while a build goes on."""
_GROUND, _LINE, _TEXT, _MUTED, _CARD = (
    ("#ffffff", "#0d1117"),
    ("#d0d7de", "#373e47"),
    ("#1f2328", "#e6edf3"),
    ("#57606a", "#9198a1"),
    ("#f6f8fa", "#161b22"),
)
# No character that XML cannot hold, and none that turns the text around.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")


def duration(seconds: float) -> str:
    """A time as one says it: ``12 ms``, ``1.24 s``, ``2 min 05 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def span(text: str) -> int:
    """How wide a text is, in narrow characters."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, width: float, char_width: float) -> str:
    """``text`` shortened to a width in px, at so many px for a narrow character."""
    return short(text, int(width / char_width))


def short(text: str, columns: int) -> str:
    """``text`` in at most so many columns: its middle is left out, since both ends tell steps apart."""
    if span(text) <= columns:
        return text
    head, tail = "", ""
    left, right = 0, len(text)
    while left < right:
        if len(head) <= 2 * len(tail):
            char, into = text[left], 0
        else:
            char, into = text[right - 1], 1
        if span(head + tail + char) > columns - 1:
            break
        if into:
            tail, right = char + tail, right - 1
        else:
            head, left = head + char, left + 1
    return f"{head}…{tail}"


def text_of(text: str) -> str:
    """Text inside of an element or attribute."""
    return html.escape(_UNFIT.sub(lambda found: "\n" if found[0] == "\n" else "\ufffd", text))


def quoted(text: str) -> str:
    """Text inside of Mermaid's quotes: what it would read as markup is written as entities."""
    # In one line: some characters besides the newline end one.
    text = " ".join(_UNFIT.sub("\ufffd", text).splitlines())
    return "".join(f"#{ord(char)};" if char in '#"&<>`\\' else char for char in text)


def titled(*lines: str) -> str:
    """What is shown while the pointer rests on something."""
    return f"<title>{text_of(chr(10).join(lines))}</title>"


def n(number: float) -> str:
    """A coordinate."""
    return f"{number:.1f}".removesuffix(".0")


def frame(width: float, height: float, headline: tuple[str, str], body: Iterable[str]) -> str:
    """The whole picture: ground, headline (title and what follows it) and body."""
    title, subtitle = headline
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dxb" viewBox="0 0 {n(width)} {n(height)}" '
        f'width="{n(width)}" height="{n(height)}" role="img" aria-label="{text_of(f"{title}: {subtitle}")}">'
        f"<style>{_STYLE}</style>"
        f'<rect class="dxb-p" x=".5" y=".5" width="{n(width - 1)}" height="{n(height - 1)}" rx="12"/>'
        f'<text class="dxb-b" x="{MARGIN}" y="32" font-size="15">{text_of(title)}'
        f'<tspan class="dxb-m" dx="10" font-weight="400" font-size="12">{text_of(subtitle)}</tspan></text>'
        + "".join(body)
        + "</svg>"
    )


def _style(at: int) -> str:
    named = {**{state.value: colours for state, colours in COLOURS.items()}, **LIVE_COLOURS}
    states = "".join(f".dxb .dxb-{name}{{fill:{colours[at]}}}" for name, colours in named.items())
    return (
        f".dxb-p{{fill:{_GROUND[at]};stroke:{_LINE[at]}}}"
        f".dxb-c{{fill:{_CARD[at]};stroke:{_LINE[at]};stroke-width:1.2}}"
        f".dxb-g{{fill:none;stroke:{_LINE[at]};stroke-dasharray:4 4}}"
        f".dxb-b,.dxb-t{{fill:{_TEXT[at]}}}.dxb-m{{fill:{_MUTED[at]}}}.dxb-o{{fill:{_GROUND[at]}}}"
        f".dxb-e{{stroke:{_MUTED[at]}}}.dxb-h{{fill:{_MUTED[at]}}}.dxb-a{{stroke:{_LINE[at]}}}" + states
    )


# The style sheet of a picture in a page holds for the whole page, hence the prefix.
_STYLE = (
    ".dxb text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px}"
    ".dxb .dxb-b{font-weight:600;font-size:13px}.dxb .dxb-k{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',"
    "monospace;font-size:11px}.dxb .dxb-s{font-size:11.5px}.dxb .dxb-o{font-size:11.5px;font-weight:600}"
    ".dxb-e{fill:none;stroke-width:1.4}.dxb-d{stroke-dasharray:4 4}"
    + _style(0)
    + "@media (prefers-color-scheme:dark){"
    + _style(1)
    + "}"
)
