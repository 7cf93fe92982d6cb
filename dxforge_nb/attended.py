"""Whether somebody sits in front of the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def attended(shell: InteractiveShell | None) -> bool:
    """Whether the running cell's sender lets it ask for input.

    nbconvert, papermill and nbval do not: nobody sits there, and outputs that depend on how long things take would be
    in the way of comparing them.
    """
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", True))
