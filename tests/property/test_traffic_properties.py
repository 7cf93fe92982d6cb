"""For any three sides of any files: the table holds, and install, decide and undo do what they say."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic.light import decide
from dxforge.traffic.merge import merge3
from dxforge.traffic.model import Action, TrafficLight
from tests.support.archives import Exec, Files, Link
from tests.support.project import GREEN, PACKAGES, RED, YELLOW, Project

SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Value = bytes | Exec | Link | None

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"a\r\n", b"\xff\n", b"a"]), max_size=6).map(b"".join)
CONTENTS = st.one_of(LINES, LINES, st.sampled_from([b"", b"\0", b"\0a", b"x"]))
VALUES: st.SearchStrategy[Value] = st.one_of(
    CONTENTS,
    CONTENTS,
    CONTENTS,
    CONTENTS.map(Exec),
    st.sampled_from([Link("nowhere"), Link("elsewhere")]),
    st.none(),
)


@dataclass(frozen=True)
class Sides:
    """A file as it was, as the user has it, and as it comes."""

    base: Value
    local: Value
    incoming: Value


def _sides(values: list[Value], picks: tuple[int, int, int]) -> Sides:
    return Sides(*(values[pick] for pick in picks))


# Few values for three sides: most of the table's rows are about two of them being equal.
SIDES = st.builds(_sides, st.lists(VALUES, min_size=3, max_size=3), st.tuples(*[st.integers(0, 2)] * 3)).filter(
    lambda sides: (sides.base, sides.local, sides.incoming) != (None, None, None)
)
SCENES = st.lists(SIDES, min_size=1, max_size=8).map(
    lambda sides: {f"{'' if number % 2 else 'd/'}f{number}.txt": value for number, value in enumerate(sides)}
)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """A cache of our own; and no waiting for the disk: what is tested here is not its durability."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_CACHE_DIR", cache)
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr("dxforge.files._syncfs", lambda folder: True)
        yield


def files(scene: Mapping[str, Sides], side: str) -> Files:
    return {
        "rest.txt": b"rest\n",
        **{path: value for path, sides in scene.items() if (value := getattr(sides, side)) is not None},
    }


@contextmanager
def project(scene: Mapping[str, Sides]) -> Iterator[Project]:
    """A project where every file has been installed and edited, and the new version published."""
    base = Path(tempfile.mkdtemp(prefix="property-"))
    try:
        made = Project(base, "pkg")
        made.publish(files(scene, "base"))
        made.install()
        for path, sides in scene.items():
            target = made.path(path)
            if target.is_symlink() or target.exists():
                if sides.local == sides.base:
                    continue
                target.unlink()
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(sides.local, Link):
                target.symlink_to(sides.local.target)
            elif sides.local is not None:
                content = sides.local.content if isinstance(sides.local, Exec) else sides.local
                assert isinstance(content, bytes)
                target.write_bytes(content)
                target.chmod(0o755 if isinstance(sides.local, Exec) else 0o644)
        made.publish(files(scene, "incoming"))
        yield made
    finally:
        shutil.rmtree(base, ignore_errors=True)


def on_disk(value: Value) -> tuple[int, bytes] | None:
    if value is None:
        return None
    if isinstance(value, Link):
        return SYMLINK, value.target.encode()
    content = value.content if isinstance(value, Exec) else value
    assert isinstance(content, bytes)
    return (EXECUTABLE if isinstance(value, Exec) else FILE), content


def entry(value: Value) -> Entry | None:
    found = on_disk(value)
    return None if found is None else Entry(found[0], blob_oid(found[1]), len(found[1]))


def expected(sides: Sides) -> TrafficLight:
    """The light by the table, and by a merge of its own where the table asks for one."""
    decision = decide(entry(sides.base), entry(sides.local), entry(sides.incoming))
    if decision.merge:
        base, local, incoming = (on_disk(side) for side in (sides.base, sides.local, sides.incoming))
        assert base is not None and local is not None and incoming is not None
        merged = merge3(base[1], local[1], incoming[1], path="f.txt")
        if not merged.clean:
            return RED
        mode = incoming[0] if local[0] == base[0] else local[0]
        return GREEN if (mode, merged.content) == local else YELLOW
    if decision.light is YELLOW and sides.base is not None and sides.local is not None:
        # Content from one side, mode from the other; perhaps that is what the user has.
        base, local, incoming = (on_disk(side) for side in (sides.base, sides.local, sides.incoming))
        assert base is not None and local is not None and incoming is not None
        mode = incoming[0] if local[0] == base[0] else local[0]
        content = incoming[1] if local[1] in (base[1], incoming[1]) else local[1]
        return GREEN if (mode, content) == local else YELLOW
    return decision.light


def renamed(made: Project) -> bool:
    """Whether a rename was seen; then a file's light is not its own affair."""
    return any(change.new_path or "moved" in change.reason for change in asyncio.run(made.manager.plan()).changes)


@SETTINGS
@given(scene=SCENES)
def test_the_light_is_as_the_table_says(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        if renamed(made):
            return
        tree = made.tree()
        alone = {}
        for path, sides in scene.items():
            new = on_disk(sides.incoming)
            if new is not None and new[0] == tree.get(path, (0,))[0] != SYMLINK:
                alone[path] = made.manager.analyze_traffic_safety(f"{PACKAGES}/pkg/{path}", new[1])
        report = made.install()
        lights = {change.path.removeprefix(f"{PACKAGES}/pkg/"): change.light for change in report.changes}
        for path, sides in scene.items():
            assert lights.get(path, GREEN) is expected(sides), (path, sides)
        for path, light in alone.items():
            assert light is lights.get(path, GREEN), (path, scene[path])


@SETTINGS
@given(scene=SCENES)
def test_green_is_done_and_the_rest_waits(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        before = made.tree()
        report = made.install()
        after = made.tree()
        waiting = {change.path.removeprefix(f"{PACKAGES}/pkg/") for change in report.pending}
        for change in report.changes:
            path = change.path.removeprefix(f"{PACKAGES}/pkg/")
            if change.light is not GREEN or change.action is Action.KEEP:
                assert after.get(path) == before.get(path)
                assert change.light is GREEN or path in waiting
            else:
                assert after.get(path) == on_disk(scene[path].incoming)
        for path, sides in scene.items():
            if path in waiting:
                continue
            if sides.local == sides.base:
                assert after.get(path) == on_disk(sides.incoming)
            if sides.incoming == sides.base:
                assert after.get(path) == on_disk(sides.local)
        asides = {change.set_aside for change in report.pending} - {None}
        assert set(after) - set(before) <= {
            *(path for path, sides in scene.items() if sides.incoming is not None),
            *(path.removeprefix(f"{PACKAGES}/pkg/") for path in asides if path is not None),
        }


@SETTINGS
@given(scene=SCENES)
def test_install_twice_is_once(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        first = made.install()
        tree, lock = made.whole(), made.lock_text()
        again = made.install()
        assert again.operation is None
        assert (made.whole(), made.lock_text()) == (tree, lock)
        assert [change.path for change in again.pending] == [change.path for change in first.pending]
        assert [(change.path, change.light) for change in made.manager.pending()] == [
            (change.path, change.light) for change in first.pending
        ]
        clone = made.clone()
        assert clone.install().operation is None
        assert [(change.path, change.light) for change in clone.manager.pending()] == [
            (change.path, change.light) for change in first.pending
        ]


@SETTINGS
@given(scene=SCENES)
def test_plan_then_apply_is_install(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        twin = made.clone()
        shutil.copytree(made.root / ".dx", twin.root / ".dx")
        report = made.install()
        plan = asyncio.run(twin.manager.plan())
        assert twin.lock_text() != made.lock_text() or not plan.writes
        applied = asyncio.run(twin.manager.apply(plan))
        assert twin.whole() == made.whole()
        assert applied.changes == report.changes == plan.changes
        assert [change.path for change in applied.pending] == [change.path for change in report.pending]


@SETTINGS
@given(scene=SCENES)
def test_accept_all_then_undo_is_the_identity(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        made.install()
        before, lock = made.whole(), made.lock_text()
        paths = [change.path for change in made.manager.pending()]
        if not paths:
            return
        for decide_all in (made.manager.accept, made.manager.reject):
            report = decide_all(paths)
            assert report.pending == []
            settled = made.install()
            assert (settled.pending, settled.operation) == ([], None)
            made.manager.undo()
            assert (made.whole(), made.lock_text()) == (before, lock)
        made.manager.undo()
        assert made.manager.pending() == []


@SETTINGS
@given(scene=SCENES)
def test_install_then_undo_is_the_identity(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        before, lock = made.whole(), made.lock_text()
        if made.install().operation is None:
            return
        after, new_lock = made.whole(), made.lock_text()
        made.manager.undo()
        assert (made.whole().files, made.lock_text()) == (before.files, lock)
        made.manager.undo()
        assert (made.whole().files, made.lock_text()) == (after.files, new_lock)


@SETTINGS
@given(scene=SCENES)
def test_removing_keeps_every_edit(scene: dict[str, Sides]) -> None:
    with project(scene) as made:
        before = made.tree()
        whole = made.whole()
        report = made.remove()
        waiting = {change.path.removeprefix(f"{PACKAGES}/pkg/") for change in report.pending}
        after = made.tree() if made.path().exists() else {}
        for path, value in before.items():
            edited = value != on_disk(scene[path].base) if path in scene else False
            own = path in scene and scene[path].base is None
            assert (after.get(path) == value) == edited, path
            assert (path in waiting) == (edited and not own), path
        made.manager.undo()
        assert made.whole().files == whole.files


def numbered(changes: Mapping[int, str]) -> bytes:
    """Twelve lines, some of them changed ("" deletes one)."""
    return "".join(changes.get(number, f"line {number}\n") for number in range(12)).encode()


def changes(mark: str) -> st.SearchStrategy[dict[int, str]]:
    texts = st.sampled_from([f"{mark}\n", f"{mark} 1\n{mark} 2\n", ""])
    return st.dictionaries(st.integers(0, 11), texts, min_size=1, max_size=4)


@SETTINGS
@given(mine=changes("mine"), theirs=changes("theirs"), takes=st.lists(st.booleans(), min_size=12, max_size=12))
def test_hunks_decided_one_by_one_are_hunks_decided_at_once(
    mine: dict[int, str], theirs: dict[int, str], takes: list[bool]
) -> None:
    scene = {"f.txt": Sides(numbered({}), numbered(mine), numbered(theirs))}
    path = f"{PACKAGES}/pkg/f.txt"
    with project(scene) as made:
        made.install()
        pending = made.manager.pending()
        if not pending or pending[0].light is RED:
            return
        diff = made.manager.diff(path)
        matter_hunks = {hunk.id: take for hunk, take in zip(pending[0].hunks, takes, strict=False)}
        at_once = made.clone()
        accepted = [identity for identity, take in matter_hunks.items() if take]
        if accepted:
            at_once.manager.accept(path, accepted)
        for identity, take in matter_hunks.items():
            left = [hunk.id for change in made.manager.pending() for hunk in change.hunks]
            assert identity in left
            (made.manager.accept if take else made.manager.reject)(path, identity)
            assert identity not in [hunk.id for change in made.manager.pending() for hunk in change.hunks]
        assert made.manager.pending() == [], diff.proposal
        assert made.read("f.txt") == at_once.read("f.txt")
        assert made.install().pending == []
        assert made.read("f.txt") == at_once.read("f.txt")
