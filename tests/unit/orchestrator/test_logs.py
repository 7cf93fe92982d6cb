"""Lines in memory and on disk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dxforge.errors import WriteError
from dxforge.orchestrator.guard.disk import KEPT_TAIL_BYTES, CappedLog, LogFile, RotatedLog
from dxforge.orchestrator.logs import LINE_BYTES, Ring, new_run, replay, since, tail


# ---------------------------------------------------------------------------------------------------------------- Ring
def test_pieces_may_begin_and_end_anywhere() -> None:
    data = "é1\nzwei\r\n\n日本\nrest".encode()
    for size in range(1, len(data)):
        ring = Ring()
        done = [line for start in range(0, len(data), size) for line in ring.feed(data[start : start + size])]
        assert done == ["é1", "zwei", "", "日本"]
        assert ring.lines() == [*done, "rest"]
        assert ring.partial == "rest"
        assert ring.tail(2) == ["日本", "rest"]
        assert ring.tail(0) == []


def test_what_is_not_utf8_is_replaced() -> None:
    ring = Ring()
    assert ring.feed(b"a\xffb\n\xc3\x28\n") == ["a�b", "�("]


def test_carriage_returns_within_a_line_stay() -> None:
    assert Ring().feed(b"10%\r20%\rdone\r\n") == ["10%\r20%\rdone"]


def test_a_long_line_is_split_and_never_gathered() -> None:
    ring = Ring()
    done = ring.feed(b"x" * (3 * LINE_BYTES + 5))
    assert [len(line) for line in done] == [LINE_BYTES] * 3
    assert ring.feed(b"y\n") == ["xxxxxy"]
    assert Ring().feed(b"x" * (LINE_BYTES + 1) + b"\n") == ["x" * LINE_BYTES, "x"]
    assert Ring().feed(b"x" * LINE_BYTES + b"\n") == ["x" * LINE_BYTES]


def test_it_is_bounded_by_lines_and_by_bytes() -> None:
    ring = Ring(max_lines=3)
    ring.feed(b"1\n2\n3\n4\n")
    assert ring.lines() == ["2", "3", "4"]
    ring = Ring(max_bytes=10)
    ring.feed(b"12345\n67890\nab\n")
    assert ring.lines() == ["67890", "ab"]
    ring.feed(b"x" * 100 + b"\n")
    assert ring.lines() == ["x" * 100], "the last line is always there"
    ring = Ring(max_bytes=10)
    ring.feed("日本日本\n日\n".encode())  # twelve bytes and three
    assert ring.lines() == ["日"]


# ------------------------------------------------------------------------------------------------------------- the disk
def test_rotation_keeps_the_newest_in_so_many_files(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path / "log"), 100, 3)
    for number in range(100):
        log.write(f"{number:09}\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert [path.stat().st_size for path in sorted(tmp_path.iterdir())] == [100, 100, 100]
    assert log.lost_bytes == 0
    assert tail(tmp_path, 1000) == [f"{number:09}" for number in range(70, 100)]
    again = RotatedLog(str(tmp_path / "log"), 100, 3)
    again.write(b"next life\n")
    again.close()
    assert tail(tmp_path, 2) == [f"{99:09}", "next life"]


def test_one_file_is_begun_anew(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path / "log"), 10, 1)
    for piece in (b"12345678\n", b"next\n"):
        log.write(piece)
    log.close()
    assert tail(tmp_path, 10) == ["next"]


def test_a_log_that_cannot_be_rotated_does_not_grow(tmp_path: Path) -> None:
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log.1" / "in the way").write_text("")
    log = RotatedLog(str(tmp_path / "log"), 10, 2)
    for _ in range(5):
        log.write(b"12345678\n")
    assert (tmp_path / "log").read_bytes() == b"12345678\n"
    assert log.lost_bytes == 4 * 9
    (tmp_path / "log.1" / "in the way").unlink()
    (tmp_path / "log.1").rmdir()
    log.write(b"again\n")
    log.close()
    assert tail(tmp_path, 10) == ["12345678", "again"]


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "none" / "log"))
    log.write(b"123")
    assert log.lost_bytes == 3
    (tmp_path / "none").mkdir()
    log.write(b"45")
    log.close()
    assert (tmp_path / "none" / "log").read_bytes() == b"45"
    full = LogFile("/dev/full")
    full.write(b"x")
    full.close()
    assert full.lost_bytes == 1


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 149, 150, 151, 200, 201, 5000])
def test_a_capped_log_keeps_beginning_and_end(tmp_path: Path, size: int) -> None:
    data = bytes(random.Random(size).choices(b"abcdefgh", k=size))
    log = CappedLog(str(tmp_path / "stdout"), 200)
    for start in range(0, size, 7):
        log.write(data[start : start + 7])
    log.open()
    log.close()
    written = (tmp_path / "stdout").read_bytes()
    if size <= 200:
        assert written == data and log.lost_bytes == 0
    else:
        assert written == data[:100] + f"\n[{size - 200} bytes are left out here]\n".encode() + data[-100:]
        assert log.lost_bytes == size - 200


def test_half_a_mebibyte_of_the_end_is_kept(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path / "stdout"), 64 << 20)
    assert log.tail_bytes == KEPT_TAIL_BYTES == 512 << 10
    assert log.room_bytes == (64 << 20) - KEPT_TAIL_BYTES


# ------------------------------------------------------------------------------------------------------------- tail
def test_nothing_is_there(tmp_path: Path) -> None:
    assert tail(tmp_path, 10) == tail(tmp_path / "none", 10) == []


@pytest.mark.parametrize("lines", [0, 1, 5, 4096, 100_000])
def test_the_tail_reads_across_files_and_blocks(tmp_path: Path, lines: int) -> None:
    every = [f"{number} " + "ü" * (number % 50) for number in range(20_000)]
    text = "\n".join(every).encode()  # the last one is not complete
    cuts = [0, 100_001, 300_007, len(text)]
    for number, name in enumerate(("log.2", "log.1", "log")):
        (tmp_path / name).write_bytes(text[cuts[number] : cuts[number + 1]])
    assert tail(tmp_path, lines) == (every[-lines:] if lines else [])


def test_another_stream_by_name(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_bytes(b"a\nb\n")
    assert tail(tmp_path, 1, name="stderr") == ["b"]


def test_replay_ends_at_the_mark(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_bytes(b"1\n2\n")
    (tmp_path / "log").write_bytes(b"3\n4\n5\n")
    inode = (tmp_path / "log").stat().st_ino

    def seen(mark: tuple[int, int]) -> list[str]:
        ring = Ring()
        replay(tmp_path, ring, mark=mark)
        return ring.lines()

    assert seen((inode, 4)) == ["1", "2", "3", "4"]
    assert seen((inode, 0)) == ["1", "2"]
    assert seen((0, 0)) == ["1", "2", "3", "4", "5"], "no log was open"
    (tmp_path / "log").rename(tmp_path / "log.0")
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    (tmp_path / "log.0").rename(tmp_path / "log.1")
    (tmp_path / "log").write_bytes(b"6\n")
    assert seen((inode, 4)) == ["1", "2", "3", "4"], "rotated since then"


# ------------------------------------------------------------------------------------------------------------- new_run
def test_what_came_after_a_mark(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path / "log"), 1000, 3)
    log.open()
    log.write(b"before\n")
    status = (tmp_path / "log").stat()
    mark = status.st_ino, status.st_size
    assert b"".join(since(tmp_path, mark)) == b"" and b"".join(since(tmp_path, (0, 0))) == b"before\n"
    lines = [b"line %d\n" % number for number in range(150)]
    for line in lines:
        log.write(line)
    assert (tmp_path / "log.1").exists()
    assert b"".join(since(tmp_path, mark)) == b"".join(lines)
    # What was rotated away is left out, and nothing else.
    for line in lines * 2:
        log.write(line)
    log.close()
    rest = b"".join(since(tmp_path, mark))
    assert rest and b"".join(lines * 3).endswith(rest)
    assert list(since(tmp_path / "nowhere", mark)) == []


def test_the_last_runs_are_kept(tmp_path: Path) -> None:
    runs = [new_run(tmp_path, kept=3) for _ in range(5)]
    assert [path.name for path in runs] == ["000001", "000002", "000003", "000004", "000005"]
    assert sorted((tmp_path / "runs").iterdir()) == runs[2:]
    (tmp_path / "runs" / "mine").mkdir()
    assert new_run(tmp_path, kept=1).name == "000006"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["000006", "mine"]


def test_a_run_that_is_not_over_is_kept(tmp_path: Path) -> None:
    import fcntl

    first = new_run(tmp_path, kept=1)
    with (first / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        second = new_run(tmp_path, kept=1)
        assert first.is_dir() and second.is_dir()
    third = new_run(tmp_path, kept=1)
    assert list((tmp_path / "runs").iterdir()) == [third]


def test_no_room_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(WriteError, match="cannot be made"):
        new_run(tmp_path)
