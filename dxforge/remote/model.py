"""What travels to the remote and back. Pure data.

The remote holds two kinds of objects, and neither is ever changed:

    packs/<id>                  many items in a row, then their index; ``id`` is the sha256 of the index, which names
                                the sha256 of every item, so the id stands for all of it
    manifest/<generation>       which packs there are and which of their items each machine holds; the newest counts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dxforge.remote.policy import RetryPolicy

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

OBJECT, BLOB, ACTION, ARTIFACT = "object", "blob", "action", "artifact"
"""Kinds of items: a git object by its id, a build's blob by its sha256, an action's result by its key, a product."""


class Key(NamedTuple):
    """What an item is known by. One name may stand for several contents: two machines' results of one action."""

    kind: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to upload.

    Args:
        kind: `OBJECT`, `BLOB`, `ACTION`, `ARTIFACT`, or another short word in lower case.
        name: what it will be asked for by, printable; the sha256 where empty.
        sha256: of its content; empty where that is not known yet and ``name`` alone stands for it (a git object).
        size_bytes: of its content.
        read: its content: a file, or a function that returns it. Functions are called in threads, one at a time.
        needs: sha256 of the blobs without which it is worth nothing: it is uploaded only if they are there too.
    """

    kind: str
    name: str = ""
    sha256: str = ""
    size_bytes: int
    read: Path | Callable[[], bytes]
    needs: tuple[str, ...] = ()


class Entry(NamedTuple):
    """An item in a pack: the ``position``-th, ``size_bytes`` long at ``offset``. Positional: there are many of them."""

    kind: str
    name: str
    sha256: str
    size_bytes: int
    pack: str
    position: int
    offset: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return Key(self.kind, self.name, self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack that a manifest refers to. ``gone`` has a bit for each entry that was found damaged."""

    id: str
    size_bytes: int
    """Of the whole object, the index at its end included."""
    index_bytes: int
    entries: int
    gone: int = 0
    index: bytes = b""
    """Its index, where that is so short that it travels in the manifest."""

    @property
    def all(self) -> int:
        """A bit for each entry."""
        return (1 << self.entries) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A machine's project: what it wants to be kept.

    ``refs`` are its own notes, by name; ``holds`` has for each pack a bit for each entry that it wants.
    """

    id: str
    label: str = ""
    """For people: whose machine."""
    seen_s: int = 0
    """When it last published, in seconds since 1970, by its own clock."""
    refs: Mapping[str, JSON] = field(default_factory=dict)
    holds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that the remote holds, as of ``generation``. ``nonce`` tells one's own from another's of the same number."""

    generation: int = 0
    nonce: str = ""
    written_s: int = 0
    packs: tuple[Pack, ...] = ()
    owners: tuple[Owner, ...] = ()
    retired: Mapping[str, int] = field(default_factory=dict)
    """Packs that are no longer referred to -> the first generation without them, until they are deleted."""

    def pack(self, id: str) -> Pack | None:
        """The pack of that id."""
        return next((pack for pack in self.packs if pack.id == id), None)

    def owner(self, id: str) -> Owner | None:
        """The owner of that id."""
        return next((owner for owner in self.owners if owner.id == id), None)

    def held(self) -> dict[str, int]:
        """For each pack, a bit for each entry that somebody holds."""
        held = dict.fromkeys((pack.id for pack in self.packs), 0)
        for owner in self.owners:
            for pack_id, bits in owner.holds.items():
                held[pack_id] = held.get(pack_id, 0) | bits
        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """How to work with a remote. The defaults suit R2 and a home network."""

    read: bool = True
    write: bool = True
    workers: int = 8
    memory_bytes: int = 128 << 20
    """At most so much is on its way at once (one item of more is read from its file piece by piece)."""
    pack_bytes: int = 16 << 20
    """A pack is sealed when it has reached this..."""
    largest_pack_bytes: int = 64 << 20
    """... and never has more, unless a single item does."""
    small_pack_bytes: int = 8 << 20
    """Packs below are merged once there are ``merge_at`` of a size."""
    merge_at: int = 8
    pack_entries: int = 20_000
    stream_bytes: int = 1 << 20
    """Items of this size and more go straight to their files, where `Remote.pull` is told them."""
    single_put_bytes: int = 100_000_000
    """From here on, an upload goes in equal parts..."""
    part_bytes: int = 16 << 20
    """... of at least this size."""
    grace_s: float = 3 * 24 * 3600
    """Nothing younger is ever deleted; no push takes nearly so long between an upload and its manifest."""
    keep_manifests: int = 8
    collect_every: int = 16
    """Garbage is collected by whoever publishes each so-manieth manifest."""
    idle_owner_s: float = 30 * 24 * 3600
    """An owner without refs (a CI run that only filled the cache) is forgotten after this."""
    refresh_s: float = 30.0
    """How old a manifest may be that `Remote.get` works with."""
    publish_s: float = 300.0
    """How long to try to publish while others keep publishing."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    read_retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=2))
    """For `Remote.get`: a build does not wait for a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """How many requests were (or will be) made, by R2's classes; ``free`` are deletions."""

    class_a: int = 0
    class_b: int = 0
    free: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.class_a + self.class_b + self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """What a push would do. ``size_bytes`` is what it would send in items, without indexes and manifest."""

    items: int
    """All that were given."""
    uploads: int
    """Those of them that are not there yet."""
    size_bytes: int
    packs: int
    publishes: bool
    """Whether anything would change at all."""
    requests: Requests

    def to_json(self) -> dict[str, JSON]:
        """All figures."""
        return {
            "items": self.items,
            "uploads": self.uploads,
            "bytes": self.size_bytes,
            "packs": self.packs,
            "class_a": self.requests.class_a,
            "class_b": self.requests.class_b,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An item that was not uploaded, and why."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a push did. ``ok``: everything is there now, and the refs are published."""

    generation: int
    """Of the newest manifest."""
    published: bool
    """Whether it is ours."""
    uploads: int = 0
    size_bytes: int = 0
    packs: int = 0
    resumed: int = 0
    """Packs that an earlier, interrupted push had uploaded."""
    left_out: tuple[LeftOut, ...] = ()
    """Items that changed or vanished while they were read. The refs wait for the next push then."""
    deleted: int = 0
    """Objects that nothing referred to any more."""
    requests: Requests = field(default_factory=Requests)

    @property
    def ok(self) -> bool:
        """Whether nothing was left out."""
        return not self.left_out

    def to_json(self) -> dict[str, JSON]:
        """All figures, and what was left out."""
        return {
            "ok": self.ok,
            "generation": self.generation,
            "published": self.published,
            "uploads": self.uploads,
            "bytes": self.size_bytes,
            "packs": self.packs,
            "resumed": self.resumed,
            "deleted": self.deleted,
            "left_out": [{"kind": left.kind, "name": left.name, "reason": left.reason} for left in self.left_out],
            "class_a": self.requests.class_a,
            "class_b": self.requests.class_b,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """So many items of one pack are not what they were when they were uploaded, or no longer there.

    ``entries`` names them, unless the pack's index is lost as well.
    """

    pack: str
    items: int
    entries: tuple[Entry, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """What one owner noted: ``values`` by name."""

    owner: str
    label: str
    seen_s: int
    values: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """What a pull (or a check) read. ``damage`` was reported to the others, or noted where we may not write."""

    items: int = 0
    size_bytes: int = 0
    refs: tuple[Refs, ...] = ()
    damage: tuple[Damage, ...] = ()
    requests: Requests = field(default_factory=Requests)

    @property
    def ok(self) -> bool:
        """Whether everything was as it should be."""
        return not self.damage

    def to_json(self) -> dict[str, JSON]:
        """All figures, and how many items of how many packs are damaged."""
        return {
            "ok": self.ok,
            "items": self.items,
            "bytes": self.size_bytes,
            "damaged_packs": len(self.damage),
            "damaged_items": sum(damage.items for damage in self.damage),
            "class_a": self.requests.class_a,
            "class_b": self.requests.class_b,
        }
