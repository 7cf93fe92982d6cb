"""Finding the newest manifest with few requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.errors import RemoteContentError, RemoteNewerError
from dxforge.remote.folder import FolderObjects
from dxforge.remote.garbage import manifest_key
from dxforge.remote.head import find_head, load_indexes
from dxforge.remote.location import Location
from dxforge.remote.manifest import encode_manifest
from dxforge.remote.model import Manifest, RemoteOptions, Requests
from dxforge.remote.packs import make_pack
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session
from dxforge.remote.state import Head, SyncState
from tests.support.remotes import sha256


class Desk:
    """A store, what is remembered of it, and a look at it that counts."""

    def __init__(self, base: Path) -> None:
        self.objects = FolderObjects(base / "remote", make_parents=True)
        self.state = SyncState(base / "state")

    def publish(self, number: int, nonce: str = "") -> None:
        self.objects.put(manifest_key(number), encode_manifest(Manifest(generation=number, nonce=nonce)))

    def session(self) -> Session:
        return Session(
            self.objects, Location(kind="file"), retry=RetryPolicy(), circuit=Circuit(Breaker()), chance=lambda: 0.5
        )

    def look(self) -> tuple[Head, Requests]:
        session = self.session()
        return find_head(session, self.state), session.requests


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_empty_remote(desk: Desk) -> None:
    head, requests = desk.look()
    assert (head.generation, head.manifest, head.damaged) == (0, Manifest(), False)
    assert requests == Requests(class_a=1)


def test_a_stranger_lists_once_and_then_knows(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.publish(number)
    head, requests = desk.look()
    assert (head.generation, requests) == (3, Requests(class_a=1, class_b=1))
    head, requests = desk.look()
    assert (head.generation, requests) == (3, Requests(class_b=2))


def test_a_few_steps_are_followed_and_many_are_listed(desk: Desk) -> None:
    desk.publish(1)
    desk.look()
    for number in range(2, 5):
        desk.publish(number)
    head, requests = desk.look()
    assert (head.generation, requests) == (4, Requests(class_b=4))
    for number in range(5, 60):
        desk.publish(number)
    head, requests = desk.look()
    assert head.generation == 59
    assert requests == Requests(class_a=1, class_b=17)


def test_when_the_known_one_is_deleted_it_is_listed(desk: Desk) -> None:
    desk.publish(1)
    desk.look()
    desk.publish(8)
    desk.objects.delete([manifest_key(1)])
    head, requests = desk.look()
    assert (head.generation, requests) == (8, Requests(class_a=1, class_b=3))


def test_another_manifest_of_the_same_number_is_read(desk: Desk) -> None:
    """Somebody emptied the bucket, and others have come as far again."""
    desk.publish(2, "before")
    desk.look()
    desk.publish(2, "after")
    assert desk.look()[0].manifest.nonce == "after"
    assert desk.look()[1] == Requests(class_b=2)


def test_an_emptied_remote_is_forgotten(desk: Desk) -> None:
    desk.publish(1)
    desk.look()
    desk.objects.delete([manifest_key(1)])
    assert desk.look()[0].generation == 0
    assert desk.state.head() is None


def test_the_newest_that_can_be_read_counts_and_the_number_does_too(desk: Desk) -> None:
    desk.publish(1, "one")
    for number in (2, 3):
        desk.objects.put(manifest_key(number), b"damaged")
    head, _ = desk.look()
    assert (head.generation, head.manifest.nonce, head.damaged) == (3, "one", True)
    head, _ = desk.look()
    assert (head.generation, head.damaged) == (3, True)
    desk.publish(4, "four")
    head, _ = desk.look()
    assert (head.generation, head.manifest.nonce, head.damaged) == (4, "four", False)


def test_what_is_known_counts_where_it_is_newer_than_what_can_be_read(desk: Desk) -> None:
    desk.publish(1, "one")
    desk.publish(2, "two")
    desk.look()
    desk.objects.put(manifest_key(2), b"damaged")
    desk.objects.put(manifest_key(3), b"damaged")
    head, _ = desk.look()
    assert (head.generation, head.manifest.nonce, head.damaged) == (3, "two", True)


def test_a_newer_format_is_not_damage(desk: Desk) -> None:
    desk.objects.put(manifest_key(1), b"dxforge-manifest 9 00\n")
    with pytest.raises(RemoteNewerError):
        desk.look()


def test_who_answers_for_everything_is_no_remote(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.publish(1)
    desk.look()
    monkeypatch.setattr(desk.objects, "get", lambda _: (memoryview(b"<html>"), ""))
    monkeypatch.setattr(desk.objects, "list_all", lambda _: [])
    with pytest.raises(RemoteContentError, match="no manifest"):
        desk.look()


def test_who_lists_what_it_does_not_have_is_none_either(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.publish(1)
    monkeypatch.setattr(desk.objects, "get", lambda _: None)
    with pytest.raises(RemoteContentError, match="does not have it"):
        desk.look()


def test_indexes_are_read_once(desk: Desk) -> None:
    packs = []
    for number in range(3):
        contents = [bytes([number, part]) * 10 for part in range(20)]
        pack, index = make_pack([("blob", "", sha256(content), 20) for content in contents], (number, 0))
        desk.objects.put(f"packs/{pack.id}", b"".join(contents) + index)
        packs.append(pack)
    desk.objects.delete([f"packs/{packs[2].id}"])

    def load() -> tuple[set[str], dict[str, str], Requests]:
        session = desk.session()
        entries, faults = load_indexes(session, desk.state, packs, {}, options=RemoteOptions(), check=lambda: None)
        return set(entries), faults, session.requests

    both = {packs[0].id, packs[1].id}
    assert load() == (both, {packs[2].id: "it is gone"}, Requests(class_b=3))
    assert load() == (both, {packs[2].id: "it is gone"}, Requests(class_b=1))
