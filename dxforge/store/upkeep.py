"""Keeping the store small and whole: garbage collection that keeps what is needed, and mending after damage.

Both write new packs first and take old ones away last, so that a kill at any point leaves every object where it was,
or in two places. Everything here needs the store's lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Container, Mapping
from pathlib import Path

from dxforge.errors import SnapshotDamagedError
from dxforge.files import sync_folder
from dxforge.store.model import LeftOut, Snapshot
from dxforge.store.objects import TREE_MODE, encode_tree, object_oid
from dxforge.store.pack import PackWriter, packed, packs, read_index, remove
from dxforge.store.repository import SNAPSHOTS, Repository, add_commit, closure

_GARBAGE_SHARE = 0.25
"""A pack with less garbage than this is not worth writing anew."""
_SMALL_BYTES = 4_000_000
_MANY_PACKS = 20
_LOST = "its content was damaged in the store"

Check = Callable[[], None]


def has_many_packs(repository: Repository) -> bool:
    """Whether the store would be faster with fewer packs."""
    return len(packs(repository.packs)) > _MANY_PACKS


def collect(repository: Repository, *, whole: bool, check: Check) -> int:
    """Take away what no reference needs, and join small packs into one where they have become many.

    Args:
        repository: the store.
        whole: leave no garbage; otherwise packs that hold little of it stay as they are.
        check: called now and then; raises to stop, with nothing lost.

    Returns:
        By how many bytes the packs became smaller.

    Raises:
        SnapshotDamagedError: something that is needed cannot be read; nothing was taken away.
        OSError: the file system refused; nothing was taken away.
    """
    needed = closure(repository.refs.all()[0].values(), repository.read, check)
    before = packs(repository.packs)
    indexes = {pack: _index(repository, pack) for pack in before}
    rewritten = _worth_rewriting(indexes, before, needed, whole=whole)
    kept = {oid for pack, index in indexes.items() if pack not in rewritten for oid in index}
    with PackWriter(repository.packs) as writer:
        for pack in rewritten:
            for oid in indexes[pack]:
                if oid in needed and oid not in kept and oid not in writer:
                    check()
                    writer.add(packed(*repository.read(oid), oid))
        fresh = writer.finish()
    if rewritten:
        _forget_summaries(repository.folder / "objects")
    for pack in rewritten:
        if pack != fresh:
            remove(pack)
    repository.reopen()
    return sum(before.values()) - sum(packs(repository.packs).values())


def _forget_summaries(objects: Path) -> None:
    """Take away what git, had the user run it here, would have written about packs and commits that are about to go."""
    for path in (*objects.glob("info/commit-graph*"), *objects.glob("pack/multi-pack-index*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _worth_rewriting(
    indexes: dict[Path, dict[str, int]], sizes: dict[Path, int], needed: Container[str], *, whole: bool
) -> list[Path]:
    chosen = []
    small = []
    for pack, index in indexes.items():
        garbage = sum(size for oid, size in index.items() if oid not in needed)
        if garbage and (whole or garbage >= _GARBAGE_SHARE * sizes[pack]):
            chosen.append(pack)
        elif sizes[pack] < _SMALL_BYTES:
            small.append(pack)
    return chosen + small if len(small) > _MANY_PACKS else chosen


def _index(repository: Repository, pack: Path) -> dict[str, int]:
    try:
        return read_index(pack)
    except (OSError, ValueError) as error:
        repository.mark()
        raise SnapshotDamagedError(
            f"the index of a pack cannot be read ({error})",
            where=str(pack),
            hint="Take a new snapshot, which mends what can be mended",
        ) from error


def is_lacking(repository: Repository, packs_then: Mapping[str, int], check: Check) -> bool:
    """Whether something of the store is known to be missing or damaged; forgets references that hold no id.

    Args:
        repository: the store.
        packs_then: the packs of an earlier time and their sizes.
        check: called now and then; raises to stop.
    """
    references, broken = repository.refs.all()
    repository.refs.delete(broken)
    if repository.marked:
        return True
    unchanged = repository.pack_sizes().items() >= packs_then.items()
    if unchanged and all(oid in repository for oid in references.values()):
        return False
    try:
        needed = closure(references.values(), repository.read, check)
    except SnapshotDamagedError:
        return True
    return not all(oid in repository for oid in needed)


def salvage(repository: Repository, check: Check) -> str:
    """Read every object; put packs with damaged ones aside, and what is still good in them into a new pack.

    Returns:
        Where the damaged packs are now, "" where there were none.
    """
    aside = repository.folder.with_name("snapshots.damaged")
    found = False
    for pack in packs(repository.packs):
        with PackWriter(repository.packs) as writer:
            if _copy_good(repository, pack, writer, check):
                continue
            fresh = writer.finish()
        found = True
        if fresh != pack:
            aside.mkdir(exist_ok=True)
            for part in (pack.with_suffix(".idx"), pack):
                os.replace(part, aside / part.name)
            sync_folder(aside)
        repository.reopen()
    return str(aside) if found else ""


def _copy_good(repository: Repository, pack: Path, writer: PackWriter, check: Check) -> bool:
    """Copy what can be read of a pack; returns whether that was all of it."""
    try:
        oids = read_index(pack)
    except (OSError, ValueError):
        return False
    good: list[str] = []
    for oid in oids:
        check()
        with contextlib.suppress(SnapshotDamagedError):
            repository.read(oid)
            good.append(oid)
    if len(good) == len(oids):
        return True
    for oid in good:
        writer.add(packed(*repository.read(oid), oid))
    return False


def mend_all(repository: Repository, check: Check) -> int:
    """Make every snapshot whole, without what is lost for good; returns how many could not be as they were."""
    lost = 0
    for name, oid in repository.refs.all()[0].items():
        try:
            snapshot = repository.snapshot(oid)
        except SnapshotDamagedError:
            repository.refs.delete([name])
            lost += name.startswith(SNAPSHOTS)
            continue
        if snapshot is None or not name.startswith(SNAPSHOTS):
            continue
        with PackWriter(repository.packs) as pack:
            mended = _mended(repository, snapshot, pack, check)
            if mended is not None and mended.tree != snapshot.tree:
                mended = add_commit(mended, pack)
            pack.finish()
        if mended is not snapshot:
            lost += 1
            repository.reopen()
            if mended is not None:
                repository.refs.set(SNAPSHOTS + mended.oid, mended.oid)
            repository.refs.delete([name])
    repository.point_at_newest()
    repository.mark(damaged=False)
    return lost


def _mended(repository: Repository, snapshot: Snapshot, writer: PackWriter, check: Check) -> Snapshot | None:
    """The same snapshot without what is lost of it, which is listed as left out; itself where nothing is.

    Args:
        repository: where its objects are.
        snapshot: to be made whole.
        writer: takes new trees.
        check: called for each tree; raises to stop.

    Returns:
        The snapshot as it can be; None where its root is lost. The caller writes its commit.
    """
    lost: list[LeftOut] = []
    counts = [0, 0]

    def rebuild(oid: str, prefix: str) -> str:
        check()
        items = []
        for name, mode, inside in repository.tree(oid):
            path = prefix + os.fsdecode(name)
            if mode == TREE_MODE:
                try:
                    items.append((name, mode, rebuild(inside, f"{path}/")))
                except SnapshotDamagedError:
                    lost.append(LeftOut(path=f"{path}/", size_bytes=0, reason=_LOST))
                continue
            try:
                counts[1] += repository.size(inside)
            except SnapshotDamagedError:
                lost.append(LeftOut(path=path, size_bytes=0, reason=_LOST))
                continue
            counts[0] += 1
            items.append((name, mode, inside))
        data = encode_tree(items)
        mended = object_oid("tree", data)
        if mended != oid:
            writer.add(packed("tree", data, mended))
        return mended

    try:
        tree = rebuild(snapshot.tree, "")
    except SnapshotDamagedError:
        return None
    if not lost:
        return snapshot
    left_out = tuple(sorted((*snapshot.left_out, *lost), key=lambda item: item.path))
    return dataclasses.replace(snapshot, tree=tree, left_out=left_out, files=counts[0], size_bytes=counts[1])
