"""Screenshots, which the browser tests make: ``docs/images/NAME-light.png``, and ``NAME-dark.png`` where it is."""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).resolve().parents[1] / "images"
SHOWN = {
    "review": "The review panel: files with their lights on the left, the chosen file's hunks on the right",
    "side-by-side": "The review panel with a file of yours and the proposal side by side",
    "red": "The review panel with a Red file: yours, theirs and the base have tabs of their own",
    "keys": "The review panel's keyboard shortcuts",
    "help": "The review panel's keyboard shortcuts, in a dialog",
    "status": "The status panel: tools, background tasks and packages",
    "build": "A build in a cell: its steps, its graph and its timeline",
}
"""Names, and what is to be seen."""


def markdown(name: str) -> str:
    """The screenshot for each theme; nothing while the browser tests have made none."""
    themes = [theme for theme in ("light", "dark") if (IMAGES / f"{name}-{theme}.png").is_file()]
    lines = []
    for theme in themes:
        only = [f":class: only-{theme}"] if len(themes) > 1 else []
        lines += [f"```{{image}} /images/{name}-{theme}.png", f":alt: {SHOWN[name]}", *only, "```", ""]
    return "\n".join(lines)
