"""Reading what others may be writing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.config.model import SnapshotLimits
from dxforge.store import reading
from dxforge.store.reading import Read, read_all
from dxforge.store.survey import look


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "link").symlink_to("a")
    time.sleep(0.05)
    return tmp_path


def read(root: Path, meanwhile: Callable[[], object] = lambda: None) -> dict[bytes, Read[bytes]]:
    """Everything in ``root``, where ``meanwhile`` happens between the look and the reading."""
    survey = look(os.fsencode(root), {}, SnapshotLimits())
    meanwhile()
    return {item.name: item for batch in read_all(survey, lambda content: content, lambda: None) for item in batch}


def test_contents(root: Path) -> None:
    found = read(root)
    assert {name: item.made for name, item in found.items()} == {b"a": b"a", b"b": b"b", b"link": b"a"}
    assert not any(item.changed for item in found.values())


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (lambda root: (root / "a").write_text("longer"), b"longer"),
        (lambda root: (root / "a").unlink(), None),
        (lambda root: [(root / "a").unlink(), (root / "a").symlink_to("b")], b"b"),
        (lambda root: [(root / "a").unlink(), (root / "a").mkdir()], None),
        (lambda root: [(root / "a").unlink(), os.mkfifo(root / "a")], None),
        (lambda root: os.replace(root / "b", root / "a"), b"b"),
    ],
)
def test_what_changes_between_look_and_reading(
    root: Path, change: Callable[[Path], object], made: bytes | None
) -> None:
    found = read(root, lambda: change(root))
    assert (found[b"a"].made, found[b"a"].changed, found[b"a"].reason) == (made, True, "")


def test_a_symlink_that_becomes_a_file(root: Path) -> None:
    found = read(root, lambda: [(root / "link").unlink(), (root / "link").write_text("x")])
    assert (found[b"link"].made, found[b"link"].changed) == (b"x", True)


def test_a_file_that_never_holds_still_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.read

    def restless(descriptor: int, count: int) -> bytes:
        content = plain(descriptor, count)
        os.utime(root / "a")
        time.sleep(0.005)
        os.utime(root / "a")
        return content

    monkeypatch.setattr(os, "read", restless)
    (root / "b").unlink()
    found = read(root)
    assert found[b"a"].made is None
    assert found[b"a"].reason == "it kept changing while it was being read"


def test_patience_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times from a clock that is ahead (a file server's) must not hold everything up."""
    monkeypatch.setattr(reading, "_SETTLED_NS", -(10**18))  # no file ever seems settled
    monkeypatch.setattr(reading, "_PATIENCE_S", 0)
    found = read(root)
    assert {name: item.made for name, item in found.items()} == {b"a": b"a", b"b": b"b", b"link": b"a"}
    monkeypatch.setattr(reading, "_SETTLED_NS", 10**18)
    found = read(root)
    assert {name: (item.made, item.changed) for name, item in found.items()} == {
        b"a": (b"a", True),
        b"b": (b"b", True),
        b"link": (b"a", True),
    }


def test_large_files_and_many(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_AHEAD_BYTES", 100)
    monkeypatch.setattr(reading, "_BATCH_FILES", 3)
    for number in range(20):
        (root / f"f{number}").write_bytes(bytes([number]) * (1 + number * 40))
    found = read(root)
    assert len(found) == 23
    assert all(found[b"f%d" % number].made == bytes([number]) * (1 + number * 40) for number in range(20))


def test_stopping(root: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    survey = look(os.fsencode(root), {}, SnapshotLimits())
    with pytest.raises(KeyboardInterrupt):
        list(read_all(survey, len, stop))
