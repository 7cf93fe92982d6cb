"""The tour: a small project in ./demo (or the folder given), installed, edited, upgraded, decided, undone; a notebook.

Every line after a ``$`` is run as it stands there. Two real packages, pinned, so it tells the same story every time.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from story import ROOT, Shell, say, write_notebook

DEMO = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "demo"
PACKAGES = "src/dx_packages"
NUMBER = f"{PACKAGES}/humanize/humanize/number.py"
TIME = f"{PACKAGES}/humanize/humanize/time.py"
PARSE = f"{PACKAGES}/iniconfig/iniconfig/_parse.py"
SECONDS = "            delta = dt.timedelta(seconds=value)\n        except"
WAITING = 3
"""Exit status: done, but changes await a decision."""

CELLS = (
    (
        "markdown",
        f"# Packages you own\n\nMade by `make demo`. The packages lie in `{PACKAGES}`: open one and edit it.",
    ),
    ("code", "%load_ext dxforge_nb"),
    ("markdown", "Imports come from the project's own copy, with your edit in it:"),
    ("code", "import humanize\n\nhumanize.intword(12_400), humanize.__file__.split('src/')[-1]"),
    ("markdown", "What awaits a decision, and the commands that decide it:"),
    ("code", "%dx review"),
    ("code", f"%dx diff {NUMBER}"),
    ("markdown", "Try `%dx accept`, `%dx reject`, `%dx undo`, or `%dx help`."),
    ("code", "%dx status"),
)


def main() -> int:
    """Tell the story."""
    if (DEMO / "dx.toml").exists():
        shutil.rmtree(DEMO)
    DEMO.mkdir()
    dx = Shell(DEMO)

    say("A project, and two packages at the versions of a while ago.")
    dx.run("dxforge init")
    dx.run("dxforge add humanize==4.9.0 iniconfig==2.0.0")

    say("They are plain source files in your project, so you edit them. A shorter word:")
    dx.edit(NUMBER, 'NS_("thousand", "thousand")', 'NS_("k", "k")')
    say("A bug that bit you (upstream is about to fix it differently):")
    dx.edit(TIME, f"value = int(value)\n{SECONDS}", f"value = round(float(value))\n{SECONDS}")
    say("And a rule of your own in the other package:")
    dx.edit(PARSE, 'COMMENTCHARS = "#;"', 'COMMENTCHARS = "#;!"')

    say("Months later, you want the new versions.")
    dx.run("sed -i.bak -e s/4.9.0/4.10.0/ -e s/2.0.0/2.1.0/ dx.toml")
    dx.run("dxforge install", expect=WAITING)

    say("Green is done. Red left your file alone, and put theirs beside it. Yellow is proposed, in hunks:")
    dx.run(f"dxforge diff {NUMBER}")
    say("Take the bug fix, hunk 3, now. The rest can wait.")
    dx.run(f"dxforge accept {NUMBER} --hunk 3", expect=WAITING)
    say("Second thoughts? Everything can be undone.")
    dx.run("dxforge undo", expect=WAITING)
    dx.run("dxforge log")

    say("The same in a notebook ...")
    write_notebook(DEMO / "demo.ipynb", CELLS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
