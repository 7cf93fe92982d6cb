"""What awaits a decision, evaluated live from base, local and incoming. What a decision writes is in ``outcome.py``."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from typing import Literal, Protocol

from dxforge.errors import NotPendingError
from dxforge.store.tree import SYMLINK, Entry
from dxforge.traffic import light as table
from dxforge.traffic.hunks import RawHunk, find_hunks, overlapping, show_hunk, syntax_problem, unified_diff
from dxforge.traffic.judge import Case, Readers, Verdict, judge
from dxforge.traffic.light import Obstacle
from dxforge.traffic.lock import PendingFile
from dxforge.traffic.merge import is_binary
from dxforge.traffic.model import Action, Change, FileDiff, Hunk, TrafficLight
from dxforge.traffic.numbers import Numbered
from dxforge.traffic.plan import reason_for
from dxforge.traffic.workspace import Look, Workspace


class Numbers(Protocol):
    """Gives hunks their small numbers; see ``numbers.py``."""

    def of_all(self, proposals: Sequence[Numbered]) -> list[list[str]]:
        """The number of each digest in each proposal, as text; new ones get the next free number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the light and the proposal of one pending file depend on, archives aside.

    ``there`` is the file at the place that upstream renamed it to.
    """

    item: PendingFile
    local: Entry | Obstacle | None
    there: Entry | None
    leaving: bool
    review: Literal["modified", "always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One pending file as it stands now.

    ``change`` is without hunks (see :meth:`Review.shown`). ``old`` is the file that the proposal would change (the
    user's, or for a rename the one at the new name); ``new`` the proposal's content, None where it is a deletion.
    ``every`` are the pieces in which they differ, ``raw`` those that are undecided.
    """

    name: str
    item: PendingFile
    facts: Facts
    verdict: Verdict
    change: Change
    old: bytes | None
    new: bytes | None
    raw: tuple[RawHunk, ...]
    every: tuple[RawHunk, ...]

    @property
    def local(self) -> Entry | None:
        """The user's file."""
        return self.facts.local if isinstance(self.facts.local, Entry) else None


@dataclass(frozen=True, slots=True)
class Texts:
    """The contents of a pending file's sides; None where there is no such file, or it is lost."""

    base: bytes | None
    local: bytes | None
    incoming: bytes | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A package's folder, as far as it was looked at."""

    paths: set[str]
    look: Look
    local: Mapping[str, Entry]
    readers: Readers


@dataclass(slots=True)
class Review:
    """The pending files of one workspace. Looks at no more of the disk than what is asked about needs."""

    workspace: Workspace
    numbers: Numbers
    _opened: dict[str, _Opened] = field(default_factory=dict)

    def items(self, wanted: Collection[str] | None = None) -> Iterator[tuple[str, list[PendingFile]]]:
        """Each package's pending files (``wanted``: only these paths from the root) as ``dx.lock`` lists them."""
        for name, package in self.workspace.lock.packages.items():
            prefix = self.path(name, "")
            items = [item for item in package.pending if wanted is None or prefix + item.path in wanted]
            if items:
                yield name, items

    def matters(self, wanted: Collection[str] | None = None) -> Iterator[Matter]:
        """Every pending file (``wanted``: only these paths from the root) that still needs a decision."""
        for name, items in self.items(wanted):
            yield from self._of_package(name, items)

    def path(self, name: str, path: str) -> str:
        """A path in the package ``name``, from the root."""
        return f"{self.workspace.config.packages_dir}/{name}/{path}"

    def facts(self, name: str, items: Sequence[PendingFile]) -> list[Facts]:
        """What each of these files' light depends on, as it is on disk."""
        opened = self._open(name, items)
        leaving = self.workspace.lock.packages[name].leaving
        review = self.workspace.config.traffic.review
        found = []
        for item in items:
            local: Entry | Obstacle | None = opened.local.get(item.path)
            if local is None:
                local = opened.look.found.obstacle(item.path)
            there = opened.local.get(item.new_path) if item.new_path is not None else None
            found.append(Facts(item=item, local=local, there=there, leaving=leaving, review=review))
        return found

    def file(self, matter: Matter, path: str | None) -> Entry | None:
        """The user's file at one of the matter's places: its path, its new one, or that of its ``.new`` file."""
        return None if path is None else self._open(matter.name, [matter.item]).local.get(path)

    def readers(self, matter: Matter) -> Readers:
        """How to read the contents of the matter's package."""
        return self._open(matter.name, [matter.item]).readers

    def texts(self, matter: Matter) -> Texts:
        """The contents of the matter's sides."""
        item, readers = matter.item, self.readers(matter)
        where = item.new_path or item.path
        base = readers.base([item.path]).get(item.path) if item.base is not None else None
        local = readers.local([item.path])[item.path] if self.file(matter, item.path) is not None else None
        incoming = readers.incoming([where]).get(where) if item.incoming is not None else None
        return Texts(base, local, incoming)

    def _open(self, name: str, items: Sequence[PendingFile]) -> _Opened:
        paths: set[str] = set()
        for item in items:
            paths |= {item.path, item.new_path or item.path, item.set_aside or item.path}
        known = self._opened.get(name)
        if known is None or not paths <= known.paths:
            if known is not None:
                paths |= known.paths
            look = self.workspace.look(name, paths)
            local = self.workspace.local(look, paths)
            locked = self.workspace.lock.packages[name]
            incoming = None if locked.leaving else self.workspace.lazy(name, locked.pin)
            readers = _reading_once(self.workspace.readers(look, local, incoming))
            known = self._opened[name] = _Opened(paths, look, local, readers)
        return known

    def _of_package(self, name: str, items: list[PendingFile]) -> Iterator[Matter]:
        facts = self.facts(name, items)
        opened = self._open(name, items)
        cases = [
            Case(
                path=known.item.path,
                base=known.item.base,
                local=known.local,
                incoming=known.item.incoming,
                new_path=known.item.new_path,
                candidates=known.item.candidates,
                taken=known.item.taken,
            )
            for known in facts
        ]
        verdicts = judge(cases, opened.readers, review=self.workspace.config.traffic.review)
        verdicts = [_still_open(verdict) for verdict in verdicts]
        contents = _contents(items, verdicts, opened)
        for known, verdict, (old, new) in zip(facts, verdicts, contents, strict=True):
            if verdict.light is not TrafficLight.GREEN:
                yield self._matter(name, known, verdict, old, new)

    def _matter(self, name: str, facts: Facts, verdict: Verdict, old: bytes | None, new: bytes | None) -> Matter:
        item, path = facts.item, self.path(name, facts.item.path)
        every: list[RawHunk] = []
        binary = any(content is not None and is_binary(content) for content in (old, new))
        links = SYMLINK in (mode_of(verdict.case.local), mode_of(verdict.after))
        if old is not None and new is not None and not binary and not links and item.new_path is None:
            every = find_hunks(old, new)
        broken = ""
        if new is not None and verdict.content is not None:
            broken = syntax_problem(path, new)
            if broken and old is not None and syntax_problem(path, old):
                broken = ""  # it did not compile before either: no fault of the merge
        change = Change(
            path=path,
            light=verdict.light,
            reason=reason_for(verdict.reason, leaving=facts.leaving),
            action=verdict.action,
            package=name,
            new_path=self.path(name, item.new_path) if item.new_path else None,
            set_aside=self.path(name, item.set_aside) if item.set_aside else None,
            binary=binary,
            broken=broken,
        )
        return Matter(
            name=name,
            item=item,
            facts=facts,
            verdict=verdict,
            change=change,
            old=old,
            new=new,
            raw=tuple(hunk for hunk in every if hunk.digest not in item.rejected),
            every=tuple(every),
        )

    # ---- choosing

    def choose(self, paths: Collection[str]) -> tuple[list[Matter], set[tuple[str, str]]]:
        """The pending files that ``paths`` (from the root: files, folders, globs, new names of renames) mean.

        Returns:
            Those that still need a decision, and (package, path) of those that have come to need none.

        Raises:
            NotPendingError: one of them means none.
        """
        names: dict[str, set[str]] = {}
        renamed: dict[str, set[str]] = {}
        for name, items in self.items():
            for item in items:
                path = self.path(name, item.path)
                names.setdefault(path, set()).add(path)
                if item.new_path is not None:
                    renamed.setdefault(self.path(name, item.new_path), set()).add(path)
        wanted: set[str] = set()
        for pattern in paths:
            plain = pattern.rstrip("/")
            # A name first: a file may really be called "a[1].py", and must not take "a1.py" along. And a file's own
            # name before one that another file would get.
            hits = (
                names.get(plain)
                or renamed.get(plain)
                or {path for path in names if path.startswith(f"{plain}/") or fnmatch.fnmatchcase(path, pattern)}
            )
            if not hits:
                near = difflib.get_close_matches(plain, names, n=1, cutoff=0.85)
                hint = f"Did you mean {near[0]}" if near else "See what is pending with `dxforge review`"
                raise NotPendingError("nothing awaits a decision there", where=plain, hint=hint)
            wanted |= hits
        matters = list(self.matters(wanted))
        left = {matter.change.path for matter in matters}
        closed = {(name, item.path) for name, items in self.items(wanted - left) for item in items}
        return matters, closed

    # ---- showing

    def shown(self, matters: Sequence[Matter]) -> list[Change]:
        """The matters' changes with their hunks."""
        wanted = [matter for matter in matters if matter.raw]
        numbers = self.numbers.of_all([_to_number(matter) for matter in wanted])
        hunks: dict[int, tuple[Hunk, ...]] = {}
        for matter, ids in zip(wanted, numbers, strict=True):
            old, new = matter.old or b"", matter.new or b""
            shown = (show_hunk(old, new, hunk) for hunk in matter.raw)
            hunks[id(matter)] = tuple(
                Hunk(id=number, header=header, lines=lines) for number, (header, lines) in zip(ids, shown, strict=True)
            )
        return [replaced(matter.change, hunks=hunks.get(id(matter), ())) for matter in matters]

    def ids(self, matter: Matter) -> list[str]:
        """The ids of the matter's undecided hunks, in the file's order."""
        return self.numbers.of_all([_to_number(matter)])[0] if matter.raw else []

    def overlapping(self, matter: Matter, texts: Texts) -> list[bool]:
        """Of each open hunk, whether it changes lines that the user has edited; of a Red file, else none does."""
        if matter.change.light is not TrafficLight.RED or texts.base is None or texts.local is None:
            return [False] * len(matter.raw)
        return overlapping(texts.base, texts.local, matter.raw)

    def diff(self, matter: Matter) -> FileDiff:
        """The three diffs of a pending file."""
        texts, path = self.texts(matter), matter.change.path
        new_path = matter.change.new_path or path
        change = self.shown([matter])[0]
        marked = zip(change.hunks, self.overlapping(matter, texts), strict=True)
        hunks = tuple(replaced(hunk, overlaps=overlaps) for hunk, overlaps in marked)
        return FileDiff(
            change=replaced(change, hunks=hunks),
            mine=unified_diff(texts.base, texts.local, path) if matter.item.base is not None else "",
            theirs=unified_diff(texts.base, texts.incoming, new_path) if matter.item.base is not None else "",
            proposal=unified_diff(matter.old, matter.new, new_path),
        )


def _reading_once(readers: Readers) -> Readers:
    """The same, without reading a file of the user's twice: for the merge, and as what the proposal starts from."""
    known: dict[str, bytes] = {}

    def read_local(paths: Collection[str]) -> dict[str, bytes]:
        known.update(readers.local([path for path in paths if path not in known]))
        return {path: known[path] for path in paths}

    return Readers(base=readers.base, local=read_local, incoming=readers.incoming)


def _to_number(matter: Matter) -> Numbered:
    proposal = matter.item.incoming.oid if matter.item.incoming is not None else ""
    return Numbered(matter.change.path, proposal, [hunk.digest for hunk in matter.raw])


def _contents(
    items: Sequence[PendingFile], verdicts: Sequence[Verdict], opened: _Opened
) -> list[tuple[bytes | None, bytes | None]]:
    """For each: the content that the proposal starts from, and the proposal's."""
    readers = opened.readers
    own = readers.local([path for path in {item.new_path or item.path for item in items} if path in opened.local])
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


def mode_of(side: Entry | Obstacle | None) -> int | None:
    """The mode of a side that is a file or symlink."""
    return side.mode if isinstance(side, Entry) else None


def _still_open(verdict: Verdict) -> Verdict:
    """A pending file whose edit the user took back: the update could be applied, and waits to be."""
    if verdict.light is TrafficLight.GREEN and verdict.action in (Action.UPDATE, Action.DELETE, Action.CREATE):
        return replaced(verdict, light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=table.EDIT_TAKEN_BACK)
    return verdict
