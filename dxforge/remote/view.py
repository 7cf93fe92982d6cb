"""The remote as it was seen last: its newest manifest, and where everything lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dxforge.remote.head import find_head, load_indexes
from dxforge.remote.model import Entry, Pack, RemoteOptions
from dxforge.remote.plan import Catalogue
from dxforge.remote.session import Session
from dxforge.remote.state import Head, SyncState


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A manifest with its indexes. ``bad`` are entries found damaged that it does not know of yet, as bits by pack."""

    head: Head
    indexes: Mapping[str, tuple[Entry, ...]]
    bad: Mapping[str, int]
    faults: Mapping[str, str]
    """Packs that cannot be used at all -> why."""
    catalogue: Catalogue

    def gone(self, pack: Pack) -> int:
        """A bit for each entry of ``pack`` that is not to be used."""
        return pack.gone | self.bad.get(pack.id, 0)


def look(
    session: Session, state: SyncState, before: View | None, *, options: RemoteOptions, check: Callable[[], None]
) -> View:
    """The remote as it is now.

    Args:
        before: an earlier view; what did not change is taken from it.

    Raises:
        RemoteError: it cannot be read.
    """
    head = find_head(session, state)
    damaged = state.damaged()
    if before is not None and before.head == head and not damaged:
        return before
    packs = head.manifest.packs
    loaded = before.indexes if before is not None else {}
    indexes, faults = load_indexes(session, state, packs, loaded, options=options, check=check)
    bad = {pack.id: damaged[pack.id] & pack.all for pack in packs if pack.id in damaged}
    bad |= {pack.id: pack.all for pack in packs if pack.id in faults}
    return View(head=head, indexes=indexes, bad=bad, faults=faults, catalogue=Catalogue(packs, indexes, bad))
