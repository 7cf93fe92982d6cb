"""An analysis as static HTML with a picture: no script, no outside resource, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dxforge.background.analysis import AnalysisReport, EditedPackage

_MOST = 20
_WIDTH, _NAME_WIDTH, _BAR, _ROW, _TOP = 640, 180, 300, 26, 46
_NAME_CHARS = 24
# Both have at least 3:1 against white and against near-black, and stand apart by their place as well.
_ADDED, _REMOVED = "#2f9e55", "#d9534f"


def svg(packages: Sequence[EditedPackage]) -> str:
    """Lines added and removed per package as bars, the largest first; "" where there are none."""
    rows = sorted(packages, key=lambda item: (-_size(item), item.name))
    if not rows:
        return ""
    shown, more = rows[:_MOST], len(rows) - _MOST
    largest = max(_size(shown[0]), 1)
    height = _TOP + _ROW * (len(shown) + (more > 0)) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"',
        ' role="img" style="max-width: 100%" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">',
        "<title>Edits per injected package</title>",
        # Within a page, text has the page's own colour; as a file, one that the reader's scheme can be read on.
        "<style>svg:root{color:#757c84}@media(prefers-color-scheme:dark){svg:root{color:#a8b2bd}}</style>",
        '<text x="10" y="20" font-size="14" font-weight="600">Edits per package, in lines</text>',
        *_legend(),
    ]
    for number, item in enumerate(shown):
        parts += _bar(item, _TOP + _ROW * number, largest)
    if more > 0:
        y = _TOP + _ROW * len(shown) + 16
        parts.append(f'<text x="10" y="{y}">and {more} more</text>')
    return "\n".join([*parts, "</svg>"])


def _size(item: EditedPackage) -> int:
    return item.lines_added + item.lines_removed


def _legend() -> Iterable[str]:
    for x, colour, word in ((_WIDTH - 150, _ADDED, "added"), (_WIDTH - 80, _REMOVED, "removed")):
        yield f'<rect x="{x}" y="11" width="10" height="10" rx="2" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="20">{word}</text>'


def _bar(item: EditedPackage, y: int, largest: int) -> list[str]:
    name = item.name if len(item.name) <= _NAME_CHARS else item.name[: _NAME_CHARS - 1] + "…"
    added = _length(item.lines_added, largest)
    removed = _length(item.lines_removed, largest)
    files = len(item.files)
    figures = f"+{item.lines_added} −{item.lines_removed} in {files} file{'s' * (files != 1)}"
    return [
        f"<g><title>{_xml(item.name)} {_xml(item.version)}: {figures}</title>",
        f'<text x="{_NAME_WIDTH - 8}" y="{y + 14}" text-anchor="end">{_xml(name)}</text>',
        f'<rect x="{_NAME_WIDTH}" y="{y + 2}" width="{added:g}" height="16" fill="{_ADDED}"/>',
        f'<rect x="{_NAME_WIDTH + added:g}" y="{y + 2}" width="{removed:g}" height="16" fill="{_REMOVED}"/>',
        f'<text x="{_NAME_WIDTH + added + removed + 8:g}" y="{y + 14}">{figures}</text></g>',
    ]


def _length(lines: int, largest: int) -> float:
    """In the picture's units; what is there at all can be seen."""
    return round(max(lines / largest * _BAR, 1.5), 1) if lines else 0.0


def _xml(text: str) -> str:
    """Escaped, and without what XML 1.0 cannot hold."""
    return escape("".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "�" for c in text))


_STYLE = """\
<style>
.dxforge-analysis { color: var(--jp-ui-font-color1, var(--vscode-foreground, inherit)); line-height: 1.45; }
.dxforge-analysis table { border-collapse: collapse; margin: .3em 0 .8em; color: inherit; }
.dxforge-analysis th, .dxforge-analysis td { text-align: left; vertical-align: top; padding: .15em 1.2em .15em 0;
  border: 0; background: none; white-space: pre-wrap; overflow-wrap: anywhere; }
.dxforge-analysis th { font-weight: 600; border-bottom: 1px solid rgba(128, 128, 128, .4); }
.dxforge-analysis caption { text-align: left; font-weight: 600; }
</style>"""


def html(report: AnalysisReport) -> str:
    """The whole report in one element."""
    parts = [_STYLE, '<div class="dxforge-analysis">', svg(report.edits)]
    for title, headings, rows in report.tables():
        head = "".join(f'<th scope="col">{_xml(heading)}</th>' for heading in headings)
        body = "".join("<tr>" + "".join(f"<td>{_xml(value)}</td>" for value in row) + "</tr>" for row in rows)
        parts.append(
            f"<table><caption>{_xml(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    summary = str(report).split("\n", 1)[0]
    return "\n".join([*parts, f"<p>{_xml(summary)}</p>", "</div>"])
