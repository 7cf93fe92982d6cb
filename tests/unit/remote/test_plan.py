"""What a push changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dxforge.remote.model import BLOB, Entry, Item, Key, Manifest, Owner, Pack, RemoteOptions
from dxforge.remote.packs import chosen, decode_index, make_pack
from dxforge.remote.plan import Catalogue, Change, Packed, Rewrite, advance, choose_rewrite, lacking, missing
from tests.support.remotes import action, blob, content_of, git_object, sha256

OPTIONS = RemoteOptions(small_pack_bytes=1000, merge_at=3, largest_pack_bytes=5000)
A, B, C, D = (blob(letter.encode() * 10) for letter in "abcd")


class World:
    """A manifest with its indexes, advanced change by change."""

    def __init__(self) -> None:
        self.manifest = Manifest()
        self.indexes: dict[str, tuple[Entry, ...]] = {}
        self.now_s = 1000
        self._made = 0

    def packed(self, *items: Item) -> Packed:
        """The items as an uploaded pack."""
        self._made += 1
        contents = [(item.kind, item.name or item.sha256, sha256(content_of(item)), item.size_bytes) for item in items]
        pack, index = make_pack(contents, (self._made, 0))
        return Packed(pack=pack, entries=decode_index(pack, index))

    def next(self, change: Change, *, force: bool = False) -> Manifest | None:
        """What `advance` says."""
        return advance(
            self.manifest,
            self.manifest.generation + 1,
            self.indexes,
            change,
            now_s=self.now_s,
            nonce="n",
            options=OPTIONS,
            force=force,
        )

    def make(self, change: Change, *, force: bool = False) -> Manifest:
        """Publish it."""
        manifest = self.next(change, force=force)
        assert manifest is not None
        self.manifest = manifest
        for packed in (*change.added, *change.rewrite.packs):
            self.indexes[packed.pack.id] = packed.entries
        return manifest

    def push(self, owner: str, *items: Item, whole: bool = False, refs: dict[str, object] | None = None) -> Manifest:
        """Upload what is missing, and publish."""
        absent = missing(items, self.catalogue)
        added = (self.packed(*absent),) if absent else ()
        return self.make(Change(owner=owner, items=items, whole=whole, refs=refs or {}, added=added))  # type: ignore[arg-type]

    @property
    def catalogue(self) -> Catalogue:
        """Where everything is."""
        return Catalogue(self.manifest.packs, self.indexes)

    def held(self, owner: str) -> set[str]:
        """The names of what an owner holds."""
        found = self.manifest.owner(owner)
        assert found is not None
        return {entry.name for pack, mask in found.holds.items() for entry in chosen(mask, self.indexes[pack])}


def names(*items: Item) -> set[str]:
    return {item.name for item in items}


# ---- what is there


def test_the_catalogue_finds_by_content_and_by_name() -> None:
    world = World()
    world.push("me", A, git_object("1" * 40, b"tree"))
    catalogue = world.catalogue
    assert catalogue.item(A) is not None
    assert catalogue.find("object", "1" * 40) is not None
    assert catalogue.find("object", "1" * 40, sha256(b"tree")) is not None
    assert catalogue.find("object", "1" * 40, sha256(b"other")) is None
    assert catalogue.find("action", A.name) is None
    assert len(list(catalogue)) == 2


def test_what_is_damaged_is_not_there() -> None:
    world = World()
    world.push("me", A, B)
    (pack,) = world.manifest.packs
    assert Catalogue([replace(pack, gone=1)], world.indexes).item(A) is None
    assert Catalogue([pack], world.indexes, {pack.id: 2}).item(B) is None
    assert Catalogue([pack], {}).item(A) is None


def test_missing_names_each_item_once() -> None:
    world = World()
    world.push("me", A)
    assert missing([A, B, B, C], world.catalogue) == (B, C)


def test_an_action_lacks_what_is_neither_there_nor_coming() -> None:
    world = World()
    world.push("me", A)
    result = action("k", A, B)
    assert lacking(result, world.catalogue) == B.sha256
    assert lacking(result, world.catalogue, frozenset({B.sha256})) is None
    assert lacking(A, world.catalogue) is None


# ---- the next manifest


def test_a_first_push() -> None:
    world = World()
    manifest = world.push("me", A, B, refs={"head": "x"})
    assert manifest.generation == 1
    assert len(manifest.packs) == 1
    assert manifest.owner("me") == Owner(
        id="me", seen_s=1000, refs={"head": "x"}, holds={manifest.packs[0].id: manifest.packs[0].all}
    )


def test_nothing_changed_is_no_manifest() -> None:
    world = World()
    world.push("me", A, B, refs={"head": "x"})
    assert world.next(Change(owner="me", items=(A,), refs={"head": "x"})) is None
    assert world.next(Change(owner="me", items=(A, B), whole=True)) is None
    assert world.next(Change(owner="me")) is None
    assert world.next(Change(owner="me"), force=True) is not None


def test_what_another_uploaded_is_held_without_a_copy() -> None:
    world = World()
    world.push("me", A, B)
    world.push("you", B)
    assert len(world.manifest.packs) == 1
    assert world.held("you") == names(B)
    assert world.held("me") == names(A, B)


def test_only_who_holds_all_lets_go_of_the_rest() -> None:
    world = World()
    world.push("me", A, B)
    world.push("me", C)
    assert world.held("me") == names(A, B, C)
    world.push("me", B, whole=True)
    assert world.held("me") == names(B)


def test_packs_that_nobody_holds_retire() -> None:
    world = World()
    first = world.push("me", A).packs[0].id
    world.push("me", B)
    manifest = world.push("me", B, whole=True)
    assert [pack.id for pack in manifest.packs] != [first]
    assert manifest.retired == {first: 3}
    assert world.push("me", C).retired == {first: 3}
    assert world.make(Change(owner="me", swept=frozenset({first})), force=True).retired == {}


def test_an_owner_without_anything_is_left_out() -> None:
    world = World()
    world.push("me", A)
    assert world.make(Change(owner="me", whole=True)).owners == ()


def test_refs_are_replaced_by_name_and_removed_by_none() -> None:
    world = World()
    world.push("me", A, refs={"a": 1, "b": 2})
    world.push("me", A, refs={"b": 3, "c": None})
    owner = world.manifest.owner("me")
    assert owner is not None
    assert owner.refs == {"a": 1, "b": 3}
    world.push("me", A, refs={"a": None})
    assert world.manifest.owner("me").refs == {"b": 3}  # type: ignore[union-attr]


def test_what_an_action_needs_is_held_with_it() -> None:
    world = World()
    world.push("you", A, B)
    world.push("me", action("k", A), whole=True)
    assert world.held("me") == {"k", A.name}
    without = Change(owner="me", items=(action("other", D),), added=(world.packed(action("other", D)),))
    assert world.next(without) is None


def test_a_pack_that_brings_nothing_new_is_left_out() -> None:
    world = World()
    mine = world.packed(A, B)
    world.push("you", A, B)
    world.make(Change(owner="me", items=(A, B), added=(mine,)))
    assert [pack.id for pack in world.manifest.packs] != [mine.pack.id]
    assert world.held("me") == names(A, B)


def test_two_results_of_one_action_are_both_kept() -> None:
    world = World()
    one, other = action("k", A), action("k", B)
    world.push("me", A, one)
    world.push("you", B, other)
    assert world.catalogue.item(one) is not None
    assert world.catalogue.item(other) is not None
    world.push("me", A, whole=True)
    assert world.held("you") == {"k", B.name}


def test_an_owner_that_will_not_come_back() -> None:
    world = World()
    world.push("you", A, refs={"r": 1})
    world.push("me", B)
    manifest = world.make(Change(owner="me", forget=frozenset({"you"})))
    assert [owner.id for owner in manifest.owners] == ["me"]
    assert len(manifest.packs) == 1


def test_idle_owners_without_refs_go_with_the_next_manifest() -> None:
    world = World()
    world.push("ci", A)
    world.push("laptop", B, refs={"head": "x"})
    world.now_s += int(OPTIONS.idle_owner_s) + 10
    manifest = world.push("me", C)
    assert [owner.id for owner in manifest.owners] == ["laptop", "me"]


def test_who_is_not_idle_says_so_in_time() -> None:
    world = World()
    world.push("ci", A)
    world.now_s += int(OPTIONS.idle_owner_s / 3) - 1
    assert world.next(Change(owner="ci", items=(A,))) is None
    world.now_s += 2
    assert world.make(Change(owner="ci", items=(A,))).owners[0].seen_s == world.now_s


# ---- damage


def test_damage_is_held_no_longer_and_uploaded_again() -> None:
    world = World()
    world.push("me", A, B)
    world.push("you", A)
    pack = world.manifest.packs[0]
    world.make(Change(owner="you", gone={pack.id: 1}))
    assert world.held("me") == names(B)
    assert world.manifest.owner("you") is None or world.held("you") == set()
    assert missing([A, B], world.catalogue) == (A,)
    world.push("me", A, B)
    assert world.held("me") == names(A, B)
    assert len(world.manifest.packs) == 2


def test_a_pack_that_is_all_damaged_retires() -> None:
    world = World()
    world.push("me", A, B)
    pack = world.manifest.packs[0]
    assert world.make(Change(owner="me", gone={pack.id: pack.all})).packs == ()


def test_damage_that_is_known_is_no_news() -> None:
    world = World()
    world.push("me", A, B)
    pack = world.manifest.packs[0]
    world.make(Change(owner="me", gone={pack.id: 1}))
    assert world.next(Change(owner="me", gone={pack.id: 1})) is None
    assert world.next(Change(owner="me", gone={"9" * 64: 1})) is None


# ---- rewriting


def rewritten(world: World, victims: set[str], *items: Item) -> Rewrite:
    return Rewrite(victims=frozenset(victims), packs=(world.packed(*items),))


def test_a_rewrite_moves_what_everybody_holds() -> None:
    world = World()
    world.push("me", A, B)
    world.push("you", B, C)
    victims = {pack.id for pack in world.manifest.packs}
    manifest = world.make(Change(owner="me", rewrite=rewritten(world, victims, A, B, C)))
    assert len(manifest.packs) == 1
    assert manifest.retired == dict.fromkeys(victims, 3)
    assert world.held("me") == names(A, B)
    assert world.held("you") == names(B, C)


def test_a_rewrite_that_somebody_was_faster_than_is_left_out() -> None:
    world = World()
    world.push("me", A, B, C)
    victims = {pack.id for pack in world.manifest.packs}
    without_b = rewritten(world, victims, A)
    world.make(Change(owner="me", items=(A,), whole=True))
    world.push("you", C)  # a dead one is wanted again
    assert world.next(Change(owner="me", rewrite=without_b)) is None
    gone = rewritten(world, {"7" * 64}, A)
    assert world.next(Change(owner="me", rewrite=gone)) is None


def test_small_packs_of_a_size_are_merged() -> None:
    world = World()
    for number in range(3):
        assert choose_rewrite(world.manifest, world.indexes, OPTIONS) == ()
        world.push("me", blob(bytes([number]) * 10))
    assert set(choose_rewrite(world.manifest, world.indexes, OPTIONS)) == {pack.id for pack in world.manifest.packs}


def packs_of(*sizes: int) -> tuple[Manifest, dict[str, tuple[Entry, ...]]]:
    packs, indexes = [], {}
    for number, size in enumerate(sizes):
        name = f"{number:064x}"
        packs.append(Pack(id=name, size_bytes=size, index_bytes=10, entries=2))
        indexes[name] = (
            Entry(BLOB, "a", "a", 10, name, 0, 0),
            Entry(BLOB, "b", "b", size - 20, name, 1, 10),
        )
    holds = {pack.id: pack.all for pack in packs}
    return Manifest(packs=tuple(packs), owners=(Owner(id="o", holds=holds),)), indexes


def test_sizes_are_merged_apart() -> None:
    options = RemoteOptions(merge_at=2)
    manifest, indexes = packs_of(3000, 100_000, 2_000_000, 20_000_000)
    assert choose_rewrite(manifest, indexes, options) == ()
    manifest, indexes = packs_of(3000, 100_000, 2_000_000, 110_000)
    assert choose_rewrite(manifest, indexes, options) == (manifest.packs[1].id, manifest.packs[3].id)


def test_no_more_is_moved_at_once_than_a_large_pack() -> None:
    options = RemoteOptions(merge_at=2, largest_pack_bytes=10_000_000)
    manifest, indexes = packs_of(4_000_000, 4_000_000, 4_000_000)
    assert len(choose_rewrite(manifest, indexes, options)) == 2


@pytest.mark.parametrize(("mask", "chosen_"), [(3, False), (2, False), (1, True)])
def test_large_packs_that_are_mostly_unwanted(mask: int, *, chosen_: bool) -> None:
    manifest, indexes = packs_of(20_000_000)
    only = manifest.packs[0]
    manifest = replace(manifest, owners=(Owner(id="o", holds={only.id: mask}),))
    assert choose_rewrite(manifest, indexes, RemoteOptions()) == ((only.id,) if chosen_ else ())


def test_packs_without_an_index_are_left_alone() -> None:
    manifest, _ = packs_of(20, 20, 20)
    assert choose_rewrite(manifest, {}, OPTIONS) == ()


def test_keys_are_of_kind_name_and_content() -> None:
    world = World()
    world.push("me", A)
    entry = world.catalogue.item(A)
    assert entry is not None
    assert entry.key == Key(BLOB, A.name, A.sha256)
