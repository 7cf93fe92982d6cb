"""The one way in for both faces: a line of words becomes a result, or an error of our tree. Never prints or exits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dxforge.commands.result import Result


def run_line(args: Sequence[str], *, cwd: Path | str) -> Result:
    """Parse and carry out one command line, given without its program's name.

    Args:
        args: the words, e.g. ``["install", "--upgrade"]``.
        cwd: the folder that the user stands in; paths and the project are looked up from there.

    Raises:
        UsageError: the line cannot mean anything.
        DxForgeError: it could not be carried out.
    """
    from dxforge.commands.actions import execute
    from dxforge.commands.grammar import parse
    from dxforge.commands.session import Session

    return execute(parse(args), Session(cwd=Path(cwd)))
