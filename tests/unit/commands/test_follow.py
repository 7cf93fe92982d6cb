from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.commands.follow import Follower


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tool"
    made.mkdir()
    return made


def write(folder: Path, text: str) -> None:
    with (folder / "log").open("a") as stream:
        stream.write(text)


def rotate(folder: Path) -> None:
    for number in (2, 1, 0):
        name = f"log.{number}" if number else "log"
        if (folder / name).exists():
            os.replace(folder / name, folder / f"log.{number + 1}")
    (folder / "log").touch()


@pytest.fixture
def follower(folder: Path) -> Iterator[Follower]:
    write(folder, "one\ntwo\nthr")
    made = Follower(folder, lines=1)
    yield made
    made.close()


def test_the_last_lines_come_first_and_a_line_when_it_is_whole(folder: Path, follower: Follower) -> None:
    assert follower.more() == ["two"]
    assert follower.more() == []
    write(folder, "ee\nfour\nfi")
    assert follower.more() == ["three", "four"]
    write(folder, "ve\n")
    assert follower.more() == ["five"]


def test_lines_stay_in_order_across_rotations(folder: Path, follower: Follower) -> None:
    assert follower.more() == ["two"]
    write(folder, "ee\nold")
    rotate(folder)
    write(folder, " and new\n")
    assert follower.more() == ["three", "old and new"]
    write(folder, "a\n")
    rotate(folder)
    write(folder, "b\n")
    rotate(folder)
    write(folder, "c\n")
    assert follower.more() == ["a", "b", "c"]


def test_a_tool_that_never_ran_is_waited_for(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "tool", lines=10)
    assert follower.more() == []
    (tmp_path / "tool").mkdir()
    write(tmp_path / "tool", "hello\n")
    assert follower.more() == ["hello"]
    follower.close()


def test_none_of_the_past(folder: Path) -> None:
    write(folder, "one\n")
    follower = Follower(folder, lines=0)
    assert follower.more() == []
    write(folder, "two\n")
    assert follower.more() == ["two"]
    follower.close()


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "log").write_bytes(b"\xff\xfe\n")
    follower = Follower(folder, lines=5)
    assert follower.more() == ["\ufffd\ufffd"]
    follower.close()
