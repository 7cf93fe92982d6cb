"""The notebook side of dxforge: ``%load_ext dxforge_nb`` gives ``%dx`` and ``%%dx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%dx``, its completion, and the project's packages for import."""
    from dxforge_nb.magics import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take back everything that loading did."""
    from dxforge_nb.magics import unload

    unload(ipython)
