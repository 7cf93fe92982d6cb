"""What became of a command that the stop button ended: writing that has begun is finished, and that must be said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.errors import DxForgeError

if TYPE_CHECKING:
    from dxforge.traffic.model import Operation

_WRITING = frozenset({"install", "add", "remove", "rollback"})
"""Actions that take long enough to be stopped, and change the project."""


def newest_operation(folder: Path, action: str) -> Operation | None:
    """What was done last to the project around ``folder``; None where ``action`` is none that is asked about."""
    from dxforge.config.load import find_root
    from dxforge_nb.kernel import FORGES

    if action not in _WRITING:
        return None
    try:
        operations = FORGES.look(find_root(folder)).traffic_manager.log()
    except DxForgeError:
        return None
    return operations[0] if operations else None


def done_since(before: Operation | None, folder: Path, action: str) -> str:
    """The operation that was past stopping when the interrupt came, and so is done; empty where there is none.

    Args:
        before: what `newest_operation` said before the command.
        folder: as there.
        action: as there.
    """
    after = newest_operation(folder, action)
    if after is None or (before is not None and after.id == before.id):
        return ""
    return f"it could not be stopped any more, and is done: {after.summary}. `%dx undo` takes it back"
