"""Remotes for tests: machines that push and pull, and an audit that trusts nobody."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dxforge.events import Event, EventBus, Notice
from dxforge.remote.garbage import Stored, generations, manifest_key, pack_key
from dxforge.remote.location import Location
from dxforge.remote.manifest import decode_manifest
from dxforge.remote.model import ACTION, BLOB, JSON, OBJECT, Entry, Item, Key, Manifest, PullReport, RemoteOptions
from dxforge.remote.packs import chosen, decode_index
from dxforge.remote.policy import RetryPolicy
from dxforge.remote.session import Objects
from dxforge.remote.sync import Remote
from tests.support.object_server import ObjectServer

QUICK = RetryPolicy(attempts=5, base_s=0.01, longest_s=0.1, throttled_s=0.02)
ONCE = RetryPolicy(attempts=1)


def sha256(content: bytes) -> str:
    """Of a content, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def blob(content: bytes) -> Item:
    """A blob with that content."""
    digest = sha256(content)
    return Item(kind=BLOB, name=digest, sha256=digest, size_bytes=len(content), read=lambda: content)


def git_object(name: str, content: bytes) -> Item:
    """An object known by its name alone."""
    return Item(kind=OBJECT, name=name, size_bytes=len(content), read=lambda: content)


def action(name: str, *blobs: Item) -> Item:
    """An action's result: a list of the blobs it needs."""
    content = "\n".join(needed.sha256 for needed in blobs).encode()
    return Item(
        kind=ACTION,
        name=name,
        sha256=sha256(content),
        size_bytes=len(content),
        read=lambda: content,
        needs=tuple(needed.sha256 for needed in blobs),
    )


def blobs(count: int, size_bytes: int, seed: int = 0) -> list[Item]:
    """Different blobs; the same for the same ``seed``."""
    chance = random.Random(seed)
    return [blob(chance.randbytes(size_bytes)) for _ in range(count)]


def content_of(item: Item) -> bytes:
    """What an item holds."""
    return item.read.read_bytes() if isinstance(item.read, Path) else item.read()


def folder_location(folder: Path) -> Location:
    """A remote in a folder."""
    return Location(kind="file", folder=folder, relative=True)


class Machine:
    """A project on a machine of its own, with one remote.

    Args:
        state_dir: its memory; another one is another machine.
        location: of the remote.
        server: whose key to use, where there is one.
    """

    def __init__(
        self,
        state_dir: Path,
        location: Location,
        server: ObjectServer | None = None,
        *,
        read_only: bool = False,
        options: RemoteOptions | None = None,
    ) -> None:
        self.events: list[Event] = []
        bus = EventBus()
        bus.subscribe(self.events.append)
        self.remote = Remote(
            location,
            server.credentials(read_only=read_only) if server else None,
            events=bus,
            state_dir=state_dir,
            options=options or RemoteOptions(retry=QUICK, read_retry=ONCE),
        )

    @property
    def notices(self) -> list[str]:
        """What it said to the user."""
        return [event.text for event in self.events if isinstance(event, Notice)]

    def pulled(self, kinds: Iterable[str] | None = None) -> tuple[PullReport, dict[Key, bytes]]:
        """Pull all; the report and the contents."""
        found: dict[Key, bytes] = {}
        report = self.remote.pull(
            lambda entry, content: found.__setitem__(entry.key, bytes(content)),
            kinds=set(kinds) if kinds is not None else None,
        )
        return report, found


@dataclass(frozen=True)
class Audit:
    """What a remote really holds: contents by owner, refs by owner, and the manifest."""

    manifest: Manifest
    contents: Mapping[str, Mapping[Key, bytes]]
    refs: Mapping[str, Mapping[str, JSON]]
    listing: list[Stored]

    @property
    def everything(self) -> dict[Key, bytes]:
        """What anybody holds."""
        return {key: content for held in self.contents.values() for key, content in held.items()}

    @property
    def packs(self) -> int:
        """How many packs are stored, referred to or not."""
        return sum(stored.key.startswith("packs/") for stored in self.listing)


def audit(objects: Objects) -> Audit:
    """Read everything that the newest manifest refers to, straight from the store.

    Raises:
        AssertionError: something is missing, or is not what the manifest says; manifests have a gap.
    """
    for _ in range(3):
        listing = objects.list_all("")
        numbers = list(generations(listing))
        # A listing is no moment in time: while old manifests are deleted one by one, it may show one and not the next.
        if not numbers or numbers == list(range(numbers[0], numbers[-1] + 1)):
            break
    if not numbers:
        return Audit(Manifest(), {}, {}, listing)
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "manifests have a gap"
    found = objects.get(manifest_key(numbers[-1]))
    assert found is not None
    manifest = decode_manifest(bytes(found[0]), where="audit")
    assert manifest.generation == numbers[-1]
    entries: dict[str, tuple[Entry, ...]] = {}
    raw: dict[str, memoryview] = {}
    for pack in manifest.packs:
        stored = objects.get(pack_key(pack.id))
        assert stored is not None, f"the manifest refers to the pack {pack.id}, which is missing"
        raw[pack.id] = stored[0]
        assert len(raw[pack.id]) == pack.size_bytes
        entries[pack.id] = decode_index(pack, bytes(raw[pack.id][-pack.index_bytes :]))
    contents: dict[str, dict[Key, bytes]] = {}
    for owner in manifest.owners:
        held = contents.setdefault(owner.id, {})
        for pack_id, mask in owner.holds.items():
            pack_found = manifest.pack(pack_id)
            assert pack_found is not None and not mask & pack_found.gone
            for entry in chosen(mask, entries[pack_id]):
                content = bytes(raw[pack_id][entry.offset : entry.offset + entry.size_bytes])
                assert sha256(content) == entry.sha256, f"{entry} is damaged"
                held[entry.key] = content
        for key, content in held.items():
            if key.kind == ACTION:
                for needed in content.decode().split():
                    assert Key(BLOB, needed, needed) in held, f"{key} needs {needed}, which {owner.id} does not hold"
    return Audit(manifest, contents, {owner.id: owner.refs for owner in manifest.owners}, listing)
