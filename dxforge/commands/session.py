"""Where a line is typed: the folder, how the face comes by a project's forge, and what it shows meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dxforge.commands.live import Live
from dxforge.commands.parsing import Call
from dxforge.errors import ProjectError
from dxforge.events import EventBus

if TYPE_CHECKING:
    from dxforge.forge import DxForge
    from dxforge.thread import ForgeThread

T = TypeVar("T")


class Forges:
    """How a face comes by the forge of a project; here, each command has one of its own.

    Attributes:
        events: what happens in all of them.
        lasting: whether what a command started outlives it.
    """

    lasting = False

    def __init__(self, events: EventBus | None = None) -> None:
        self.events = events or EventBus()

    def look(self, root: Path) -> DxForge:
        """A forge for what is answered at once; it is not opened, and need not be closed."""
        from dxforge.forge import DxForge

        return DxForge(root, events=self.events)

    def run(
        self, root: Path, work: Callable[[DxForge], Coroutine[Any, Any, T]], live: Live, *, run_tasks: bool = False
    ) -> T:
        """Run ``work`` to its end from sync code; an interrupt cancels it, and waits until it has stopped cleanly.

        Args:
            root: the project's folder.
            work: what to do with its forge.
            live: shows what goes on.
            run_tasks: whether the command itself is there to run background tasks. Otherwise those that it enqueues
                are handed to a process of their own, which ends when they are done.
        """
        from dxforge.thread import ForgeThread

        async def whole(forge: DxForge) -> T:
            try:
                return await work(forge)
            finally:
                # Tools that must end with the command may take a moment; `live` shows it.
                await forge.close()
                if not run_tasks and forge.left_tasks():
                    from dxforge.commands.detached import start_worker

                    start_worker(root)

        with ForgeThread(root, events=self.events, run_tasks=run_tasks) as thread:
            return waited(thread, whole(thread.forge), live)


def waited(thread: ForgeThread, work: Coroutine[Any, Any, T], live: Live) -> T:
    """The result of ``work``; until then ``live`` draws, and once more at the end."""
    try:
        return thread.run(work, meanwhile=live.draw)
    finally:
        live.draw()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where a line is typed. ``detailed``: results carry what a notebook folds away."""

    cwd: Path
    program: str = "dxforge"
    forges: Forges = field(default_factory=Forges)
    live: Live = field(default_factory=Live)
    read_stdin: Callable[[], bytes] | None = None
    ask: Callable[[str], str] | None = None
    """Asks the user for a secret without showing it; None where nobody can be asked."""
    detailed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One call in one session, and what all actions need."""

    call: Call
    session: Session

    def _root(self) -> Path:
        from dxforge.config.load import find_root

        if self.call.options.directory is None:
            return find_root(self.session.cwd)
        root = self.session.cwd / self.call.options.directory
        if not (root / "dx.toml").is_file():
            hint = f"`{self.session.program} -C {self.call.options.directory} init` makes it a project"
            raise ProjectError("there is no dx.toml in this folder", where=str(root), hint=hint)
        return root

    def _look(self) -> DxForge:
        """The project's forge, for what is answered at once."""
        return self.session.forges.look(self._root())

    def _work(self, work: Callable[[DxForge], Coroutine[Any, Any, T]], *, run_tasks: bool = False) -> T:
        """The result of work on the project's forge, waited for."""
        return self.session.forges.run(self._root(), work, self.session.live, run_tasks=run_tasks)
