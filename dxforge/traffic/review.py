"""What awaits a decision, and what a decision does. Plans only; the manager carries it out."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dxforge.errors import ApplyError, NotPendingError, ReviewError, StaleHunkError, UsageError
from dxforge.store.tree import FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic import light as table
from dxforge.traffic.hunks import RawHunk, find_hunks, show_hunk, syntax_problem, take_hunks, unified_diff
from dxforge.traffic.judge import Case, Readers, Verdict, judge
from dxforge.traffic.light import Obstacle
from dxforge.traffic.local import local_entries
from dxforge.traffic.lock import Lock, LockedPackage, PendingFile
from dxforge.traffic.merge import is_binary, merge3
from dxforge.traffic.model import Action, Change, FileDiff, Hunk, TrafficLight
from dxforge.traffic.plan import reason_for
from dxforge.traffic.record import Write
from dxforge.traffic.workspace import Look, Workspace


class Numbers(Protocol):
    """Gives hunks their small numbers; see ``numbers.py``."""

    def of(self, path: str, proposal: str, digests: Sequence[str]) -> list[str]:
        """The number of each digest in this proposal, as text; new ones get the next free number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One pending file as it stands now.

    ``old`` is the file that the proposal would change (the user's, or for a rename the one at the new name); ``new``
    the proposal's content, None where it is a deletion. ``raw`` are the undecided hunks, parallel to ``change.hunks``.
    """

    name: str
    item: PendingFile
    verdict: Verdict
    change: Change
    old: bytes | None
    new: bytes | None
    raw: tuple[RawHunk, ...]
    every: tuple[RawHunk, ...]

    @property
    def local(self) -> Entry | None:
        """The user's file."""
        local = self.verdict.case.local
        return local if isinstance(local, Entry) else None


class Review:
    """The pending files of one workspace, evaluated live from base, local and incoming."""

    def __init__(self, workspace: Workspace, numbers: Numbers) -> None:
        self._workspace = workspace
        self._numbers = numbers
        self._looks: dict[str, tuple[Look, Mapping[str, Entry], Readers]] = {}

    def matters(self, wanted: Collection[str] | None = None) -> Iterator[Matter]:
        """Every pending file (``wanted``: only these paths from the root) that still needs a decision."""
        for name, package in self._workspace.lock.packages.items():
            items = [item for item in package.pending if wanted is None or self._path(name, item.path) in wanted]
            if items:
                yield from self._of_package(name, items)

    def _path(self, name: str, path: str) -> str:
        return f"{self._workspace.config.packages_dir}/{name}/{path}"

    def _open(self, name: str) -> tuple[Look, Mapping[str, Entry], Readers]:
        if name not in self._looks:
            look = self._workspace.look(name)
            paths = set()
            for item in self._workspace.lock.packages[name].pending:
                paths |= {item.path, item.new_path or item.path, item.set_aside or item.path}
            local = local_entries(look.folder, look.found, look.index, paths)
            locked = self._workspace.lock.packages[name]
            incoming = None if locked.leaving else self._workspace.lazy(name, locked.pin)
            self._looks[name] = look, local, self._workspace.readers(look, local, incoming)
        return self._looks[name]

    def _of_package(self, name: str, items: list[PendingFile]) -> Iterator[Matter]:
        look, local, readers = self._open(name)
        cases = []
        for item in items:
            entry: Entry | Obstacle | None = local.get(item.path)
            if entry is None:
                entry = look.found.obstacle(item.path)
            cases.append(
                Case(
                    path=item.path,
                    base=item.base,
                    local=entry,
                    incoming=item.incoming,
                    new_path=item.new_path,
                    candidates=item.candidates,
                    taken=item.taken,
                )
            )
        verdicts = judge(cases, readers, review=self._workspace.config.traffic.review)
        verdicts = [_still_open(verdict) for verdict in verdicts]
        contents = self._contents(items, verdicts, local, readers)
        for item, verdict, (old, new) in zip(items, verdicts, contents, strict=True):
            if verdict.light is not TrafficLight.GREEN:
                yield self._matter(name, item, verdict, old, new)

    def _contents(
        self, items: list[PendingFile], verdicts: list[Verdict], local: Mapping[str, Entry], readers: Readers
    ) -> list[tuple[bytes | None, bytes | None]]:
        """For each: the content that the proposal starts from, and the proposal's."""
        own = readers.local([path for path in {item.new_path or item.path for item in items} if path in local])
        from_archive = readers.incoming(
            {
                item.new_path or item.path
                for item, verdict in zip(items, verdicts, strict=True)
                if verdict.after is not None and verdict.content is None and item.incoming is not None
            }
        )
        pairs = []
        for item, verdict in zip(items, verdicts, strict=True):
            where = item.new_path or item.path
            new = verdict.content
            if new is None and verdict.after is not None:
                new = from_archive.get(where)
            pairs.append((own.get(where), new))
        return pairs

    def _matter(self, name: str, item: PendingFile, verdict: Verdict, old: bytes | None, new: bytes | None) -> Matter:
        path = self._path(name, item.path)
        every: list[RawHunk] = []
        binary = any(content is not None and is_binary(content) for content in (old, new))
        links = SYMLINK in (mode_of(verdict.case.local), mode_of(verdict.after))
        if old is not None and new is not None and not binary and not links and item.new_path is None:
            every = find_hunks(old, new)
        raw = [hunk for hunk in every if hunk.digest not in item.rejected]
        shown: tuple[Hunk, ...] = ()
        if raw and old is not None and new is not None:
            proposal = item.incoming.oid if item.incoming is not None else ""
            numbers = self._numbers.of(path, proposal, [hunk.digest for hunk in raw])
            shown = tuple(
                Hunk(id=number, header=header, lines=lines)
                for number, (header, lines) in zip(numbers, (show_hunk(old, new, hunk) for hunk in raw), strict=True)
            )
        broken = ""
        if new is not None and verdict.content is not None:
            broken = syntax_problem(path, new)
            if broken and old is not None and syntax_problem(path, old):
                broken = ""  # it did not compile before either: no fault of the merge
        change = Change(
            path=path,
            light=verdict.light,
            reason=reason_for(verdict.reason, leaving=self._workspace.lock.packages[name].leaving),
            action=verdict.action,
            package=name,
            new_path=self._path(name, item.new_path) if item.new_path else None,
            set_aside=self._path(name, item.set_aside) if item.set_aside else None,
            hunks=shown,
            binary=binary,
            broken=broken,
        )
        return Matter(
            name=name, item=item, verdict=verdict, change=change, old=old, new=new, raw=tuple(raw), every=tuple(every)
        )

    # ---- choosing

    def choose(self, paths: Collection[str]) -> tuple[list[Matter], set[tuple[str, str]]]:
        """The pending files that ``paths`` (from the root: files, folders, globs, new names of renames) mean.

        Returns:
            Those that still need a decision, and (package, path) of those that have come to need none.

        Raises:
            NotPendingError: one of them means none.
        """
        names = {
            self._path(name, item.path): {self._path(name, item.new_path)} if item.new_path else set()
            for name, package in self._workspace.lock.packages.items()
            for item in package.pending
        }
        wanted: set[str] = set()
        for pattern in paths:
            plain = pattern.rstrip("/")
            # A name first: a file may really be called "a[1].py", and must not take "a1.py" along.
            hits = {path for path, aliases in names.items() if plain in (path, *aliases)} or {
                path for path in names if path.startswith(f"{plain}/") or fnmatch.fnmatchcase(path, pattern)
            }
            if not hits:
                near = difflib.get_close_matches(plain, names, n=1, cutoff=0.85)
                hint = f"Did you mean {near[0]}" if near else "See what is pending with `dxforge review`"
                raise NotPendingError("nothing awaits a decision there", where=plain, hint=hint)
            wanted |= hits
        matters = list(self.matters(wanted))
        left = {matter.change.path for matter in matters}
        closed = {
            (name, item.path)
            for name, package in self._workspace.lock.packages.items()
            for item in package.pending
            if self._path(name, item.path) in wanted - left
        }
        return matters, closed

    # ---- deciding

    def accept(self, matter: Matter, chosen: Collection[str] | None) -> Outcome:
        """Take the proposal, or only the ``chosen`` hunks (their ids)."""
        if chosen is None:
            return self._take_all(matter)
        digests = _digests(matter, chosen)
        old, new = matter.old or b"", matter.new or b""
        content = take_hunks(old, new, matter.every, digests)
        left = [hunk for hunk in matter.raw if hunk.digest not in digests]
        mode = matter.verdict.after.mode if matter.verdict.after is not None and not left else None
        writes = self._replace(matter, content, mode)
        if left:
            return Outcome(writes=writes, left=dataclasses.replace(matter.item, taken=True))
        return Outcome(writes=writes, asides=self._aside(matter))

    def _take_all(self, matter: Matter) -> Outcome:
        verdict, item = matter.verdict, matter.item
        if isinstance(verdict.case.local, Obstacle):
            raise ReviewError(
                f"it cannot be taken while {verdict.case.local.what}",
                where=matter.change.path,
                hint="Move that away first, or reject the change to keep it",
            )
        if verdict.after is not None and matter.new is None:
            raise _lost(matter)
        if item.new_path is not None:
            writes = self._take_rename(matter)
        elif verdict.after is None:
            writes = (Write(path=matter.change.path, before=matter.local, after=None),)
        elif item.rejected and matter.every and matter.old is not None and matter.new is not None:
            content = take_hunks(matter.old, matter.new, matter.every, {hunk.digest for hunk in matter.raw})
            writes = self._replace(matter, content, verdict.after.mode)
        else:
            writes = self._replace(matter, matter.new or b"", verdict.after.mode)
        return Outcome(writes=writes, asides=self._aside(matter))

    def _replace(self, matter: Matter, content: bytes, mode: int | None) -> tuple[Write, ...]:
        local = matter.local
        if mode is None:
            mode = local.mode if local is not None else FILE
        after = Entry(mode, blob_oid(content), len(content))
        if after == local:
            return ()
        return (Write(path=matter.change.path, before=local, after=after, content=content),)

    def _take_rename(self, matter: Matter) -> tuple[Write, ...]:
        item, verdict = matter.item, matter.verdict
        gone = Write(path=matter.change.path, before=matter.local, after=None)
        _, local, readers = self._open(matter.name)
        there = local.get(item.new_path or "")
        new = matter.new or b""
        if verdict.after is None or (matter.change.light is TrafficLight.RED and there is not None):
            return (gone,)
        if there not in (None, item.incoming) and matter.old is not None:
            upstream = readers.incoming([item.new_path or ""]).get(item.new_path or "")
            if upstream is None:
                raise _lost(matter)
            merged = merge3(upstream, matter.old, new, path=item.new_path or "")
            if not merged.clean:
                raise ReviewError(
                    f"you have edited {matter.change.new_path} too, and the two edits overlap",
                    where=matter.change.path,
                    hint="Carry the edit over yourself with `dxforge resolve`, or reject to keep both files",
                )
            new = merged.content
        after = Entry(verdict.after.mode, blob_oid(new), len(new))
        if after == there:
            return (gone,)
        return (gone, Write(path=matter.change.new_path or "", before=there, after=after, content=new))

    def reject(self, matter: Matter, chosen: Collection[str] | None) -> Outcome:
        """Keep the user's file, or refuse only the ``chosen`` hunks (their ids)."""
        if chosen is None:
            return Outcome(asides=self._aside(matter))
        digests = _digests(matter, chosen)
        if all(hunk.digest in digests for hunk in matter.raw):
            return Outcome(asides=self._aside(matter))
        rejected = tuple(sorted({*matter.item.rejected, *digests}))
        return Outcome(left=dataclasses.replace(matter.item, rejected=rejected))

    def resolve(self, matter: Matter, content: bytes) -> Outcome:
        """Put the user's own resolution in the file's place (for a rename: at the new name)."""
        verdict = matter.verdict
        if isinstance(verdict.case.local, Obstacle):
            return self._take_all(matter)  # says what stands in the way
        mode = verdict.after.mode if verdict.after is not None else matter.local.mode if matter.local else FILE
        if matter.item.new_path is None:
            writes = self._replace(matter, content, mode)
        else:
            _, local, _ = self._open(matter.name)
            there = local.get(matter.item.new_path)
            after = Entry(mode, blob_oid(content), len(content))
            writes = (Write(path=matter.change.path, before=matter.local, after=None),)
            if after != there:
                writes += (Write(path=matter.change.new_path or "", before=there, after=after, content=content),)
        return Outcome(writes=writes, asides=self._aside(matter))

    def _aside(self, matter: Matter) -> tuple[Write, ...]:
        """The ``.new`` file goes with the matter, unless the user has changed it."""
        item = matter.item
        if item.set_aside is None or item.incoming is None:
            return ()
        _, local, _ = self._open(matter.name)
        if local.get(item.set_aside) != item.incoming:
            return ()
        return (Write(path=self._path(matter.name, item.set_aside), before=item.incoming, after=None),)

    # ---- showing

    def diff(self, matter: Matter) -> FileDiff:
        """The three diffs of a pending file."""
        _, local, readers = self._open(matter.name)
        item, path = matter.item, matter.change.path
        base = readers.base([item.path]).get(item.path) if item.base is not None else None
        mine = readers.local([item.path])[item.path] if item.path in local else None
        where = item.new_path or item.path
        theirs = readers.incoming([where]).get(where) if item.incoming is not None else None
        new_path = matter.change.new_path or path
        return FileDiff(
            change=matter.change,
            mine=unified_diff(base, mine, path) if item.base is not None else "",
            theirs=unified_diff(base, theirs, new_path) if item.base is not None else "",
            proposal=unified_diff(matter.old, matter.new, new_path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a decision writes, and what is ``left`` to decide (None: the file's base moves to the incoming one)."""

    writes: tuple[Write, ...] = ()
    asides: tuple[Write, ...] = ()
    left: PendingFile | None = None


def settled(lock: Lock, outcomes: Mapping[tuple[str, str], Outcome], closed: Collection[tuple[str, str]]) -> Lock:
    """The lock after decisions: ``outcomes`` by (package, path), and what is ``closed`` because it needs none."""
    for name, package in list(lock.packages.items()):
        pending: list[PendingFile] = []
        for item in package.pending:
            outcome = outcomes.get((name, item.path))
            if outcome is not None:
                if outcome.left is not None:
                    pending.append(outcome.left)
            elif (name, item.path) not in closed:
                pending.append(item)
        updated: LockedPackage | None = dataclasses.replace(package, pending=tuple(pending))
        lock = lock.with_package(name, None if package.leaving and not pending else updated)
    return lock


def _lost(matter: Matter) -> ReviewError:
    return ReviewError(
        "the proposed version can no longer be had: the folder that it came from has changed since",
        where=matter.change.path,
        hint="Run `dxforge install`, which proposes what is there now; or resolve it, or reject it to keep yours",
    )


def mode_of(side: Entry | Obstacle | None) -> int | None:
    """The mode of a side that is a file or symlink."""
    return side.mode if isinstance(side, Entry) else None


def _digests(matter: Matter, chosen: Collection[str]) -> set[str]:
    if not matter.change.hunks:
        raise UsageError(
            "this change has no hunks to choose from; it is taken or refused as a whole",
            where=matter.change.path,
            hint=f"Use `dxforge accept {matter.change.path}` or `dxforge reject {matter.change.path}`",
        )
    known = {hunk.id: raw.digest for hunk, raw in zip(matter.change.hunks, matter.raw, strict=True)}
    unknown = [number for number in chosen if number not in known]
    if unknown:
        ids = tuple(known)
        raise StaleHunkError(
            f"hunk {', '.join(unknown)} is not there (any more); there are {', '.join(ids)}",
            where=matter.change.path,
            hint=f"Look again with `dxforge diff {matter.change.path}`",
            hunks=ids,
        )
    return {known[number] for number in chosen}


def _still_open(verdict: Verdict) -> Verdict:
    """A pending file whose edit the user took back: the update could be applied, and waits to be."""
    if verdict.light is TrafficLight.GREEN and verdict.action in (Action.UPDATE, Action.DELETE, Action.CREATE):
        return dataclasses.replace(
            verdict, light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=table.EDIT_TAKEN_BACK
        )
    return verdict


def check_text(content: str | bytes) -> bytes:
    """A resolution's content as bytes.

    Raises:
        ApplyError: text that cannot be encoded.
    """
    if isinstance(content, bytes):
        return content
    try:
        return content.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ApplyError("the text cannot be encoded as UTF-8", hint="Pass bytes instead") from error
