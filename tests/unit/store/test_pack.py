"""Packs: what git and libgit2 read back is what was written."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pygit2
import pytest

from dxforge.store import pack as module
from dxforge.store.objects import encode_tree, object_oid
from dxforge.store.pack import PackWriter, packed, packs, read_index, remove, sweep
from tests.support.wild_trees import git

CONTENTS = [b"", b"a", b"x" * 15, b"x" * 16, b"y" * 5000, os.urandom(3000), os.urandom(200_000), bytes(200_000)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", cwd=tmp_path)
    return tmp_path / "objects" / "pack"


def write(folder: Path, contents: list[bytes]) -> Path:
    with PackWriter(folder) as writer:
        for content in contents:
            writer.add(packed("blob", content))
        path = writer.finish()
    assert path is not None
    return path


def test_git_and_libgit2_read_a_pack(folder: Path) -> None:
    path = write(folder, CONTENTS)
    git("verify-pack", str(path.with_suffix(".idx")), cwd=folder)
    odb = pygit2.Odb(str(folder.parent))
    for content in CONTENTS:
        assert odb.read(object_oid("blob", content))[1] == content
    assert {path.suffix for path in folder.iterdir()} == {".pack", ".idx"}
    assert packs(folder) == {path: path.stat().st_size}


def test_a_tree_as_git_makes_it(folder: Path) -> None:
    blob = packed("blob", b"x")
    items = [(name, 0o100644, blob.oid) for name in (b"a.b", b"a0", b"b", "é".encode(), b"\xff")]
    inner = packed("tree", encode_tree(items))
    outer = packed("tree", encode_tree([*items, (b"a", 0o40000, inner.oid)]))
    with PackWriter(folder) as writer:
        for item in (blob, inner, outer):
            writer.add(item)
        writer.finish()
    listed = git("ls-tree", "-z", outer.oid, cwd=folder).split(b"\0")[:-1]
    made = git("mktree", "-z", cwd=folder, stdin=b"\0".join(sorted(listed, reverse=True)) + b"\0")
    assert made.decode().strip() == outer.oid


def test_the_same_object_is_written_once(folder: Path) -> None:
    with PackWriter(folder) as writer:
        writer.add(packed("blob", b"a"))
        writer.add(packed("blob", b"a"))
        assert len(writer) == 1
        assert object_oid("blob", b"a") in writer
        path = writer.finish()
    assert path is not None
    assert list(read_index(path)) == [object_oid("blob", b"a")]


def test_nothing_is_left_of_what_was_not_finished(folder: Path) -> None:
    with PackWriter(folder) as writer:
        writer.add(packed("blob", b"a"))
    with PackWriter(folder) as writer:
        assert writer.finish() is None
    assert list(folder.iterdir()) == []


def test_what_shrinks_is_compressed_and_what_does_not_is_not() -> None:
    assert len(packed("blob", bytes(200_000)).data) < 2000
    dense = os.urandom(200_000)
    item = packed("blob", dense)
    assert zlib.decompress(item.data[3:]) == dense
    assert len(item.data) < 200_200


def test_an_index_for_packs_beyond_two_gigabytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets beyond a limit stand in a table of their own; the limit is lower here, which git does not mind."""
    contents = [os.urandom(5000) for _ in range(6)]
    plain = read_index(write(folder, contents))
    remove(next(iter(packs(folder))))
    monkeypatch.setattr(module, "_LARGE_OFFSET", 12_000)
    path = write(folder, contents)
    assert path.with_suffix(".idx").stat().st_size == 8 + 1024 + 6 * 28 + 3 * 8 + 40
    git("verify-pack", str(path.with_suffix(".idx")), cwd=folder)
    odb = pygit2.Odb(str(folder.parent))
    assert [odb.read(object_oid("blob", content))[1] for content in contents] == contents
    assert read_index(path) == plain


def test_sizes_in_the_index(folder: Path) -> None:
    path = write(folder, CONTENTS)
    sizes = read_index(path)
    assert sum(sizes.values()) == path.stat().st_size - 12 - 20
    assert sizes[object_oid("blob", CONTENTS[6])] > 200_000


@pytest.mark.parametrize("spoil", [lambda data: data[:-5], lambda data: b"x" * len(data), lambda _: b""])
def test_a_damaged_index(folder: Path, spoil: object) -> None:
    index = write(folder, CONTENTS).with_suffix(".idx")
    index.write_bytes(spoil(index.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match="index"):
        read_index(index.with_suffix(".pack"))


def test_sweeping(folder: Path) -> None:
    path = write(folder, CONTENTS)
    (folder / "tmp_pack_1_2").write_bytes(b"PACK")
    (folder / f"pack-{'0' * 40}.pack").write_bytes(b"PACK")
    (folder / f"pack-{'1' * 40}.idx").write_bytes(b"")
    sweep(folder)
    assert set(folder.iterdir()) == {path, path.with_suffix(".idx")}
    path.with_suffix(".rev").write_bytes(b"")
    remove(path)
    assert list(folder.iterdir()) == []
