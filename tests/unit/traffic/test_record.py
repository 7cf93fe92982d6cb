"""The record of an operation: the same after the disk, and never a traceback when it is spoilt."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry
from dxforge.traffic.record import Record, TreeWrite, Write, decode, encode, moved

OID = "89abcdef01" * 4
RECORD = Record(
    id="000012",
    time="2026-11-23T00:00:00+00:00",
    command="install",
    summary="demo 2.0",
    folder=Path("/nowhere"),
    writes=(
        Write(path="a/b.py", before=Entry(FILE, OID, 1), after=Entry(EXECUTABLE, OID, 1)),
        Write(path=os.fsdecode(b"caf\xe9"), before=None, after=Entry(SYMLINK, OID, 3)),
        Write(path="gone", before=Entry(FILE, OID, 0), after=None),
    ),
    trees=(
        TreeWrite(
            path="src/x", files={"m.py": Entry(FILE, OID, 2), os.fsdecode(b"\xff"): Entry(FILE, OID, 2)}, created=True
        ),
    ),
    lock_before=None,
    lock_after="version = 1\n",
    undoes="000011",
    make=frozenset({"src/x/empty", "e"}),
    drop=frozenset({os.fsdecode(b"d/\xff")}),
)
TEXT = json.dumps(encode(RECORD))


def test_the_round_trip(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(TEXT)
    assert decode(tmp_path) == moved(RECORD, tmp_path)


def test_records_of_an_older_dxforge(tmp_path: Path) -> None:
    data = encode(RECORD)
    del data["make"], data["drop"]
    (tmp_path / "record.json").write_text(json.dumps(data))
    assert (decode(tmp_path).make, decode(tmp_path).drop) == (frozenset(), frozenset())


def test_folders_that_come_with_a_tree() -> None:
    assert RECORD.in_new_trees() == {"src/x/empty"}


def test_slots_are_in_its_folder() -> None:
    record = moved(RECORD, Path("/x"))
    assert [str(path) for path in (record.slot(3), record.own_file, record.tree_slot(0))] == [
        "/x/files/3",
        "/x/own",
        "/x/trees/0",
    ]


def test_own_contents_are_found_again(tmp_path: Path) -> None:
    contents = {0: b"first", 2: b"", 3: b"third"}
    writes = tuple(
        Write(path=f"f{number}", before=None, after=Entry(FILE, "a" * 40, len(contents.get(number, b"x"))))
        for number in range(4)
    )
    record = dataclasses.replace(RECORD, folder=tmp_path, writes=writes, own=tuple(contents))
    assert record.after(0) is None
    record.own_file.write_bytes(b"".join(contents.values()))
    assert {number: record.after(number) for number in contents} == contents
    assert record.after(1) is None


@given(cut=st.integers(0, len(TEXT) - 1), junk=st.binary(max_size=3))
def test_a_spoilt_record_is_a_value_error(tmp_path_factory, cut: int, junk: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "record"
    folder.mkdir(exist_ok=True)
    for content in (TEXT[:cut].encode(), TEXT[:cut].encode() + junk + TEXT[cut + 1 :].encode()):
        (folder / "record.json").write_bytes(content)
        try:
            decode(folder)
        except ValueError:
            continue


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(encode(RECORD))), inner),
    )
)
def test_other_json_is_a_value_error(tmp_path_factory, data: object) -> None:
    folder = tmp_path_factory.getbasetemp() / "record"
    folder.mkdir(exist_ok=True)
    for value in (data, {**encode(RECORD), **(data if isinstance(data, dict) else {"writes": data, "trees": data})}):
        (folder / "record.json").write_text(json.dumps(value))
        try:
            decode(folder)
        except ValueError:
            continue
