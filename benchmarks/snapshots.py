"""Snapshots and restoring beside git: ``python -m benchmarks.snapshots [--rounds 5]``."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.material import Material, edit, files
from benchmarks.measure import Contender, Cost, Say, by_turns, process
from benchmarks.table import Row, row
from dxforge.store.snapshots import SnapshotStore

COUNT = 10_000
EDITED = 1_000
_GIT_ADD = ["sh", "-c", "git add -A && git write-tree"]
_TAKE = "import sys; from dxforge.store.snapshots import SnapshotStore; SnapshotStore(sys.argv[1]).take()"
_ROLLBACK = (
    "import asyncio, sys; from dxforge import TrafficManager; from dxforge.store.snapshots import SnapshotStore; "
    "root = sys.argv[1]; store = SnapshotStore(root); "
    "asyncio.run(TrafficManager(root).rollback(store, store.list()[-1].oid))"
)
_RULES = "*.pyc\n*.so\n*.log\n/build/\n/dist/\n.venv/\n.idea/\n*.egg-info/\n.coverage\n!keep.log\ndoc/_build/**\n"


def snapshots(material: Material, rounds: int, say: Say) -> list[Row]:
    """A first snapshot, one where nothing has changed, and one where a thousand files have."""
    source = _source(material)
    rows = [_first(material, source, rounds, say)]
    rows += _again(material, source, rounds, say)
    return rows


def restore(material: Material, rounds: int, say: Say) -> list[Row]:
    """Back to a snapshot: everything is gone, or a thousand files are edited."""
    source = _source(material)

    def empty(root: Path) -> None:
        # Moved away, not deleted: ext4 makes those pay who create files after a deletion.
        aside = material.fresh("gone")
        for entry in os.scandir(root):
            if entry.name not in (".dx", ".git"):
                os.rename(entry.path, aside / entry.name)

    return [
        _restored(material, source, rounds, say, what=f"restore {COUNT:,} files that are gone", spoil=empty),
        _restored(material, source, rounds, say, what=f"restore {EDITED:,} of {COUNT:,} files", spoil=_edit_some),
    ]


def _source(material: Material) -> Path:
    """Real packages' files, so many of them, with rules to be asked about each."""
    folder = material.work / "snapshot-source"
    if not folder.exists():
        left = COUNT - 1
        for wheel in material.wheels:
            with zipfile.ZipFile(wheel) as archive:
                names = [item for item in archive.namelist() if not item.endswith("/")][:left]
                archive.extractall(folder, names)
                left -= len(names)
        (folder / ".gitignore").write_text(_RULES)
    if sum(1 for _ in files(folder)) != COUNT:
        raise RuntimeError(f"not {COUNT} files in {folder}")
    return folder


def _copy(material: Material, source: Path, name: str) -> Path:
    root = material.fresh(name)
    shutil.copytree(source, root, dirs_exist_ok=True, symlinks=True)
    return root


def _repository(material: Material, source: Path, name: str) -> Path:
    root = _copy(material, source, name)
    material.git("init", "--quiet", cwd=root)
    material.git("config", "gc.auto", "0", cwd=root)  # or it tidies up in the background while others are measured
    return root


def _first(material: Material, source: Path, rounds: int, say: Say) -> Row:
    root = material.work

    def ours() -> None:
        nonlocal root
        root = _copy(material, source, "ours")

    def theirs() -> None:
        nonlocal root
        root = _repository(material, source, "git")

    results = by_turns(
        [
            Contender(name="dxforge", prepare=ours, run=lambda: process(_python(_TAKE, root), cwd=root)),
            Contender(name="git", prepare=theirs, run=lambda: process(_GIT_ADD, cwd=root, env=material.env)),
        ],
        rounds=rounds,
        say=say,
    )
    return row(f"first snapshot, {COUNT:,} files, whole process", "git add -A && git write-tree", results, 1.0)


def _again(material: Material, source: Path, rounds: int, say: Say) -> list[Row]:
    root = _copy(material, source, "ours")
    repository = _repository(material, source, "git")
    store = SnapshotStore(root)
    store.take()
    process(_GIT_ADD, cwd=repository, env=material.env)
    time.sleep(0.1)
    store.take()  # by now everything is old enough to be trusted by its times, as it is for git

    def take(*, fresh: bool) -> Cost:
        began = time.perf_counter()
        taken = store.take()
        seconds = time.perf_counter() - began
        if (taken is not None) != fresh:
            raise RuntimeError("something else changed")
        return Cost(seconds=seconds)

    def git() -> Cost:
        # Not by `process`, whose own start would count for git alone.
        began = time.perf_counter()
        subprocess.run(
            _GIT_ADD, cwd=repository, env={**os.environ, **material.env}, check=True, stdout=subprocess.DEVNULL
        )
        return Cost(seconds=time.perf_counter() - began)

    peer = "git add -A && git write-tree"
    results = by_turns(
        [Contender(name="dxforge", run=lambda: take(fresh=False)), Contender(name="git", run=git)],
        rounds=rounds * 3,
        say=lambda _: None,
    )
    rows = [row(f"snapshot with nothing new, {COUNT:,} files, in one process", peer, results, 1.5)]
    results = by_turns(
        [
            Contender(name="dxforge", run=lambda: process(_python(_TAKE, root), cwd=root)),
            Contender(name="git", run=lambda: process(_GIT_ADD, cwd=repository, env=material.env)),
        ],
        rounds=rounds,
        say=lambda _: None,
    )
    rows.append(row("the same, each time a whole process with Python's start", peer, results, 1.5))
    numbers = itertools.count()

    def change(folder: Path) -> None:
        number = next(numbers)
        for path in _some(folder):
            with path.open("ab") as stream:
                stream.write(b"# edited %d\n" % number)
        time.sleep(0.1)

    results = by_turns(
        [
            Contender(name="dxforge", prepare=lambda: change(root), run=lambda: take(fresh=True)),
            Contender(name="git", prepare=lambda: change(repository), run=git),
        ],
        rounds=rounds,
        say=say,
    )
    rows.append(row(f"snapshot with {EDITED:,} of {COUNT:,} files edited, in one process", peer, results, 1.5))
    return rows


def _restored(
    material: Material, source: Path, rounds: int, say: Say, *, what: str, spoil: Callable[[Path], None]
) -> Row:
    root = material.work
    expected = {path.relative_to(source).as_posix(): path.stat().st_size for path in files(source)}

    def ours() -> None:
        nonlocal root
        root = _copy(material, source, "ours")
        process(_python(_TAKE, root), cwd=root)
        spoil(root)

    def theirs() -> None:
        nonlocal root
        root = _repository(material, source, "git")
        material.commit_all(root, "all")
        spoil(root)

    def checked(cost: Cost) -> Cost:
        found = {
            path.relative_to(root).as_posix(): path.stat().st_size
            for path in files(root)
            if path.relative_to(root).parts[0] not in (".dx", ".git")
        }
        if found != expected:
            raise RuntimeError(f"not restored in {root}")
        return cost

    results = by_turns(
        [
            Contender(name="dxforge", prepare=ours, run=lambda: checked(process(_python(_ROLLBACK, root), cwd=root))),
            Contender(
                name="git",
                prepare=theirs,
                run=lambda: checked(process(["git", "checkout", "--quiet", "."], cwd=root, env=material.env)),
            ),
        ],
        rounds=rounds,
        say=say,
    )
    # No goal: git neither takes a snapshot first, nor keeps what an undo needs, nor waits for the disk.
    return dataclasses.replace(row(f"{what}, whole process", "git checkout", results, 1.0), goal="–")


def _some(folder: Path) -> list[Path]:
    """The files that are edited: every n-th Python file with enough lines."""
    fit = [path for path in sorted(folder.rglob("*.py")) if ".dx" not in path.parts and path.stat().st_size > 200]
    return fit[:: len(fit) // EDITED][:EDITED]


def _edit_some(root: Path) -> None:
    for path in _some(root):
        if b"\r" in path.read_bytes():
            path.write_bytes(b"# edited\n")
        else:
            edit(path, "here", 1)


def _python(code: str, root: Path) -> list[str | Path]:
    return [sys.executable, "-c", code, root]


def main() -> int:
    """Measure, and print rows for the README's table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description="Snapshots beside git.")
    parser.add_argument("--rounds", type=int, default=5, help="medians of this many runs (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as work:
        material = Material(Path(work))
        rows = [
            line
            for case in (snapshots, restore)
            for line in case(material, options.rounds, lambda line: print(line, file=sys.stderr, flush=True))
        ]
    print("| what | dxforge | beside | ratio | goal | peak memory, MiB (dxforge / peer) |")
    print("|---|---|---|---|---|---|")
    for line in rows:
        print(f"| {line.what} | {line.ours} | {line.theirs} | **{line.ratio}** | {line.goal} | {line.memory} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
