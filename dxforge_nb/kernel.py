"""The forges of this kernel: one per project, opened when first needed, closed with the kernel."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dxforge.commands.session import Forges, waited
from dxforge.errors import DxForgeError

if TYPE_CHECKING:
    from dxforge.commands.live import Live
    from dxforge.forge import DxForge
    from dxforge.thread import ForgeThread

T = TypeVar("T")


class KernelForges(Forges):
    """One forge per project, for as long as the kernel lives: it owns the tools that cells start.

    Interrupting a cell ends what the cell waits for, not the tools. Should the kernel be killed, their guards stop
    them.
    """

    lasting = True

    def __init__(self) -> None:
        super().__init__()
        self._threads: dict[Path, ForgeThread] = {}
        self._lock = threading.Lock()
        self._pid = 0

    def thread(self, root: Path) -> ForgeThread:
        """The running forge of the project in ``root``."""
        from dxforge.thread import ForgeThread

        root = Path(os.path.abspath(root))
        with self._lock:
            if self._pid != os.getpid():
                # The first, or a fork of the kernel: threads do not survive that, and the tools are the parent's.
                self._threads, self._pid = {}, os.getpid()
                atexit.register(self.close)
            thread = self._threads.setdefault(root, ForgeThread(root, events=self.events))
            return thread.start()

    def look(self, root: Path) -> DxForge:
        """The running forge where there is one."""
        thread = self._threads.get(Path(os.path.abspath(root))) if self._pid == os.getpid() else None
        return thread.forge if thread is not None and thread.running else super().look(root)

    def run(
        self,
        root: Path,
        work: Callable[[DxForge], Coroutine[Any, Any, T]],
        live: Live,
        *,
        run_tasks: bool = False,  # noqa: ARG002 - a kernel always runs them
    ) -> T:
        """Run ``work`` on the project's forge, which stays open; an interrupt cancels just the work."""
        thread = self.thread(root)
        return waited(thread, work(thread.forge), live)

    def close(self) -> None:
        """Close all of them, and their panels; tools that nobody else uses end, unless they are to be kept."""
        # Panels are closed while there is a loop to do it on.
        if panels := sys.modules.get("dxforge_nb.panels.registry"):
            panels.PANELS.close()
        with self._lock:
            atexit.unregister(self.close)
            threads, self._threads = list(self._threads.values()), {}
            own, self._pid = self._pid == os.getpid(), 0
        if own:
            for thread in threads:
                with contextlib.suppress(DxForgeError):
                    thread.close()


FORGES = KernelForges()
