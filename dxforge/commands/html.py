"""A view as static HTML for notebooks: no script, no outside resource, light or dark as its host.

Colours are the host's CSS variables (JupyterLab, VS Code) with translucent fallbacks that work on both. JupyterLab's
own rules for tables outweigh a single class, hence the doubled one. A host that strips the style sheet leaves plain
tables; the light stays readable, because it is a shape and a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from dxforge.commands.layout import diff_lines
from dxforge.commands.shown import output_line, shown
from dxforge.commands.svg import clean_svg
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
    Table,
    Text,
    diff_style,
)

STYLE = """\
<style>
.dxforge { --dx-text: var(--jp-ui-font-color1, var(--vscode-foreground, currentColor));
  --dx-good: var(--jp-success-color1, var(--vscode-testing-iconPassed, #388a3c));
  --dx-warn: var(--jp-warn-color1, var(--vscode-editorWarning-foreground, #b07800));
  --dx-bad: var(--jp-error-color1, var(--vscode-editorError-foreground, #d03a3a));
  --dx-green: color-mix(in srgb, var(--dx-good) 75%, var(--dx-text));
  --dx-yellow: color-mix(in srgb, var(--dx-warn) 60%, var(--dx-text));
  --dx-red: color-mix(in srgb, var(--dx-bad) 85%, var(--dx-text));
  --dx-line: var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, .35)));
  --dx-code: var(--jp-code-font-family, var(--vscode-editor-font-family, ui-monospace, Menlo, Consolas, monospace));
  color: var(--jp-ui-font-color1, var(--vscode-foreground, inherit)); line-height: 1.45; }
.dxforge table { border-collapse: collapse; margin: .3em 0 .6em; color: inherit; }
.dxforge.dxforge table :is(th, td) { text-align: left; vertical-align: top; padding: .15em 1.2em .15em 0;
  border: 0; background: none; white-space: pre-wrap; overflow-wrap: break-word; }
.dxforge.dxforge table th { font-weight: 600; border-bottom: 1px solid var(--dx-line); }
.dxforge.dxforge table :is(th, td):first-child { overflow-wrap: normal; }
.dxforge code { font-family: var(--dx-code); background: rgba(128, 128, 128, .12); color: inherit;
  padding: 0 .3em; border-radius: 3px; }
.dxforge details { border: 1px solid var(--dx-line); border-radius: 4px; margin: .4em 0; padding: .3em .7em; }
.dxforge details > summary { cursor: pointer; overflow-wrap: break-word; white-space: pre-wrap; }
.dxforge details details { margin-left: .2em; }
.dxforge pre { font-family: var(--dx-code); font-size: .92em; line-height: 1.35; margin: .4em 0; padding: 0;
  overflow-x: auto; background: none; color: inherit; }
.dxforge pre span { display: block; white-space: pre; padding: 0 .4em; min-height: 1.35em; min-width: max-content; }
.dxforge .green { color: var(--dx-green); } .dxforge .yellow { color: var(--dx-yellow); }
.dxforge .red { color: var(--dx-red); } .dxforge .dim { opacity: .7; } .dxforge .strong { font-weight: 600; }
.dxforge .blue { color: color-mix(in srgb, #3b82f6 70%, var(--dx-text)); }
.dxforge .teal { color: color-mix(in srgb, #0d97a3 65%, var(--dx-text)); }
.dxforge :is(.green, .blue, .teal, .yellow, .red) { font-weight: 600; white-space: nowrap; }
.dxforge pre .added { background: rgba(46, 160, 67, .18); }
.dxforge pre .removed { background: rgba(248, 81, 73, .18); }
.dxforge pre .hunk { background: rgba(56, 139, 253, .14); }
.dxforge .picture { overflow-x: auto; margin: .4em 0; } .dxforge .picture svg { max-width: 100%; height: auto; }
.dxforge .dxb-p { fill: none; stroke: none; } .dxforge .dxb-c { fill: rgba(128, 128, 128, .1); stroke: var(--dx-line); }
.dxforge .dxb-b, .dxforge .dxb-t { fill: currentColor; } .dxforge .dxb-m { fill: currentColor; opacity: .7; }
.dxforge .dxb-g, .dxforge .dxb-a { stroke: var(--dx-line); } .dxforge .dxb-o { fill: var(--jp-layout-color0,
  var(--vscode-editor-background, #fff)); }
.dxforge .dxb-e { stroke: rgba(128, 128, 128, .8); } .dxforge .dxb-h { fill: rgba(128, 128, 128, .9); }
.dxforge .dxb .dxb-built, .dxforge .dxb .dxb-run { fill: color-mix(in srgb, #3b82f6 70%, var(--dx-text)); }
.dxforge .dxb .dxb-depends { fill: color-mix(in srgb, #9a6be0 70%, var(--dx-text)); }
.dxforge .dxb .dxb-restored, .dxforge .dxb .dxb-restore { fill: color-mix(in srgb, #0d97a3 65%, var(--dx-text)); }
.dxforge .dxb .dxb-up-to-date { fill: var(--dx-green); } .dxforge .dxb .dxb-failed { fill: var(--dx-red); }
.dxforge .dxb .dxb-running { fill: var(--dx-yellow); }
.dxforge .dxb .dxb-waiting, .dxforge .dxb .dxb-skipped { fill: currentColor; opacity: .65; }
.dxforge .bar { display: grid; grid-template-columns: 7.5em minmax(4em, 18em) 1fr; gap: 1em;
  align-items: center; margin: .3em 0; white-space: nowrap; overflow: hidden; font-variant-numeric: tabular-nums; }
.dxforge .bar > span { overflow: hidden; text-overflow: ellipsis; }
.dxforge .track { display: block; height: .5em; border-radius: .25em; background: rgba(128, 128, 128, .25); }
.dxforge .fill, .dxforge .some { display: block; height: 100%; border-radius: .25em;
  background: var(--jp-brand-color1, var(--vscode-progressBar-background, #1976d2)); }
.dxforge .some { opacity: .3; }
.dxforge table.steady { table-layout: fixed; width: 100%; font-variant-numeric: tabular-nums; }
.dxforge.dxforge table.steady :is(th, td) { white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
  height: 1.45em; }
.dxforge table.steady th:nth-child(1) { width: 36%; } .dxforge table.steady th:nth-child(2) { width: 8.5em; }
.dxforge table.steady th:nth-child(3) { width: 4.5em; }
.dxforge p { margin: .25em 0; white-space: pre-wrap; } .dxforge .gap { height: .6em; }
.dxforge td > span.dim { white-space: nowrap; }
</style>"""

_WIDTH = re.compile(r'<svg [^>]*\bwidth="([0-9.]+)"')
_READABLE = 0.6
"""Of its own size, at which the words of a picture can just be read."""


def html(blocks: Iterable[Block]) -> str:
    """The whole view in one element, with its style sheet."""
    return f'{STYLE}\n<div class="dxforge">\n{_blocks(blocks)}\n</div>'


def _blocks(blocks: Iterable[Block]) -> str:
    return "\n".join(part for part in map(_block, blocks) if part)


def _block(block: Block) -> str:
    match block:
        case Text():
            return f"<p{_margin(block.indent)}>{_line(block.line)}</p>"
        case Gap():
            return '<div class="gap"></div>'
        case Output():
            written = "".join(f"<span>{escape(output_line(text))}</span>" for text in block.lines)
            return f"<pre{_margin(block.indent)}>{written}</pre>"
        case Picture():
            return _picture(block)
        case Bar():
            return _bar(block)
        case Table():
            return _table(block)
        case Diff():
            return _diff(block)
        case Commands():
            rows = (
                f'<tr><td><code>{escape(shown(command))}</code></td><td class="dim">{escape(shown(meaning))}</td></tr>'
                for command, meaning in block.rows
            )
            return f"<table>{''.join(rows)}</table>"
        case Section():
            opened = " open" if block.opened else ""
            return f"<details{opened}><summary>{_line(block.title)}</summary>\n{_blocks(block.blocks)}\n</details>"


def _margin(indent: int) -> str:
    return f' style="margin-left: {indent * 1.2:g}em"' if indent else ""


def _picture(picture: Picture) -> str:
    svg = clean_svg(picture.svg)
    if not svg:
        return ""
    # Shrunk to fit, as long as it can be read; from there on, it is scrolled.
    found = _WIDTH.match(svg)
    least = f' style="min-width: {float(found[1]) * _READABLE:.0f}px"' if found else ""
    return f'<div class="picture"><div{least}>{svg}</div></div>'


def _line(line: Line) -> str:
    parts = []
    for span in line:
        text = escape(shown(span.text))
        if span.style == "command":
            text = f"<code>{text}</code>"
        elif span.style:
            text = f'<span class="{span.style}">{text}</span>'
        parts.append(text)
    return "".join(parts)


def _table(table: Table) -> str:
    rows = []
    if table.header:
        rows.append("<tr>" + "".join(f"<th>{escape(name)}</th>" for name in table.header) + "</tr>")
    rows += ["<tr>" + "".join(f"<td>{_line(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    steady = ' class="steady"' if table.steady else ""
    return f"<table{steady}>{''.join(rows)}</table>"


def _bar(bar: Bar) -> str:
    share = 100 * bar.done // bar.total if bar.total else None
    name = escape(shown("".join(span.text for span in bar.label)))
    known = f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share}"' if share is not None else ""
    fill = f'<span class="fill" style="width: {share}%"></span>' if share is not None else '<span class="some"></span>'
    return (
        f'<div class="bar"><span>{_line(bar.label)}</span>'
        f'<span class="track" role="progressbar" aria-label="{name}"{known}>{fill}</span>'
        f"<span>{_line(bar.amount)}</span></div>"
    )


def _diff(block: Diff) -> str:
    lines = []
    for text, label in diff_lines(block):
        style = diff_style(text)
        shown_label = f'  <b class="strong">{escape(shown(label))}</b>' if label else ""
        lines.append(f'<span class="{style}">{escape(text)}{shown_label}</span>')
    return f"<pre>{''.join(lines)}</pre>"
