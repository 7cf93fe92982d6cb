"""The cache by itself: contents are checked, damage is a miss, and the size is bounded."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from dxforge.build.cache import DamagedError, LocalCache
from dxforge.build.record import Record, Row


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _put(cache: LocalCache, folder: Path, key: str, *contents: bytes, age_s: float = 0.0) -> Record:
    rows = {}
    for number, content in enumerate(contents):
        source = folder / "source"
        source.write_bytes(content)
        assert cache.has(_sha(content), len(content)) or cache.store(_sha(content), str(source))
        rows[f"out/{number}"] = Row("file", 0o644, _sha(content), len(content))
    record = Record(key=key, outcome="ok", rows=rows)
    cache.put(record)
    path = folder / "cache/actions" / f"{key}.json"
    os.utime(path, (time.time() - age_s,) * 2)
    return record


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    (tmp_path / "cache").mkdir()
    return LocalCache(tmp_path / "cache", limit_bytes=10_000)


def _size(folder: Path) -> int:
    return sum(
        path.stat().st_size
        for name in ("actions", "blobs")
        for path in (folder / "cache" / name).rglob("*")
        if path.is_file()
    )


def test_what_was_put_is_there(cache: LocalCache, tmp_path: Path) -> None:
    assert cache.get("k") is None
    record = _put(cache, tmp_path, "k", b"one", b"")
    assert cache.get("k") == record
    for content in (b"one", b""):
        cache.fetch(_sha(content), str(tmp_path / "target"))
        assert (tmp_path / "target").read_bytes() == content


def test_a_content_that_is_not_what_it_should_be_is_not_stored(cache: LocalCache, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"other")
    assert cache.store(_sha(b"one"), str(tmp_path / "source")) is False
    assert not cache.has(_sha(b"one"), 3)
    with pytest.raises(FileNotFoundError):
        cache.store(_sha(b"one"), str(tmp_path / "missing"))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_flipped_bit_in_a_content_is_a_miss_once(cache: LocalCache, tmp_path: Path) -> None:
    _put(cache, tmp_path, "k", b"one")
    (blob,) = (tmp_path / "cache/blobs").rglob("*/*")
    blob.write_bytes(b"onf")
    assert cache.get("k") is not None, "its size is right"
    with pytest.raises(DamagedError, match="damaged"):
        cache.fetch(_sha(b"one"), str(tmp_path / "target"))
    assert not cache.has(_sha(b"one"), 3)
    with pytest.raises(DamagedError, match="missing"):
        cache.get("k")
    with pytest.raises(DamagedError, match="missing"):
        cache.fetch(_sha(b"one"), str(tmp_path / "target"))


def test_a_cut_content_is_seen_at_once(cache: LocalCache, tmp_path: Path) -> None:
    _put(cache, tmp_path, "k", b"one")
    (blob,) = (tmp_path / "cache/blobs").rglob("*/*")
    blob.write_bytes(b"on")
    with pytest.raises(DamagedError, match="cut off"):
        cache.get("k")
    assert not cache.has(_sha(b"one"), 3)


def test_a_damaged_result_is_none(cache: LocalCache, tmp_path: Path) -> None:
    _put(cache, tmp_path, "k", b"one")
    path = tmp_path / "cache/actions/k.json"
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises(DamagedError):
            cache.get("k")
    assert path.exists(), "asking changes nothing"
    _put(cache, tmp_path, "k", b"one")
    assert cache.get("k") is not None
    os.rename(path, path.with_name("other.json"))
    with pytest.raises(DamagedError, match="another key"):
        cache.get("other")


def test_the_least_recently_used_goes_first(cache: LocalCache, tmp_path: Path) -> None:
    shared = b"s" * 3000
    for number in range(6):
        _put(cache, tmp_path, f"k{number}", shared, bytes([number]) * 2000, age_s=10_000 * (10 - number))
    other = LocalCache(tmp_path / "cache", limit_bytes=10_000)
    assert other.prune(["k0"]) == 0, "used just now, by a build that stored nothing"
    assert cache.prune(["k2"]) > 0
    kept = {f"k{number}" for number in range(6) if (tmp_path / f"cache/actions/k{number}.json").exists()}
    assert kept == {"k0", "k2"}
    assert _size(tmp_path) <= 10_000 and cache.has(_sha(shared), 3000)
    assert all(cache.get(key) is not None for key in kept)
    assert cache.prune([]) == 0, "nothing was stored since"


def test_what_is_used_stays_whatever_its_size(cache: LocalCache, tmp_path: Path) -> None:
    for number in range(3):
        _put(cache, tmp_path, f"k{number}", bytes([number]) * 9000)
    cache.prune(["k0", "k1", "k2"])
    assert all(cache.get(f"k{number}") is not None for number in range(3))


def test_leftovers_of_killed_builds_go(cache: LocalCache, tmp_path: Path) -> None:
    _put(cache, tmp_path, "k", b"one" * 3000)
    leftover = tmp_path / "cache/blobs/ab/abc.123.new"
    leftover.parent.mkdir()
    leftover.write_bytes(b"x" * 9000)
    _put(cache, tmp_path, "k2", b"two")
    (tmp_path / "cache/size").unlink(missing_ok=True)
    cache.prune(["k", "k2"])
    assert not leftover.exists() and cache.get("k") is not None


@pytest.mark.parametrize("text", ["", "null", "-", '"x"', "[]"])
def test_a_damaged_size_is_measured_again(cache: LocalCache, tmp_path: Path, text: str) -> None:
    _put(cache, tmp_path, "k", b"one")
    (tmp_path / "cache/size").write_text(text)
    assert cache.prune([]) == 0
    assert int((tmp_path / "cache/size").read_text()) == _size(tmp_path)
