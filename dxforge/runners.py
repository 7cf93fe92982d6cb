"""What background tasks do: the ties between the worker, which knows none of them, and the parts that do the work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.background import worker
from dxforge.background.tasks import BackgroundTask, PrefetchPackage
from dxforge.config.load import load_config, load_environment
from dxforge.errors import DxForgeError
from dxforge.events import Event, EventBus, Progress

if TYPE_CHECKING:
    from dxforge.background.analysis import AnalysisReport
    from dxforge.background.edits import Newest, PackageEdits
    from dxforge.background.prefetch import PrefetchReport
    from dxforge.background.run import Runner, TaskContext
    from dxforge.config.model import Config
    from dxforge.remote.model import SyncReport
    from dxforge.sources.model import Pin
    from dxforge.store.model import Snapshot

AUTOMATIC = "automatic"
"""The label of snapshots that nobody asked for."""
Check = Callable[[], None]


class BackgroundWorker(worker.BackgroundWorker):
    __doc__ = worker.BackgroundWorker.__doc__

    def __init__(
        self,
        root: Path | str = ".",
        *,
        runners: Mapping[type[BackgroundTask] | str, Runner] | None = None,
        events: EventBus | None = None,
        workers: int = 2,
    ) -> None:
        """As above; ``runners`` None are those of dxforge itself."""
        found = runners_for(Path(root).absolute()) if runners is None else runners
        super().__init__(root, runners=found, events=events, workers=workers)


def runners_for(root: Path) -> dict[type[BackgroundTask] | str, Runner]:
    """What does each kind of task for the project in ``root``. Makes nothing yet."""

    def prefetch_package(context: TaskContext) -> object:
        from dxforge.background.prefetch import prefetch_runner

        return prefetch_runner(root, pins=lambda: pins(root))(context)

    def analyze(context: TaskContext) -> object:
        from dxforge.background.analyze import analysis_runner

        return analysis_runner(root, pins=lambda: pins(root), edits=lambda: edits(root, events_of(context)))(context)

    return {
        "CacheCurrentState": lambda context: cache_current_state(root, context),
        "SyncToCloudflareR2": lambda context: sync(root, context),
        "PrefetchPackage": prefetch_package,
        "AnalyzeCodebasePatterns": analyze,
    }


def cache_current_state(root: Path, context: TaskContext) -> Snapshot | None:
    """Take a snapshot, and forget those that ``[snapshots]`` no longer keeps; None: nothing has changed."""
    return take_snapshot(root, AUTOMATIC, events=events_of(context), check=context.check)


def take_snapshot(root: Path, label: str, *, events: EventBus, check: Check) -> Snapshot | None:
    """`SnapshotStore.take`, then `prune`.

    Raises:
        SnapshotError, WriteError, ProjectBusyError: of these.
    """
    from dxforge.store.snapshots import SnapshotStore

    store = SnapshotStore(root, events=events, limits=load_config(root).snapshots)
    taken = store.take(label, check=check)
    if taken is not None:
        store.prune(check=check)
    return taken


def sync(root: Path, context: TaskContext) -> SyncReport | dict[str, Any]:
    """Push to the remote; where nothing may be written from here, that is said and no failure."""
    from dxforge.syncing import Syncing

    syncing = Syncing(load_config(root), events=events_of(context))
    if not syncing.remote().options.write:
        return {"skipped": "[remote] write is off"}
    return syncing.push(check=context.check)


def prefetch(root: Path, name: str, *, events: EventBus, check: Check) -> PrefetchReport:
    """Fetch and verify what an upgrade of ``name`` would take; as ``PrefetchPackage``, for who waits for it."""
    from dxforge.background import prefetch as fetching

    return fetching.prefetch(load_config(root), load_environment(), name, pins=pins(root), events=events, check=check)


def analyze(root: Path, *, events: EventBus, check: Check) -> AnalysisReport:
    """Look through the project; as ``AnalyzeCodebasePatterns``, for who waits for it.

    Args:
        events: hears Progress ("analyze": files) and Notices.
        check: raises to stop.
    """
    from dxforge.background.analyze import analyze as look
    from dxforge.background.analyze import newer_versions
    from dxforge.background.reader import Reader

    config = load_config(root)
    newer, unasked = newer_versions(config, load_environment(), pins(root), check=check, events=_quiet(events))

    def progress(done: int, total: int | None, item: str) -> None:
        events.emit(Progress(phase="analyze", item=item, done=done, total=total))

    with Reader() as reader:
        return look(
            config,
            edits=edits(root, events),
            newer=newer,
            unasked=unasked,
            check=check,
            progress=progress,
            reader=reader,
        )


def pins(root: Path) -> dict[str, Pin]:
    """What ``dx.lock`` has, by name."""
    from dxforge.traffic.journal import read_text
    from dxforge.traffic.lock import loads

    file = root / "dx.lock"
    return {name: item.pin for name, item in loads(read_text(file), where=file).packages.items() if not item.leaving}


def edits(root: Path, events: EventBus) -> Iterator[PackageEdits]:
    """The injected packages that carry edits, as the analysis wants to know them."""
    from dxforge.background.edits import PackageEdits
    from dxforge.traffic.manager import TrafficManager

    config = load_config(root)
    known = pins(root)
    for item in TrafficManager(root, events=_quiet(events)).edited():

        def newest(pin: Pin = item.pin) -> Newest | None:
            return _newest(config, known, pin)

        def base(read_all: Callable[[str], dict[str, bytes]] = item.read_all) -> Mapping[str, bytes]:
            return read_all(".py")

        yield PackageEdits(name=item.pin.name, version=item.pin.version, files=item.files, base=base, newest=newest)


def _newest(config: Config, known: Mapping[str, Pin], pin: Pin) -> Newest | None:
    from dxforge.background.edits import Newest
    from dxforge.sources.registry import Sources
    from dxforge.store.archives import ArchiveStore

    if pin.name not in {spec.name for spec in config.packages}:
        return None
    environment = load_environment()
    store = ArchiveStore(environment.cache_dir, config.limits, EventBus())
    sources = Sources(config, environment, store, EventBus())
    with contextlib.suppress(DxForgeError):  # then the analysis goes without it, and says whom it could not ask
        candidate = sources.resolve(known, upgrade={pin.name}, only={pin.name})[pin.name]
        if candidate.sha256 == pin.sha256 or (candidate.version == pin.version and pin.kind != "path"):
            return None
        package = sources.obtain({pin.name: candidate})[pin.name]
        if package.pin.sha256 != pin.sha256:
            python = {path for path in package.tree if path.endswith(".py")}
            return Newest(version=package.pin.version, files=dict(package.read(python)))
    return None


def _quiet(events: EventBus) -> EventBus:
    """Where progress is left out: of many small steps within a larger one."""
    heard = EventBus()
    heard.subscribe(lambda event: None if isinstance(event, Progress) else events.emit(event))
    return heard


def events_of(context: TaskContext) -> EventBus:
    """Where a part tells what it does for a task: its progress is the task's, everything else goes on as it is."""
    events = EventBus()

    def forward(event: Event) -> None:
        if isinstance(event, Progress):
            context.progress(event.done, event.total, event.phase)
        else:
            context.events.emit(event)

    events.subscribe(forward)
    return events


def prefetch_newer(report: AnalysisReport, enqueue: Callable[[BackgroundTask], object]) -> None:
    """Leave it to the background to fetch the newer versions that an analysis found."""
    for item in report.newer:
        enqueue(PrefetchPackage(item.name))
