"""``AnalyzeCodebasePatterns``: goes through the project, reads what changed since the last time, and concludes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.background.analysis import (
    AnalysisReport,
    EditedPackage,
    FilePlace,
    FileProblem,
    NewerVersion,
    PatternMatch,
)
from dxforge.background.declared import Origins, conclude
from dxforge.background.edits import PackageEdits, has_python
from dxforge.background.finding import find_files
from dxforge.background.reader import Reader, ReaderDiedError, Stamp
from dxforge.background.reading import FileFacts, load
from dxforge.background.tasks import PrefetchPackage
from dxforge.config.load import Environment, load_config, load_environment
from dxforge.config.model import Config
from dxforge.errors import DxForgeError
from dxforge.events import EventBus, Notice
from dxforge.files import atomic_write, prepare_state_dir

if TYPE_CHECKING:
    from dxforge.background.prefetch import Pins
    from dxforge.background.run import Runner, TaskContext
    from dxforge.sources.model import Pin

FILE_NAME = "analysis.json"
_FORMAT = 1
_BATCH = 64
# Where a file's time is coarser, two writes may share one (git calls it racy): a file as young as this is read again.
_RACY_NS = 2_000_000_000

Progress = Callable[[int, "int | None", str], None]


def _nothing(*_: object) -> None:
    return


@dataclass(slots=True)
class _Memory:
    """What earlier runs know, by path from the project's root; in ``.dx/analysis.json``."""

    file: Path
    key: str
    known: dict[str, tuple[Stamp, Any]] = field(default_factory=dict)

    def load(self) -> None:
        try:
            data = json.loads(self.file.read_bytes())
            if data["key"] == self.key:
                self.known = {path: (tuple(stamp), facts) for path, (stamp, facts) in data["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.known = {}  # none yet, another version's, or damaged: everything is read once more

    def save(self, root: Path, found: Mapping[str, tuple[Stamp, Any]]) -> None:
        content = json.dumps({"key": self.key, "files": found}, separators=(",", ":")).encode("utf-8", "surrogatepass")
        try:
            prepare_state_dir(root)
            atomic_write(self.file, content)
        except (DxForgeError, OSError):
            return  # a project that cannot be written is read anew each time


def analyze(
    config: Config,
    *,
    edits: Iterable[PackageEdits] = (),
    newer: Sequence[NewerVersion] = (),
    unasked: Sequence[tuple[str, str]] = (),
    check: Callable[[], None] = lambda: None,
    progress: Progress = _nothing,
    reader: Reader | None = None,
) -> AnalysisReport:
    """Look through the project; reads it, and writes only ``.dx/analysis.json``.

    Args:
        edits: the injected packages that carry edits.
        newer, unasked: as in the report.
        check: called at every step; what it raises stops the work, and the next run begins where this one was.
        progress: hears files done, of how many, and "read" or "judge".
        reader: what parses; None: one of its own.

    Raises:
        DxForgeError: the project's folder cannot be read.
    """
    if reader is None:
        with Reader() as own:
            return analyze(
                config, edits=edits, newer=newer, unasked=unasked, check=check, progress=progress, reader=own
            )
    files = find_files(config, check)
    key = hashlib.sha256(repr((_FORMAT, sys.version, config.analyze.patterns)).encode()).hexdigest()
    memory = _Memory(config.root / ".dx" / FILE_NAME, key)
    memory.load()
    facts, count = _read(config, files.stamps, memory, reader, check=check, progress=progress)
    facts.problems.extend((path, FileProblem(place=FilePlace(path=path), what=what)) for path, what in files.problems)
    try:
        distributions: dict[str, list[str]] = reader.call("distributions")
    except ReaderDiedError:
        check()
        distributions = {}
    origins = Origins.of(config, facts.by_path, distributions)
    imports, unused = conclude(config, facts.by_path, origins)
    return AnalysisReport(
        files=len(files.stamps),
        read=count,
        imports=imports,
        unused=unused,
        edits=tuple(_judge(item, reader, check) for item in sorted(edits, key=lambda item: item.name)),
        matches=tuple(sorted(facts.matches, key=lambda item: (item.pattern, item.place))),
        problems=tuple(item for _, item in sorted(facts.problems, key=lambda item: item[1].place)),
        newer=tuple(newer),
        unasked=tuple(unasked),
    )


@dataclass(slots=True)
class _Facts:
    by_path: dict[str, FileFacts] = field(default_factory=dict)
    matches: list[PatternMatch] = field(default_factory=list)
    problems: list[tuple[str, FileProblem]] = field(default_factory=list)

    def add(self, path: str, facts: FileFacts, *, injected: bool) -> None:
        self.by_path[path] = facts
        for problem in facts.problems:
            place = FilePlace(path=path)
            if problem.place is not None:
                place = FilePlace(path=path, cell=problem.place.cell, line=problem.place.line)
            self.problems.append((path, FileProblem(place=place, what=problem.what)))
        if not injected:
            self.matches += [
                PatternMatch(
                    pattern=item.pattern,
                    place=FilePlace(path=path, cell=item.place.cell, line=item.place.line),
                    text=item.text,
                )
                for item in facts.matches
            ]


def _read(
    config: Config,
    stamps: Mapping[str, Stamp],
    memory: _Memory,
    reader: Reader,
    *,
    check: Callable[[], None],
    progress: Progress,
) -> tuple[_Facts, int]:
    """What every file tells, parsed only where its stamp is another than last time; and how many that were."""
    found: dict[str, tuple[Stamp, Any]] = {}
    facts = _Facts()
    injected = f"{config.packages_dir}/"

    def take(path: str, data: Any) -> bool:
        try:
            facts.add(path, load(data), injected=path.startswith(injected))
        except (ValueError, TypeError, KeyError):
            return False
        return True

    new = []
    for path, stamp in stamps.items():
        before = memory.known.get(path)
        if before is not None and before[0] == stamp and take(path, before[1]):
            found[path] = before
        else:
            new.append(path)
    try:
        for start in range(0, len(new), _BATCH):
            check()
            progress(start, len(new), "read")
            batch = new[start : start + _BATCH]
            young_ns = time.time_ns() - _RACY_NS
            for path, (seen, data) in zip(batch, _ask(config, batch, reader, check), strict=True):
                take(path, data)
                if seen is not None and max(seen[:2]) < young_ns:
                    found[path] = (seen, data)
    finally:
        kept = {path: before for path, before in memory.known.items() if path in stamps} | found
        if kept != memory.known:
            memory.save(config.root, kept)
    progress(len(new), len(new), "read")
    return facts, len(new)


def _ask(
    config: Config, batch: Sequence[str], reader: Reader, check: Callable[[], None]
) -> list[tuple[Stamp | None, Any]]:
    paths = [os.path.join(config.root, path) for path in batch]
    try:
        return reader.read(paths, config.analyze.patterns)
    except ReaderDiedError:
        check()  # it was stopped because the task is to stop
        raise


def _judge(item: PackageEdits, reader: Reader, check: Callable[[], None]) -> EditedPackage:
    check()
    newest = item.newest() if has_python(item) else None
    base = dict(item.base()) if newest is not None else {}
    try:
        files, gone = reader.call("judge", dict(item.files), base, None if newest is None else dict(newest.files))
    except ReaderDiedError:
        check()
        files, gone = [], []
    return EditedPackage(
        name=item.name,
        version=item.version,
        newest=newest.version if newest is not None else "",
        files=tuple(files),
        vanished=tuple(gone),
    )


def newer_versions(
    config: Config,
    environment: Environment,
    pins: Mapping[str, Pin],
    *,
    check: Callable[[], None] = lambda: None,
    events: EventBus | None = None,
) -> tuple[list[NewerVersion], list[tuple[str, str]]]:
    """Ask the sources for the newest version of every installed package of ``dx.toml``.

    Paths are left out: each install takes a folder as it is.

    Returns:
        Those that ``dx.toml`` allows and are not installed, and the names that could not be asked for, with the reason.
    """
    from dxforge.sources.registry import Sources
    from dxforge.store.archives import ArchiveStore

    events = events or EventBus()
    found: list[NewerVersion] = []
    unasked: list[tuple[str, str]] = []
    sources = Sources(config, environment, ArchiveStore(environment.cache_dir, config.limits, events), events)
    for spec in config.packages:
        pin = pins.get(spec.name)
        if pin is None or pin.kind in ("path", "url"):
            continue
        check()
        try:
            candidate = sources.resolve(pins, upgrade={spec.name}, only={spec.name})[spec.name]
        except DxForgeError as error:
            unasked.append((spec.name, error.what))
            continue
        if candidate.version != pin.version:
            found.append(NewerVersion(name=spec.name, before=pin.version, version=candidate.version))
    return found, unasked


def analysis_runner(
    root: Path | str,
    *,
    pins: Pins,
    edits: Callable[[], Iterable[PackageEdits]] = tuple,
    environment: Environment | None = None,
) -> Runner:
    """What a worker runs for ``AnalyzeCodebasePatterns``; enqueues ``PrefetchPackage`` for newer versions.

    Args:
        root: the project's folder; its ``dx.toml`` is read anew for each task.
        pins: gives what ``dx.lock`` has now.
        edits: gives the injected packages that carry edits.
        environment: None: the process's, as it is when the task runs.
    """
    folder = Path(root)

    def run(context: TaskContext) -> AnalysisReport:
        config = load_config(folder)
        found = environment if environment is not None else load_environment()
        events = EventBus()
        events.subscribe(lambda event: context.events.emit(event) if isinstance(event, Notice) else None)
        newer, unasked = newer_versions(config, found, pins(), check=context.check, events=events)
        for item in newer:
            context.enqueue(PrefetchPackage(item.name))
        with Reader() as reader:
            context.when_stopped(reader.stop)
            return analyze(
                config,
                edits=edits(),
                newer=newer,
                unasked=unasked,
                check=context.check,
                progress=context.progress,
                reader=reader,
            )

    return run
