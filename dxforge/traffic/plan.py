"""What an install would do to one package: frozen data, decided from the three trees, touching nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dxforge.config.model import OnYellow
from dxforge.sources.model import Package, Pin
from dxforge.store.tree import Entry, Tree
from dxforge.traffic import light as table
from dxforge.traffic.hunks import syntax_problem
from dxforge.traffic.judge import Case, Readers, Rename, Verdict, find_renames, judge
from dxforge.traffic.light import Obstacle
from dxforge.traffic.local import Scan
from dxforge.traffic.lock import LockedPackage, PendingFile
from dxforge.traffic.model import Action, Change, PackageChange, TrafficLight
from dxforge.traffic.record import TreeWrite, Write

_ON_REMOVAL = {
    table.REMOVED: "the package is removed; you had not changed this file",
    table.REMOVED_BUT_EDITED: "the package is removed, but you had edited this file",
}


def reason_for(reason: str, *, leaving: bool) -> str:
    """The reason as it reads where not upstream but the user took the whole package away (``leaving``)."""
    return _ON_REMOVAL.get(reason, reason) if leaving else reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Everything that the plan for one package depends on.

    ``prefix`` is the package's folder from the project's root. ``base_tree`` is the locked archive's files (empty where
    the package is new). ``incoming`` is None where the package is to be removed.
    """

    name: str
    prefix: str
    locked: LockedPackage | None
    base_tree: Tree
    incoming: Package | None
    found: Scan
    local: Mapping[str, Entry]
    readers: Readers
    said: frozenset[str] = frozenset()
    review: Literal["modified", "always"] = "modified"
    on_yellow: OnYellow = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePlan:
    """What will happen to one package.

    ``sources`` says which incoming files (by path in the package) go to which targets (from the project's root).
    ``locked`` is the package's new entry in ``dx.lock``, None where it leaves.
    """

    change: PackageChange
    changes: tuple[Change, ...]
    locked: LockedPackage | None
    incoming: Package | None = None
    writes: tuple[Write, ...] = ()
    trees: tuple[TreeWrite, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    said: frozenset[str] = frozenset()
    local: Mapping[str, Entry] = field(default_factory=dict)
    """The user's files as they were when this was decided."""

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """What the writes do not carry themselves: (path from the project's root, content)."""
        if self.incoming is None:
            return
        whole = next((tree.path for tree in self.trees if tree.created), None)
        if whole is not None:
            for path, content in self.incoming.read():
                yield f"{whole}/{path}", content
        elif self.sources:
            for path, content in self.incoming.read(self.sources):
                for target in self.sources[path]:
                    yield target, content


def plan_package(given: Given) -> PackagePlan:
    """Decide about every file of one package; see the contract's table."""
    if given.incoming is not None and not given.found.exists:
        return _whole(given, given.incoming)
    return _Planner(given).plan()


def _whole(given: Given, incoming: Package) -> PackagePlan:
    """The package's folder is not there: everything is new, and appears in one rename."""
    changes = tuple(
        Change(
            path=f"{given.prefix}/{path}",
            light=TrafficLight.GREEN,
            reason=table.NEW,
            action=Action.CREATE,
            package=given.name,
        )
        for path in incoming.tree
    )
    return PackagePlan(
        change=_package_change(given),
        changes=changes,
        locked=_locked(incoming.pin, incoming.tree),
        incoming=incoming,
        trees=(TreeWrite(path=given.prefix, files=incoming.tree, created=True),),
    )


def _package_change(given: Given) -> PackageChange:
    new = given.incoming.pin if given.incoming is not None else None
    old = given.locked.pin if given.locked is not None else None
    pin = new or old
    assert pin is not None  # noqa: S101 - a package is known by its lock or by what comes in
    return PackageChange(
        name=given.name,
        from_version=old.version if old else None,
        to_version=new.version if new else None,
        source=pin.kind,
    )


def _locked(pin: Pin, tree: Tree, pending: tuple[PendingFile, ...] = (), former: tuple[Pin, ...] = ()) -> LockedPackage:
    return LockedPackage(pin=pin, pending=pending, former=former, files=dict(tree) if pin.kind == "path" else None)


class _Planner:
    """One package's plan in the making; lives for one call."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._tree: Tree = given.incoming.tree if given.incoming is not None else {}
        self._old = {item.path: item for item in given.locked.pending} if given.locked is not None else {}
        self._base = {**given.base_tree, **{path: item.base for path, item in self._old.items()}}
        self._deleted: set[str] = set()
        self._writes: list[Write] = []
        self._sources: dict[str, list[str]] = {}
        self._changes: list[Change] = []
        self._pending: list[PendingFile] = []
        self._said: set[str] = set()

    def plan(self) -> PackagePlan:
        given = self._given
        self._deleted = {
            path
            for path, base in self._base.items()
            if base is not None and path not in self._tree and given.local.get(path) == base
        }
        cases = self._cases()
        for verdict in judge(cases, given.readers, review=given.review):
            self._settle(verdict)
        pin = given.incoming.pin if given.incoming is not None else None
        locked = None
        former = (*given.locked.former, given.locked.pin) if given.locked is not None else ()
        if pin is not None:
            locked = _locked(pin, self._tree, tuple(self._pending), former)
        elif self._pending and given.locked is not None:
            # Leaving, but edited files await a decision: the entry stays until they are decided.
            locked = LockedPackage(pin=given.locked.pin, pending=tuple(self._pending), former=former, leaving=True)
        trees: tuple[TreeWrite, ...] = ()
        if locked is None and set(given.found.files) == self._deleted and not given.found.special:
            trees = (
                TreeWrite(path=given.prefix, files={path: given.local[path] for path in self._deleted}, created=False),
            )
            self._writes.clear()
        return PackagePlan(
            change=_package_change(given),
            changes=tuple(self._changes),
            locked=locked,
            incoming=given.incoming,
            writes=tuple(self._writes),
            trees=trees if self._deleted else (),
            sources={path: tuple(targets) for path, targets in self._sources.items()},
            said=frozenset(self._said),
            local=given.local,
        )

    def _cases(self) -> list[Case]:
        given = self._given
        cases: list[Case] = []
        edited: dict[str, Entry] = {}
        for path in sorted({*self._base, *self._tree}):
            base, incoming = self._base.get(path), self._tree.get(path)
            local: Entry | Obstacle | None = given.local.get(path)
            if base is None and incoming is None:  # was in the way of a file that has left the package again
                self._drop_aside(self._old.get(path))
                continue
            if local == base == incoming:
                self._said.discard(path)
                continue
            if local is None:
                local = self._obstacle(path)
            if incoming is None and isinstance(local, Entry) and base is not None and local != base:
                edited[path] = base
            old = self._old.get(path)
            taken = old is not None and old.taken
            cases.append(Case(path=path, base=base, local=local, incoming=incoming, taken=taken))
        if not edited or given.incoming is None:
            return cases
        # A rename that awaits its decision is known; by now its new name is in the base as well.
        known = {path: rename for path in edited if (rename := self._known_rename(path)) is not None}
        found = self._renames({path: base for path, base in edited.items() if path not in known})
        renames = {**{path: self._unobstructed(rename) for path, rename in found.items()}, **known}
        return [self._follow(case, renames[case.path]) if case.path in renames else case for case in cases]

    def _obstacle(self, path: str) -> Obstacle | None:
        """What is in the way at ``path``, beyond what this very plan deletes."""
        found = self._given.found
        obstacle = found.obstacle(path)
        if obstacle is None:
            return None
        if path in found.folders:
            inside = [name for name in (*found.files, *found.special) if name.startswith(f"{path}/")]
            folders = [name for name in found.folders if name == path or name.startswith(f"{path}/")]
            emptied = all(any(name.startswith(f"{folder}/") for name in inside) for folder in folders)
            return None if emptied and all(name in self._deleted for name in inside) else obstacle
        parent = path.rpartition("/")[0]
        while parent:
            if parent in self._deleted:
                return None
            parent = parent.rpartition("/")[0]
        return obstacle

    def _renames(self, edited: dict[str, Entry]) -> dict[str, Rename]:
        removed = {path: base for path, base in self._base.items() if base is not None and path not in self._tree}
        added = {path: entry for path, entry in self._tree.items() if self._base.get(path) is None}
        given = self._given
        return find_renames(edited, removed, added, given.readers.base, given.readers.incoming)

    def _known_rename(self, path: str) -> Rename | None:
        old = self._old.get(path)
        if old is None:
            return None
        if old.new_path is not None and old.new_path in self._tree:
            return Rename(old.new_path)
        candidates = tuple(candidate for candidate in old.candidates if candidate in self._tree)
        return Rename(None, candidates) if candidates else None

    def _unobstructed(self, rename: Rename) -> Rename:
        """The same, or a mere candidate where a file of the user's is at the new name."""
        there = None if rename.new_path is None else self._given.local.get(rename.new_path)
        if rename.new_path is None or there is None or there == self._tree[rename.new_path]:
            return rename
        return Rename(None, (rename.new_path,))

    def _follow(self, case: Case, rename: Rename) -> Case:
        incoming = None if rename.new_path is None else self._tree[rename.new_path]
        return dataclasses.replace(case, incoming=incoming, new_path=rename.new_path, candidates=rename.candidates)

    def _path(self, path: str) -> str:
        return f"{self._given.prefix}/{path}"

    def _settle(self, verdict: Verdict) -> None:
        old = self._old.get(verdict.case.path)
        if old is not None and old.rejected and verdict.light is TrafficLight.GREEN and verdict.action is Action.UPDATE:
            # The user took the edit back, but has refused a part of this update.
            verdict = dataclasses.replace(
                verdict, light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=table.EDIT_TAKEN_BACK
            )
        if verdict.light is TrafficLight.GREEN:
            self._green(verdict)
        elif verdict.light is TrafficLight.YELLOW and self._given.on_yellow == "accept" and self._acceptable(verdict):
            self._drop_aside(self._old.get(verdict.case.path))
            self._write(verdict)
            self._change(verdict, Action.UPDATE, f"{verdict.reason}; accepted (on_yellow)")
        elif verdict.light is TrafficLight.YELLOW and self._given.on_yellow == "keep":
            self._drop_aside(self._old.get(verdict.case.path))
            self._change(verdict, Action.KEEP, f"{verdict.reason}; yours kept (on_yellow)")
        else:
            self._undecided(verdict)

    def _acceptable(self, verdict: Verdict) -> bool:
        """Whether nobody needs to look: a rename moves files, a merge that does not parse wants eyes, and so does a
        change that was refused in part."""
        content = verdict.content
        old = self._old.get(verdict.case.path)
        if verdict.case.new_path or verdict.reason == table.BASE_LOST or (old is not None and old.rejected):
            return False
        path = verdict.case.path
        if content is None or not syntax_problem(path, content):
            return True
        return bool(syntax_problem(path, self._given.readers.local([path])[path]))  # it did not parse before either

    def _green(self, verdict: Verdict) -> None:
        path = verdict.case.path
        self._drop_aside(self._old.get(path))
        if verdict.action is Action.KEEP:
            if verdict.reason == table.SAME:
                return
            if verdict.reason == table.YOUR_DELETION:
                self._said.add(path)
                if path in self._given.said:
                    return
        else:
            self._write(verdict)
        self._change(verdict, verdict.action, verdict.reason)

    def _write(self, verdict: Verdict) -> None:
        local = verdict.case.local
        before = local if isinstance(local, Entry) else None
        target = self._path(verdict.case.path)
        self._writes.append(Write(path=target, before=before, after=verdict.after, content=verdict.content))
        if verdict.after is not None and verdict.content is None:
            self._sources.setdefault(verdict.case.path, []).append(target)

    def _undecided(self, verdict: Verdict) -> None:
        case = verdict.case
        old = self._old.get(case.path)
        aside = None
        if verdict.light is TrafficLight.RED and case.incoming is not None and case.new_path is None:
            aside = self._set_aside(case, case.incoming, old)
        else:
            self._drop_aside(old)
        locked = self._given.locked
        former = ""
        if case.base is not None and locked is not None:
            former = old.former if old is not None else locked.pin.sha256
        self._pending.append(
            PendingFile(
                path=case.path,
                base=case.base,
                incoming=case.incoming,
                former=former,
                new_path=case.new_path,
                set_aside=aside,
                rejected=old.rejected if old is not None else (),
                taken=case.taken,
                candidates=case.candidates,
            )
        )
        self._change(verdict, verdict.action, verdict.reason, set_aside=aside)

    def _set_aside(self, case: Case, incoming: Entry, old: PendingFile | None) -> str | None:
        """Plan the ``.new`` file; returns its path in the package, None where no file can be beside."""
        given = self._given
        parent = case.path.rpartition("/")[0]
        if parent and parent not in given.found.folders:
            return None
        if old is not None and old.set_aside is not None and given.local.get(old.set_aside) == old.incoming:
            aside, before = old.set_aside, old.incoming
        else:
            aside, before = self._free_name(f"{case.path}.new"), None
        if before != incoming:
            self._writes.append(Write(path=self._path(aside), before=before, after=incoming))
            self._sources.setdefault(case.path, []).append(self._path(aside))
        return aside

    def _free_name(self, wanted: str) -> str:
        found = self._given.found
        taken = {item.set_aside for item in self._pending}
        name, number = wanted, 0
        while (
            name in found.files or name in found.folders or name in found.special or name in self._tree or name in taken
        ):
            number += 1
            name = f"{wanted}.{number}"
        return name

    def _drop_aside(self, old: PendingFile | None) -> None:
        """The ``.new`` file of a matter that is settled goes, unless the user has changed it."""
        if old is None or old.set_aside is None or old.incoming is None:
            return
        if self._given.local.get(old.set_aside) == old.incoming:
            self._writes.append(Write(path=self._path(old.set_aside), before=old.incoming, after=None))

    def _change(self, verdict: Verdict, action: Action, reason: str, *, set_aside: str | None = None) -> None:
        case = verdict.case
        reason = reason_for(reason, leaving=self._given.incoming is None)
        self._changes.append(
            Change(
                path=self._path(case.path),
                light=verdict.light,
                reason=reason,
                action=action,
                package=self._given.name,
                new_path=self._path(case.new_path) if case.new_path else None,
                set_aside=self._path(set_aside) if set_aside else None,
            )
        )
