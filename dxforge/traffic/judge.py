"""From the table's decision to a verdict with a proposal: merges, renames. Pure but for its readers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from dxforge.store.tree import SYMLINK, Entry, Tree, blob_oid
from dxforge.traffic import light as table
from dxforge.traffic.light import Decision, Obstacle, decide, merged_mode, one_sided
from dxforge.traffic.merge import MergeResult, Sides, is_binary, memory_repository, merge_many
from dxforge.traffic.model import Action, TrafficLight

Reader = Callable[[Collection[str]], Mapping[str, bytes]]
"""Contents of these paths."""

_SIMILARITY_PERCENT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file as the three sides have it. ``new_path``: where upstream moved it (``incoming`` is the file there)."""

    path: str
    base: Entry | None
    local: Entry | Obstacle | None
    incoming: Entry | None
    new_path: str | None = None
    candidates: tuple[str, ...] = ()
    """Where upstream may have renamed it to, when several places are equally likely."""
    taken: bool = False
    """Whether the user has taken hunks of the update already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The light for one case, and what the file would become.

    ``after`` is the proposal (Yellow and Red) or the new file (Green); None where the file goes or stays away.
    ``content`` is its content; None where it is the incoming file's own.
    """

    case: Case
    light: TrafficLight
    action: Action
    reason: str
    after: Entry | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Readers:
    """How to read the three sides; local and base by the case's path, incoming by ``new_path`` where there is one."""

    base: Reader
    local: Reader
    incoming: Reader


def judge(cases: Iterable[Case], readers: Readers, *, review: Literal["modified", "always"]) -> list[Verdict]:
    """A verdict for every case, in order; all merges are done in one go."""
    verdicts: dict[str, Verdict] = {}
    open_cases: list[Case] = []
    order: list[str] = []
    for case in cases:
        order.append(case.path)
        decision = decide(case.base, case.local, case.incoming, review=review)
        if decision.merge:
            open_cases.append(case)
        else:
            verdicts[case.path] = _settled(case, decision, readers)
    if open_cases:
        verdicts.update(_merged(open_cases, readers))
    return [_renamed(verdicts[path]) for path in order]


def _settled(case: Case, decision: Decision, readers: Readers) -> Verdict:
    """A verdict that needs no text merge; Yellow with one-sided contents gets its proposal here."""
    after, content = case.incoming, None
    if decision.action is Action.KEEP:
        after = case.local if isinstance(case.local, Entry) else None
        if case.new_path and after is not None and after != case.incoming:
            content = readers.local([case.path])[case.path]
    reason = decision.reason
    if decision.reason == table.MERGED:
        base, local, incoming = _three(case)
        oid = one_sided(base, local, incoming)
        mode = merged_mode(base.mode, local.mode, incoming.mode)
        if oid == local.oid != incoming.oid:
            after, content = Entry(mode, local.oid, local.size), readers.local([case.path])[case.path]
        else:
            after = Entry(mode, incoming.oid, incoming.size)
        if after == local:
            return _same_change(case, local, content)
    elif case.candidates and decision.reason == table.REMOVED_BUT_EDITED:
        reason = f"{reason}; upstream may have moved it to any of {', '.join(case.candidates)}, which are alike"
    return Verdict(case=case, light=decision.light, action=decision.action, reason=reason, after=after, content=content)


def _same_change(case: Case, local: Entry, content: bytes | None) -> Verdict:
    return Verdict(
        case=case,
        light=TrafficLight.GREEN,
        action=Action.KEEP,
        reason=table.SAME_CHANGE,
        after=local,
        content=content,
    )


def _three(case: Case) -> tuple[Entry, Entry, Entry]:
    if case.base is None or case.incoming is None or not isinstance(case.local, Entry):
        raise AssertionError(f"{case.path} has no three sides to merge")
    return case.base, case.local, case.incoming


def _merged(cases: list[Case], readers: Readers) -> dict[str, Verdict]:
    paths = [case.path for case in cases]
    with ThreadPoolExecutor(1, thread_name_prefix="dxforge-read") as pool:
        ahead = pool.submit(readers.incoming, [case.new_path or case.path for case in cases])
        bases, locals_ = readers.base(paths), readers.local(paths)
        incomings = ahead.result()
    sides = {
        case.path: Sides(bases[case.path], locals_[case.path], incomings[case.new_path or case.path], case.taken)
        for case in cases
        if case.path in bases and (case.new_path or case.path) in incomings
    }
    results = merge_many(sides)
    verdicts = {}
    for case in cases:
        if case.path in results:
            verdicts[case.path] = _from_merge(case, sides[case.path], results[case.path])
        else:
            reason = table.BASE_LOST if (case.new_path or case.path) in incomings else table.INCOMING_LOST
            verdicts[case.path] = Verdict(
                case=case, light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=reason, after=case.incoming
            )
    return verdicts


def _from_merge(case: Case, sides: Sides, result: MergeResult) -> Verdict:
    base, local, incoming = _three(case)
    if not result.clean:
        binary = any(is_binary(content) for content in (sides.base, sides.local, sides.incoming))
        reason = table.BINARY if binary else table.OVERLAP
        return Verdict(case=case, light=TrafficLight.RED, action=Action.SET_ASIDE, reason=reason, after=incoming)
    mode = merged_mode(base.mode, local.mode, incoming.mode)
    after = Entry(mode, blob_oid(result.content), len(result.content))
    content = None if after.oid == incoming.oid else result.content
    if after == local:
        return _same_change(case, local, content)
    reason = f"{table.MERGED} ({result.how})" if result.how else table.MERGED
    return Verdict(
        case=case, light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=reason, after=after, content=content
    )


def _renamed(verdict: Verdict) -> Verdict:
    """A rename is never Green while the edit has not moved: say where it would go."""
    new_path = verdict.case.new_path
    if new_path is None:
        return verdict
    if verdict.light is TrafficLight.RED:
        return dataclasses.replace(verdict, reason=f"renamed upstream to {new_path}; {verdict.reason}")
    return dataclasses.replace(
        verdict,
        light=TrafficLight.YELLOW,
        action=Action.PROPOSE,
        reason=f"renamed upstream to {new_path}; your edit can move there",
        after=verdict.after or verdict.case.incoming,
    )


@dataclass(frozen=True, slots=True)
class Rename:
    """Where a file went: one ``new_path``, or several equal ``candidates`` among which we do not guess."""

    new_path: str | None
    candidates: tuple[str, ...] = ()


def find_renames(edited: Tree, removed: Tree, added: Tree, base: Reader, incoming: Reader) -> dict[str, Rename]:
    """Where upstream moved files to that the user edited.

    Args:
        edited: removed upstream and edited by the user (base entries).
        removed: all that upstream removed (base entries), ``edited`` among them.
        added: all that upstream added.
        base: reads ``removed``; contents that are lost are left out.
        incoming: reads ``added``.

    Returns:
        For each edited file that has a similar one (at least half alike, as git counts) where it went.
    """
    edited, removed, added = _movable(edited), _movable(removed), _movable(added)
    if not edited or not added:
        return {}
    sources, targets = _by_oid(removed), _by_oid(added)
    found: dict[str, Rename] = {}
    for path, entry in edited.items():
        exact = targets.get(entry.oid, [])
        if exact:
            alone = len(exact) == 1 and len(sources[entry.oid]) == 1
            found[path] = Rename(exact[0]) if alone else Rename(None, tuple(sorted(exact)))
    # What is another removed file as it was, edited or not, is that one's: nothing else is likened to it.
    left = {path: entry for path, entry in removed.items() if entry.oid not in targets}
    free = {path: entry for path, entry in added.items() if entry.oid not in sources}
    if not any(path in edited for path in left):
        return found
    for path, new_path in _similar(left, free, base, incoming).items():
        places, twins = targets[added[new_path].oid], sources[removed[path].oid]
        for twin in twins:
            if twin in edited:
                known = found[twin].candidates if twin in found else ()
                alone = len(places) == len(twins) == 1
                found[twin] = Rename(new_path) if alone else Rename(None, tuple(sorted({*known, *places})))
    return found


def _movable(tree: Tree) -> Tree:
    """Without empty files and symlinks: that two of them are alike means nothing."""
    return {path: entry for path, entry in tree.items() if entry.size and entry.mode != SYMLINK}


def _by_oid(tree: Tree) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path, entry in tree.items():
        paths.setdefault(entry.oid, []).append(path)
    return paths


def _similar(removed: Tree, added: Tree, base: Reader, incoming: Reader) -> dict[str, str]:
    """Pairs of at least half alike, the most alike first; each path in one pair at most."""
    if not removed or not added:
        return {}
    import pygit2
    import pygit2.enums

    repository, _ = memory_repository()
    trees: list[pygit2.Tree] = []
    numbered: list[list[str]] = []
    for side, contents in enumerate((base(list(removed)), incoming(list(added)))):
        paths = list(contents)
        index = pygit2.Index()
        for number, path in enumerate(paths):
            # Names differ between the sides, so that libgit2 sees deletions and additions only.
            blob = repository.create_blob(contents[path])
            index.add(pygit2.IndexEntry(f"{side}{number:08}", blob, pygit2.enums.FileMode.BLOB))
        trees.append(repository[index.write_tree(repository)].peel(pygit2.Tree))
        numbered.append(paths)
    diff = trees[0].diff_to_tree(trees[1])
    diff.find_similar(flags=pygit2.enums.DiffFind.FIND_RENAMES, rename_threshold=_SIMILARITY_PERCENT)
    return {
        numbered[0][int(delta.old_file.path[1:])]: numbered[1][int(delta.new_file.path[1:])]
        for delta in diff.deltas
        if delta.status == pygit2.enums.DeltaStatus.RENAMED
    }
