"""The user's cache of archives: whole or not there, whoever writes and whatever the disk does."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dxforge.errors import ArchiveError, IntegrityError, WriteError
from dxforge.events import Event, EventBus, Notice
from dxforge.store.archives import ArchiveStore

CONTENT = b"some archive" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def files(folder: Path) -> list[str]:
    """Every file below ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def heard() -> list[Event]:
    """Events of :func:`store`."""
    return []


@pytest.fixture
def store(tmp_path: Path, heard: list[Event]) -> ArchiveStore:
    """An empty cache that does not exist yet."""
    events = EventBus()
    events.subscribe(heard.append)
    return ArchiveStore(tmp_path / "cache", events=events)


def test_an_archive_lies_under_its_sha256_whatever_it_came_from(tmp_path: Path, store: ArchiveStore) -> None:
    assert store.get(SHA256) is None
    assert not store.cache_dir.exists()
    source = tmp_path / "x.bin"
    source.write_bytes(CONTENT)
    for given in (source, io.BytesIO(CONTENT), [CONTENT[:7], CONTENT[7:]]):
        path = store.add(given, SHA256)
        assert path == store.cache_dir / "archives" / SHA256[:2] / SHA256
        assert path.read_bytes() == CONTENT
        assert store.get(SHA256) == path
    assert files(store.cache_dir) == [f"archives/{SHA256[:2]}/{SHA256}"]


def test_other_bytes_than_promised_are_not_kept(store: ArchiveStore) -> None:
    with pytest.raises(IntegrityError) as caught:
        store.add(io.BytesIO(CONTENT + b"!"), SHA256, what="x.bin")
    assert caught.value.where == "x.bin" and SHA256 in caught.value.what
    assert files(store.cache_dir) == []


def test_a_source_that_breaks_leaves_nothing(store: ArchiveStore) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            block = super().read(1000)
            if not block:
                raise OSError("gone")
            return block

    with pytest.raises(OSError, match="gone"):
        store.add(Breaking(CONTENT))
    assert files(store.cache_dir) == []


def test_what_is_not_kept_leaves_nothing(store: ArchiveStore) -> None:
    with store.incoming() as incoming:
        incoming.write(b"abc")
        assert incoming.size == 3
        incoming.restart()
        incoming.write(CONTENT)
        assert incoming.sha256 == SHA256
    assert files(store.cache_dir) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
def test_bit_rot_is_found_said_and_moved_away(store: ArchiveStore, heard: list[Event], damage: str) -> None:
    path = store.add(io.BytesIO(CONTENT))
    rotten = {
        "flip": CONTENT[:500] + b"?" + CONTENT[501:],
        "cut": CONTENT[:-1],
        "empty": b"",
        "longer": CONTENT + b"x",
    }[damage]
    path.write_bytes(rotten)
    assert store.get(SHA256) is None
    assert not path.exists()
    (notice,) = heard
    assert isinstance(notice, Notice) and SHA256[:12] in notice.text
    (aside,) = (store.cache_dir / "damaged").iterdir()
    assert aside.read_bytes() == rotten
    assert store.add(io.BytesIO(CONTENT)) == path
    assert store.get(SHA256) == path


def test_rot_before_this_process_began_is_found(tmp_path: Path, store: ArchiveStore) -> None:
    path = store.add(io.BytesIO(CONTENT))
    status = path.stat()
    path.write_bytes(CONTENT[:-1] + b"?")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Same size, time and inode: this process has verified it and looks no closer, another one does.
    assert store.get(SHA256) == path
    assert ArchiveStore(store.cache_dir).get(SHA256) is None


def test_a_good_entry_that_came_meanwhile_is_not_lost(store: ArchiveStore) -> None:
    path = store.add(io.BytesIO(CONTENT))
    # What get() saw was damaged, and by the time it moves the entry away another process has put a good one there.
    assert store._quarantine(SHA256) == path
    assert path.read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may do anything")
def test_a_cache_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="cache"):
        ArchiveStore(tmp_path / "cache").add(io.BytesIO(CONTENT))


def test_a_file_where_the_cache_should_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(WriteError, match="the cache cannot be written"):
        ArchiveStore(tmp_path / "cache").add(io.BytesIO(CONTENT))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_write_error(store: ArchiveStore) -> None:
    with store.incoming() as incoming, open("/dev/full", "wb", buffering=0) as full:
        incoming._stream = full
        with pytest.raises(WriteError, match="no space left"):
            incoming.write(CONTENT)


def test_a_folder_in_an_archive_s_place_is_moved_away(store: ArchiveStore, heard: list[Event]) -> None:
    store.path(SHA256).mkdir(parents=True)
    assert store.get(SHA256) is None
    assert len(heard) == 1
    assert store.add(io.BytesIO(CONTENT)).is_file()


def test_an_entry_that_cannot_be_moved_away_is_an_error(store: ArchiveStore) -> None:
    store.add(io.BytesIO(CONTENT)).write_bytes(b"rotten")
    (store.cache_dir / "damaged").write_text("a file in the way")
    with pytest.raises(ArchiveError, match="cannot be moved away") as caught:
        store.get(SHA256)
    assert "Delete that file" in caught.value.hint


def test_leavings_of_killed_processes_are_swept_after_a_day(store: ArchiveStore) -> None:
    leavings = store.cache_dir / "tmp"
    leavings.mkdir(parents=True)
    old, young = leavings / "1-old", leavings / "2-young"
    for path in (old, young):
        path.write_text("half an archive")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    store.add(io.BytesIO(CONTENT))
    assert files(leavings) == ["2-young"]


def test_manifests_come_back_or_not_at_all(store: ArchiveStore) -> None:
    assert store.load_manifest(SHA256, "as-is-1") is None
    store.save_manifest(SHA256, "as-is-1", b'{"paths": []}')
    assert store.load_manifest(SHA256, "as-is-1") == b'{"paths": []}'
    assert store.load_manifest(SHA256, "npm-1") is None
    (kept,) = (store.cache_dir / "manifests").rglob("*.as-is-1")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert store.load_manifest(SHA256, "as-is-1") is None
    assert not kept.exists()


_CHILD = """
import io, random, sys
from pathlib import Path
from dxforge.store.archives import ArchiveStore
store, seed = ArchiveStore(Path(sys.argv[1])), int(sys.argv[2])
chance = random.Random(seed)
contents = [bytes([number]) * 200_000 for number in range(4)]
import hashlib
print("ready", flush=True); sys.stdin.readline()
for _ in range(40):
    content = chance.choice(contents)
    sha256 = hashlib.sha256(content).hexdigest()
    if chance.random() < 0.2:
        store.path(sha256).unlink(missing_ok=True)
    path = store.get(sha256)
    if path is None:
        path = store.add(io.BytesIO(content), sha256)
        store.save_manifest(sha256, "as-is-1", content[:50])
    manifest = store.load_manifest(sha256, "as-is-1")
    assert manifest in (None, content[:50]), manifest
    fresh = ArchiveStore(Path(sys.argv[1]))
    found = fresh.get(sha256)
    assert found is None or found.name == sha256
"""


def test_many_processes_add_read_and_remove_the_same_entries(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _CHILD, str(cache), str(seed)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )
            for seed in range(6)
        ]  # fmt: skip
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            _, errors = child.communicate(timeout=60)
            assert child.returncode == 0, errors
    assert files(cache / "tmp") == []
    # Nobody damaged anything, so nobody may have cried rot.
    assert not (cache / "damaged").exists() or files(cache / "damaged") == []
    for path in (cache / "archives").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
