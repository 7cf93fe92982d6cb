"""``TrafficManager``: the one door to packages, for Python, the command line and the notebook."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dxforge.errors import NotPendingError, ProjectError
from dxforge.events import EventBus
from dxforge.traffic.ground import Ground
from dxforge.traffic.model import Change, FileDiff, InstallReport, Operation, PackageStatus, TrafficLight

if TYPE_CHECKING:
    from dxforge.config.model import OnYellow, PackageSpec
    from dxforge.store.snapshots import SnapshotStore
    from dxforge.traffic.deciding import Decider
    from dxforge.traffic.edits import EditedFiles
    from dxforge.traffic.install import Options, Plan
    from dxforge.traffic.installing import Installer
    from dxforge.traffic.outcome import Choice
    from dxforge.traffic.restore_plan import RollbackPlan, RollbackReport
    from dxforge.traffic.reviewing import Reviewing
    from dxforge.traffic.standing import Standings
    from dxforge.traffic.undoing import Undoer

PathLike = str | os.PathLike[str]


class TrafficManager:
    """Installs packages as source, merges updates into edits, and keeps what awaits a decision.

    Cheap to make: nothing is read or written before the first call. Async methods do their blocking work in a thread;
    cancelling one stops it between two steps and leaves the project as it was before or, past the commit, as after.
    One process writes to a project at a time; others wait for ``DXFORGE_LOCK_WAIT_S`` seconds (30).

    Args:
        root: the project's folder. It needs a ``dx.toml`` for everything but ``analyze_traffic_safety`` and
            ``install_package`` (which makes one).
        events: where progress and notices go.
    """

    def __init__(self, root: Path | str, *, events: EventBus | None = None) -> None:
        self.root = Path(root).absolute()
        self.events = events or EventBus()
        self._ground = Ground(self.root, self.events)

    # What each does is loaded when it is first needed.

    @cached_property
    def _installer(self) -> Installer:
        from dxforge.traffic.installing import Installer

        return Installer(self._ground, _now)

    @cached_property
    def _standings(self) -> Standings:
        from dxforge.traffic.standing import Standings

        return Standings()

    @cached_property
    def _decider(self) -> Decider:
        from dxforge.traffic.deciding import Decider

        return Decider(self._ground, self._standings, _now)

    @cached_property
    def _undoer(self) -> Undoer:
        from dxforge.traffic.undoing import Undoer

        return Undoer(self._ground, _now)

    async def recover(self) -> None:
        """Take back what a killed process left half-done; a project that someone is working on is left alone."""
        await self._ground.in_thread(lambda _: self._ground.recover())

    # ---- installing

    async def plan(
        self,
        names: Collection[str] = (),
        *,
        upgrade: bool = False,
        locked: bool = False,
        offline: bool = False,
        on_yellow: OnYellow | None = None,
    ) -> Plan:
        """Decide what an install would do; writes nothing into the project (downloads go into the user's cache).

        Args:
            names: only these packages of ``dx.toml`` (none: all).
            upgrade: take the newest versions that ``dx.toml`` allows, not the locked ones.
            locked: refuse to change ``dx.lock``.
            offline: use only what is in the cache.
            on_yellow: what to do with Yellow; ``dx.toml``'s setting where None.

        Raises:
            DxForgeError: any of the tree in ``errors.py``; the project is as it was.
        """
        options = _options(names, upgrade=upgrade, locked=locked, offline=offline, on_yellow=on_yellow)

        def work(check: Callable[[], None]) -> Plan:
            self._ground.recover()
            return self._installer.plan(options, check=check)

        return await self._ground.in_thread(work)

    async def apply(self, plan: Plan) -> InstallReport:
        """Carry out exactly ``plan``.

        Raises:
            ChangedMeanwhileError: the project is no longer as it was when the plan was made; nothing was changed.
        """
        return await self._ground.in_thread(
            lambda check: self._ground.with_lock(lambda: self._installer.apply(plan, check), check=check)
        )

    async def install_all_dependencies(
        self,
        names: Collection[str] = (),
        *,
        upgrade: bool = False,
        locked: bool = False,
        offline: bool = False,
        on_yellow: OnYellow | None = None,
    ) -> InstallReport:
        """Install what ``dx.toml`` declares: plan and apply in one, under the project's lock.

        Arguments and errors are those of :meth:`plan`.
        """
        options = _options(names, upgrade=upgrade, locked=locked, offline=offline, on_yellow=on_yellow)
        return await self._install(lambda check: self._installer.plan(options, check=check))

    async def install_package(
        self,
        name: str,
        version: str | None = None,
        *,
        upgrade: bool = False,
        locked: bool = False,
        offline: bool = False,
        on_yellow: OnYellow | None = None,
    ) -> InstallReport:
        """Install one package of the Python index, declaring it in ``dx.toml`` where that does not yet.

        Args:
            name: as in ``dx.toml``.
            version: an exact version or a PEP 440 specifier. Where ``dx.toml`` declares the package and allows an exact
                version, only ``dx.lock`` changes; else ``dx.toml`` does.
            upgrade, locked, offline, on_yellow: as in :meth:`plan`.
        """
        options = _options((name,), upgrade=upgrade, locked=locked, offline=offline, on_yellow=on_yellow)
        return await self._install(lambda check: self._installer.plan_package(name, version, options, check))

    async def add(
        self,
        *specs: PackageSpec,
        locked: bool = False,
        offline: bool = False,
        on_yellow: OnYellow | None = None,
    ) -> InstallReport:
        """Declare packages in ``dx.toml`` (comments and order stay) and install them, as one operation."""
        options = _options([spec.name for spec in specs], locked=locked, offline=offline, on_yellow=on_yellow)
        return await self._install(lambda check: self._installer.plan_add(specs, options, check))

    async def remove(self, *names: str, on_yellow: OnYellow | None = None) -> InstallReport:
        """Take packages out of ``dx.toml`` and their files away, by the same traffic light, as one operation."""
        options = _options(names, offline=True, on_yellow=on_yellow)
        return await self._install(lambda check: self._installer.plan_remove(names, options, check))

    async def _install(self, make_plan: Callable[[Callable[[], None]], Plan]) -> InstallReport:
        def work(check: Callable[[], None]) -> InstallReport:
            return self._ground.with_lock(lambda: self._installer.apply(make_plan(check), check), check=check)

        return await self._ground.in_thread(work)

    # ---- reviewing

    @cached_property
    def reviewing(self) -> Reviewing:
        """The same for a panel: a list that is cheap to ask for again, and decisions that name what was seen."""
        from dxforge.traffic.reviewing import Reviewing

        return Reviewing(self._ground, self._standings, self._decider, self._undoer)

    def pending(self) -> list[Change]:
        """Everything that awaits a decision, with its hunks, evaluated from what is on disk now."""
        self._ground.recover()
        review = self._ground.review(self._ground.workspace())
        matters = list(review.matters())
        self._standings.note(matters)
        return review.shown(matters)

    def diff(self, path: PathLike) -> FileDiff:
        """One package file from every side: my edits, theirs, and the proposal where one is pending.

        Args:
            path: from the project's root (or absolute).

        Raises:
            NotPendingError: neither pending nor a file of an installed package.
        """
        from dxforge.traffic.status import edit_diff

        self._ground.recover()
        workspace = self._ground.workspace()
        review = self._ground.review(workspace)
        relative = self._ground.relative(path)
        try:
            matters, _ = review.choose([relative])
        except NotPendingError:
            matters = []
        found = None if matters else edit_diff(workspace, relative)
        if found is not None:
            return found
        if not matters:
            raise NotPendingError(
                "it is neither pending nor a file of an installed package",
                where=relative,
                hint="See what is pending with `dxforge review`",
            )
        return review.diff(matters[0])

    def accept(
        self, paths: PathLike | Collection[PathLike], hunks: Collection[str | int] | str | int | None = None
    ) -> InstallReport:
        """Take the proposal: for whole files, or chosen hunks of one file (the others stay undecided).

        Args:
            paths: from the project's root (or absolute): files, folders, globs.
            hunks: ids as in :class:`Hunk`; only with exactly one file.

        Returns:
            What was decided in ``changes``; what is left in ``pending``.

        Raises:
            NotPendingError: nothing is pending there.
            StaleHunkError: a hunk that is no longer there; nothing was changed.
        """
        return self._decide(_choice("accept", hunks), paths)

    def reject(
        self, paths: PathLike | Collection[PathLike], hunks: Collection[str | int] | str | int | None = None
    ) -> InstallReport:
        """Keep what is there: for whole files, or refuse chosen hunks of one file. Arguments as for :meth:`accept`."""
        return self._decide(_choice("reject", hunks), paths)

    def resolve(self, path: PathLike, content: str | bytes) -> InstallReport:
        """Decide on one file by giving its content."""
        from dxforge.traffic.outcome import Choice, check_text

        return self._decide(Choice(command="resolve", content=check_text(content)), path)

    def _decide(self, choice: Choice, paths: PathLike | Collection[PathLike]) -> InstallReport:
        wanted = self._relatives(paths)
        return self._ground.with_lock(lambda: self._decider.by_path(choice, wanted))

    # ---- going back

    def undo(self, operation: str | None = None) -> InstallReport:
        """Take the last operation back (an undo too); later edits stay, or stop it where they overlap.

        Args:
            operation: an id of ``log``: go back to before it, by taking back the last operation, the one before it, and
                so on. Each step is an operation of its own; where one is stopped, those before it are done.

        Raises:
            UndoError: there is nothing to undo, no such operation, or later edits are in the way.
        """
        return self._ground.with_lock(lambda: self._undoer.back_to(operation))

    async def plan_rollback(
        self, store: SnapshotStore, snapshot: str, paths: PathLike | Collection[PathLike] = ()
    ) -> RollbackPlan:
        """Decide what rolling back would do; writes nothing.

        Args:
            store: the project's snapshots.
            snapshot: as many first digits of its id as tell it from the others, or "latest".
            paths: from the project's root (or absolute): only these files, folders, globs (none: everything).

        Raises:
            SnapshotNotFoundError: there is no such snapshot, or more than one.
            UsageError: a path that neither the snapshot nor the project has.
        """
        from dxforge.traffic.restore import Restorer

        wanted = self._relatives(paths)

        def work(check: Callable[[], None]) -> RollbackPlan:
            self._ground.recover()
            return Restorer(self._ground, store).plan(snapshot, wanted, check)

        return await self._ground.in_thread(work)

    async def rollback(
        self, store: SnapshotStore, snapshot: str | RollbackPlan, paths: PathLike | Collection[PathLike] = ()
    ) -> RollbackReport:
        """Make the project, or some paths of it, what it was in a snapshot. Takes a snapshot first; ``undo`` helps too.

        What is ignored or was left out of the snapshot is not touched. Arguments are those of :meth:`plan_rollback`.

        Args:
            store: the project's snapshots.
            snapshot: as there; or a plan, to carry out exactly that.
            paths: as there.

        Raises:
            RollbackBlockedError: something that no snapshot holds is in the way; nothing was changed.
            ChangedMeanwhileError: a file changed meanwhile, or since the plan was made; nothing was changed.
            DxForgeError: those of :meth:`plan_rollback`, and others of the tree; nothing was changed.
        """
        from dxforge.traffic.restore import Restorer

        wanted = self._relatives(paths)

        def work(check: Callable[[], None]) -> RollbackReport:
            restorer = Restorer(self._ground, store)
            return self._ground.with_lock(lambda: restorer.run(snapshot, wanted, check, now=_now()), check=check)

        return await self._ground.in_thread(work)

    def _relatives(self, paths: PathLike | Collection[PathLike]) -> list[str]:
        return [self._ground.relative(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]

    def log(self) -> list[Operation]:
        """What was done to this project, newest first (the last hundred operations)."""
        from dxforge.traffic.undo import operations

        self._ground.recover()
        return operations(self._ground.journal().records())

    # ---- looking

    def packages(self) -> list[PackageStatus]:
        """Every installed package with how many of its files the user changed and how many await a decision."""
        from dxforge.traffic.status import status_of

        self._ground.recover()
        workspace = self._ground.workspace()
        waiting = Counter(found.package for found in self._standings.look(self._ground.review(workspace)))
        return [status_of(workspace, name, pending=waiting[name]) for name in sorted(workspace.lock.packages)]

    def edited(self) -> Iterator[EditedFiles]:
        """Every installed package that carries edits, with the edited files' bases and present contents."""
        from dxforge.traffic.edits import edited_packages

        return edited_packages(self._ground.workspace())

    def analyze_traffic_safety(self, path: PathLike, new_content: str | bytes) -> TrafficLight:
        """The light for one file, were ``new_content`` to come in.

        Args:
            path: from the project's root, or absolute; need not exist nor belong to a package.
            new_content: what would be written; text is taken as UTF-8.

        Returns:
            Green where there is no such file or it is equal already; Yellow where no base is known and it differs; else
            what the table says of the file's base, the file and the new content.
        """
        from dxforge.traffic.status import light_for

        content = new_content.encode("utf-8", "surrogatepass") if isinstance(new_content, str) else new_content
        workspace = None
        with contextlib.suppress(ProjectError):
            workspace = self._ground.workspace()
        return light_for(workspace, self.root, self._ground.relative(path), content)


def _options(
    names: Collection[str],
    *,
    upgrade: bool = False,
    locked: bool = False,
    offline: bool = False,
    on_yellow: OnYellow | None = None,
) -> Options:
    from dxforge.traffic.install import Options

    wanted = frozenset([names] if isinstance(names, str) else names)
    return Options(names=wanted, upgrade=upgrade, locked=locked, offline=offline, on_yellow=on_yellow)


def _choice(command: Literal["accept", "reject"], hunks: Collection[str | int] | str | int | None) -> Choice:
    from dxforge.traffic.outcome import Choice

    if hunks is None:
        return Choice(command=command)
    return Choice(command=command, hunks=tuple(map(str, [hunks] if isinstance(hunks, str | int) else hunks)))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
