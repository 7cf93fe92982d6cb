"""The traffic light in pictures. Each row of the table is a file of a real project, and dxforge decides about it.

Colours are classes of ``_static/dxforge.css``, which follow the site's light and dark theme.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dxforge import Action, Change, TrafficLight, TrafficManager

_PACKAGE = "src/dx_packages/demo"
_LINES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
_BINARY = bytes(range(256))
_SYMBOLS = {TrafficLight.GREEN: "●", TrafficLight.YELLOW: "▲", TrafficLight.RED: "■"}
_DOES = {
    Action.CREATE: "creates it",
    Action.UPDATE: "updates it",
    Action.DELETE: "deletes it",
    Action.KEEP: "leaves it as it is",
    Action.PROPOSE: "keeps yours, and proposes",
    Action.SET_ASIDE: "keeps yours",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symlink in a file's place."""

    target: str


Content = bytes | Link | None


def _text(**changed: str) -> bytes:
    return "".join(f"{changed.get(name, name)}\n" for name in _LINES).encode()


_BASE, _MINE = _text(), _text(beta="beta, mine")
_THEIRS = _text(zeta="zeta, theirs")
_CASES: tuple[tuple[str, str, Content, Content, Content], ...] = (
    ("new", "A new file", None, None, _BASE),
    ("same", "A file of yours, just as theirs", None, _BASE, _BASE),
    ("updated", "Only they changed it", _BASE, _BASE, _THEIRS),
    ("removed", "They removed it, you never changed it", _BASE, _BASE, None),
    ("edited", "Only you changed it", _BASE, _MINE, _BASE),
    ("deleted", "You deleted it, they did not change it", _BASE, None, _BASE),
    ("both-same", "Both made the same change", _BASE, _THEIRS, _THEIRS),
    ("merged", "Both changed it, in different places", _BASE, _MINE, _THEIRS),
    ("deleted-changed", "You deleted it, they changed it", _BASE, None, _THEIRS),
    ("in-the-way", "A file of yours stands in the way, and differs", None, _MINE, _THEIRS),
    ("renamed", "They renamed it, you changed it", _BASE, _MINE, None),
    ("overlap", "Both changed the same lines", _BASE, _MINE, _text(beta="beta, theirs")),
    ("binary", "Both changed a binary file", _BINARY, _BINARY + b"\0mine", _BINARY + b"\0theirs"),
    ("edited-removed", "You changed it, they removed it", _BASE, _text(delta="delta, mine"), None),
    ("swapped", "A file became a symlink", _BASE, _MINE, Link(target="elsewhere")),
)
"""Name, situation, base, yours, theirs."""
_RENAMED_TO = "renamed-by-them"
_NOTHING_TO_SAY = {"same", "both-same"}


@functools.cache
def decided() -> dict[str, Change]:
    """What an install says about each case, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        root, theirs = Path(folder) / "project", Path(folder) / "demo"
        root.mkdir()
        theirs.mkdir()
        (root / "dx.toml").write_text('[project]\nname = "lights"\n\n[packages]\ndemo = { path = "../demo" }\n')
        _lay_out(theirs, 2)
        cache, os.environ["DXFORGE_CACHE_DIR"] = os.environ.get("DXFORGE_CACHE_DIR"), str(Path(folder) / "cache")
        try:
            manager = TrafficManager(root)
            asyncio.run(manager.install_all_dependencies())
            _lay_out(root / _PACKAGE, 3)
            _lay_out(theirs, 4)
            (theirs / _RENAMED_TO).write_bytes(_distinct("renamed", _BASE))
            plan = asyncio.run(manager.plan())
        finally:
            if cache is None:
                del os.environ["DXFORGE_CACHE_DIR"]
            else:
                os.environ["DXFORGE_CACHE_DIR"] = cache
    found = {change.path.removeprefix(f"{_PACKAGE}/"): change for change in plan.changes}
    return {name: found[name] for name, *_ in _CASES if name not in _NOTHING_TO_SAY}


def _lay_out(folder: Path, column: int) -> None:
    for case in _CASES:
        path, content = folder / case[0], case[column]
        path.unlink(missing_ok=True)
        match content:
            case None:
                continue
            case Link():
                path.symlink_to(content.target)
            case bytes():
                path.write_bytes(_distinct(case[0], content))


def _distinct(name: str, content: bytes) -> bytes:
    """Each file's own text: equal files would be candidates for renames of each other."""
    if content.startswith(_BINARY):
        return content
    return b"".join(line + f" of {name}\n".encode() for line in content.splitlines())


def table() -> str:
    """The whole table, as HTML: pictures cannot stand in Markdown's."""
    rows = "\n".join(_row(*case) for case in _CASES)
    head = "<tr><th>situation</th><th>base · yours · theirs</th><th>light</th><th>what install does, and says</th></tr>"
    body = f'<table class="dx-lights docutils"><thead>{head}</thead>\n<tbody>{rows}</tbody></table>'
    return _raw(f'<div class="dx-scroll">{body}</div>')


def _row(name: str, situation: str, base: Content, yours: Content, theirs: Content) -> str:
    change = decided().get(name)
    light = change.light if change is not None else TrafficLight.GREEN
    does = _DOES[change.action] if change is not None else "nothing"
    said = f'<br><span class="dx-said">“{escape(change.reason)}”</span>' if change is not None else ""
    if change is not None and change.set_aside is not None:
        does = f"{does}; theirs is written beside it as <code>.new</code>"
    sign = f'<span class="dx-{light.value}">{_sign(light)}</span>'
    picture = _three_files(base, yours, theirs)
    return f"<tr><td>{escape(situation)}</td><td>{picture}</td><td>{sign}</td><td>{does}{said}</td></tr>"


def _sign(light: TrafficLight) -> str:
    return f"{_SYMBOLS[light]} {light.value.capitalize()}"


def _three_files(base: Content, yours: Content, theirs: Content) -> str:
    words = ", ".join(f"{name}: {_in_words(file, base)}" for name, file in (("yours", yours), ("theirs", theirs)))
    files = "".join(
        _file(60 * column + 4, 4, file, base, kind)
        for column, (file, kind) in enumerate(((base, "base"), (yours, "mine"), (theirs, "theirs")))
    )
    return _svg(176, 60, f"base: {_in_words(base, None)}, {words}", files)


def _in_words(file: Content, base: Content) -> str:
    match file:
        case None:
            return "no file"
        case Link():
            return "a symlink"
    if file == base:
        return "the same"
    return "a file" if base is None else "changed"


def _file(x: int, y: int, file: Content, base: Content, kind: str) -> str:
    if file is None:
        return f'<rect class="dx-none" x="{x}" y="{y}" width="44" height="52" rx="3"/>'
    page = f'<rect class="dx-page" x="{x}" y="{y}" width="44" height="52" rx="3"/>'
    if isinstance(file, Link):
        return f'{page}<path class="dx-arrow" d="M{x + 12} {y + 34}v-8h16m-6 -6l6 6l-6 6"/>'
    if file.startswith(_BINARY):
        changed = kind if file != base else "line"
        dots = "".join(
            f'<rect class="dx-{changed if (row, column) == (2, 1) else "line"}" x="{x + 6 + 9 * column}" '
            f'y="{y + 6 + 9 * row}" width="6" height="6"/>'
            for row in range(5)
            for column in range(4)
        )
        return page + dots
    known = base.splitlines() if isinstance(base, bytes) else []
    bars = "".join(
        f'<rect class="dx-{"line" if line in known or kind == "base" else kind}" x="{x + 6}" y="{y + 6 + 6 * number}" '
        f'width="{22 + (5 * len(_LINES[number])) % 11}" height="3"/>'
        for number, line in enumerate(file.splitlines())
    )
    return page + bars


def three_versions() -> str:
    """B, L and N, and what comes out."""
    both = b"".join(
        mine if mine != base else theirs
        for base, mine, theirs in zip(
            _BASE.splitlines(keepends=True),
            _MINE.splitlines(keepends=True),
            _THEIRS.splitlines(keepends=True),
            strict=True,
        )
    )
    change = decided()["merged"]
    parts = [
        _file(20, 74, _BASE, _BASE, "base"), _label(42, 146, "base"), _label(42, 162, "as installed", small=True),
        _file(190, 14, _MINE, _BASE, "mine"), _label(212, 86, "yours"),
        _file(190, 134, _THEIRS, _BASE, "theirs"), _label(212, 206, "theirs"),
        _file(370, 74, both, _BASE, "mine").replace(_zeta(370, 74, "mine"), _zeta(370, 74, "theirs")),
        _label(392, 146, "proposal"),
        _arrow("M70 92C110 80 130 50 182 42"), _arrow("M70 112C110 124 130 150 182 158"),
        _arrow("M240 42C290 50 310 76 362 90"), _arrow("M240 158C290 150 310 124 362 112"),
        _label(112, 40, "your edit", small=True), _label(112, 170, "their update", small=True),
        f'<text class="dx-{change.light.value}" x="430" y="98">{_sign(change.light)}</text>',
        f'<text class="dx-small" x="430" y="114">{escape(change.reason)}</text>',
    ]  # fmt: skip
    title = "Your edit and their update start from the base; where they do not meet, both are in the proposal"
    return _raw(_svg(660, 214, title, "".join(parts), wide=True))


def _zeta(x: int, y: int, kind: str) -> str:
    return f'<rect class="dx-{kind}" x="{x + 6}" y="{y + 6 + 6 * _LINES.index("zeta")}"'


def base_moves() -> str:
    """Install, pending, decided: which version is the base when."""
    steps = (
        ("installed", "base: 1.0", "yours: 1.0", "line"),
        ("you edit", "base: 1.0", "yours: 1.0 + edit", "mine"),
        ("2.0 is proposed", "base: 1.0", "yours: 1.0 + edit", "theirs"),
        ("you decide", "base: 2.0", "yours: what you chose", "mine"),
    )
    parts = []
    for number, (title, base, yours, kind) in enumerate(steps):
        x = 8 + 165 * number
        parts += [
            f'<rect class="dx-page" x="{x}" y="8" width="140" height="78" rx="6"/>',
            f'<rect class="dx-{kind}" x="{x}" y="8" width="140" height="5" rx="2"/>',
            f'<text class="dx-strong" x="{x + 10}" y="34">{title}</text>',
            f'<text class="dx-small" x="{x + 10}" y="54">{base}</text>',
            f'<text class="dx-small" x="{x + 10}" y="72">{yours}</text>',
        ]
        if number:
            parts.append(_arrow(f"M{x - 23} 47H{x - 5}"))
    title = "The base stays at 1.0 until you have decided about 2.0; then it moves to 2.0, whatever you decided"
    return _raw(_svg(660, 94, title, "".join(parts), wide=True))


def _arrow(path: str) -> str:
    return f'<path class="dx-arrow" marker-end="url(#dx-tip)" d="{path}"/>'


def _label(x: int, y: int, text: str, *, small: bool = False) -> str:
    return f'<text class="{"dx-small" if small else "dx-strong"}" text-anchor="middle" x="{x}" y="{y}">{text}</text>'


def _svg(width: int, height: int, title: str, content: str, *, wide: bool = False) -> str:
    tip = (
        '<defs><marker id="dx-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="dx-tip" d="M0 0L8 4L0 8z"/></marker></defs>'
        if wide
        else ""
    )
    size = f'viewBox="0 0 {width} {height}"' + ("" if wide else f' width="{width}" height="{height}"')
    return f'<svg class="dx-picture" role="img" {size}><title>{escape(title)}</title>{tip}{content}</svg>'


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"
