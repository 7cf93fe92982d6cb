"""The live panels of this kernel: one per kind and project, made when first shown, closed with the project's forge."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.errors import DxForgeError, UsageError
from dxforge.events import Event
from dxforge_nb.attended import attended
from dxforge_nb.panels.channel import IdleClock, Message, Topic

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dxforge.forge import DxForge
    from dxforge.thread import ForgeThread
    from dxforge_nb.panels.service import Service
    from dxforge_nb.panels.widget import Panel

PROGRAM = "%dx"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRan(Event):
    """A cell has run to its end; it may have changed any file."""


class NoPanelError(DxForgeError):
    """Why there is no live panel; text and HTML serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    panel: Panel
    service: Service
    thread: ForgeThread
    forge: DxForge
    """What the panel is of: the thread has another one once it was closed and started again."""

    @property
    def served(self) -> bool:
        """Whether the forge is open."""
        return self.thread.running and self.thread.forge is self.forge

    def receive(self, content: object) -> None:
        """Take what a page sent. Any thread; never waits."""
        # One step, and nothing before it: an interrupt either prevents it, and the page asks again, or comes too late.
        try:
            if not self.served:
                raise UsageError("its forge was closed")
            self.thread.post(functools.partial(self.service.receive, content))
        except UsageError:
            self.service.refuse(content)

    def close(self) -> None:
        """End it, and tell its pages."""
        if self.served:
            with contextlib.suppress(DxForgeError):
                self.thread.run(self.service.close())
        self.service.abandon()


class Panels:
    """All of them. A forked child begins with none: it has no page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, Path], _Shown] = {}
        self._pid = 0
        self._id = ""
        self._clock = IdleClock(time.monotonic)
        self._shell: InteractiveShell | None = None

    def view(self, kind: str, root: Path) -> dict[str, Any]:
        """What makes a page show the panel, to be put beside text and HTML; {} where there is no page, or nobody at it.

        Args:
            kind: "status" or "review".
            root: the project's folder.

        Raises:
            DxForgeError: there can be none here.
        """
        shell = _shell_of_kernel()
        if shell is None or not _wanted(shell):
            return {}
        with self._lock:
            self._begin(shell)
            shown = self._shown.get((kind, root))
            if shown is not None and not (shown.served and shown.panel.alive):
                shown.close()  # the forge or the widget was closed by hand
                shown = None
            if shown is None:
                try:
                    shown = self._shown[kind, root] = self._make(kind, root)
                except DxForgeError:
                    raise
                except Exception as error:
                    # Of the host's widgets there are many versions, and text and HTML can always be shown.
                    what = f"the panel cannot be made: {type(error).__name__}: {error}"
                    raise NoPanelError(what, where=f"%dx {kind}") from error
            return shown.panel.view()

    def close(self) -> None:
        """Close all of them: their pages say so, and nothing of them runs any more."""
        with self._lock:
            shown, self._shown = list(self._shown.values()), {}
            own, self._pid = self._pid == os.getpid(), 0
            shell, self._shell = self._shell, None
        if not own:
            return
        if shell is not None:
            for name, hook in (("pre_execute", self._clock.stop), ("post_execute", self._cell_ran)):
                with contextlib.suppress(ValueError):
                    shell.events.unregister(name, hook)
        for each in shown:
            each.close()

    def _begin(self, shell: InteractiveShell) -> None:
        if self._pid == os.getpid():
            return
        self._shown, self._pid, self._id = {}, os.getpid(), uuid.uuid4().hex
        self._clock = IdleClock(time.monotonic)
        self._clock.stop()  # this is a cell
        self._shell = shell
        shell.events.register("pre_execute", self._clock.stop)
        shell.events.register("post_execute", self._cell_ran)

    def _cell_ran(self) -> None:
        from dxforge_nb.kernel import FORGES

        self._clock.go_on()
        FORGES.events.emit(CellRan())

    def _make(self, kind: str, root: Path) -> _Shown:
        from dxforge.config.load import load_config
        from dxforge_nb.kernel import FORGES
        from dxforge_nb.panels import assets
        from dxforge_nb.panels.service import Service

        script, style = assets.core()
        try:
            from dxforge_nb.panels.widget import Panel
        except ImportError as error:
            raise NoPanelError(
                "anywidget cannot be imported", where=error.name or "", hint="Install dxforge[notebook]"
            ) from error
        thread = FORGES.thread(root)
        project = load_config(root).name
        panel = Panel(kind, project, script=script, style=style)
        forge = thread.forge
        service = Service(
            _topic(kind, forge),
            send=panel.tell,
            clock=self._clock,
            about=functools.partial(_about, self._id, root, project),
            asset=assets.asset,
        )
        shown = _Shown(panel=panel, service=service, thread=thread, forge=forge)
        panel.listen(shown.receive)
        return shown


def _topic(kind: str, forge: DxForge) -> Topic:
    if kind == "status":
        from dxforge_nb.panels.status import StatusTopic

        return StatusTopic(forge)
    from dxforge_nb.panels.review import ReviewTopic

    return ReviewTopic(forge)


def _about(kernel: str, root: Path, project: str) -> Message:
    from dxforge.config.load import load_config
    from dxforge_nb.panels.assets import editor_id

    with contextlib.suppress(DxForgeError):  # then it is as it was
        project = load_config(root).name
    return {"kernel": kernel, "project": project, "program": PROGRAM, "editor": editor_id()}


def _shell_of_kernel() -> InteractiveShell | None:
    """The kernel's shell; None in a terminal, and in a process that was forked from a kernel."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    session = getattr(getattr(shell, "kernel", None), "session", None)
    if session is None or getattr(session, "pid", os.getpid()) != os.getpid():
        return None
    return shell


def _wanted(shell: InteractiveShell) -> bool:
    """Whether to show panels.

    Unless that is set: where somebody sits. What nbconvert and its like save is better off with HTML than with a panel
    that never lived.
    """
    from dxforge.config.load import load_environment

    wanted = load_environment().panels
    if wanted is False:
        raise NoPanelError("panels are switched off", where="DXFORGE_PANELS", hint="Unset it to have them")
    return bool(wanted or attended(shell))


PANELS = Panels()
