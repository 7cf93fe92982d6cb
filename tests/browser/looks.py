"""What panels look like: their accessibility by axe-core, and the pictures of the documentation.

A picture lies in ``docs/images`` beside a text of the same name, which says what was to be seen when it was taken: the
accessibility tree, and a digest of the panels' style sheet. The tests compare that text, so a picture that shows what
is no longer so fails them; with ``DXFORGE_SCREENSHOTS=1`` they take it again.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.pages import Notebook

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
AXE = ROOT / "dxforge_nb" / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
STYLE = ROOT / "dxforge_nb" / "static"
WIDTH = 1200
DARK, LIGHT = "JupyterLab Dark", "JupyterLab Light"

_RUN_AXE = """async root => {
    // Lab's body has no height and hides what overflows: axe would take all text for hidden.
    document.documentElement.style.height = document.body.style.height = '100%';
    const found = await axe.run(root, {resultTypes: ['violations', 'passes']});
    const judged = [...found.passes, ...found.violations].filter(each => each.id === 'color-contrast');
    if (!judged.some(each => each.nodes.length > 3)) throw new Error('axe-core saw no text');
    return found.violations.map(each => [each.impact, each.id, each.help, each.nodes.map(node => node.html)]);
}"""
_VOLATILE = (
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|min|h|B|kB|MB|GB|[KMG]iB|%)(?![\w%])"), "N"),
    (re.compile(r"\bN ago\b|\bjust now\b"), "AGO"),
    (re.compile(r"\b\d{1,2}:\d{2}(:\d{2})?\b"), "TIME"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}\b"), "DATE"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "ID"),
    (re.compile(r"\b\d{3,}\b"), "N"),
    (re.compile(r"\bN( (N|\d+(\.\d+)?)\b)+"), "N"),  # the scale of a timeline
)


def accessible(panel: Locator) -> None:
    """Fail on what axe-core finds serious or critical."""
    page = panel.page
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    bad = [
        f"{impact}: {words} ({rule})\n    " + "\n    ".join(nodes[:5]) for impact, rule, words, nodes in found(panel)
    ]
    assert not bad, "\n".join(bad)


def found(panel: Locator) -> list[tuple[str, str, str, list[str]]]:
    """Serious and critical violations: impact, rule, words, elements."""
    all_of_them: list[Any] = panel.evaluate(_RUN_AXE)
    return [tuple(each) for each in all_of_them if each[0] in ("serious", "critical")]


def picture(notebook: Notebook, shown: Locator, name: str) -> None:
    """Compare ``shown`` with what the picture ``name`` was taken of; take it again where that is asked for."""
    text = f"style {_style()}\n{_seen(shown)}\n"
    beside = IMAGES / f"{name}.txt"
    if os.environ.get("DXFORGE_SCREENSHOTS") == "1":
        IMAGES.mkdir(parents=True, exist_ok=True)
        _take(notebook.page, shown, IMAGES / f"{name}.png")
        beside.write_text(text, encoding="utf-8")
    assert (IMAGES / f"{name}.png").is_file(), f"docs/images/{name}.png is missing: {_ADVICE}"
    before = beside.read_text(encoding="utf-8")
    changes = "\n".join(difflib.unified_diff(before.splitlines(), text.splitlines(), "then", "now", lineterm="", n=1))
    assert not changes, f"docs/images/{name}.png shows what is no longer so: {_ADVICE}\n{changes}"


_ADVICE = "run `DXFORGE_SCREENSHOTS=1 python -m pytest tests/browser/test_looks.py`, and look at the pictures"


def _seen(shown: Locator) -> str:
    text = shown.aria_snapshot()
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    # The snapshot quotes what would be another kind of value in YAML.
    return re.sub(r': "(ID|N)"$', r": \1", text, flags=re.MULTILINE)


def _style() -> str:
    sheets = sorted(STYLE.glob("*.css"))
    assert sheets, f"the front end is not built: there is no style sheet in {STYLE}"
    return hashlib.sha256(b"".join(sheet.read_bytes() for sheet in sheets)).hexdigest()[:16]


def _take(page: Page, shown: Locator, file: Path) -> None:
    """A picture of exactly ``WIDTH``, with the window made as wide and high as that needs."""
    before = page.viewport_size
    assert before is not None
    box = shown.bounding_box()
    assert box is not None
    page.set_viewport_size({"width": round(before["width"] + WIDTH - box["width"]), "height": 1600})
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # fonts, and the last frame of whatever moves
    shown.screenshot(path=file, animations="disabled", caret="hide")
    page.set_viewport_size(before)
