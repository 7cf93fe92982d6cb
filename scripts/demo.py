"""The tour: a small project in ./demo (or the folder given), installed, edited, upgraded, decided, undone; a notebook.

Every line after a ``$`` is run as it stands there. Two real packages, pinned, so it tells the same story every time.
"""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "demo"
BIN = Path(sys.executable).parent
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
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    dx = Shell(DEMO, {**os.environ, **environment})

    say("A project, and two packages at the versions of a while ago.")
    dx.run("dxforge init")
    dx.run("dxforge add humanize==4.9.0 iniconfig==2.0.0")

    say("They are plain source files in your project, so you edit them. A shorter word:")
    edit(NUMBER, 'NS_("thousand", "thousand")', 'NS_("k", "k")')
    say("A bug that bit you (upstream is about to fix it differently):")
    edit(TIME, f"value = int(value)\n{SECONDS}", f"value = round(float(value))\n{SECONDS}")
    say("And a rule of your own in the other package:")
    edit(PARSE, 'COMMENTCHARS = "#;"', 'COMMENTCHARS = "#;!"')

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
    notebook = write_notebook(DEMO / "demo.ipynb")
    print(f"    {notebook.relative_to(DEMO.parent)} is written and executed: open it in Jupyter or your editor.\n")
    return 0


class Shell:
    """Shows a command as typed, and runs it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def run(self, line: str, *, expect: int = 0) -> None:
        """Run ``line``; anything but the expected exit status ends the demo."""
        print(styled(f"$ {line}", "1;36"), flush=True)
        done = subprocess.run(shlex.split(line), cwd=self.folder, env=self.environment, check=False)
        print(flush=True)
        if done.returncode != expect:
            raise SystemExit(f"The demo stops here: exit status {done.returncode} where {expect} was expected.")


def edit(path: str, old: str, new: str) -> None:
    """Change a file as its owner would, and show the change."""
    file = DEMO / path
    before = file.read_text(encoding="utf-8")
    if before.count(old) != 1:
        raise SystemExit(f"The demo stops here: {path} is not as expected.")
    after = before.replace(old, new)
    file.write_text(after, encoding="utf-8")
    print(f"    {path}")
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]:
        print(styled(f"    {line}", "31" if line.startswith("-") else "32"))
    print()


def say(text: str) -> None:
    """The story between the commands."""
    print(styled("\n".join(textwrap.wrap(f"# {text}", 100, subsequent_indent="# ")), "2"), flush=True)


def styled(text: str, code: str) -> str:
    """``text`` in ANSI colours on a terminal that wants them."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def write_notebook(path: Path) -> Path:
    """Write the notebook and execute it in a kernel of this environment."""
    import nbformat.v4
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(text) if kind == "markdown" else nbformat.v4.new_code_cell(text)
            for kind, text in CELLS
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    client = NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(DEMO)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute()
    nbformat.write(notebook, path)
    return path


if __name__ == "__main__":
    sys.exit(main())
