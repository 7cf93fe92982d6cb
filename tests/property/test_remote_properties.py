"""Many machines at one remote, as hypothesis likes it: nobody loses anything, and nothing refers to what is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dxforge.remote.garbage import Stored, find_garbage, manifest_key, pack_key
from dxforge.remote.manifest import decode_manifest, encode_manifest
from dxforge.remote.model import Entry, Item, Manifest, RemoteOptions
from dxforge.remote.packs import arrange, chosen, decode_index, make_pack
from dxforge.remote.plan import Catalogue, Change, Packed, Rewrite, advance, choose_rewrite, missing
from tests.support.remotes import blob, content_of

OPTIONS = RemoteOptions(
    pack_bytes=60, largest_pack_bytes=120, small_pack_bytes=5000, merge_at=2, grace_s=100, keep_manifests=2
)
ITEMS = [blob(bytes([number]) * (number % 7 * 10 + 1)) for number in range(12)]
OWNERS = ("a", "b", "c")
SOME = st.lists(st.sampled_from(range(len(ITEMS))), max_size=8, unique=True)


class Remotes(RuleBasedStateMachine):
    """A store with packs and manifests, and owners who read it, take their time, and publish."""

    @initialize()
    def empty(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.packs: dict[str, tuple[bytes, datetime]] = {}
        self.manifests: dict[int, tuple[bytes, datetime]] = {}
        self.wanted: dict[str, set[int]] = {owner: set() for owner in OWNERS}
        self.drafts: dict[str, tuple[tuple[int, ...], bool, list[Packed], Rewrite]] = {}
        self.made = 0

    # -- the store --------------------------------------------------------------------------------------------------

    def head(self) -> Manifest:
        if not self.manifests:
            return Manifest()
        return decode_manifest(self.manifests[max(self.manifests)][0], where="head")

    def indexes(self, manifest: Manifest) -> dict[str, tuple[Entry, ...]]:
        return {pack.id: decode_index(pack, self.packs[pack.id][0][-pack.index_bytes :]) for pack in manifest.packs}

    def upload(self, contents: list[tuple[str, str, str, bytes]]) -> Packed:
        self.made += 1
        pack, index = make_pack([(*head, len(content)) for *head, content in contents], (self.made, 0))  # type: ignore[misc]
        self.packs[pack.id] = (b"".join(content for *_, content in contents) + index, self.now)
        return Packed(pack=pack, entries=decode_index(pack, index))

    # -- what owners do ---------------------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(OWNERS), some=SOME, whole=st.booleans(), merge=st.booleans())
    def begin(self, owner: str, some: list[int], *, whole: bool, merge: bool) -> None:
        """Read the manifest, upload what is missing, and do not publish yet."""
        head = self.head()
        indexes = self.indexes(head)
        items: list[Item] = [ITEMS[number] for number in some]
        catalogue = Catalogue(head.packs, indexes)
        groups = arrange(missing(items, catalogue), lambda item: item.size_bytes, OPTIONS)
        added = [
            self.upload([(item.kind, item.name, item.sha256, content_of(item)) for item in group]) for group in groups
        ]
        rewrite = Rewrite()
        victims = choose_rewrite(head, indexes, OPTIONS) if merge else ()
        if victims:
            held = head.held()
            moved = {entry.key: entry for pack in victims for entry in chosen(held[pack], indexes[pack])}
            moved |= {
                entry.key: entry
                for item in items
                if (entry := catalogue.item(item)) is not None and entry.pack in victims
            }
            contents = [
                (entry.kind, entry.name, entry.sha256, self.packs[entry.pack][0][entry.offset :][: entry.size_bytes])
                for entry in moved.values()
            ]
            rewrite = Rewrite(victims=frozenset(victims), packs=(self.upload(contents),) if contents else ())
        self.drafts[owner] = (tuple(some), whole, added, rewrite)

    @precondition(lambda self: self.drafts)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """Publish a draft, whatever has been published since; upload again what has gone meanwhile."""
        owner = data.draw(st.sampled_from(sorted(self.drafts)))
        some, whole, added, rewrite = self.drafts.pop(owner)
        head = self.head()
        indexes = self.indexes(head)
        items = tuple(ITEMS[number] for number in some)
        known = Catalogue(
            [*head.packs, *(packed.pack for packed in added)],
            {**indexes, **{packed.pack.id: packed.entries for packed in added}},
        )
        absent = missing(items, known)
        if absent:
            added = [*added, self.upload([(i.kind, i.name, i.sha256, content_of(i)) for i in absent])]
        manifest = advance(
            head,
            head.generation + 1,
            indexes,
            Change(owner=owner, items=items, whole=whole, added=tuple(added), rewrite=rewrite),
            now_s=int(self.now.timestamp()),
            nonce="",
            options=OPTIONS,
        )
        self.wanted[owner] = set(some) if whole else self.wanted[owner] | set(some)
        if manifest is not None:
            self.manifests[manifest.generation] = (encode_manifest(manifest), self.now)

    @invariant()
    def who_says_the_same_again_changes_nothing(self) -> None:
        head = self.head()
        for owner, numbers in self.wanted.items():
            change = Change(owner=owner, items=tuple(ITEMS[number] for number in sorted(numbers)), whole=True)
            generation = head.generation + 1
            assert advance(head, generation, self.indexes(head), change, now_s=0, nonce="", options=OPTIONS) is None

    @rule(owner=st.sampled_from(OWNERS))
    def killed(self, owner: str) -> None:
        """A draft that is never published."""
        self.drafts.pop(owner, None)

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        """Time passes; a draft is never as old as a quarter of the grace time."""
        self.now += timedelta(seconds=seconds)
        self.drafts.clear()

    @precondition(lambda self: self.manifests)
    @rule()
    def damage(self) -> None:
        """Somebody finds the first entry of the first pack damaged."""
        head = self.head()
        if not head.packs:
            return
        pack = head.packs[0]
        entry = self.indexes(head)[pack.id][0]
        change = Change(owner="checker", gone={pack.id: 1})
        manifest = advance(head, head.generation + 1, self.indexes(head), change, now_s=0, nonce="", options=OPTIONS)
        if manifest is not None:
            self.manifests[manifest.generation] = (encode_manifest(manifest), self.now)
            number = next(index for index, item in enumerate(ITEMS) if item.sha256 == entry.sha256)
            if Catalogue(manifest.packs, self.indexes(manifest)).item(ITEMS[number]) is None:
                for owner in OWNERS:
                    self.wanted[owner].discard(number)
            else:
                self.wanted = {owner: self.held_by(owner) for owner in OWNERS}

    @precondition(lambda self: self.manifests)
    @rule()
    def collect(self) -> None:
        """Garbage goes: manifests first, one by one."""
        head = self.head()
        listing = [
            *(Stored(key=manifest_key(g), size_bytes=0, modified=at) for g, (_, at) in self.manifests.items()),
            *(Stored(key=pack_key(pack), size_bytes=len(c), modified=at) for pack, (c, at) in self.packs.items()),
        ]
        garbage = find_garbage(listing, head, head.generation, OPTIONS)
        assert not garbage.lost
        for key in garbage.manifests:
            del self.manifests[int(key.rpartition("/")[2])]
            self.no_gap()
        for key in garbage.packs:
            del self.packs[key.rpartition("/")[2]]

    # -- what must always hold --------------------------------------------------------------------------------------

    def held_by(self, owner: str) -> set[int]:
        head = self.head()
        indexes = self.indexes(head)
        found = head.owner(owner)
        names = {
            entry.sha256
            for pack, mask in (found.holds if found else {}).items()
            for entry in chosen(mask, indexes[pack])
        }
        return {number for number, item in enumerate(ITEMS) if item.sha256 in names}

    @invariant()
    def everyone_has_what_they_want(self) -> None:
        for owner in OWNERS:
            assert self.held_by(owner) == self.wanted[owner]

    @invariant()
    def no_kept_manifest_refers_to_what_is_gone(self) -> None:
        for content, _ in self.manifests.values():
            for pack in decode_manifest(content, where="kept").packs:
                assert pack.id in self.packs
                assert len(self.packs[pack.id][0]) == pack.size_bytes

    @invariant()
    def no_gap(self) -> None:
        numbers = sorted(self.manifests)
        assert not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))

    @invariant()
    def the_newest_refers_to_nothing_that_nobody_holds(self) -> None:
        head = self.head()
        assert all(head.held()[pack.id] for pack in head.packs)
        assert not head.retired.keys() & {pack.id for pack in head.packs}


TestRemotes = Remotes.TestCase
