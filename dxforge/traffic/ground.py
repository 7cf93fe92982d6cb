"""The project under the manager: its files, its lock, its thread. What every operation stands on."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dxforge.errors import DxForgeError, LockfileError, ProjectBusyError, ProjectError, UsageError
from dxforge.events import EventBus, Notice
from dxforge.files import prepare_state_dir, project_lock, write_error
from dxforge.traffic.journal import Journal, read_text
from dxforge.traffic.lock import Lock, archives_in
from dxforge.traffic.lock_text import LockTexts
from dxforge.traffic.model import Action, Change
from dxforge.working import in_thread

if TYPE_CHECKING:
    from dxforge.config.load import Environment
    from dxforge.config.model import Config
    from dxforge.sources.model import Pin
    from dxforge.traffic.review import Review
    from dxforge.traffic.shelf import Opened
    from dxforge.traffic.workspace import Indexes, Workspace

T = TypeVar("T")


class Ground:
    """One project's folder, for the time of a :class:`TrafficManager`. Reads nothing until asked.

    Args:
        root: the project's folder, absolute.
        events: where progress and notices go.
    """

    def __init__(self, root: Path, events: EventBus) -> None:
        self.root = root
        self.events = events
        self.locks = LockTexts()
        self._indexes: Indexes | None = None
        self._opened: Opened | None = None

    def recover(self) -> None:
        """Take back what a killed process left half-done; a project that someone is working on is left alone."""
        journal = self.state / "journal"
        if journal.is_dir() and any(journal.iterdir()):
            with contextlib.suppress(ProjectBusyError):
                self.with_lock(lambda: None, wait_s=0)

    @property
    def state(self) -> Path:
        """``.dx``."""
        return self.root / ".dx"

    def lock_text(self) -> str | None:
        """The text of ``dx.lock``, None where there is none."""
        if (self.root / "dx.lock").is_symlink():
            raise LockfileError(
                "it is a symlink, which writing it would replace",
                where=str(self.root / "dx.lock"),
                hint="Put a real file there",
            )
        try:
            return read_text(self.root / "dx.lock")
        except UnicodeDecodeError as error:
            raise LockfileError(
                "it is not UTF-8 text", where=str(self.root / "dx.lock"), hint="Restore it from version control"
            ) from error
        except OSError as error:
            raise write_error(error, self.root / "dx.lock", "cannot be read") from error

    def config_text(self) -> str | None:
        """The text of ``dx.toml``, None where there is none."""
        from dxforge.config.load import read_text as read_config

        file = self.root / "dx.toml"
        return read_config(file) if file.is_file() else None

    def workspace(
        self, *, lock_text: str | None = None, config: Config | None = None, offline: bool = False
    ) -> Workspace:
        """One look at the project; what is not given is read."""
        from dxforge.config.load import load_config
        from dxforge.traffic.shelf import Opened, Shelf
        from dxforge.traffic.workspace import Indexes, Workspace

        config = config or load_config(self.root)
        text = lock_text if lock_text is not None else self.lock_text()
        if self._opened is None:
            self._opened = Opened()
        shelf = Shelf(config, self.environment(), self.state, self.events, offline=offline, opened=self._opened)
        if self._indexes is None:
            self._indexes = Indexes(self.state)
        lock = self.locks.loads(text, where=self.root / "dx.lock")
        return Workspace(config=config, lock=lock, shelf=shelf, indexes=self._indexes)

    def review(self, workspace: Workspace) -> Review:
        """The pending files of ``workspace``."""
        from dxforge.traffic.numbers import HunkNumbers
        from dxforge.traffic.review import Review

        return Review(workspace, HunkNumbers(self.state))

    def journal(self) -> Journal:
        """The journal; its writing calls need the lock."""
        packages_dir = "src/dx_packages"
        with contextlib.suppress(DxForgeError):
            from dxforge.config.load import load_config

            packages_dir = load_config(self.root).packages_dir
        return Journal(self.root, self.state, self.events, packages_dir)

    def environment(self) -> Environment:
        """What the environment says to dxforge."""
        from dxforge.config.load import load_environment

        return load_environment()

    def keep_archives(self, workspace: Workspace, journal: Journal, lock_before: str | None) -> None:
        """Keep the archives that the lock, an operation that can be undone or a snapshot needs, and no others."""
        pins = _pins(workspace.lock)
        if pins.keys() != _pins(self.locks.loads(lock_before)).keys():
            wanted = {*pins, *journal.archives(), *self._archives_in_snapshots()}
            workspace.shelf.keep(list(pins.values()), wanted=wanted)

    def _archives_in_snapshots(self) -> set[str]:
        """The sha256 of every archive that the dx.lock of a snapshot names: a rollback must find its bases."""
        from dxforge.store.snapshots import SnapshotStore

        found: set[str] = set()
        for content in SnapshotStore(self.root, events=self.events).versions("dx.lock"):
            found |= archives_in(content.decode("utf-8", "replace"))
        return found

    @contextlib.contextmanager
    def after_commit(self) -> Iterator[None]:
        """What follows a commit only saves time later: a failure is told, and takes nothing back."""
        try:
            yield
        except (OSError, DxForgeError) as error:
            self.events.emit(Notice(text=f"done, but not everything could be kept for later: {error}"))

    def loaded(self, changes: list[Change]) -> list[str]:
        """A note about modules that this process still has from the old source."""
        from dxforge.importer import loaded_from

        importlib.invalidate_caches()  # new files may lie in folders that Python has already listed
        written = (Action.UPDATE, Action.DELETE)
        names = loaded_from([self.root / change.path for change in changes if change.action in written])
        if not names:
            return []
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return [f"still loaded from the old source: {shown}; restart the kernel, or reload them with importlib.reload"]

    def relative(self, path: str | os.PathLike[str]) -> str:
        """``path`` from the root with ``/``.

        Raises:
            UsageError: it leads out of the project.
        """
        text = os.fspath(path)
        given = Path(text)
        outside = UsageError("it lies outside the project", where=text, hint=f"Name a path below {self.root}")
        if given.is_absolute():
            try:
                given = given.relative_to(self.root)
            except ValueError as error:
                raise outside from error
        relative = os.path.normpath(given).replace("\\", "/")
        if relative.split("/")[0] == ".." or "\0" in text:
            raise outside
        return relative

    def with_lock(
        self, work: Callable[[], T], *, wait_s: float | None = None, check: Callable[[], None] = lambda: None
    ) -> T:
        """Do ``work`` while holding the project's lock, after taking back what a killed process left.

        Args:
            work: what to do.
            wait_s: how long to wait for another holder, in seconds (None: as the environment says).
            check: called while waiting; raises to stop.
        """
        if not self.root.is_dir():
            raise no_project(self.root)
        state = prepare_state_dir(self.root)
        wait_s = self.environment().lock_wait_s if wait_s is None else wait_s
        with project_lock(state, wait_s=wait_s, events=self.events, check=check):
            self.journal().recover()
            return work()

    async def in_thread(self, work: Callable[[Callable[[], None]], T]) -> T:
        """Run ``work`` in a thread; cancelling stops it at its next check and waits until it has stopped."""
        return await in_thread(work)


def _pins(lock: Lock) -> dict[str, Pin]:
    """Every archive that a lock names, by sha256."""
    return {pin.sha256: pin for package in lock.packages.values() for pin in (package.pin, *package.former)}


def no_project(root: Path) -> ProjectError:
    """The error where there is no project."""
    return ProjectError("there is no dx.toml here", where=str(root), hint="Make one with `dxforge init`")
