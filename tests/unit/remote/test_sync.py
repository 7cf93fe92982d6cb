"""``Remote`` on a folder: what it promises, without a network in between."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dxforge.config.load import load_config, load_remote_environment
from dxforge.errors import (
    ConfigError,
    RemoteContentError,
    RemoteCredentialsError,
    RemoteDeniedError,
    RemoteMissingError,
    RemoteNewerError,
)
from dxforge.events import EventBus, Progress
from dxforge.remote.folder import FolderObjects
from dxforge.remote.garbage import manifest_key
from dxforge.remote.location import parse_location
from dxforge.remote.model import ACTION, ARTIFACT, BLOB, OBJECT, Item, Key, RemoteOptions
from dxforge.remote.sync import Remote
from tests.support.remotes import (
    ONCE,
    QUICK,
    Audit,
    Machine,
    action,
    audit,
    blob,
    blobs,
    content_of,
    folder_location,
    git_object,
    sha256,
)

OPTIONS = RemoteOptions(retry=QUICK, read_retry=ONCE)


class Place:
    """A folder that is a remote, and machines around it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "remote"
        self.objects = FolderObjects(self.folder, make_parents=True)

    def machine(self, name: str = "me", options: RemoteOptions = OPTIONS) -> Machine:
        return Machine(self.base / name, folder_location(self.folder), options=options)

    def audit(self) -> Audit:
        return audit(self.objects)

    def packs(self) -> list[Path]:
        return sorted((self.folder / "packs").iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def manifests(self) -> list[Path]:
        return sorted((self.folder / "manifest").iterdir())


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def keys(*items: Item) -> set[Key]:
    return {Key(item.kind, item.name, sha256(content_of(item))) for item in items}


# ---- up and down


def test_what_one_machine_pushes_another_pulls(place: Place) -> None:
    a, b = blobs(2, 1000)
    everything = [a, b, git_object("1" * 40, b"tree"), action("k", a), blob(b"")]
    mine = place.machine()
    report = mine.remote.push(everything, {"head": {"commit": "abc"}})
    assert report.ok and report.published
    assert (report.uploads, report.packs, report.generation) == (5, 1, 1)
    pulled, contents = place.machine("you").pulled()
    assert contents.keys() == keys(*everything)
    assert all(
        content == content_of(item) for item in everything for key, content in contents.items() if key.name == item.name
    )
    assert pulled.ok and pulled.items == 5
    (refs,) = pulled.refs
    assert refs.values == {"head": {"commit": "abc"}}
    assert refs.owner == mine.remote.owner
    assert place.audit().everything == contents


def test_kinds_and_what_is_known_already(place: Place) -> None:
    a, b = blobs(2, 10)
    place.machine().remote.push([a, b, action("k", a)])
    you = place.machine("you")
    assert you.pulled([ACTION])[1].keys() == keys(action("k", a))
    taken: list[Key] = []
    report = you.remote.pull(
        lambda entry, _: taken.append(entry.key), kinds={BLOB}, known=lambda entry: entry.name == a.name
    )
    assert (report.items, set(taken)) == (1, keys(b))
    taken.clear()
    report = you.remote.pull(lambda entry, _: taken.append(entry.key), in_threads=True)
    assert (report.items, set(taken)) == (3, keys(a, b, action("k", a)))
    assert {entry.key for entry in you.remote.entries({BLOB})} == keys(a, b)


def test_nothing_changed_is_two_requests(place: Place) -> None:
    items, refs = blobs(50, 100), {"head": "x"}
    mine = place.machine()
    mine.remote.push(items, refs)
    again = mine.remote.push(items, refs)
    assert not again.published
    assert (again.requests.class_a, again.requests.class_b) == (0, 2)
    fresh = place.machine().remote.push(items, refs, whole=True)  # another process
    assert (fresh.requests.class_a, fresh.requests.class_b) == (0, 2)


def test_only_what_is_new_is_uploaded(place: Place) -> None:
    mine = place.machine()
    mine.remote.push(blobs(20, 1000))
    report = mine.remote.push([*blobs(20, 1000), *blobs(1, 10, seed=1)])
    assert (report.uploads, report.size_bytes, report.packs) == (1, 10, 1)
    other = place.machine("you").remote.push(blobs(20, 1000))
    assert (other.uploads, other.published) == (0, True)  # held by two from now on


def test_a_plan_uploads_nothing_and_is_kept_to(place: Place) -> None:
    mine = place.machine()
    items = blobs(30, 1000)
    plan = mine.remote.plan(items, {"head": "x"})
    assert not place.folder.exists() or not list(place.folder.glob("packs/*"))
    assert (plan.items, plan.uploads, plan.size_bytes, plan.packs, plan.publishes) == (30, 30, 30_000, 1, True)
    assert mine.remote.push(items, {"head": "x"}).requests == plan.requests
    plan = mine.remote.plan(items, {"head": "x"})
    assert not plan.publishes
    assert mine.remote.push(items, {"head": "x"}).requests == plan.requests
    assert plan.to_json()["class_a"] == 0


def test_an_empty_push_to_an_empty_remote_makes_nothing(place: Place) -> None:
    assert not place.machine().remote.push([], {}).published
    assert not place.machine().remote.push([], {}, whole=True).published
    assert place.machine().pulled()[1] == {}
    assert not place.folder.exists()


def test_items_from_files(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "product"
    file.write_bytes(b"x" * 5000)
    item = Item(kind=ARTIFACT, name="dist/app", sha256=sha256(b"x" * 5000), size_bytes=5000, read=file)
    place.machine().remote.push([item])
    assert place.machine("you").remote.get(ARTIFACT, "dist/app") == b"x" * 5000


def test_an_item_that_cannot_be_is_a_mistake_of_the_caller(place: Place) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        place.machine().remote.push([Item(kind=BLOB, size_bytes=1, read=lambda: b"x")])
    with pytest.raises(TypeError, match="JSON"):
        place.machine().remote.push(blobs(1, 1), {"head": object()})  # type: ignore[dict-item]
    assert not place.folder.exists()


# ---- what changes or vanishes while it is read


def changing(item: Item, content: bytes) -> Item:
    return replace(item, read=lambda: content)


@pytest.mark.parametrize("how", ["other", "longer", "gone", "broken"])
def test_what_changes_is_left_out_and_the_refs_wait(place: Place, tmp_path: Path, how: str) -> None:
    def broken() -> bytes:
        raise KeyError("object not found")

    a, b = blobs(2, 100)
    wrong = {
        "other": replace(b, read=lambda: b"y" * 100),
        "longer": replace(b, read=lambda: b"y" * 101),
        "gone": replace(b, read=tmp_path / "gone"),
        "broken": replace(b, read=broken),
    }[how]
    mine = place.machine()
    mine.remote.push([], {"head": "old"})
    report = mine.remote.push([a, wrong, action("k", a, b)], {"head": "new"}, whole=True)
    assert not report.ok
    assert [(left.kind, left.name) for left in report.left_out] == [(BLOB, b.name), (ACTION, "k")]
    assert "needs" in report.left_out[1].reason
    found = place.audit()
    assert found.everything.keys() == keys(a)
    assert found.refs == {mine.remote.owner: {"head": "old"}}
    report = mine.remote.push([a, b, action("k", a, b)], {"head": "new"}, whole=True)
    assert report.ok
    found = place.audit()
    assert found.everything.keys() == keys(a, b, action("k", a, b))
    assert found.refs == {mine.remote.owner: {"head": "new"}}


def test_an_action_whose_blob_nobody_has_stays_here(place: Place) -> None:
    report = place.machine().remote.push([action("k", blob(b"never"))])
    assert [left.name for left in report.left_out] == ["k"]
    assert place.audit().everything == {}


# ---- large items


LARGE = replace(OPTIONS, pack_bytes=4000, largest_pack_bytes=8000, single_put_bytes=10_000, part_bytes=1 << 20)


@pytest.mark.parametrize("size", [7999, 9_999, 10_000, 300_000])
@pytest.mark.parametrize("from_file", [True, False])
def test_large_items(place: Place, tmp_path: Path, size: int, *, from_file: bool) -> None:
    content = os.urandom(size)
    (tmp_path / "large").write_bytes(content)
    item = Item(kind=BLOB, name="large", size_bytes=size, read=tmp_path / "large" if from_file else lambda: content)
    options = LARGE if size < 100_000 else replace(LARGE, part_bytes=1000)
    mine = place.machine(options=options)
    plan = mine.remote.plan([item, *blobs(3, 10)])
    report = mine.remote.push([item, *blobs(3, 10)])
    assert report.ok and report.packs == 2
    assert report.requests == plan.requests
    pulled, contents = place.machine("you", options=options).pulled()
    assert pulled.ok
    assert contents[Key(BLOB, "large", sha256(content))] == content
    assert mine.remote.get(BLOB, "large") == content


@pytest.mark.parametrize("how", ["shorter", "longer", "other", "gone"])
def test_a_large_file_that_changes(place: Place, tmp_path: Path, how: str) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"a" * 20_000)
    item = Item(kind=BLOB, name="large", sha256=sha256(b"a" * 20_000), size_bytes=20_000, read=file)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes({"shorter": b"a" * 19_999, "longer": b"a" * 20_001, "other": b"b" * 20_000}[how])
    report = place.machine(options=LARGE).remote.push([item, *blobs(1, 10)], {"head": 1})
    assert [left.name for left in report.left_out] == ["large"]
    assert place.audit().everything.keys() == keys(*blobs(1, 10))


# ---- who holds what


def test_the_remote_holds_what_its_machines_hold(place: Place) -> None:
    a, b, c = blobs(3, 100)
    mine, yours = place.machine("me"), place.machine("you")
    mine.remote.push([a, b], whole=True)
    yours.remote.push([b, c], whole=True)
    mine.remote.push([c], {"x": 1}, whole=True)
    found = place.audit()
    assert found.contents[mine.remote.owner].keys() == keys(c)
    assert found.contents[yours.remote.owner].keys() == keys(b, c)
    assert mine.remote.forget(yours.remote.owner)
    assert not mine.remote.forget("nobody")
    assert place.audit().everything.keys() == keys(c)


def test_two_machines_whose_results_differ_keep_both_and_stay_quiet(place: Place) -> None:
    a, b = blobs(2, 100)
    mine, yours = place.machine("me"), place.machine("you")
    mine.remote.push([a, action("k", a)], whole=True)
    yours.remote.push([b, action("k", b)], whole=True)
    assert not mine.remote.push([a, action("k", a)], whole=True).published
    assert not yours.remote.push([b, action("k", b)], whole=True).published
    assert place.audit().everything.keys() == keys(a, b, action("k", a), action("k", b))


def test_many_small_pushes_make_few_packs(place: Place) -> None:
    mine = place.machine()
    items = blobs(60, 500)
    for item in items:
        mine.remote.push([item])
    found = place.audit()
    assert found.everything.keys() == keys(*items)
    assert len(found.manifest.packs) <= 16
    assert place.machine("you").pulled()[1].keys() == keys(*items)


def test_a_plan_knows_of_merging_and_collecting(place: Place) -> None:
    mine = place.machine()
    for item in blobs(40, 500):
        plan = mine.remote.plan([item])
        assert mine.remote.push([item]).requests == plan.requests


# ---- garbage


EAGER = replace(OPTIONS, grace_s=0.001, keep_manifests=2, collect_every=4)


def test_what_nobody_refers_to_is_deleted_in_time(place: Place) -> None:
    mine = place.machine(options=EAGER)
    (place.folder / "packs").mkdir(parents=True)
    orphan = place.folder / "packs" / ("0" * 64)
    orphan.write_bytes(b"left by a killed push")
    os.utime(orphan, (1, 1))
    deleted = sum(mine.remote.push(blobs(3, 100, seed=number), whole=True).deleted for number in range(13))
    assert deleted > 10
    assert not orphan.exists()
    found = place.audit()
    assert found.everything.keys() == keys(*blobs(3, 100, seed=12))
    assert len(place.manifests()) <= 2 + 4
    assert found.packs <= 2 + 4
    assert len(found.manifest.retired) <= 6


def test_what_is_young_is_not_deleted(place: Place) -> None:
    mine = place.machine()
    for number in range(20):
        mine.remote.push(blobs(1, 100, seed=number), whole=True)
    assert mine.remote.collect() == 0
    assert len(place.manifests()) == 20


def test_who_was_away_for_long_finds_the_newest(place: Place) -> None:
    mine, yours = place.machine("me", options=EAGER), place.machine("you", options=EAGER)
    yours.remote.push(blobs(1, 50, seed=99), {"y": 1})
    for number in range(30):
        mine.remote.push(blobs(1, 100, seed=number), whole=True)
    assert not (place.folder / manifest_key(1)).exists()
    report = yours.remote.push(blobs(1, 50, seed=98))
    assert report.published and report.generation == 32
    assert place.audit().contents[yours.remote.owner].keys() == keys(*blobs(1, 50, seed=99), *blobs(1, 50, seed=98))


# ---- damage


def rot(path: Path, position: int = 10) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_rot_is_found_by_who_reads_and_healed_by_who_has_it(place: Place) -> None:
    items = blobs(5, 100)
    mine, yours = place.machine("me"), place.machine("you")
    mine.remote.push(items, {"head": 1})
    rot(place.packs()[0], 250)
    report, contents = yours.pulled()
    assert not report.ok
    (damage,) = report.damage
    assert ([entry.name for entry in damage.entries], damage.reason) == ([items[2].name], "it is not what was uploaded")
    assert contents.keys() == keys(*items[:2], *items[3:])
    assert any("damaged: 1 item in 1 pack;" in text for text in yours.notices)
    place.audit()
    healed = mine.remote.push(items, {"head": 1})
    assert (healed.uploads, healed.ok) == (1, True)
    report, contents = yours.pulled()
    assert report.ok and contents.keys() == keys(*items)


@pytest.mark.parametrize("how", ["missing", "empty", "short", "index", "all"])
def test_damage_of_every_kind_is_healed(place: Place, how: str) -> None:
    items = blobs(15, 100)
    mine, yours = place.machine("me"), place.machine("you")
    mine.remote.push(items)
    (pack,) = place.packs()
    content = pack.read_bytes()
    if how == "missing":
        pack.unlink()
    else:
        changed = {
            "empty": b"",
            "short": content[:150],
            "index": content[:-1] + bytes([content[-1] ^ 1]),
            "all": bytes(byte ^ 1 for byte in content),
        }
        pack.write_bytes(changed[how])
    report, contents = yours.pulled()
    assert contents == {}
    assert not report.ok
    assert report.to_json()["damaged_items"] == 15
    (damage,) = report.damage
    assert damage.reason
    assert mine.remote.push(items).ok
    report, contents = yours.pulled()
    assert report.ok and contents.keys() == keys(*items)
    assert place.audit().everything == contents


def test_who_may_not_write_notes_the_damage(place: Place) -> None:
    items = blobs(3, 100)
    mine = place.machine("me")
    mine.remote.push(items)
    reader = place.machine("you", options=replace(OPTIONS, write=False))
    rot(place.packs()[0])
    assert not reader.pulled()[0].ok
    assert len(place.manifests()) == 1
    assert reader.remote.get_blob(items[0].sha256) is None
    # It may write after all, has the item, and heals it at once.
    writer = place.machine("you")
    assert writer.remote.push(items).uploads == 1
    assert mine.pulled()[0].ok


def test_verifying_finds_what_nobody_has_read(place: Place) -> None:
    items = blobs(3, 100)
    mine = place.machine()
    mine.remote.push(items)
    assert mine.remote.verify().ok
    rot(place.packs()[0])
    assert not mine.remote.push(items).published  # two requests do not see it
    assert not mine.remote.verify().ok
    assert mine.remote.push(items).uploads == 1
    assert mine.remote.verify().ok


def test_collecting_notices_what_is_missing(place: Place) -> None:
    items = blobs(3, 100)
    mine = place.machine()
    mine.remote.push(items)
    place.packs()[0].unlink()
    mine.remote.collect()
    assert place.audit().everything == {}
    assert mine.remote.push(items).uploads == 3
    place.audit()


@pytest.mark.parametrize("content", [b"", b"<html>", b"dxforge-manifest 1 00\n{}"])
def test_a_damaged_manifest_costs_nothing_where_the_one_before_is_known(place: Place, content: bytes) -> None:
    a, b, c = blobs(3, 100)
    mine, yours = place.machine("me"), place.machine("you")
    mine.remote.push([a], {"m": 1})
    yours.remote.push([b], {"y": 1})
    place.manifests()[-1].write_bytes(content)
    assert mine.remote.push([a, c], {"m": 1}).generation == 3
    assert yours.remote.push([b], {"y": 1}).published  # what its manifest said is said again
    found = place.audit()
    assert found.everything.keys() == keys(a, b, c)
    assert len(found.refs) == 2


def test_a_stranger_finds_the_newest_manifest_that_can_be_read(place: Place) -> None:
    a, b = blobs(2, 100)
    mine = place.machine("me")
    mine.remote.push([a])
    mine.remote.push([b])
    place.manifests()[-1].write_bytes(b"")
    assert place.machine("you").pulled()[1].keys() == keys(a)


def test_when_no_manifest_can_be_read(place: Place) -> None:
    items = blobs(2, 100)
    mine = place.machine("me")
    mine.remote.push(items)
    place.manifests()[0].write_bytes(b"")
    with pytest.raises(RemoteContentError, match="there is none before it"):
        place.machine("you").pulled()
    assert mine.remote.push(items).generation == 2
    assert place.machine("you").pulled()[1].keys() == keys(*items)


def test_what_a_newer_dxforge_wrote_is_left_alone(place: Place) -> None:
    mine = place.machine()
    mine.remote.push(blobs(1, 10))
    place.manifests()[0].write_bytes(b"dxforge-manifest 2 00\n{}")
    for act in (lambda: mine.remote.push(blobs(2, 10)), lambda: place.machine("you").pulled()):
        with pytest.raises(RemoteNewerError, match="Update dxforge"):
            act()


def test_a_remote_that_was_emptied_begins_anew(place: Place) -> None:
    import shutil

    items = blobs(3, 100)
    mine = place.machine()
    mine.remote.push(items)
    shutil.rmtree(place.folder)
    report = mine.remote.push(items)
    assert (report.generation, report.uploads) == (1, 3)
    assert place.machine("you").pulled()[1].keys() == keys(*items)


def test_what_is_remembered_may_be_lost(place: Place) -> None:
    import shutil

    items = blobs(3, 100)
    place.machine().remote.push(items, {"head": 1})
    shutil.rmtree(place.base / "me")
    again = place.machine()
    assert again.remote.push(items, {"head": 1}).uploads == 0
    assert len(place.audit().contents) == 2  # somebody new, as far as the remote can tell


# ---- interrupted


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def interrupted(machine: Machine, at: Callable[[str], bool], items: list[Item]) -> bool:
    """Push and die at a checkpoint; whether it came to that."""

    def checkpoint(step: str) -> None:
        if at(step):
            raise Killed(step)

    machine.remote.checkpoint = checkpoint
    try:
        machine.remote.push(items, {"head": "new"})
    except Killed:
        return True
    return False


def test_a_push_goes_on_where_it_was(place: Place) -> None:
    items = blobs(6, 1000)
    options = replace(OPTIONS, pack_bytes=1000, workers=1)
    count = 0

    def at(step: str) -> bool:
        nonlocal count
        count += step == "noted"
        return count == 4

    assert interrupted(place.machine(options=options), at, items)
    assert place.audit().manifest.generation == 0
    mine = place.machine(options=options)
    plan = mine.remote.plan(items, {"head": "new"})
    assert plan.uploads == 2
    report = mine.remote.push(items, {"head": "new"})
    assert (report.resumed, report.uploads, report.packs) == (4, 2, 2)
    assert report.requests == plan.requests
    assert place.audit().everything.keys() == keys(*items)
    assert place.audit().packs == 6
    assert not mine.remote.push(items, {"head": "new"}).published


@pytest.mark.parametrize("step", ["uploaded", "noted", "publishing", "published"])
def test_dying_at_each_step_loses_nothing(place: Place, step: str) -> None:
    old, new = blobs(2, 100), blobs(4, 100, seed=1)
    place.machine().remote.push(old, {"head": "old"})
    assert interrupted(place.machine(), lambda found: found == step, new)
    found = place.audit()
    if step == "published":
        assert found.everything.keys() == keys(*old, *new)
    else:
        assert found.everything.keys() == keys(*old)
        assert list(found.refs.values()) == [{"head": "old"}]
    report = place.machine().remote.push(new, {"head": "new"})
    assert report.ok
    assert place.audit().everything.keys() == keys(*old, *new)
    assert list(place.audit().refs.values()) == [{"head": "new"}]


def test_uploads_that_are_gone_or_too_old_are_made_again(place: Place) -> None:
    items = blobs(2, 1000)
    options = replace(OPTIONS, pack_bytes=1000, workers=1)
    assert interrupted(place.machine(options=options), lambda step: step == "publishing", items)
    place.packs()[0].unlink()
    report = place.machine(options=options).remote.push(items)
    assert report.uploads == 1
    place.audit()
    more = blobs(2, 1000, seed=1)
    assert interrupted(place.machine(options=options), lambda step: step == "publishing", more)
    impatient = place.machine(options=replace(options, grace_s=0.001))
    assert impatient.remote.push(more).uploads == 2
    assert place.audit().everything.keys() == keys(*items, *more)


def test_giving_up_is_clean(place: Place) -> None:
    class EnoughError(Exception):
        pass

    def check() -> None:
        raise EnoughError

    mine = place.machine()
    for act in (
        lambda: mine.remote.push(blobs(3, 10), check=check),
        lambda: mine.remote.plan(blobs(3, 10), check=check),
    ):
        try:
            act()
        except EnoughError:
            pass
    assert mine.remote.push(blobs(3, 10)).ok
    with pytest.raises(EnoughError):
        mine.remote.pull(lambda *_: None, check=check)
    assert mine.pulled()[0].ok


# ---- the build's cache


def test_the_cache_reads_through(place: Place) -> None:
    a, b = blobs(2, 1000)
    place.machine().remote.push([a, b, action("k", a)])
    yours = place.machine("you").remote
    assert yours.get_blob(a.sha256) == content_of(a)
    assert yours.get(ACTION, "k") == a.sha256.encode()
    assert yours.get(ACTION, "k", sha256="0" * 64) is None
    assert yours.get_blob("0" * 64) is None
    wanted = [(BLOB, item.sha256, item.sha256) for item in (a, b)]
    assert yours.get_many([*wanted, (BLOB, "none", "")]) == {
        key: content_of(item) for key, item in zip(wanted, (a, b), strict=True)
    }


def test_the_cache_never_raises(place: Place) -> None:
    a, b = blobs(2, 1000)
    place.machine().remote.push([a, b])
    yours = place.machine("you")
    assert yours.remote.get_blob(b.sha256) is not None
    rot(place.packs()[0])
    assert yours.remote.get_blob(a.sha256) is None
    assert yours.remote.get_blob(b.sha256) is not None
    place.packs()[0].unlink()
    assert yours.remote.get_blob(b.sha256) is None
    nowhere = Machine(place.base / "x", parse_location(f"file://{place.base}/not/there/x", root=place.base))
    assert nowhere.remote.get_blob(a.sha256) is None
    assert nowhere.remote.get_blob(a.sha256) is None
    assert len([text for text in nowhere.notices if "not used" in text]) == 1


def test_a_miss_is_news_after_a_while(place: Place) -> None:
    (a,) = blobs(1, 10)
    yours = place.machine("you").remote
    assert yours.get_blob(a.sha256) is None
    place.machine().remote.push([a])
    assert yours.get_blob(a.sha256) is None  # within refresh_s, nothing is asked
    eager = place.machine("you", options=replace(OPTIONS, refresh_s=0)).remote
    assert eager.get_blob(a.sha256) is not None


# ---- settings


def test_reading_and_writing_are_separate(place: Place) -> None:
    (a,) = blobs(1, 10)
    reader = place.machine("r", options=replace(OPTIONS, write=False)).remote
    writer = place.machine("w", options=replace(OPTIONS, read=False)).remote
    writer.push([a])
    assert writer.get_blob(a.sha256) is None
    assert reader.get_blob(a.sha256) == content_of(a)
    for act in (lambda: reader.push([a]), lambda: reader.forget("x"), reader.collect):
        with pytest.raises(RemoteDeniedError, match="write = false"):
            act()
    for act in (writer.refs, writer.entries, writer.verify):
        with pytest.raises(RemoteDeniedError, match="read = false"):
            act()
    assert reader.plan([a]).uploads == 0


def test_the_remote_of_a_project_works_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_text('[project]\nname = "demo"\n')
    bus = EventBus()
    remote = Remote.open(load_config(tmp_path), events=bus, environment=load_remote_environment({}))
    seen: list[object] = []
    bus.subscribe(seen.append)
    assert remote.push(blobs(3, 10), {"head": 1}).ok
    assert (tmp_path / ".dx/remote/manifest/000000000001").is_file()
    assert (tmp_path / ".dx/sync/owner").is_file()
    assert (tmp_path / ".dx/.gitignore").is_file()
    assert remote.refs()[0].label.startswith("demo on ")
    assert [event.done for event in seen if isinstance(event, Progress)] == [0, 30]
    assert repr(remote) == f"Remote({tmp_path}/.dx/remote)"


def test_the_environment_overrides_reading_and_writing(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_text("[remote]\nwrite = false\n")
    config = load_config(tmp_path)
    bus = EventBus()
    assert not Remote.open(config, events=bus, environment=load_remote_environment({})).options.write
    override = load_remote_environment({"DXFORGE_REMOTE_WRITE": "1", "DXFORGE_REMOTE_READ": "0"})
    options = Remote.open(config, events=bus, environment=override).options
    assert (options.read, options.write) == (False, True)


def test_opening_says_what_is_wrong(tmp_path: Path) -> None:
    nothing = load_remote_environment({"AWS_SHARED_CREDENTIALS_FILE": "/none", "AWS_CONFIG_FILE": "/none"})
    (tmp_path / "dx.toml").write_text('[remote]\nurl = "r2://account"\n')
    with pytest.raises(ConfigError, match=r"remote\.url.*names no bucket"):
        Remote.open(load_config(tmp_path), events=EventBus(), environment=nothing)
    (tmp_path / "dx.toml").write_text('[remote]\nurl = "r2://account/bucket"\n')
    with pytest.raises(RemoteCredentialsError, match="R2_ACCESS_KEY_ID"):
        Remote.open(load_config(tmp_path), events=EventBus(), environment=nothing)


def test_a_folder_whose_disk_is_not_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "s", parse_location(f"file://{tmp_path}/mnt/usb/dx", root=tmp_path))
    for act in (lambda: machine.remote.push(blobs(1, 1)), machine.remote.refs):
        with pytest.raises(RemoteMissingError, match="Make it, or mount"):
            act()


def test_a_remote_cannot_be_pickled(place: Place) -> None:
    with pytest.raises(TypeError, match="open it where"):
        pickle.dumps(place.machine().remote)


def test_kinds_have_names() -> None:
    assert {OBJECT, BLOB, ACTION, ARTIFACT} == {"object", "blob", "action", "artifact"}
