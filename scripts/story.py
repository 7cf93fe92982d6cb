"""What the demos are told with: commands run as they are shown, edits shown as they are made."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


class Shell:
    """Shows a command as typed, and runs it in ``folder``, where this environment's programs come first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}

    def run(self, line: str, *, expect: int = 0) -> None:
        """Run ``line``; anything but the expected exit status ends the demo."""
        show(line)
        done = subprocess.run(shlex.split(line), cwd=self.folder, env=self.environment, check=False)
        print(flush=True)
        if done.returncode != expect:
            stop(f"exit status {done.returncode} where {expect} was expected")

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file as its owner would, and show the change."""
        file = self.folder / path
        before = file.read_text(encoding="utf-8")
        if before.count(old) != 1:
            stop(f"{path} is not as expected")
        after = before.replace(old, new)
        file.write_text(after, encoding="utf-8")
        print(f"    {path}")
        for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]:
            print(styled(f"    {line}", "31" if line.startswith("-") else "32"))
        print(flush=True)


def say(text: str) -> None:
    """The story between the commands."""
    print(styled("\n".join(textwrap.wrap(f"# {text}", 100, subsequent_indent="# ")), "2"), flush=True)


def show(line: str) -> None:
    """A command, as typed."""
    print(styled(f"$ {line}", "1;36"), flush=True)


def stop(why: str) -> NoReturn:
    """End the demo: something is not as it should be.

    Raises:
        SystemExit: always.
    """
    raise SystemExit(f"The demo stops here: {why}.")


def styled(text: str, code: str) -> str:
    """``text`` in ANSI colours on a terminal that wants them."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def write_notebook(path: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Write a notebook of ("markdown" or "code", text), executed in a kernel of this environment, in its folder."""
    import nbformat.v4
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(text) if kind == "markdown" else nbformat.v4.new_code_cell(text)
            for kind, text in cells
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    client = NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute()
    nbformat.write(notebook, path)
    print(f"    {path.relative_to(path.parents[1])} is written and executed: open it in Jupyter or your editor.\n")
