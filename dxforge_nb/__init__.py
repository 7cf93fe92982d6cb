"""The notebook side of dxforge: ``%load_ext dxforge_nb`` gives ``%dx`` and ``%%dx``.

``dxforge_nb.forge()`` is the forge that they use: its orchestrator is the one whose tools ``%dx start`` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from dxforge.thread import ForgeThread


def forge(folder: Path | str = ".") -> ForgeThread:
    """The forge that ``%dx`` uses for the project in or above ``folder``; it lives as long as the kernel.

    Raises:
        ProjectError: there is no project.
    """
    from pathlib import Path

    from dxforge.config.load import find_root
    from dxforge_nb.kernel import FORGES

    return FORGES.thread(find_root(Path(folder)))


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%dx``, its completion, and the project's packages for import."""
    from dxforge_nb.magics import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take back everything that loading did."""
    from dxforge_nb.magics import unload

    unload(ipython)
