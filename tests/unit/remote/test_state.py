"""What is remembered of a remote."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dxforge.errors import WriteError
from dxforge.remote.manifest import encode_manifest
from dxforge.remote.model import Manifest, Owner
from dxforge.remote.packs import decode_index, make_pack
from dxforge.remote.state import Head, SyncState, Upload, owner_id
from tests.support.remotes import sha256

PACK, INDEX = make_pack([("blob", f"{number}", sha256(bytes([number])), 1) for number in range(20)], (1, 0))
SHORT, SHORT_INDEX = make_pack([("blob", "a", sha256(b"a"), 1)], (1, 0))
MANIFEST = Manifest(generation=3, owners=(Owner(id="o", refs={"a": 1}),))


@pytest.fixture
def state(tmp_path: Path) -> SyncState:
    return SyncState(tmp_path / "state")


def test_a_head(state: SyncState) -> None:
    assert state.head() is None
    head = Head(generation=3, tag='"t"', size_bytes=10, manifest=MANIFEST)
    state.save_head(head, encode_manifest(MANIFEST))
    assert state.head() == head
    state.forget_head()
    assert state.head() is None
    state.forget_head()


def test_indexes(state: SyncState) -> None:
    assert state.index(PACK) is None
    state.save_index(PACK, INDEX)
    assert state.index(PACK) == decode_index(PACK, INDEX)
    state.keep_indexes([PACK.id])
    assert state.index(PACK) is not None
    state.keep_indexes([])
    assert state.index(PACK) is None


def test_what_killed_processes_were_writing_goes(state: SyncState, tmp_path: Path) -> None:
    state.save_index(PACK, INDEX)
    old, young = tmp_path / "state/.head.0", tmp_path / "state/indexes/.x.1"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1, 1))
    state.keep_indexes([PACK.id])
    assert not old.exists()
    assert young.exists()
    assert state.index(PACK) is not None


def test_short_indexes_stand_in_the_manifest(state: SyncState, tmp_path: Path) -> None:
    state.save_index(SHORT, SHORT_INDEX)
    assert not (tmp_path / "state").exists()
    assert state.index(SHORT) == decode_index(SHORT, SHORT_INDEX)
    assert state.index(replace(SHORT, index=b"damaged")) is None


def test_uploads(state: SyncState) -> None:
    assert list(state.uploads()) == []
    state.save_upload(PACK, INDEX, 12.5)
    assert list(state.uploads()) == [Upload(pack=PACK, entries=decode_index(PACK, INDEX), at_s=12.5)]
    state.drop_upload(PACK.id)
    assert list(state.uploads()) == []
    state.save_upload(SHORT, SHORT_INDEX, 1)
    assert [upload.pack for upload in state.uploads()] == [SHORT]


def test_damage_and_what_is_swept(state: SyncState) -> None:
    assert state.damaged() == {}
    state.save_damaged({PACK.id: 5})
    assert state.damaged() == {PACK.id: 5}
    state.save_damaged({})
    assert state.damaged() == {}
    state.save_swept([PACK.id])
    assert state.swept() == {PACK.id}
    state.save_swept([])
    assert state.swept() == frozenset()


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"\xff\xfe", b'{"generation": 1}\nx'])
def test_what_is_damaged_is_not_remembered(state: SyncState, tmp_path: Path, content: bytes) -> None:
    state.save_head(Head(generation=3, manifest=MANIFEST), encode_manifest(MANIFEST))
    state.save_upload(PACK, INDEX, 1)
    state.save_damaged({PACK.id: 1})
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(content)
    assert state.head() is None
    assert list(state.uploads()) == []
    assert state.damaged() == {}


def test_what_cannot_be_written_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    state = SyncState(tmp_path / "file/state")
    state.save_head(Head(generation=3, manifest=MANIFEST), encode_manifest(MANIFEST))
    state.save_upload(PACK, INDEX, 1)
    assert state.head() is None
    assert list(state.uploads()) == []


def test_an_owner_is_made_once_however_many_ask(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(owner_id(tmp_path / "s"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["owner"]
    assert owner_id(tmp_path / "other") != found[0]


def test_an_owner_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError):
        owner_id(tmp_path / "file")
