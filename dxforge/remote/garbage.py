"""What may be deleted. Pure.

Times are the object store's own, all of them: no machine's clock decides what is old. A manifest goes once it has been
superseded for the grace time; a pack once no manifest that is left refers to it and it is itself older than that. Then
nobody can still be reading it, and no push can still be about to refer to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from dxforge.remote.model import Manifest, RemoteOptions

MANIFESTS, PACKS = "manifest", "packs"
_GENERATION = re.compile(rf"{MANIFESTS}/(\d{{12}})")
_PACK = re.compile(rf"{PACKS}/([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as the store lists it. ``key`` is relative to the remote's prefix, ``tag`` changes with its content."""

    key: str
    size_bytes: int
    modified: datetime
    tag: str = ""


def manifest_key(generation: int) -> str:
    """Where a manifest lies."""
    return f"{MANIFESTS}/{generation:012}"


def pack_key(pack_id: str) -> str:
    """Where a pack lies."""
    return f"{PACKS}/{pack_id}"


def generations(listing: Iterable[Stored]) -> dict[int, Stored]:
    """The manifests among ``listing``, oldest first; what others may have put there is left out."""
    found = {int(match[1]): stored for stored in listing if (match := _GENERATION.fullmatch(stored.key))}
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """``manifests`` are to be deleted one by one in this order: those that are left must never have a gap.

    ``swept`` are retired packs that are gone already; ``lost`` are packs that the manifest refers to and that are
    missing or have another size.
    """

    manifests: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    swept: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


def find_garbage(listing: Iterable[Stored], manifest: Manifest, generation: int, options: RemoteOptions) -> Garbage:
    """What in ``listing`` nobody needs.

    Args:
        listing: everything below the prefix, read after ``manifest`` was.
        manifest: the newest.
        generation: its number; its time in the listing is the time that ages are counted to.
    """
    everything = list(listing)
    found = generations(everything)
    packs = {match[1]: stored for stored in everything if (match := _PACK.fullmatch(stored.key))}
    newest = found.get(generation)
    if newest is None or max(found) != generation:
        # Somebody has published since; it is their turn.
        return Garbage()

    def old(stored: Stored) -> bool:
        return (newest.modified - stored.modified).total_seconds() > options.grace_s

    numbers = list(found)
    manifests: list[int] = []
    for number, following in pairwise(numbers):
        # Whoever read it may work by it until now: what counts is since when it is not the newest.
        if len(numbers) - len(manifests) <= options.keep_manifests or not old(found[following]):
            break
        manifests.append(number)
    oldest = numbers[len(manifests)]
    needed = {pack.id for pack in manifest.packs}
    doomed = tuple(
        stored.key
        for pack_id, stored in packs.items()
        if pack_id not in needed and old(stored) and manifest.retired.get(pack_id, 0) <= oldest
    )
    return Garbage(
        manifests=tuple(found[number].key for number in manifests),
        packs=doomed,
        swept=frozenset(manifest.retired.keys() - packs.keys()),
        lost=frozenset(
            pack.id for pack in manifest.packs if pack.id not in packs or packs[pack.id].size_bytes != pack.size_bytes
        ),
    )
