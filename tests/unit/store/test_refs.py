"""References: what git reads is what was written, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.store.refs import Refs
from tests.support.wild_trees import git


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", cwd=tmp_path)
    return tmp_path


def commit(folder: Path, text: str) -> str:
    tree = git("mktree", cwd=folder).decode().strip()
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return git(*who, "commit-tree", "-m", text, tree, cwd=folder).decode().strip()


def test_git_and_we_see_the_same(folder: Path) -> None:
    refs = Refs(folder)
    assert refs.all() == ({}, [])
    oids = {f"refs/snapshots/{number}": commit(folder, str(number)) for number in range(3)}
    for name, oid in oids.items():
        refs.set(name, oid)
    shown = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=folder).decode().splitlines()
    assert dict(line.split(" ") for line in shown) == oids
    git("update-ref", "refs/heads/mine", oids["refs/snapshots/0"], cwd=folder)
    assert refs.all() == ({**oids, "refs/heads/mine": oids["refs/snapshots/0"]}, [])


def test_packed_references(folder: Path) -> None:
    refs = Refs(folder)
    oids = {f"refs/snapshots/{number}": commit(folder, str(number)) for number in range(3)}
    for name, oid in oids.items():
        refs.set(name, oid)
    git("pack-refs", "--all", cwd=folder)
    assert list((folder / "refs" / "snapshots").glob("*")) == []
    assert refs.all() == (oids, [])
    refs.set("refs/snapshots/1", oids["refs/snapshots/2"])
    refs.delete(["refs/snapshots/0", "refs/snapshots/1"])
    left = {"refs/snapshots/2": oids["refs/snapshots/2"]}
    assert refs.all() == (left, [])
    assert git("for-each-ref", "--format=%(refname)", cwd=folder).decode().split() == list(left)


def test_what_holds_no_id_is_told(folder: Path) -> None:
    refs = Refs(folder)
    (folder / "refs" / "heads" / "cut").write_bytes(b"")
    (folder / "refs" / "heads" / "zeros").write_bytes(bytes(41))
    (folder / "refs" / "heads" / "link").write_bytes(b"ref: refs/heads/cut\n")
    (folder / "refs" / "heads" / "x.lock").write_bytes(b"")
    found, broken = refs.all()
    assert found == {}
    assert sorted(broken) == ["refs/heads/cut", "refs/heads/zeros"]
    refs.delete(broken)
    assert refs.all() == ({}, [])
