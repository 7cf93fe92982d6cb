"""Digests of files, and when a stamp spares reading."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from dxforge.build.digests import Digests, settled
from dxforge.build.globs import Globs
from dxforge.build.look import Found, look
from dxforge.errors import BuildError


def _found(root: Path) -> Found:
    return look(str(root), Globs([["src/**"]]), 1, without=[()]).found[0]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a").write_text("a")
    (tmp_path / "src/run").write_text("b")
    (tmp_path / "src/run").chmod(0o755)
    old = time.time() - 100
    for name in ("a", "run"):
        os.utime(tmp_path / "src" / name, (old, old))
    time.sleep(0.06)  # the time of change cannot be set
    return tmp_path


def test_tokens(root: Path) -> None:
    (root / "src/link").symlink_to("a")
    (root / "src/gone").symlink_to("x")
    (root / "src/folder").symlink_to(".")
    os.mkfifo(root / "src/fifo")
    (root / "src/piped").symlink_to("fifo")
    assert Digests(str(root), root / "stat").inputs(_found(root)) == {
        "src/a": f"file:{_sha('a')}",
        "src/run": f"exec:{_sha('b')}",
        "src/link": f"link:a file:{_sha('a')}",
        "src/gone": "link:x dangling",
        "src/folder": "link:.",
        "src/fifo": "fifo",
        "src/piped": "link:fifo fifo",
    }


def test_what_nobody_touched_is_not_opened_again(root: Path) -> None:
    first = Digests(str(root), root / "stat")
    tokens = first.inputs(_found(root))
    first.save(complete=True)
    assert first.opened == 2
    second = Digests(str(root), root / "stat")
    assert (second.inputs(_found(root)), second.opened) == (tokens, 0)
    before = (root / "stat").stat().st_mtime_ns
    second.save(complete=True)
    assert (root / "stat").stat().st_mtime_ns == before, "nothing was learnt"


@pytest.mark.parametrize("trick", ["size", "same size", "old time", "replaced", "mode"])
def test_every_edit_is_seen(root: Path, trick: str) -> None:
    digests = Digests(str(root), root / "stat")
    tokens = digests.inputs(_found(root))
    digests.save(complete=True)
    file = root / "src/a"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    if trick == "size":
        file.write_text("longer")
    elif trick == "same size":
        file.write_text("x")
    elif trick == "old time":
        file.write_text("x")
        os.utime(file, ns=times)
    elif trick == "replaced":
        (root / "other").write_text("x")
        os.utime(root / "other", ns=times)
        os.replace(root / "other", file)
    else:
        file.chmod(0o755)
    assert Digests(str(root), root / "stat").inputs(_found(root)) != tokens


def test_a_young_file_is_not_trusted(root: Path) -> None:
    """Two edits within one tick of the clock leave the same times."""
    (root / "src/a").write_text("x")
    digests = Digests(str(root), root / "stat")
    digests.inputs(_found(root))
    digests.save(complete=True)
    again = Digests(str(root), root / "stat")
    again.inputs(_found(root))
    assert again.opened == 1


def test_whole_seconds_are_trusted_later() -> None:
    now = 10_000_000_000_000
    fine = (now - 60_000_001, now - 60_000_001, 1, 1, 1)
    coarse = (now - 1_000_000_000, now - 1_000_000_000, 1, 1, 1)
    assert settled(fine, now) and not settled((now - 1, *fine[1:]), now) and not settled((fine[0], now, 1, 1, 1), now)
    assert not settled(coarse, now) and settled((coarse[0] - 2_000_000_000, coarse[1] - 2_000_000_000, 1, 1, 1), now)


def test_forgetting(root: Path) -> None:
    digests = Digests(str(root), root / "stat")
    digests.inputs(_found(root))
    digests.save(complete=True)
    (root / "src/run").unlink()
    some = Digests(str(root), root / "stat")
    some.inputs(_found(root))
    some.save(complete=False)
    assert b"src/run" in (root / "stat").read_bytes()
    some.save(complete=True)
    assert b"src/run" not in (root / "stat").read_bytes()


def test_a_file_that_goes_away_is_no_input(root: Path) -> None:
    found = _found(root)
    (root / "src/a").unlink()
    assert set(Digests(str(root), root / "stat").inputs(found)) == {"src/run"}


def test_a_file_that_becomes_a_fifo_hangs_nothing(root: Path) -> None:
    found = _found(root)
    (root / "src/a").unlink()
    os.mkfifo(root / "src/a")
    assert set(Digests(str(root), root / "stat").inputs(found)) == {"src/run"}


def test_a_file_that_never_rests_is_an_error(root: Path) -> None:
    big = root / "src/a"
    big.write_bytes(b"x" * (8 << 20))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with big.open("r+b") as stream:
                stream.write(os.urandom(8))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(BuildError, match="src/a: it changes while it is being read"):
            _read_often(root)
    finally:
        stop.set()
        writer.join()


def _read_often(root: Path) -> None:
    for _ in range(50):  # a read may fall between two writes
        Digests(str(root), root / "stat").inputs(_found(root))


def test_reading_inputs_can_be_given_up(root: Path) -> None:
    class GivenUpError(Exception):
        pass

    def stop() -> None:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        Digests(str(root), root / "stat", stop=stop).inputs(_found(root))


def test_programs(root: Path, tmp_path: Path) -> None:
    digests = Digests(str(root), root / "stat")
    (root / "bin").symlink_to("src/run")
    assert digests.program(str(root / "bin")) == f"exec:{_sha('b')}"
    assert digests.program(str(root / "nothing")) == "missing"
    assert digests.program(str(root)) == "no file"
