"""Planning an install: which versions, which files, which lock. The one place where the plan is put together."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dxforge.config.model import OnYellow
from dxforge.errors import LockfileError, UndecidedError, UsageError
from dxforge.files import read_entry
from dxforge.sources.model import Package, Pin
from dxforge.store.tree import FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic.lock import Lock, dumps
from dxforge.traffic.model import Action, Change, InstallReport, PackageChange
from dxforge.traffic.plan import PackagePlan, plan_package
from dxforge.traffic.record import Job, Write
from dxforge.traffic.workspace import Look, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked of an install, beyond ``dx.toml``. ``names``: only these packages (empty: all)."""

    names: frozenset[str] = frozenset()
    upgrade: bool = False
    locked: bool = False
    offline: bool = False
    on_yellow: OnYellow | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan:
    """Exactly what an install will do. Frozen; made from what was there, and refused when that has changed.

    ``looks`` and ``packages`` are parallel: one for every package that is not wholly untouched.
    """

    command: str
    lock_before: str | None
    lock_after: str | None
    packages: tuple[PackagePlan, ...] = ()
    looks: tuple[Look, ...] = ()
    current: tuple[PackageChange, ...] = ()
    """Packages that need nothing."""
    config_write: Write | None = None
    offline: bool = False
    elsewhere: tuple[Change, ...] = ()
    """What awaits a decision in packages that this plan leaves alone."""

    def __repr__(self) -> str:
        """One line: a plan may hold thousands of files."""
        return f"<Plan: {self.command}, {len(self.packages)} packages, {len(self.changes)} files>"

    @property
    def changes(self) -> list[Change]:
        """Every file that the plan has something to say about, in the order of the packages."""
        return [change for package in self.packages for change in package.changes]

    @property
    def pending(self) -> list[Change]:
        """What will await a decision."""
        return [change for change in self.changes if change.action in (Action.PROPOSE, Action.SET_ASIDE)]

    @property
    def writes(self) -> bool:
        """Whether anything is to be written at all."""
        return bool(
            self.lock_before != self.lock_after
            or self.config_write
            or any(package.writes or package.trees for package in self.packages)
        )

    def report(self, *, operation: str | None = None, dry_run: bool = True) -> InstallReport:
        """The plan as the user sees it, before (``dry_run``) or after it was carried out."""
        return InstallReport(
            changes=self.changes,
            packages=[*(package.change for package in self.packages), *self.current],
            pending=[*self.pending, *self.elsewhere],
            dry_run=dry_run,
            operation=operation,
        )

    def job(self) -> Job:
        """What the journal carries out."""

        def contents() -> Iterator[tuple[str, bytes]]:
            for package in self.packages:
                yield from package.contents()

        writes = tuple(write for package in self.packages for write in package.writes)
        moved = [
            f"{change.name} {change.to_version or 'removed'}"
            for change in (package.change for package in self.packages)
            if change.from_version != change.to_version
        ]
        return Job(
            command=self.command,
            summary=", ".join(moved) or f"{len(self.changes)} files",
            writes=writes if self.config_write is None else (*writes, self.config_write),
            trees=tuple(tree for package in self.packages for tree in package.trees),
            lock_before=self.lock_before,
            lock_after=self.lock_after,
            contents=contents,
        )


def plan_install(
    workspace: Workspace,
    options: Options,
    *,
    command: str,
    lock_text: str | None,
    config_write: Write | None = None,
    removing: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Plan:
    """Decide about everything that ``dx.toml`` wants.

    Args:
        workspace: the project as it is (with the configuration as it will be).
        options: what was asked for.
        command: for the log.
        lock_text: ``dx.lock`` as it was read.
        config_write: the write of ``dx.toml`` that goes along.
        removing: only take away packages that are no longer wanted; nothing is resolved.
        check: called between steps; raises to cancel.

    Raises:
        UsageError: a name that ``dx.toml`` does not declare.
        LockfileError: ``options.locked``, and other archives than the locked ones would be taken.
        UndecidedError: ``on_yellow = "fail"``, and something would be pending.
    """
    config, lock = workspace.config, workspace.lock
    declared = [spec.name for spec in config.packages]
    if not removing:
        _check_names(options.names, declared)
    chosen = [name for name in declared if not options.names or name in options.names]
    wanted: dict[str, Package | None] = {}
    if not removing:
        wanted.update(_obtain(workspace, chosen, options, check))
    check()
    if not options.names or removing:
        # When all was resolved, what is needed is in it; when nothing was, the lock knows.
        kept = {*wanted, *declared, *(_required(lock, set(declared)) if removing else ())}
        wanted.update({name: None for name in lock.packages if name not in kept})
    on_yellow = options.on_yellow or config.traffic.on_yellow
    new_lock = lock
    plans: list[PackagePlan] = []
    looks: list[Look] = []
    current: list[PackageChange] = []
    for name, package in wanted.items():
        check()
        locked = lock.packages.get(name)
        same = locked is not None and package is not None and _same_archive(locked.pin, package.pin)
        if same and package is not None and workspace.untouched(name):
            assert locked is not None  # noqa: S101 - implied by same
            version = package.pin.version
            current.append(
                PackageChange(name=name, from_version=locked.pin.version, to_version=version, source=package.pin.kind)
            )
            if locked.pin != package.pin:
                new_lock = new_lock.with_package(name, dataclasses.replace(locked, pin=package.pin))
            continue
        look = workspace.look(name)
        decided = plan_package(workspace.given(look, package, on_yellow=on_yellow))
        plans.append(decided)
        looks.append(look)
        new_lock = new_lock.with_package(name, decided.locked)
    _check_locked(lock, new_lock, options)
    lock_after = dumps(new_lock)
    if lock_after is not None and lock_text not in (None, lock_after) and dumps(lock) == lock_after:
        lock_after = lock_text  # the same but for its spelling: leave the file alone
    plan = Plan(
        command=command,
        lock_before=lock_text,
        lock_after=lock_after,
        packages=tuple(plans),
        looks=tuple(looks),
        current=tuple(current),
        config_write=config_write,
        offline=options.offline,
    )
    if on_yellow == "fail" and plan.pending:
        first, count = plan.pending[0], len(plan.pending)
        raise UndecidedError(
            f"{count} change{'s' if count > 1 else ''} would await a decision ({first.light.value}: {first.reason})",
            where=first.path,
            hint='Nothing was installed, because on_yellow is "fail"; run `dxforge install --on-yellow ask` and review',
        )
    return plan


def _same_archive(old: Pin, new: Pin) -> bool:
    return old.sha256 == new.sha256 and old.layout == new.layout and old.subdir == new.subdir


def _check_names(names: Collection[str], declared: list[str]) -> None:
    for name in sorted(names):
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}" if near else f"Add it with `dxforge add {name}`"
            raise UsageError(f"dx.toml declares no package {name}", where="dx.toml: packages", hint=hint)


def _obtain(
    workspace: Workspace, chosen: list[str], options: Options, check: Callable[[], None]
) -> dict[str, Package | None]:
    """The package of every wanted name: lazily where it is the locked one, downloaded and verified where it is new."""
    lock, shelf = workspace.lock, workspace.shelf
    if not chosen:
        return {}
    pins = {name: package.pin for name, package in lock.packages.items() if not package.leaving}
    upgrade = set(pins) if options.upgrade and not options.names else set(options.names) if options.upgrade else set()
    sources = shelf.sources
    candidates = sources.resolve(pins, upgrade=upgrade, only=chosen)
    check()
    wanted: dict[str, Package | None] = {}
    missing = {}
    for name, candidate in candidates.items():
        pin = pins.get(name)
        if pin is not None and candidate.sha256 == pin.sha256 and candidate.layout == pin.layout:
            wanted[name] = workspace.lazy(name, candidate.pin())
        else:
            wanted[name] = None
            missing[name] = candidate
    for name, package in sources.obtain(missing).items():
        shelf.hold(package)
        wanted[name] = package
    return wanted


def _required(lock: Lock, roots: set[str]) -> set[str]:
    """Names that the packages ``roots`` pulled in, by what the lock says."""
    found: set[str] = set()
    stack = list(roots)
    while stack:
        package = lock.packages.get(stack.pop())
        for name in package.pin.requires if package is not None else ():
            if name not in found:
                found.add(name)
                stack.append(name)
    return found


def _check_locked(old: Lock, new: Lock, options: Options) -> None:
    if not options.locked:
        return
    moved = [
        name
        for name in sorted({*old.packages, *new.packages})
        if (old.packages[name].pin.sha256 if name in old.packages else None)
        != (new.packages[name].pin.sha256 if name in new.packages else None)
    ]
    if moved:
        raise LockfileError(
            f"--locked was asked for, and dx.lock would change for {', '.join(moved)}",
            where="dx.lock",
            hint="Run `dxforge install` without --locked, and commit the new dx.lock",
        )


def text_write(root: Path, path: str, text: str) -> Write:
    """The write of a text file at ``path`` (from ``root``), e.g. ``dx.toml``; its mode stays.

    Raises:
        UsageError: it is a symlink, so that writing it would write elsewhere.
    """
    found = read_entry(root / path)
    before = found[0] if found is not None else None
    if before is not None and before.mode == SYMLINK:
        raise UsageError("it is a symlink", where=str(root / path), hint="Edit the file it points to by hand")
    content = text.encode()
    after = Entry(before.mode if before is not None else FILE, blob_oid(content), len(content))
    return Write(path=path, before=before, after=after, content=content)
