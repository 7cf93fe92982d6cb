"""Taking objects over from another store: nothing comes in that is not what its id says, or not whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dxforge.errors import SnapshotDamagedError
from dxforge.store.model import decode_message
from dxforge.store.objects import IS_OID, object_oid, parse_commit, parse_tree
from dxforge.store.pack import PackWriter, packed
from dxforge.store.repository import Repository, closure

_HINT = "Nothing was taken over; fetch the snapshots again"


def receive(
    repository: Repository,
    objects: Iterable[tuple[str, str, bytes]],
    snapshots: Sequence[str],
    check: Callable[[], None],
) -> None:
    """Write the objects that the store lacks, where with them every one of ``snapshots`` is whole.

    Args:
        repository: the store; its lock is held.
        objects: id, kind and content of each.
        snapshots: ids of commits.
        check: called for each object; raises to stop.

    Raises:
        SnapshotDamagedError: an object is not what its id says, or one is missing; nothing was written.
        OSError: the file system refused; nothing was written.
    """
    inner: dict[str, tuple[str, bytes]] = {}
    with PackWriter(repository.packs) as pack:
        for oid, kind, content in objects:
            check()
            _verify(oid, kind, content)
            if kind != "blob":
                inner[oid] = (kind, content)
            if oid not in repository:
                pack.add(packed(kind, content, oid))

        def read(oid: str) -> tuple[str, bytes]:
            if oid in inner:
                return inner[oid]
            if oid in pack:
                return "blob", b""  # whose content says nothing about what else is needed
            if oid not in repository:
                raise SnapshotDamagedError("an object did not come along", where=oid, hint=_HINT, oid=oid)
            return repository.read(oid)

        for oid in snapshots:
            _check_snapshot(oid, *read(oid))
        needed = closure(snapshots, read, check)
        missing = next((oid for oid in needed if oid not in pack and oid not in repository), None)
        if missing is not None:
            raise SnapshotDamagedError("an object did not come along", where=missing, hint=_HINT, oid=missing)
        pack.finish()
    repository.reopen()


def _check_snapshot(oid: str, kind: str, content: bytes) -> None:
    try:
        tree, message = parse_commit(content if kind == "commit" else b"")
        decode_message(message, oid=oid, tree=tree)
    except ValueError as error:
        raise SnapshotDamagedError(f"this is no snapshot ({error})", where=oid, hint=_HINT, oid=oid) from error


def _verify(oid: str, kind: str, content: bytes) -> None:
    try:
        if not IS_OID.fullmatch(oid) or kind not in ("blob", "tree", "commit") or object_oid(kind, content) != oid:
            raise ValueError("its content has another id")
        if kind == "tree":
            parse_tree(content)
        elif kind == "commit":
            parse_commit(content)
    except ValueError as error:
        raise SnapshotDamagedError(
            f"the {kind} is not what was promised ({error})", where=oid, hint=_HINT, oid=oid
        ) from error
