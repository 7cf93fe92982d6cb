"""Whatever is packed comes out again, from the same bytes every time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.config.model import Limits
from dxforge.errors import PackageNotFoundError, SourceError
from dxforge.sources.model import Layout, Pin
from dxforge.sources.packing import Member, look, pack, read_members
from dxforge.sources.unpack import open_package
from dxforge.store.archives import ArchiveStore
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK

PART = st.text(alphabet="abcxyzé日\udce9 -", min_size=1, max_size=60).map(lambda part: f"_{part}_")
PATH = st.lists(PART, min_size=1, max_size=3).map("/".join)
CONTENT = st.tuples(st.sampled_from([FILE, EXECUTABLE]), st.binary(max_size=2000))


def packed(folder: Path, members: list[Member]) -> tuple[ArchiveStore, str]:
    """Pack into a cache in ``folder``; the archive's sha256."""
    store = ArchiveStore(folder)
    with store.incoming() as incoming:
        pack(members, incoming)
        return store, store.keep(incoming).name


@given(st.dictionaries(PATH, CONTENT, min_size=1, max_size=6))
def test_any_files_come_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[int, bytes]]) -> None:
    paths = sorted(files, key=os.fsencode)
    if any(other.casefold().startswith(f"{path.casefold()}/") for path in paths for other in paths):
        return  # a file that is a folder too
    members = [Member(path, *files[path]) for path in paths]
    store, sha256 = packed(tmp_path_factory.getbasetemp() / "packing", members)
    pin = Pin(name="x", kind="path", ref="", version="", filename="", sha256=sha256, layout=Layout.AS_IS)
    package = open_package(store.path(sha256), pin, Limits())
    assert dict(package.read()) == {path: content for path, (_, content) in files.items()}
    assert {path: entry.mode for path, entry in package.tree.items()} == {
        path: mode for path, (mode, _) in files.items()
    }


def test_the_bytes_are_the_same_for_ever(tmp_path: Path) -> None:
    """Locks pin this hash: a change here would make every locked folder and commit unrecallable."""
    members = [
        Member("a", FILE, b"1"),
        Member("b/" + "long" * 50, EXECUTABLE, b"2" * 600),
        Member("café", SYMLINK, b"a"),
    ]
    _, sha256 = packed(tmp_path, members)
    assert sha256 == packed(tmp_path / "again", members)[1]
    assert sha256 == "13a720cd83c44f0f461058142c2730ef934ef8b81d6c7e17e5d9476e19f59878"


def test_a_folder_is_listed_in_byte_order_and_marked(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a-b", "B", "é", "a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = look(tmp_path, where="x")
    assert [path for path, _ in found.files] == ["B", "a-b", "a/z", "b", "é"]
    assert look(tmp_path, where="x").mark == found.mark
    assert [member.content.decode() for member in read_members(tmp_path, found, where="x")] == [
        path for path, _ in found.files
    ]
    (tmp_path / "b").chmod(0o755)
    assert look(tmp_path, where="x").mark != found.mark


def test_what_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    found = look(tmp_path, where="theme")
    (tmp_path / "a").unlink()
    with pytest.raises(SourceError, match=r"theme: .*a cannot be read"):
        list(read_members(tmp_path, found, where="theme"))
    with pytest.raises(PackageNotFoundError):
        look(tmp_path / "missing", where="theme")


def test_equal_content_is_an_equal_archive_wherever_it_lies(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        folder = tmp_path / f"f{number}"
        folder.mkdir()
        for name in ("x", "y") if number else ("y", "x"):
            (folder / name).write_text(name)
        found = look(folder, where="")
        store, sha256 = packed(tmp_path / "cache", list(read_members(folder, found, where="")))
        digests.add(hashlib.sha256(store.path(sha256).read_bytes()).hexdigest())
    assert len(digests) == 1
