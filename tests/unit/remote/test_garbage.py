"""What may be deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dxforge.remote.garbage import Garbage, Stored, find_garbage, generations, manifest_key, pack_key
from dxforge.remote.model import Manifest, Pack, RemoteOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = RemoteOptions(grace_s=100, keep_manifests=2)


def name(number: int) -> str:
    return f"{number:064x}"


def stored(key: str, age_s: float = 0, size_bytes: int = 10) -> Stored:
    return Stored(key=key, size_bytes=size_bytes, modified=NOW - timedelta(seconds=age_s))


def manifests(**ages_s: float) -> list[Stored]:
    return [stored(manifest_key(int(number[1:])), age_s) for number, age_s in ages_s.items()]


def manifest(*packs: int, retired: dict[int, int] | None = None, generation: int = 5) -> Manifest:
    return Manifest(
        generation=generation,
        packs=tuple(Pack(id=name(pack), size_bytes=10, index_bytes=1, entries=1) for pack in packs),
        retired={name(pack): since for pack, since in (retired or {}).items()},
    )


def find(listing: list[Stored], newest: Manifest, options: RemoteOptions = OPTIONS) -> Garbage:
    return find_garbage(listing, newest, newest.generation, options)


def test_manifests_are_listed_by_number_and_strangers_left_out() -> None:
    listing = [*manifests(_12=0, _3=0), stored("manifest/x"), stored("manifest/1"), stored("other/000000000001")]
    assert list(generations(listing)) == [3, 12]


def test_young_things_stay() -> None:
    listing = [*manifests(_4=200, _5=0), stored(pack_key(name(1)), 99), stored(pack_key(name(2)), 101)]
    assert find(listing, manifest()).packs == (pack_key(name(2)),)


def test_what_the_newest_refers_to_stays_however_old() -> None:
    assert find([*manifests(_5=0), stored(pack_key(name(1)), 1e6)], manifest(1)).packs == ()


def test_a_manifest_goes_when_it_was_superseded_long_ago() -> None:
    # 3 is old but was the newest until a moment ago: somebody may be reading by it.
    assert find(manifests(_1=500, _2=400, _3=300, _4=20, _5=0), manifest()).manifests == tuple(
        manifest_key(number) for number in (1, 2)
    )


def test_the_newest_few_manifests_stay_however_old() -> None:
    options = RemoteOptions(grace_s=100, keep_manifests=3)
    listing = manifests(_1=900, _2=800, _3=700, _4=600, _5=500)
    # Ages are counted to the newest: when nothing was published for long, nothing is older for it.
    assert find(listing, manifest(), options).manifests == tuple(manifest_key(number) for number in (1, 2))


def test_a_retired_pack_waits_for_the_last_manifest_that_refers_to_it() -> None:
    old = stored(pack_key(name(1)), 1e6)
    listing = [*manifests(_3=300, _4=20, _5=0), old]
    assert find(listing, manifest(retired={1: 4})).packs == ()  # 3 refers to it, and was the newest 20 s ago
    assert find(listing, manifest(retired={1: 3})).packs == (old.key,)
    listing = [*manifests(_3=300, _4=200, _5=0), old]
    assert find(listing, manifest(retired={1: 4})).manifests == (manifest_key(3),)
    assert find(listing, manifest(retired={1: 4})).packs == (old.key,)


def test_packs_that_are_gone_need_not_be_named_any_longer() -> None:
    assert find(manifests(_5=0), manifest(retired={1: 2})).swept == {name(1)}


def test_packs_that_are_missing_or_not_whole_are_noticed() -> None:
    listing = [*manifests(_5=0), stored(pack_key(name(1))), stored(pack_key(name(2)), size_bytes=9)]
    assert find(listing, manifest(1, 2, 3)).lost == {name(2), name(3)}


def test_who_is_behind_collects_nothing() -> None:
    listing = [*manifests(_4=500, _5=400, _6=0), stored(pack_key(name(1)), 1e6)]
    assert find(listing, manifest()) == Garbage()
    assert find([], manifest(1)) == Garbage()
