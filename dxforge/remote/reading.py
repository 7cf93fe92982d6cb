"""Reading what a view shows: fetch, hand over, and tell what is not as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from dxforge.remote.fetch import Fetcher, Take
from dxforge.remote.model import Damage, Entry, Refs
from dxforge.remote.packs import bits, chosen
from dxforge.remote.view import View

_PROGRESS_S = 0.1
_KNOWN = "it was found damaged before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was handed over, and what could not be: ``gone`` has its bits by pack."""

    items: int
    size_bytes: int
    damage: tuple[Damage, ...]
    gone: dict[str, int] = field(default_factory=dict)


def read(
    view: View,
    entries: Collection[Entry],
    fetcher: Fetcher,
    take: Take,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Read:
    """Fetch ``entries`` and hand each to ``take``, unless ``fetcher`` does.

    Args:
        progress: gets the bytes done and the bytes in all, a few times a second.
    """
    count = size = 0
    shown_s = 0.0
    total = sum(entry.size_bytes for entry in entries)
    bad: dict[tuple[str, str], list[Entry]] = {}
    for entry, content, reason in fetcher.fetch(entries):
        if reason:
            bad.setdefault((entry.pack, reason), []).append(entry)
            continue
        if content is not None:
            take(entry, content)
        count += 1
        size += entry.size_bytes
        if time.monotonic() - shown_s >= _PROGRESS_S or size == total:
            shown_s = time.monotonic()
            progress(size, total)
    gone: dict[str, int] = {}
    for (pack_id, _), found in bad.items():
        pack = view.head.manifest.pack(pack_id)
        if pack is not None:
            gone[pack_id] = gone.get(pack_id, 0) | bits((entry.position for entry in found), pack.entries)
    damage = tuple(
        Damage(pack=pack_id, items=len(found), entries=tuple(found), reason=reason)
        for (pack_id, reason), found in bad.items()
    )
    return Read(items=count, size_bytes=size, damage=damage, gone=gone)


def known_damage(view: View) -> tuple[tuple[Damage, ...], dict[str, int]]:
    """What cannot be read of what somebody holds, as ``view`` knows already; and its bits by pack."""
    held = view.head.manifest.held()
    damage, gone = [], {}
    for pack in view.head.manifest.packs:
        mask = view.bad.get(pack.id, 0) & held[pack.id]
        if mask:
            entries = chosen(mask, view.indexes[pack.id]) if pack.id in view.indexes else ()
            reason = view.faults.get(pack.id, _KNOWN)
            damage.append(Damage(pack=pack.id, items=mask.bit_count(), entries=tuple(entries), reason=reason))
            gone[pack.id] = view.bad[pack.id]
    return tuple(damage), gone


def refs_of(view: View) -> tuple[Refs, ...]:
    """What all owners noted, the latest first."""
    owners = sorted(view.head.manifest.owners, key=lambda owner: -owner.seen_s)
    return tuple(
        Refs(owner=owner.id, label=owner.label, seen_s=owner.seen_s, values=owner.refs)
        for owner in owners
        if owner.refs
    )


def held_entries(view: View, kinds: Iterable[str] | None) -> tuple[Entry, ...]:
    """What somebody holds and can be read, of these kinds (None: all), each content once."""
    held = view.head.manifest.held()
    found: dict[object, Entry] = {}
    for pack in view.head.manifest.packs:
        for entry in chosen(held[pack.id] & ~view.gone(pack), view.indexes.get(pack.id, ())):
            if kinds is None or entry.kind in kinds:
                found.setdefault(entry[:3], entry)
    return tuple(found.values())
