"""``TrafficManager``: the one door to packages, for Python, the command line and the notebook."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dxforge.errors import (
    ChangedMeanwhileError,
    DxForgeError,
    ProjectError,
    UndoError,
    UsageError,
)
from dxforge.events import EventBus
from dxforge.traffic.ground import Ground, no_project
from dxforge.traffic.lock import dumps, loads
from dxforge.traffic.model import (
    Action,
    Change,
    FileDiff,
    InstallReport,
    Operation,
    PackageStatus,
    TrafficLight,
)
from dxforge.traffic.record import Job, Record, Write

if TYPE_CHECKING:
    from dxforge.config.model import Config, OnYellow, PackageSpec
    from dxforge.store.snapshots import SnapshotStore
    from dxforge.store.tree import Entry
    from dxforge.traffic.edits import EditedFiles
    from dxforge.traffic.install import Options, Plan
    from dxforge.traffic.restore_plan import RollbackPlan, RollbackReport
    from dxforge.traffic.review import Matter, Outcome, Review

T = TypeVar("T")
PathLike = str | os.PathLike[str]


_SHOWN_WITH_HUNKS = 200
"""Up to so many pending files, an install's report shows their hunks; beyond, only ``pending()`` does."""


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
            return self._plan(options, check=check)

        return await self._ground.in_thread(work)

    async def apply(self, plan: Plan) -> InstallReport:
        """Carry out exactly ``plan``.

        Raises:
            ChangedMeanwhileError: the project is no longer as it was when the plan was made; nothing was changed.
        """
        return await self._ground.in_thread(
            lambda check: self._ground.with_lock(lambda: self._apply(plan, check), check=check)
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
        return await self._install(lambda check: self._plan(options, check=check))

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
        return await self._install(lambda check: self._plan_package(name, version, options, check))

    async def add(
        self,
        *specs: PackageSpec,
        locked: bool = False,
        offline: bool = False,
        on_yellow: OnYellow | None = None,
    ) -> InstallReport:
        """Declare packages in ``dx.toml`` (comments and order stay) and install them, as one operation."""
        options = _options([spec.name for spec in specs], locked=locked, offline=offline, on_yellow=on_yellow)
        return await self._install(lambda check: self._plan_add(specs, options, check))

    async def remove(self, *names: str, on_yellow: OnYellow | None = None) -> InstallReport:
        """Take packages out of ``dx.toml`` and their files away, by the same traffic light, as one operation."""
        options = _options(names, offline=True, on_yellow=on_yellow)
        return await self._install(lambda check: self._plan_remove(names, options, check))

    async def _install(self, make_plan: Callable[[Callable[[], None]], Plan]) -> InstallReport:
        def work(check: Callable[[], None]) -> InstallReport:
            return self._ground.with_lock(lambda: self._apply(make_plan(check), check), check=check)

        return await self._ground.in_thread(work)

    def _plan(
        self,
        options: Options,
        *,
        command: str = "install",
        config: Config | None = None,
        config_write: Write | None = None,
        removing: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Plan:
        from dxforge.traffic.install import plan_install

        lock_text = self._ground.lock_text()
        workspace = self._ground.workspace(config=config, lock_text=lock_text, offline=options.offline)
        plan = plan_install(
            workspace,
            options,
            command=command,
            lock_text=lock_text,
            config_write=config_write,
            removing=removing,
            check=check,
        )
        planned = {look.name for look in plan.looks}
        if not any(package.pending for name, package in workspace.lock.packages.items() if name not in planned):
            return plan
        waiting = self._ground.review(workspace).matters()
        return dataclasses.replace(
            plan, elsewhere=tuple(matter.change for matter in waiting if matter.name not in planned)
        )

    def _plan_add(
        self, specs: Sequence[PackageSpec], options: Options, check: Callable[[], None], command: str = "add"
    ) -> Plan:
        from dxforge.config.edit import add_package, new_project
        from dxforge.config.load import decode
        from dxforge.traffic.install import text_write

        before = self._ground.config_text()
        text = before if before is not None else new_project(self.root.name)
        for spec in specs:
            text = add_package(text, spec, where=str(self.root / "dx.toml"))
        config = decode(text, root=self.root, where=str(self.root / "dx.toml"))
        write = None if text == before else text_write(self.root, "dx.toml", text)
        return self._plan(options, command=command, config=config, config_write=write, check=check)

    def _plan_remove(self, names: Sequence[str], options: Options, check: Callable[[], None]) -> Plan:
        from dxforge.config.edit import remove_package
        from dxforge.config.load import decode
        from dxforge.traffic.install import text_write

        before = self._ground.config_text()
        if before is None:
            raise no_project(self.root)
        text = before
        for name in names:
            text = remove_package(text, name, where=str(self.root / "dx.toml"))
        config = decode(text, root=self.root, where=str(self.root / "dx.toml"))
        write = text_write(self.root, "dx.toml", text)
        return self._plan(options, command="remove", config=config, config_write=write, removing=True, check=check)

    def _plan_package(self, name: str, version: str | None, options: Options, check: Callable[[], None]) -> Plan:
        from dxforge.config.load import load_config
        from dxforge.config.model import PyPISpec

        config = load_config(self.root) if self._ground.config_text() is not None else None
        declared = next((spec for spec in config.packages if spec.name == name), None) if config is not None else None
        if config is None or declared is None:
            return self._plan_add([PyPISpec(name=name, version=_specifier(version))], options, check, "install")
        if version is None:
            return self._plan(options, check=check)
        if not isinstance(declared, PyPISpec):
            raise UsageError(
                f"{name} does not come from the Python index, so a version cannot be chosen here",
                where=str(config.file),
                hint="Change its entry in dx.toml and install",
            )
        wanted = dataclasses.replace(declared, version=_specifier(version))
        if not _allows(declared.version, version):
            return self._plan_add([wanted], options, check, "install")
        packages = tuple(wanted if spec is declared else spec for spec in config.packages)
        return self._plan(options, config=dataclasses.replace(config, packages=packages), check=check)

    def _apply(self, plan: Plan, check: Callable[[], None]) -> InstallReport:
        if self._ground.lock_text() != plan.lock_before:
            raise ChangedMeanwhileError(
                "it changed after the plan was made", where=str(self.root / "dx.lock"), hint="Run the command again"
            )
        check()
        journal = self._ground.journal()
        record = journal.run(plan.job(), now=_now()) if plan.writes else None
        workspace = self._ground.workspace(lock_text=plan.lock_after, offline=plan.offline)
        with self._ground.after_commit():
            for look, package in zip(plan.looks, plan.packages, strict=True):
                if package.incoming is None:
                    workspace.indexes.put(look.name, None)
                    continue
                workspace.remember(look, package, package.incoming, staged_ns=journal.staged_ns)
            if record is not None:
                self._ground.keep_archives(workspace, journal, plan.lock_before)
        report = plan.report(operation=record.id if record is not None else None, dry_run=False)
        if workspace.lock.pending <= _SHOWN_WITH_HUNKS:
            with self._ground.after_commit():
                pending = [matter.change for matter in self._ground.review(workspace).matters()]
                report = dataclasses.replace(report, pending=pending)
        return dataclasses.replace(report, notes=self._ground.loaded(report.changes))

    # ---- reviewing

    def pending(self) -> list[Change]:
        """Everything that awaits a decision, with its hunks, evaluated from what is on disk now."""
        self._ground.recover()
        return [matter.change for matter in self._ground.review(self._ground.workspace()).matters()]

    def diff(self, path: PathLike) -> FileDiff:
        """One package file from every side: my edits, theirs, and the proposal where one is pending.

        Args:
            path: from the project's root (or absolute).

        Raises:
            NotPendingError: neither pending nor a file of an installed package.
        """
        from dxforge.errors import NotPendingError
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
        return self._decide("accept", paths, hunks, lambda review, matter, chosen: review.accept(matter, chosen))

    def reject(
        self, paths: PathLike | Collection[PathLike], hunks: Collection[str | int] | str | int | None = None
    ) -> InstallReport:
        """Keep what is there: for whole files, or refuse chosen hunks of one file. Arguments as for :meth:`accept`."""
        return self._decide("reject", paths, hunks, lambda review, matter, chosen: review.reject(matter, chosen))

    def resolve(self, path: PathLike, content: str | bytes) -> InstallReport:
        """Decide on one file by giving its content."""
        from dxforge.traffic.review import check_text

        data = check_text(content)
        return self._decide("resolve", path, None, lambda review, matter, _: review.resolve(matter, data), one=True)

    def _decide(
        self,
        command: str,
        paths: PathLike | Collection[PathLike],
        hunks: Collection[str | int] | str | int | None,
        decide: Callable[[Review, Matter, Collection[str] | None], Outcome],
        *,
        one: bool = False,
    ) -> InstallReport:
        wanted = self._relatives(paths)
        chosen = None if hunks is None else [str(hunk) for hunk in ([hunks] if isinstance(hunks, str | int) else hunks)]

        def work() -> InstallReport:
            from dxforge.traffic.review import settled

            lock_text = self._ground.lock_text()
            workspace = self._ground.workspace(lock_text=lock_text)
            review = self._ground.review(workspace)
            matters, closed = review.choose(wanted)
            if (one or chosen is not None) and len(matters) != 1:
                raise UsageError(
                    f"{len(matters)} files match, and hunks or a resolution belong to exactly one",
                    where=", ".join(wanted),
                    hint="Name one file",
                )
            outcomes = {(matter.name, matter.item.path): decide(review, matter, chosen) for matter in matters}
            lock = settled(workspace.lock, outcomes, closed)
            writes = tuple(write for outcome in outcomes.values() for write in (*outcome.writes, *outcome.asides))
            job = Job(
                command=command,
                summary=_names([matter.change.path for matter in matters]),
                writes=_distinct(writes),
                lock_before=lock_text,
                lock_after=dumps(lock),
            )
            journal = self._ground.journal()
            record = journal.run(job, now=_now())
            after = self._ground.workspace(lock_text=job.lock_after)
            with self._ground.after_commit():
                self._ground.keep_archives(after, journal, lock_text)
            changes = [
                _decided(matter.change, outcomes[(matter.name, matter.item.path)], command) for matter in matters
            ]
            left = [matter.change for matter in self._ground.review(after).matters()]
            return InstallReport(changes=changes, pending=left, operation=record.id, notes=self._ground.loaded(changes))

        return self._ground.with_lock(work)

    # ---- going back

    def undo(self, operation: str | None = None) -> InstallReport:
        """Take the last operation back (an undo too); later edits stay, or stop it where they overlap.

        Args:
            operation: an id of ``log``: go back to before it, by taking back the last operation, the one before it, and
                so on. Each step is an operation of its own; where one is stopped, those before it are done.

        Raises:
            UndoError: there is nothing to undo, no such operation, or later edits are in the way.
        """

        def work() -> InstallReport:
            records = {record.id: record for record in self._ground.journal().records()}
            if not records:
                raise UndoError("nothing has been done here yet", where=str(self.root), hint="See `dxforge log`")
            last = max(records)
            first = last if operation is None else operation.zfill(len(last))
            if first not in records:
                raise UndoError(
                    f"there is no operation {operation}", where=str(self.root), hint="See `dxforge log` for the ids"
                )
            report = InstallReport()
            for identity in sorted((known for known in records if known >= first), reverse=True):
                step = self._undo_one(records[identity])
                report = dataclasses.replace(step, changes=[*report.changes, *step.changes])
            return dataclasses.replace(report, notes=self._ground.loaded(report.changes))

        return self._ground.with_lock(work)

    def _undo_one(self, record: Record) -> InstallReport:
        from dxforge.traffic.undo import undo_job, undone_changes

        journal = self._ground.journal()
        job = undo_job(record, self.root, self._content_of(record))
        undone = journal.run(job, now=_now())
        pending: list[Change] = []
        with contextlib.suppress(DxForgeError):  # it is undone, whatever dx.toml says now
            workspace = self._ground.workspace(lock_text=job.lock_after)
            with self._ground.after_commit():
                self._ground.keep_archives(workspace, journal, job.lock_before)
            pending = [matter.change for matter in self._ground.review(workspace).matters()]
        return InstallReport(changes=undone_changes(job), pending=pending, operation=undone.id)

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

    def _content_of(self, record: Record) -> Callable[[Entry], bytes | None]:
        def find(entry: Entry) -> bytes | None:
            from dxforge.store.snapshots import SnapshotStore

            store = SnapshotStore(self.root, events=self.events)
            if entry.oid in store:
                return store.content(entry.oid)
            workspace = self._ground.workspace()
            for text in (record.lock_after, record.lock_before):
                for package in loads(text).packages.values():
                    with contextlib.suppress(DxForgeError):
                        archive = workspace.shelf.package(package.pin)
                        for path, known in archive.tree.items():
                            if known.oid == entry.oid:
                                return next(iter(archive.read({path})))[1]
            return None

        return find

    # ---- looking

    def packages(self) -> list[PackageStatus]:
        """Every installed package with how many of its files the user changed and how many await a decision."""
        from dxforge.traffic.status import status_of

        self._ground.recover()
        workspace = self._ground.workspace()
        waiting = Counter(matter.name for matter in self._ground.review(workspace).matters())
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


def _specifier(version: str | None) -> str:
    if version is None:
        return ""
    return version if version[:1] in "<>=!~" else f"=={version}"


def _allows(specifier: str, version: str) -> bool:
    """Whether ``version`` is an exact version that ``specifier`` allows."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _names(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files"


def _distinct(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """One write per path: two renames may end at the same file only once."""
    by_path = {write.path: write for write in writes}
    if len(by_path) != len(writes):
        seen: set[str] = set()
        for write in writes:
            if write.path in seen:
                raise UsageError(
                    "two of these changes end in the same file", where=write.path, hint="Decide on them one by one"
                )
            seen.add(write.path)
    return writes


def _decided(change: Change, outcome: Outcome, command: str) -> Change:
    """A pending change as it reads once decided; ``broken`` where what was written does not compile."""
    from dxforge.traffic.hunks import syntax_problem

    write = next((write for write in outcome.writes if write.path == change.path), None)
    action = Action.KEEP
    if write is not None:
        action = Action.DELETE if write.after is None else Action.CREATE if write.before is None else Action.UPDATE
    said = {"accept": "accepted", "reject": "rejected", "resolve": "resolved"}[command]
    partly = " in part" if outcome.left is not None else ""
    broken = syntax_problem(write.path, write.content) if write is not None and write.content is not None else ""
    return dataclasses.replace(
        change, action=action, reason=f"{said}{partly}: {change.reason}", hunks=(), broken=broken
    )
