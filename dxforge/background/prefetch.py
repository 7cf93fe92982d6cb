"""``PrefetchPackage``: the newest version that ``dx.toml`` allows, in the cache and verified, for use offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.background.tasks import PrefetchPackage
from dxforge.config.load import Environment, load_config, load_environment
from dxforge.config.model import Config, PyPISpec
from dxforge.events import Event, EventBus, Progress

if TYPE_CHECKING:
    from dxforge.background.run import Runner, TaskContext
    from dxforge.sources.model import Candidate, Pin

Pins = Callable[[], "Mapping[str, Pin]"]
"""What ``dx.lock`` has now, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """One package that is in the user's cache now, verified. ``before`` is the locked version, "" without one."""

    name: str
    version: str
    before: str
    source: str
    filename: str
    sha256: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchReport:
    """What a prefetch came to: the package asked for first, then those that it needs (``with_dependencies``)."""

    name: str
    declared: bool
    """Whether ``dx.toml`` has it; otherwise it is the Python index's newest."""
    packages: tuple[Prefetched, ...]

    @property
    def newer(self) -> bool:
        """Whether an upgrade would change something."""
        return any(package.version != package.before for package in self.packages)

    def to_json(self) -> dict[str, Any]:
        """For ``prefetch --json`` and the journal."""
        return {
            "name": self.name,
            "declared": self.declared,
            "newer": self.newer,
            "packages": [package.to_json() for package in self.packages],
        }

    def __str__(self) -> str:
        """One line per package."""
        return "\n".join(
            f"{package.name} {package.version} is in the cache"
            + (f" ({package.before} is installed)" if package.before not in ("", package.version) else "")
            for package in self.packages
        )


def prefetch(
    config: Config,
    environment: Environment,
    name: str,
    *,
    pins: Mapping[str, Pin],
    events: EventBus,
    check: Callable[[], None] = lambda: None,
) -> PrefetchReport:
    """Fetch what ``install NAME --upgrade`` would take, and verify it; the project is not touched.

    Args:
        name: as in ``dx.toml``; any other is a project of the Python index.
        pins: what ``dx.lock`` has, by name.
        events: hears Progress ("resolve", "download", "unpack") and Notices.
        check: called at every step; what it raises stops the work, and what is complete by then stays in the cache.

    Raises:
        SourceError, ArchiveError: it cannot be had.
        WriteError: the cache cannot be written.
    """
    from dxforge.sources.registry import Sources
    from dxforge.store.archives import ArchiveStore

    declared = any(spec.name == name for spec in config.packages)
    if not declared:
        config = dataclasses.replace(config, packages=(*config.packages, PyPISpec(name=name)))
    heard = EventBus()
    heard.subscribe(events.emit)
    heard.subscribe(lambda _: check())
    store = ArchiveStore(environment.cache_dir, config.limits, events)
    sources = Sources(config, environment, store, heard)
    check()
    candidates = sources.resolve(pins, upgrade={name}, only={name})
    check()
    packages = sources.obtain(candidates)
    return PrefetchReport(
        name=name,
        declared=declared,
        packages=tuple(_prefetched(packages[key].pin, item, pins) for key, item in candidates.items()),
    )


def _prefetched(pin: Pin, candidate: Candidate, pins: Mapping[str, Pin]) -> Prefetched:
    before = pins.get(candidate.name)
    return Prefetched(
        name=candidate.name,
        version=pin.version,
        before=before.version if before is not None else "",
        source=pin.kind,
        filename=pin.filename,
        sha256=pin.sha256,
    )


def prefetch_runner(root: Path | str, *, pins: Pins, environment: Environment | None = None) -> Runner:
    """What a worker runs for ``PrefetchPackage``.

    Args:
        root: the project's folder; its ``dx.toml`` is read anew for each task.
        pins: gives what ``dx.lock`` has now.
        environment: None: the process's, as it is when the task runs.
    """
    folder = Path(root)

    def run(context: TaskContext) -> PrefetchReport:
        task = context.task
        assert isinstance(task, PrefetchPackage)  # noqa: S101 - the worker calls it for no other
        events = EventBus()

        def forward(event: Event) -> None:
            if isinstance(event, Progress):
                context.progress(event.done, event.total, f"{event.phase} {event.item}".rstrip())
            else:
                context.events.emit(event)

        events.subscribe(forward)
        found = environment if environment is not None else load_environment()
        return prefetch(load_config(folder), found, task.name, pins=pins(), events=events, check=context.check)

    return run
