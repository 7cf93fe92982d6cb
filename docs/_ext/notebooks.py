"""The notebooks as a list: their titles and first paragraphs."""

from __future__ import annotations

from pathlib import Path

import nbformat

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def markdown() -> str:
    """One line each."""
    lines = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        title, _, text = first.partition("\n\n")
        sentence = " ".join(text.split("\n\n")[0].split())
        lines += [f"`{path.name}`", f": **{title.removeprefix('# ')}.** {sentence}", ""]
    return "\n".join(lines)
