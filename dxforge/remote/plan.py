"""What a push changes. Pure: manifests, indexes and wishes in; the next manifest out.

Everything here is computed anew against each manifest that another machine publishes first, so nothing of theirs is
ever lost: the loser of a race reads, merges and tries again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dxforge.remote.model import BLOB, JSON, Entry, Item, Manifest, Owner, Pack, RemoteOptions
from dxforge.remote.packs import bits, chosen

Indexes = Mapping[str, tuple[Entry, ...]]
"""Pack id -> its entries."""


class Catalogue:
    """Where everything lies that is there and not known to be damaged; of equals, what came first.

    Args:
        packs: in the order of the manifest.
        indexes: of these packs; a pack without one holds nothing for us.
        bad: further entries not to use, as bits by pack.
    """

    def __init__(
        self, packs: Iterable[Pack] = (), indexes: Indexes | None = None, bad: Mapping[str, int] | None = None
    ):
        self._by_key: dict[tuple[str, ...], Entry] = {}
        self._by_name: dict[tuple[str, ...], Entry] = {}
        for pack in packs:
            gone = pack.gone | (bad or {}).get(pack.id, 0)
            entries = (indexes or {}).get(pack.id, ())
            self._add(chosen(pack.all & ~gone, entries) if gone else entries)

    def _add(self, entries: Iterable[Entry]) -> None:
        # Plain slices: as named tuples, these keys took most of the time of a push that changes nothing.
        for entry in entries:
            self._by_key.setdefault(entry[:3], entry)
            self._by_name.setdefault(entry[:2], entry)

    def extended(self, added: Iterable[Packed]) -> Catalogue:
        """This one, with packs that are in no manifest yet."""
        catalogue = Catalogue()
        catalogue._by_key, catalogue._by_name = self._by_key.copy(), self._by_name.copy()
        for packed in added:
            catalogue._add(packed.entries)
        return catalogue

    def find(self, kind: str, name: str, sha256: str = "") -> Entry | None:
        """The item of that name, with that content where ``sha256`` is given."""
        return self._by_key.get((kind, name, sha256)) if sha256 else self._by_name.get((kind, name))

    def item(self, item: Item) -> Entry | None:
        """What `find` says of an item."""
        return self.find(item.kind, item.name or item.sha256, item.sha256)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_key.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A pack that was uploaded and is in no manifest yet."""

    pack: Pack
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """``victims`` are replaced by ``packs``, which hold what anybody still wants of them."""

    victims: frozenset[str] = frozenset()
    packs: tuple[Packed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one owner wants to be different in the next manifest.

    ``items`` is what it holds (``whole``: and nothing else), ``refs`` replaces its refs of these names (None removes
    one), ``gone`` are entries found damaged, as bits by pack.
    """

    owner: str
    label: str = ""
    items: tuple[Item, ...] = ()
    whole: bool = False
    refs: Mapping[str, JSON] = field(default_factory=dict)
    added: tuple[Packed, ...] = ()
    rewrite: Rewrite = field(default_factory=Rewrite)
    gone: Mapping[str, int] = field(default_factory=dict)
    swept: frozenset[str] = frozenset()
    """Retired packs that are deleted by now."""
    forget: frozenset[str] = frozenset()
    """Owners to leave out from now on."""


def missing(items: Iterable[Item], catalogue: Catalogue) -> tuple[Item, ...]:
    """Items that are not there, each once."""
    found: dict[tuple[str, str, str], Item] = {}
    for item in items:
        if catalogue.item(item) is None:
            found.setdefault((item.kind, item.name or item.sha256, item.sha256), item)
    return tuple(found.values())


def lacking(item: Item, catalogue: Catalogue, coming: frozenset[str] = frozenset()) -> str | None:
    """The first of an item's ``needs`` that is neither there nor ``coming`` (sha256 of blobs); None: it has all."""
    for sha256 in item.needs:
        if sha256 not in coming and catalogue.find(BLOB, sha256, sha256) is None:
            return sha256
    return None


def advance(
    head: Manifest,
    generation: int,
    indexes: Indexes,
    change: Change,
    *,
    now_s: int,
    nonce: str,
    options: RemoteOptions,
    force: bool = False,
    catalogue: Catalogue | None = None,
) -> Manifest | None:
    """The manifest ``generation``: ``head`` with ``change``; None where nothing would be different.

    Args:
        indexes: of the packs of ``head``.
        now_s: the time, in seconds since 1970.
        nonce: tells this manifest from another of the same generation.
        force: make one even so.
        catalogue: of ``head`` without what ``change`` says is gone, where there is one at hand.
    """
    packs = [_damaged(pack, change.gone) for pack in head.packs]
    left = (_without_damage(owner, packs) for owner in head.owners if owner.id not in change.forget)
    owners = {owner.id: owner for owner in left if owner.refs or owner.holds}
    known = dict(indexes)
    packs, owners = _rewritten(packs, owners, change.rewrite, known)
    if catalogue is None or change.rewrite.victims:
        catalogue = Catalogue(packs, known)
    # What another has published in the meantime need not be there twice.
    added = [
        packed
        for packed in change.added
        if packed.pack.id not in known and any(catalogue.find(*entry[:3]) is None for entry in packed.entries)
    ]
    if added:
        packs += [packed.pack for packed in added]
        catalogue = catalogue.extended(added)
    before = head.owner(change.owner) or Owner(id=change.owner)
    ours = owners.get(change.owner, Owner(id=change.owner))
    if change.items or change.whole or change.refs:
        holds = _holds(change, catalogue, {pack.id: pack for pack in packs})
        ours = replace(
            ours,
            label=change.label,
            seen_s=now_s,
            refs=_merged(ours.refs, change.refs),
            holds=holds if change.whole else either(ours.holds, holds),
        )
        if ours.refs or ours.holds:
            owners[change.owner] = ours
        else:
            owners.pop(change.owner, None)
    held = Manifest(packs=tuple(packs), owners=tuple(owners.values())).held()
    packs = [pack for pack in packs if held[pack.id]]
    stale = not ours.refs and bool(ours.holds) and now_s - before.seen_s > options.idle_owner_s / 3
    if not (force or stale) and _same(head, packs, owners):
        return None
    return _finished(head, generation, packs, owners, change, now_s=now_s, nonce=nonce, options=options)


def _finished(
    head: Manifest,
    generation: int,
    packs: list[Pack],
    owners: dict[str, Owner],
    change: Change,
    *,
    now_s: int,
    nonce: str,
    options: RemoteOptions,
) -> Manifest:
    kept_owners = tuple(
        owner
        for owner in owners.values()
        if owner.id == change.owner or owner.refs or now_s - owner.seen_s <= options.idle_owner_s
    )
    held = Manifest(packs=tuple(packs), owners=kept_owners).held()  # without the owners that were idle
    kept = tuple(pack for pack in packs if held[pack.id])
    ids = {pack.id for pack in kept}
    retired = {
        pack_id: since for pack_id, since in head.retired.items() if pack_id not in change.swept and pack_id not in ids
    }
    retired |= {pack.id: generation for pack in head.packs if pack.id not in ids and pack.id not in retired}
    return Manifest(
        generation=generation,
        nonce=nonce,
        written_s=now_s,
        packs=kept,
        owners=kept_owners,
        retired=retired,
    )


def _damaged(pack: Pack, gone: Mapping[str, int]) -> Pack:
    more = gone.get(pack.id, 0) & pack.all
    return replace(pack, gone=pack.gone | more) if more else pack


def _without_damage(owner: Owner, packs: Iterable[Pack]) -> Owner:
    """What is gone is held no longer; whoever has it will upload it again."""
    gone = {pack.id: pack.gone for pack in packs if pack.gone}
    if not any(owner.holds.get(pack_id, 0) & mask for pack_id, mask in gone.items()):
        return owner
    holds = {pack_id: mask & ~gone.get(pack_id, 0) for pack_id, mask in owner.holds.items()}
    return replace(owner, holds={pack_id: mask for pack_id, mask in holds.items() if mask})


def _rewritten(
    packs: list[Pack], owners: dict[str, Owner], rewrite: Rewrite, known: dict[str, tuple[Entry, ...]]
) -> tuple[list[Pack], dict[str, Owner]]:
    """Packs and owners after a rewrite; as they were where the rewrite does not fit them (any longer)."""
    if not rewrite.victims or not rewrite.victims <= {pack.id for pack in packs}:
        return packs, owners
    moved = {entry.key: entry for packed in rewrite.packs for entry in packed.entries}
    sizes = {packed.pack.id: packed.pack.entries for packed in rewrite.packs}
    new_owners: dict[str, Owner] = {}
    for owner in owners.values():
        positions: dict[str, list[int]] = defaultdict(list)
        for pack_id in rewrite.victims & owner.holds.keys():
            for entry in chosen(owner.holds[pack_id], known[pack_id]):
                to = moved.get(entry.key)
                if to is None:
                    return packs, owners
                positions[to.pack].append(to.position)
        holds = {pack_id: mask for pack_id, mask in owner.holds.items() if pack_id not in rewrite.victims}
        holds |= {pack_id: bits(places, sizes[pack_id]) for pack_id, places in positions.items()}
        new_owners[owner.id] = replace(owner, holds=holds)
    known |= {packed.pack.id: packed.entries for packed in rewrite.packs}
    # In the place of the first: of equals, everyone holds what comes first, and must go on to.
    first = next(number for number, pack in enumerate(packs) if pack.id in rewrite.victims)
    new = [packed.pack for packed in rewrite.packs]
    return [pack for pack in [*packs[:first], *new, *packs[first:]] if pack.id not in rewrite.victims], new_owners


def _holds(change: Change, catalogue: Catalogue, packs: Mapping[str, Pack]) -> dict[str, int]:
    positions: dict[str, set[int]] = defaultdict(set)
    for item in change.items:
        entry = catalogue.item(item)
        needed = [catalogue.find(BLOB, sha256, sha256) for sha256 in item.needs] if item.needs else []
        if entry is None or None in needed:
            continue
        positions[entry.pack].add(entry.position)
        for found in needed:
            if found is not None:
                positions[found.pack].add(found.position)
    return {pack_id: bits(places, packs[pack_id].entries) for pack_id, places in positions.items()}


def _merged(refs: Mapping[str, JSON], change: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in {**refs, **change}.items() if value is not None}


def either(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The bits of both, by pack."""
    return {pack_id: one.get(pack_id, 0) | other.get(pack_id, 0) for pack_id in {**one, **other}}


def _same(head: Manifest, packs: Sequence[Pack], owners: Mapping[str, Owner]) -> bool:
    if {pack.id: pack.gone for pack in head.packs} != {pack.id: pack.gone for pack in packs}:
        return False
    before = {owner.id: (owner.refs, owner.holds) for owner in head.owners}
    return before == {owner.id: (owner.refs, owner.holds) for owner in owners.values()}


def choose_rewrite(manifest: Manifest, indexes: Indexes, options: RemoteOptions) -> tuple[str, ...]:
    """Packs that are worth rewriting now: many small ones of about a size, or large ones that are mostly unwanted.

    Small ones are merged size by size (factor 8), so that what is written is written again only a few times in its
    life. At most one large pack's worth of bytes is moved.
    """
    held = manifest.held()
    tiers: dict[int, list[Pack]] = defaultdict(list)
    hollow: list[Pack] = []
    for pack in manifest.packs:
        if pack.id not in indexes:
            continue
        if pack.size_bytes < options.small_pack_bytes:
            tiers[max(0, (pack.size_bytes >> 11).bit_length() // 3)].append(pack)
        elif held[pack.id] != pack.all:
            live = sum(entry.size_bytes for entry in chosen(held[pack.id], indexes[pack.id]))
            if live * 2 < pack.size_bytes and live <= options.largest_pack_bytes:
                hollow.append(pack)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= options.merge_at:
            return _within(tiers[tier], options.largest_pack_bytes)
    return tuple(pack.id for pack in hollow[:1])


def _within(packs: Sequence[Pack], limit_bytes: int) -> tuple[str, ...]:
    total = 0
    for number, pack in enumerate(packs):
        total += pack.size_bytes
        if total > limit_bytes:
            return tuple(pack.id for pack in packs[:number])
    return tuple(pack.id for pack in packs)
