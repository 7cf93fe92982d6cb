"""Kills snapshots, pruning and rollbacks between any two steps and at random moments, and looks at what is left.

Every trial forks: the child works and dies by SIGKILL, the parent looks. The project must be wholly as before the
rollback or wholly as after it; the store must be whole for git, every snapshot that it lists must be readable, and the
work can simply be done again. Every other time the recovery is killed too, somewhere on its way.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dxforge.config.model import SnapshotLimits
from dxforge.store.snapshots import SnapshotStore
from dxforge.traffic.manager import TrafficManager
from tests.support.wild_trees import File, Link, Tree, clear, fsck, lay_out, photograph

Photo = Mapping[str, tuple[str, bytes]]
LIMITS = SnapshotLimits(keep=2)
_STEPS = ("replace", "rename", "unlink", "fsync", "mkdir", "rmdir", "link", "symlink", "chmod")


def _files(count: int, text: str) -> dict[bytes, File]:
    return {b"f%d.py" % number: File(f"{text} {number}\n".encode() * 20) for number in range(count)}


FIRST: Tree = {
    b"dx.toml": File(b'[project]\nname = "demo"\n'),
    b"dx.lock": File(b"version = 1\n"),
    b"same": _files(5, "same"),
    b"edited": _files(10, "first"),
    b"gone": {b"deep": _files(3, "gone"), b"link": Link(b"deep/f0.py")},
    b"swap": File(b"a file\n"),
    b"paws": {b"in": File(b"x\n"), b"empty": {}},
    b"link": Link(b"same"),
    b"empty": {b"er": {}},
    b"\xff": File(b"\0", executable=True),
}
SECOND: Tree = {
    b"dx.toml": File(b'[project]\nname = "other"\n'),
    b"dx.lock": File(b"version = 1\n# another\n"),
    b"same": _files(5, "same"),
    b"edited": _files(12, "second"),
    b"swap": {b"in": File(b"x\n"), b"empty": {}},
    b"paws": Link(b"same"),
    b"link": {b"f": File(b"no link\n")},
    b"fresh": {b"empty": {}},
    b"\xff": File(b"\0"),
    b"new": _files(4, "new"),
}
THIRD: Tree = {**SECOND, b"third": _files(60, "third"), b"edited": _files(12, "third")}


@dataclass(frozen=True)
class Scene:
    """Work on a copy of the project ``template``; ``before`` and ``after`` are how the project may look in the end."""

    name: str
    template: Path
    work: Callable[[Path], object]
    before: Photo
    after: Photo
    steps: int
    duration_s: float


@dataclass
class Tally:
    """How many trials ended as before and as after, and how many were really killed."""

    before: int = 0
    after: int = 0
    killed: int = 0
    steps: dict[str, int] = field(default_factory=dict)


def take(root: Path) -> object:
    """A snapshot of what has changed."""
    return SnapshotStore(root).take("taken")


def prune(root: Path) -> object:
    """Two of four snapshots go."""
    return SnapshotStore(root, limits=LIMITS).prune(whole=True)


def rollback(root: Path) -> object:
    """Back to the oldest snapshot."""
    store = SnapshotStore(root)
    return asyncio.run(TrafficManager(root).rollback(store, store.list()[-1].oid))


def partial(root: Path) -> object:
    """Some paths of it."""
    store = SnapshotStore(root)
    return asyncio.run(TrafficManager(root).rollback(store, store.list()[-1].oid, ["edited", "gone", "paws"]))


def undo(root: Path) -> object:
    """The rollback taken back."""
    return TrafficManager(root).undo()


def build_scenes(folder: Path) -> list[Scene]:
    """Everything that may be killed."""
    root = folder / "template"
    root.mkdir(parents=True)
    for number, tree in enumerate((FIRST, SECOND, FIRST, SECOND)):
        clear(root)
        lay_out(root, tree)
        SnapshotStore(root).take(str(number))
    changed = _copy(root, folder / "changed")
    clear(changed)
    lay_out(changed, THIRD)
    done = _copy(changed, folder / "done")
    rollback(done)
    return [
        _scene("take", changed, take, folder),
        _scene("prune", root, prune, folder),
        _scene("rollback", changed, rollback, folder),
        _scene("rollback of some paths", changed, partial, folder),
        _scene("undo of a rollback", done, undo, folder),
    ]


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target


def _scene(name: str, template: Path, work: Callable[[Path], object], folder: Path) -> Scene:
    trial = _copy(template, folder / "trial")
    with _Steps() as steps:
        started = time.monotonic()
        work(trial)
        duration_s = time.monotonic() - started
    return Scene(name, template, work, photograph(template), photograph(trial), steps.count, duration_s)


class _Steps:
    """Counts what changes names or contents on disk while it is entered; kills this process at one of them."""

    def __init__(self, fatal: int | None = None) -> None:
        self.count = 0
        self._fatal = fatal
        self._plain = {name: getattr(os, name) for name in _STEPS}

    def __enter__(self) -> Self:
        from dxforge import files

        for name, function in self._plain.items():
            setattr(os, name, self._counting(function))
        self._kernel = files._rename
        files._rename = self._counting(self._kernel)
        return self

    def __exit__(self, *_: object) -> None:
        from dxforge import files

        for name, function in self._plain.items():
            setattr(os, name, function)
        files._rename = self._kernel

    def _counting(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            if self.count == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return function(*args, **options)

        return call


def _killed(work: Callable[[], object], step: int | None, delay_s: float = 0) -> int:
    """Do ``work`` in a fork that is killed at a step, or after a while; returns its exit status as wait has it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with _Steps(step):
                work()
            code = 0
        finally:
            os._exit(code)
    if step is None:
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _trial(scene: Scene, folder: Path, tally: Tally, *, step: int | None = None, delay_s: float = 0) -> None:
    root = _copy(scene.template, folder / "trial")
    status = _killed(lambda: scene.work(root), step, delay_s)
    if os.WIFSIGNALED(status):
        tally.killed += 1
    elif os.WEXITSTATUS(status):
        raise AssertionError(f"{scene.name} failed instead of being killed")
    where = f"{scene.name}, step {step}, after {delay_s:.3f} s"
    if tally.killed % 2:
        _killed(lambda: asyncio.run(TrafficManager(root).recover()), tally.killed % 50)
    asyncio.run(TrafficManager(root).recover())
    _look(scene, root, tally, where)
    _again(scene, root, where)


def _look(scene: Scene, root: Path, tally: Tally, where: str) -> None:
    found = photograph(root)
    if found == scene.before:
        tally.before += 1
    elif found == scene.after:
        tally.after += 1
    else:
        strange = [path for path in {*found, *scene.before} if found.get(path) != scene.before.get(path)]
        raise AssertionError(f"{where}: neither before nor after: {sorted(strange)}")
    if (root / ".dx" / "interrupted").exists():
        raise AssertionError(f"{where}: recovery gave up")
    _check_store(root, where)


def _check_store(root: Path, where: str) -> None:
    complaints = fsck(root / ".dx" / "snapshots.git")
    if complaints:
        raise AssertionError(f"{where}: {complaints}")
    store = SnapshotStore(root)
    if not store.list():
        raise AssertionError(f"{where}: the snapshots are gone")
    for snapshot in store.list():
        for _, oid in store.picture(snapshot).files.values():
            store.content(oid)


def _again(scene: Scene, root: Path, where: str) -> None:
    """What was interrupted can be done again; then everything is as after it, and the store knows the project."""
    if photograph(root) == scene.before:
        scene.work(root)
    if photograph(root) != scene.after:
        raise AssertionError(f"{where}: doing it again ends elsewhere")
    store = SnapshotStore(root)
    store.take("now")
    newest = store.latest()
    if newest is None or store.diff(newest):
        raise AssertionError(f"{where}: the newest snapshot is not the project")
    _check_store(root, where)
    left = [path.name for path in (root / ".dx" / "snapshots.git" / "objects" / "pack").glob("tmp_*")]
    if left:
        raise AssertionError(f"{where}: {left} were left behind")


def run_kills(folder: Path, *, every_step: int, random_kills: int, seed: int) -> Tally:
    """Kill every scene at every ``every_step``-th step, and ``random_kills`` times at random moments in all."""
    scenes = build_scenes(folder)
    tally = Tally()
    for scene in scenes:
        tally.steps[scene.name] = scene.steps
        for step in sorted({*range(seed % every_step, scene.steps, every_step), scene.steps - 1}):
            _trial(scene, folder, tally, step=step)
    chance = random.Random(seed)
    for _ in range(random_kills):
        scene = chance.choice(scenes)
        _trial(scene, folder, tally, delay_s=chance.uniform(0, scene.duration_s))
    return tally
