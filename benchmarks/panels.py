"""The review panel in a real page: ``python -m benchmarks.panels [--files 100 1000 10000] [--rounds 3]``.

JupyterLab and Chromium, as in the browser tests. Three times: from the start of the cell ``%dx review`` in a new kernel
until the list and the first file's merge view stand in the page, the same when the cell is run again, and from a click
on "Accept file" until the file on disk is another one. jupyterlab-git and nbdime are measured without a page, by
``benchmarks.notebook``: what their pages do with the answer is not the same task.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.material import Material
from benchmarks.measure import Say
from benchmarks.notebook import COUNTS, project
from benchmarks.table import Row
from tests.browser.pages import Notebook
from tests.support.browser import browser
from tests.support.lab import Lab

_DEADLINE_S = 120.0
_PACKAGE = "src/dx_packages/theme"


def measure(lab: Lab, count: int, say: Say) -> tuple[float, float, float]:
    """Milliseconds until the panel stands in the page, until it does so again, and from click to disk."""
    folder = Path(tempfile.mkdtemp(prefix=f"files-{count}-", dir=lab.files))
    root = project(folder, count, dict(os.environ))
    path = lab.write(f"{folder.name}/project/a.ipynb", ["%load_ext dxforge_nb", "%dx review", "%dx review"])
    with browser() as context:
        page = context.new_page()
        page.set_default_timeout(_DEADLINE_S * 1000)
        notebook = Notebook(page, f"{lab.url}/lab/tree/{path}?reset").open()
        notebook.run(0)

        def shown(cell: int) -> None:
            notebook.start(cell)
            notebook.output(cell).locator(".cm-content").first.wait_for()

        first, again = _ms(lambda: shown(1)), _ms(lambda: shown(2))
        panel = notebook.review(2)
        panel.choose("m0.py")
        file = root / _PACKAGE / "part0" / "m0.py"
        before = file.read_bytes()
        panel.root.get_by_role("button", name="Accept file").wait_for()

        def click() -> None:
            panel.press("Accept file")
            until = time.perf_counter() + _DEADLINE_S
            while file.read_bytes() == before and time.perf_counter() < until:
                time.sleep(0.001)

        decided = _ms(click)
        if file.read_bytes() == before:
            raise RuntimeError("the click changed nothing")
        page.close()
    say(f"  {count:,} files: shown {first:.0f} ms, again {again:.0f} ms, click to disk {decided:.0f} ms")
    return first, again, decided


def panels(material: Material, rounds: int, say: Say, counts: tuple[int, ...] = COUNTS) -> list[Row]:
    """A row for each number of files and moment."""
    rows = []
    with Lab(material.work / "lab") as lab:
        for count in counts:
            runs = [measure(lab, count, say) for _ in range(rounds)]
            names = ("panel shown, new kernel", "panel shown again", "click to file on disk")
            for name, times in zip(names, zip(*runs, strict=True), strict=True):
                ours = f"{statistics.median(times):.0f} ms ({min(times):.0f}-{max(times):.0f})"
                what = f"{name}, {count:,} files, in the page"
                rows.append(Row(what=what, ours=ours, theirs="–", ratio="–", goal="–", memory="–"))
    return rows


def _ms(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panels", description="The review panel in a page.")
    parser.add_argument("--files", type=int, nargs="+", default=list(COUNTS), help="how many files await a decision")
    parser.add_argument("--rounds", type=int, default=3, help="medians of this many runs (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as work:
        found = panels(
            Material(Path(work)), options.rounds, lambda text: print(text, file=sys.stderr), tuple(options.files)
        )
    print("| what | dxforge |")
    print("|---|---|")
    for row in found:
        print(f"| {row.what} | {row.ours} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
