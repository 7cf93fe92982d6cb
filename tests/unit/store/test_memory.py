"""The stat cache on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dxforge.store.memory import MemoryFile, Remembered
from dxforge.store.survey import Folder

STAMP = (1, 2, 3, 4, 0o100644)
MEMORY = Remembered(
    "c" * 40,
    {"pack-1.pack": 5},
    {
        b"": Folder({b"a": (STAMP, "a" * 40), b"\xff\n": (STAMP, "b" * 40)}, {b"d", b"\xfe"}, "t" * 40, STAMP),
        b"d/": Folder({}, set(), "", None),
    },
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    file = MemoryFile(path)
    assert file.load() == Remembered()
    file.save(MEMORY)
    assert MemoryFile(path).load() == MEMORY
    assert file.load() is file.load()
    stamp = path.stat().st_mtime_ns
    file.save(MEMORY)
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 0}', '{"format": 1, "commit": "", "packs": {}, "folders": {"": [1]}}', "[" * 99999],
)
def test_what_cannot_be_read_is_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text)
    assert MemoryFile(path).load() == Remembered()


def test_another_process_may_have_written_it(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    here, there = MemoryFile(path), MemoryFile(path)
    here.save(MEMORY)
    there.save(Remembered("d" * 40, {}, {}))
    os.utime(path, ns=(1, 1))
    assert here.load().commit == "d" * 40


def test_a_failure_only_costs_time(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "none" / "memory.json").save(MEMORY)
