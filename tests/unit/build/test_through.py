from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from dxforge.build.cache import DamagedError, LocalCache
from dxforge.build.record import Record, Row, encode
from dxforge.build.through import ReadThrough

CONTENT = b"what a step wrote"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = "ab" * 32


class Elsewhere:
    """Has one result, whose content may be another one."""

    def __init__(self, record: Record, content: bytes | None = CONTENT) -> None:
        self.data = encode(record)
        self.content = content
        self.asked = 0

    def record(self, key: str) -> bytes | None:
        self.asked += 1
        return self.data if key == KEY else None

    def contents(self, digests: Mapping[str, int]) -> Mapping[str, bytes]:
        return {} if self.content is None else dict.fromkeys(digests, self.content)


def record(path: str = "out/a", digest: str = DIGEST, **more: object) -> Record:
    fields: dict[str, object] = {
        "key": KEY,
        "outcome": "ok",
        "rows": {path: Row("file", 0o644, digest, len(CONTENT))},
        **more,
    }
    return Record(**fields)  # type: ignore[arg-type]


def test_what_is_elsewhere_is_taken_over_when_it_is_used(tmp_path: Path) -> None:
    far = Elsewhere(record())
    cache = ReadThrough(tmp_path, far)
    assert cache.get("cd" * 32) is None
    assert cache.get(KEY) == record()
    assert cache.get(KEY) == record()
    assert far.asked == 2
    assert LocalCache(tmp_path).get(KEY) is None  # asking changes nothing
    cache.fetch(DIGEST, str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert LocalCache(tmp_path).get(KEY) == record()


@pytest.mark.parametrize("content", [None, b"what another wrote"])
def test_a_content_that_is_missing_or_poisoned_there_is_a_miss(tmp_path: Path, content: bytes | None) -> None:
    cache = ReadThrough(tmp_path, Elsewhere(record(), content))
    assert cache.get(KEY) is not None
    with pytest.raises(DamagedError):
        cache.fetch(DIGEST, str(tmp_path / "target"))
    assert LocalCache(tmp_path).get(KEY) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "blobs" in path.parts]


@pytest.mark.parametrize(
    "bad",
    [
        record(key="cd" * 32),
        record(outcome="failed"),
        record("../escape"),
        record("/etc/passwd"),
        record("a/../../b"),
        record(digest="../../x"),
    ],
)
def test_a_result_that_no_build_of_ours_wrote_is_none(tmp_path: Path, bad: Record) -> None:
    assert ReadThrough(tmp_path, Elsewhere(bad)).get(KEY) is None


def test_a_record_that_is_damaged_there_is_none(tmp_path: Path) -> None:
    far = Elsewhere(record())
    far.data = far.data[:-3]
    assert ReadThrough(tmp_path, far).get(KEY) is None


def test_what_is_here_is_not_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    far = Elsewhere(record())
    cache = ReadThrough(tmp_path / "cache", far)
    assert cache.store(DIGEST, str(source))
    cache.put(record())
    assert cache.get(KEY) == record()
    assert far.asked == 0


def test_a_damaged_one_here_is_healed_from_there(tmp_path: Path) -> None:
    cache = ReadThrough(tmp_path, Elsewhere(record()))
    cache.put(record())  # without its content
    assert cache.get(KEY) == record()
    cache.fetch(DIGEST, str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == CONTENT
