"""For any two trees: a rollback makes the one of the other, undo takes it back, and ignore files are git's."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dxforge.store.snapshots import SnapshotStore
from dxforge.traffic.manager import TrafficManager
from tests.support.wild_trees import TREES, File, Link, Tree, clear, fsck, git, lay_out, photograph

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """No waiting for the disk: what is tested here is not its durability."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_CACHE_DIR", cache)
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr("dxforge.files._syncfs", lambda folder: True)
        yield


@contextmanager
def project() -> Iterator[tuple[Path, SnapshotStore]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        root.mkdir()
        yield root, SnapshotStore(root)


def with_lock(tree: Tree, lock: bytes | None) -> Tree:
    return tree if lock is None else {**tree, b"dx.lock": File(lock)}


LOCKS = st.sampled_from([None, b"version = 1\n", b"version = 1\r\n# two\r\n", b"# \xc3\xa9\n"])


@SETTINGS
@given(first=TREES, second=TREES, locks=st.tuples(LOCKS, LOCKS))
@example(first={b"a": {b"b": File(b"x")}}, second={b"a": Link(b".")}, locks=(None, None))
@example(first={b"a": {b"b": {}}}, second={b"a": File(b"")}, locks=(None, None))
@example(first={b"a": {}}, second={b"a": {b"b": {b"a": {}}}, b"b": {}}, locks=(None, None))
@example(first={}, second={b"\xff": File(b"\0", executable=True)}, locks=(b"version = 1\n", None))
def test_any_tree_comes_back_and_undo_takes_it_away(
    first: Tree, second: Tree, locks: tuple[bytes | None, bytes | None]
) -> None:
    with project() as (root, store):
        manager = TrafficManager(root)
        lay_out(root, with_lock(first, locks[0]))
        before = photograph(root)
        snapshot = store.take("first")
        assert snapshot is not None
        clear(root)
        lay_out(root, with_lock(second, locks[1]))
        after = photograph(root)

        report = asyncio.run(manager.rollback(store, snapshot.id))

        assert photograph(root) == before
        assert (report.operation is None) == (before == after)
        now = store.take()
        assert now is None or now.tree == snapshot.tree
        if report.operation is not None:
            assert report.saved is not None and report.saved.oid != snapshot.oid
            manager.undo()
            assert photograph(root) == undone(after, before, locks)
            manager.undo()
            assert photograph(root) == before
        assert fsck(store.folder) == ""


def undone(
    after: dict[str, tuple[str, bytes]], before: dict[str, tuple[str, bytes]], locks: tuple[bytes | None, bytes | None]
) -> dict[str, tuple[str, bytes]]:
    """What undo brings back: everything, but that it writes a dx.lock with line feeds."""
    if locks[1] is not None and after.get("dx.lock") != before.get("dx.lock"):
        return {**after, "dx.lock": ("file", locks[1].replace(b"\r\n", b"\n"))}
    return after


IGNORE_NAMES = [
    *b"a b ab a.o b.o foo bar foobar barbaz a] [a] a-b - \\ a\\b !a #a \xff A * 1 .h".split(b" "),
    *(b"x y", b"x ", b"a\nb", b"a\t", "é".encode()),
]
ATOMS = [
    *rb"* ** ? / a b ab foo bar .o \ [a-b] [!a] [^b] []a] [a [[:alpha:]] [[:foo:]] [[:space:]] [[:punct:]]".split(b" "),
    *rb"[a\]] [\-a] [--a] [!] [] [[:] [[:alpha:]-z] [z-a] [a-\b] [/] [!/] ! # \! \# - A x **/ /** \/ */ . ]".split(
        b" "
    ),
    *(b" ", b"\\ ", b"\t", b"\r", b"\0", b"\xff", "é".encode()),
]
LINES = st.builds(
    lambda negated, atoms, end: negated + b"".join(atoms) + end,
    st.sampled_from([b"", b"", b"", b"!"]),
    st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6),
    st.sampled_from([b"", b"", b"", b"/", b" "]),
)
RULES = st.builds(
    lambda start, lines, end: start + end.join(lines) + end,
    st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
    st.lists(LINES, min_size=1, max_size=6),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
)
FORESTS: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(st.sampled_from(IGNORE_NAMES), st.sampled_from([File(b""), File(b"x"), Link(b"a")]), max_size=5),
    lambda inner: st.builds(
        lambda names, rules: {**names, **({} if rules is None else {b".gitignore": File(rules)})},
        st.dictionaries(st.sampled_from(IGNORE_NAMES), inner | st.just(File(b"")), min_size=2, max_size=5),
        st.none() | RULES,
    ),
    max_leaves=8,
)


@settings(SETTINGS, max_examples=60)
@given(forest=FORESTS, rules=st.lists(RULES, min_size=2, max_size=4))
def test_what_is_ignored_is_what_git_ignores(forest: Tree, rules: list[bytes]) -> None:
    with project() as (root, store), pytest.MonkeyPatch.context() as patch:
        patch.setattr("dxforge.store.survey._RACY_NS", 0)  # so that the second look relies on the first
        lay_out(root, {name: node for name, node in forest.items() if name != b".gitignore"})
        git("init", "--quiet", cwd=root)
        for content in rules:
            (root / ".gitignore").write_bytes(content)
            store.take()
            expected = git("ls-files", "-co", "--exclude-standard", "-z", cwd=root).split(b"\0")
            snapshot = store.latest()
            assert snapshot is not None
            assert sorted(map(os.fsencode, store.picture(snapshot).files)) == sorted(filter(None, expected))
            time.sleep(0.02)  # a tick of the clock that file times come from
