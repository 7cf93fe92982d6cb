"""A folder as an object store."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from dxforge.remote.failures import StoreError, Trouble
from dxforge.remote.folder import FolderObjects


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "remote", make_parents=True)


def content(found: tuple[memoryview, str] | None) -> bytes:
    assert found is not None
    return bytes(found[0])


def test_what_is_stored_is_there(store: FolderObjects, tmp_path: Path) -> None:
    store.put("packs/a", b"hello")
    assert (tmp_path / "remote/packs/a").read_bytes() == b"hello"
    assert content(store.get("packs/a")) == b"hello"
    assert bytes(store.get_range("packs/a", 1, 3) or b"") == b"ell"
    assert bytes(store.get_range("packs/a", 3, 30) or b"") == b"lo"
    store.put("packs/a", b"again")
    assert content(store.get("packs/a")) == b"again"
    store.put_parts("packs/b", iter([b"x", b"y"]), 1)
    assert content(store.get("packs/b")) == b"xy"
    assert sorted(stored.key for stored in store.list_all("")) == ["packs/a", "packs/b"]
    assert {stored.size_bytes for stored in store.list_all("packs")} == {5, 2}


def test_what_is_not_there(store: FolderObjects) -> None:
    assert store.get("packs/a") is None
    assert store.get_range("packs/a", 0, 1) is None
    assert store.head("packs/a") is None
    assert store.list_all("") == []
    store.delete(["packs/a"])


def test_a_tag_tells_one_content_from_another(store: FolderObjects) -> None:
    tag = store.create("manifest/1", b"one")
    head, found = store.head("manifest/1"), store.get("manifest/1")
    assert head is not None and found is not None
    assert tag == head.tag == found[1]
    store.put("manifest/1", b"other")
    changed = store.head("manifest/1")
    assert changed is not None and changed.tag != tag


def test_only_one_creates(store: FolderObjects) -> None:
    assert store.create("manifest/1", b"first") is not None
    assert store.create("manifest/1", b"second") is None
    assert content(store.get("manifest/1")) == b"first"


def test_of_many_racers_one_creates(store: FolderObjects) -> None:
    start = threading.Barrier(16)
    won: list[bytes] = []

    def race(number: int) -> None:
        start.wait()
        mine = bytes([number]) * 1000
        if store.create("manifest/1", mine) is not None:
            won.append(mine)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert content(store.get("manifest/1")) == won[0]


def test_what_fails_on_the_way_leaves_nothing(store: FolderObjects, tmp_path: Path) -> None:
    def blocks() -> object:
        yield b"some"
        raise KeyError("no more")

    with pytest.raises(KeyError):
        store.put_parts("packs/a", blocks(), 1)  # type: ignore[arg-type]
    assert store.list_all("") == []
    assert list((tmp_path / "remote/tmp").iterdir()) == []


def test_deleting_sweeps_what_killed_processes_left(store: FolderObjects, tmp_path: Path) -> None:
    store.put("packs/a", b"x")
    old, young = tmp_path / "remote/tmp/old", tmp_path / "remote/tmp/young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert [stored.key for stored in store.list_all("")] == ["packs/a"]
    store.delete(["packs/a"])
    assert store.list_all("") == []
    assert not old.exists()
    assert young.exists()


def test_a_disk_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "not/there", make_parents=False)
    for act in (lambda: store.list_all(""), lambda: store.put("a", b""), lambda: store.create("a", b"")):
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.trouble is Trouble.MISSING
    assert not (tmp_path / "not").exists()
    (tmp_path / "not").mkdir()
    assert store.list_all("") == []
    store.put("a", b"")
    assert store.head("a") is not None


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "remote").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        FolderObjects(tmp_path / "remote", make_parents=True).put("packs/a", b"x")
    assert caught.value.trouble is Trouble.OTHER
    assert caught.value.detail


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (errno.ENOSPC, Trouble.FULL),
        (errno.EROFS, Trouble.DENIED),
        (errno.EACCES, Trouble.DENIED),
        (errno.ESTALE, Trouble.UNREACHABLE),
        (errno.EMLINK, Trouble.OTHER),
    ],
)
def test_what_the_disk_says(store: FolderObjects, monkeypatch: pytest.MonkeyPatch, code: int, trouble: Trouble) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StoreError) as caught:
        store.put("packs/a", b"x")
    assert caught.value.trouble is trouble
    assert caught.value.detail == os.strerror(code).lower()
    assert store.list_all("") == []
