"""Finding the newest manifest with as few requests as can be, and the indexes it needs.

Manifests are numbered without gaps and deleted from the oldest on. So where number N is there and N + 1 is not, N is
the newest: two cheap requests when nothing has changed. Only who knows no N, or finds it deleted, has to list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dxforge.errors import RemoteContentError, RemoteNewerError
from dxforge.remote.garbage import MANIFESTS, generations, manifest_key, pack_key
from dxforge.remote.manifest import decode_manifest
from dxforge.remote.model import Entry, Manifest, Pack, RemoteOptions
from dxforge.remote.packs import decode_index
from dxforge.remote.session import Session
from dxforge.remote.state import Head, SyncState
from dxforge.remote.transfer import in_parallel

_STEPS = 16
"""So many manifests one by one are still cheaper to follow than to list."""


def find_head(session: Session, state: SyncState) -> Head:
    """The newest manifest there is.

    Raises:
        RemoteContentError: what lies there is of a newer dxforge, or not from dxforge.
        RemoteError: the requests fail.
    """
    known = state.head()
    if known is None or not known.generation:
        return _listed(session, state, None)
    newest = known
    for _ in range(_STEPS):
        number = newest.generation + 1
        found = session.get(manifest_key(number))
        if found is None:
            break
        newest = _read(session, state, newest, number, found)
    else:
        return _listed(session, state, newest)
    if newest is not known:
        return newest
    where = manifest_key(known.generation)
    meta = session.head(where)
    if meta is not None and (meta.tag, meta.size_bytes) == (known.tag, known.size_bytes):
        return known
    found = session.get(where) if meta is not None else None
    if found is None:
        return _listed(session, state, known)
    return _read(session, state, known, known.generation, found)


def _listed(session: Session, state: SyncState, known: Head | None) -> Head:
    """The newest of those that are listed; of several that are damaged, the newest that can be read."""
    numbers = list(generations(session.list_all(MANIFESTS)))
    if not numbers:
        # Emptied, or never used. What is remembered of a remote that is gone is of no use.
        state.forget_head()
        return Head(manifest=Manifest())
    if known is not None and known.generation not in numbers:
        known = None
    newest: Head | None = None
    for number in reversed(numbers):
        if known is not None and number < known.generation:
            break
        found = session.get(manifest_key(number))
        if found is None:
            raise _nonsense(number)
        head = _read(session, state, known, number, found)
        newest = newest or head
        if not head.damaged:
            return head if head is newest else replace(newest, manifest=head.manifest)
    return newest or Head(manifest=Manifest())


def _read(
    session: Session, state: SyncState, known: Head | None, generation: int, found: tuple[memoryview, str]
) -> Head:
    """The head that the manifest ``generation`` makes; where it is damaged, with what is known from before."""
    where = manifest_key(generation)
    try:
        manifest = decode_manifest(bytes(found[0]), where=where)
    except RemoteNewerError:
        raise
    except RemoteContentError:
        # Once more, in case it was damaged on the way.
        found = session.get(where) or found
        try:
            manifest = decode_manifest(bytes(found[0]), where=where)
        except RemoteContentError:
            # A login page answers anything to anyone; a remote would list what it has.
            if generation not in generations(session.list_all(MANIFESTS)):
                raise
            before = known.manifest if known is not None else Manifest()
            return Head(generation=generation, manifest=before, damaged=True)
    head = Head(generation=generation, tag=found[1], size_bytes=len(found[0]), manifest=manifest)
    state.save_head(head, bytes(found[0]))
    return head


def _nonsense(generation: int) -> RemoteContentError:
    return RemoteContentError(
        f"it lists the manifest {generation} but does not have it",
        where=manifest_key(generation),
        hint="Check the endpoint in dx.toml's [remote], and try again",
    )


def load_indexes(
    session: Session,
    state: SyncState,
    packs: Iterable[Pack],
    loaded: Mapping[str, tuple[Entry, ...]],
    *,
    options: RemoteOptions,
    check: Callable[[], None],
) -> tuple[dict[str, tuple[Entry, ...]], dict[str, str]]:
    """The entries of ``packs``, from memory, disk or the remote.

    Returns:
        Entries by pack, and the packs that have no readable index (any more), with the reason.
    """
    entries: dict[str, tuple[Entry, ...]] = {}
    unknown: list[Pack] = []
    for pack in packs:
        found = loaded.get(pack.id) or state.index(pack)
        if found is None:
            unknown.append(pack)
        else:
            entries[pack.id] = found

    def fetch(pack: Pack) -> tuple[Entry, ...] | str:
        reason = "it is gone"
        for _ in range(2):
            start = pack.size_bytes - pack.index_bytes
            content = session.get_range(pack_key(pack.id), start, pack.index_bytes)
            if content is None:
                return reason
            try:
                decoded = decode_index(pack, bytes(content))
            except RemoteContentError as error:
                reason = error.what
                continue
            state.save_index(pack, bytes(content))
            return decoded
        return reason

    faults: dict[str, str] = {}
    for pack, result in in_parallel(
        unknown,
        fetch,
        session=session,
        workers=options.workers,
        size_bytes=lambda pack: pack.index_bytes,
        memory_bytes=options.memory_bytes,
        check=check,
    ):
        if isinstance(result, str):
            faults[pack.id] = result
        else:
            entries[pack.id] = result
    return entries, faults
