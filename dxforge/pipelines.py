"""The pipelines: named, ordered steps over the parts of a forge."""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dxforge.background.tasks import BackgroundTask, CacheCurrentState, SyncToCloudflareR2
from dxforge.errors import DxForgeError
from dxforge.events import EventBus, Notice

if TYPE_CHECKING:
    from dxforge.build.builder import Builder
    from dxforge.build.model import BuildPlan, BuildReport, PendingFile
    from dxforge.build.through import ReadThrough
    from dxforge.build.toolbox import Execution, ToolFacts
    from dxforge.config.model import Config, PackageSpec
    from dxforge.forge import DxForge
    from dxforge.orchestrator.registry import Registry
    from dxforge.syncing import RemoteResults
    from dxforge.traffic.model import InstallReport

Report: TypeAlias = "InstallReport | BuildReport | UnknownPipeline"
_log = logging.getLogger("dxforge")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPipeline:
    """The report on a command that is no pipeline: nothing was changed. ``notes`` say which there are."""

    command: str
    notes: tuple[str, ...]
    ok: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"ok": self.ok, "command": self.command, "notes": list(self.notes)}


async def install(forge: DxForge, names: Collection[str] = (), **options: Any) -> InstallReport:
    """Install what ``dx.toml`` declares, and leave a snapshot to the background.

    Arguments are those of `TrafficManager.install_all_dependencies`.
    """
    report = await forge.traffic_manager.install_all_dependencies(names, **options)
    enqueue(forge, CacheCurrentState())
    return report


async def add(forge: DxForge, *specs: PackageSpec, **options: Any) -> InstallReport:
    """`TrafficManager.add`, and a snapshot as after :func:`install`."""
    report = await forge.traffic_manager.add(*specs, **options)
    enqueue(forge, CacheCurrentState())
    return report


async def remove(forge: DxForge, *names: str, **options: Any) -> InstallReport:
    """`TrafficManager.remove`, and a snapshot as after :func:`install`."""
    report = await forge.traffic_manager.remove(*names, **options)
    enqueue(forge, CacheCurrentState())
    return report


async def build(
    forge: DxForge,
    *,
    force: bool = False,
    allow_pending: bool = False,
    jobs: int | None = None,
    sync: bool = True,
) -> BuildReport:
    """Start the tools that the build needs, run the steps whose inputs have changed, then sync in the background.

    Args:
        forge: the project's.
        force: run every step, cached or not.
        allow_pending: go on although files that a step reads await a decision.
        jobs: steps at a time.
        sync: whether a build that succeeded is synced to the remote.

    Returns:
        The report. A step that fails, and pending files that keep the build from starting, are in there, with ``ok``
        False.

    Raises:
        DxForgeError: the build cannot be planned, or a tool that it needs does not get ready.
    """
    import asyncio

    builder = await asyncio.to_thread(make_builder, forge, jobs=jobs)
    pending = await asyncio.to_thread(pending_files, forge)
    report = await builder.build(force=force, allow_pending=allow_pending, pending=pending)
    if report.ok and sync:
        enqueue(forge, SyncToCloudflareR2())
    return report


async def plan_build(forge: DxForge, *, force: bool = False) -> BuildPlan:
    """What :func:`build` would do; nothing is run or written."""
    import asyncio

    builder = await asyncio.to_thread(make_builder, forge)
    return await builder.plan(force=force, pending=await asyncio.to_thread(pending_files, forge))


def built_already(forge: DxForge, *, allow_pending: bool = False) -> BuildReport | None:
    """The report of a :func:`build` that has nothing to do; None where it has. Quicker, as it needs no event loop."""
    # What is to be had from the remote only is something to do.
    return make_builder(forge, far=False).up_to_date(allow_pending=allow_pending, pending=pending_files(forge))


PIPELINES: Mapping[str, Callable[[DxForge], Awaitable[InstallReport | BuildReport]]] = {
    "install": install,
    "build": build,
}


async def run(forge: DxForge, command: str) -> Report:
    """Run the pipeline ``command``; an unknown one only logs a warning that names the known ones."""
    pipeline = PIPELINES.get(command)
    if pipeline is not None:
        return await pipeline(forge)
    near = difflib.get_close_matches(command.strip().casefold(), PIPELINES, n=1, cutoff=0.4)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    empty = "" if command.strip() else " (the name is empty)"
    note = f"there is no pipeline {command!r}{empty}, only {', '.join(map(repr, PIPELINES))}{guess}"
    _log.warning("%s", note)
    return UnknownPipeline(command=command, notes=(note,))


def enqueue(forge: DxForge, task: BackgroundTask) -> None:
    """Leave ``task`` to the background, unless ``DXFORGE_BACKGROUND=0``. Waits for nothing, and never fails."""
    try:
        if background_is_on():
            forge.background_worker.enqueue(task)
    except DxForgeError as error:
        forge.events.emit(Notice(text=f"{task} is not done in the background: {error}"))


def background_is_on() -> bool:
    """Whether dxforge may do in the background what nobody asked for; a setting that cannot be read is a yes."""
    from dxforge.config.load import load_environment

    try:
        return load_environment().background
    except DxForgeError:
        return True


def make_builder(forge: DxForge, *, jobs: int | None = None, far: bool = True) -> Builder:
    """The project's build over the project's tools.

    Args:
        forge: the project's.
        jobs: steps at a time.
        far: whether results may come from the remote.

    Raises:
        ConfigError: ``dx.toml`` cannot be read.
        BuildPlanError: it has no ``[build]``, nor the tools that the default one runs.
    """
    from dxforge.build.builder import Builder
    from dxforge.config.load import load_config
    from dxforge.config.model import BuildConfig

    config = load_config(forge.root)
    if config.build == BuildConfig():
        _check_default(forge.tool_registry)
    return Builder(
        forge.root,
        config.build,
        ToolsOfForge(forge),
        forge.events,
        jobs=jobs,
        cache=_cache(forge, config) if far else None,
        packages_dir=config.packages_dir,
    )


def _cache(forge: DxForge, config: Config) -> ReadThrough:
    """The project's cache, which takes from the remote what it lacks."""
    from dxforge.build.through import ReadThrough

    return ReadThrough(forge.root / ".dx" / "build", _Results(config, forge.events))


class _Results:
    """`RemoteResults`, made when the first result is missing: most builds need none of what it imports."""

    def __init__(self, config: Config, events: EventBus) -> None:
        self._make = functools.partial(_remote_results, config, events)
        self._made: RemoteResults | None = None

    def record(self, key: str) -> bytes | None:
        """See `Far.record`."""
        return self._results.record(key)

    def contents(self, digests: Mapping[str, int]) -> Mapping[str, bytes]:
        """See `Far.contents`."""
        return self._results.contents(digests)

    @property
    def _results(self) -> RemoteResults:
        if self._made is None:
            self._made = self._make()
        return self._made


def _remote_results(config: Config, events: EventBus) -> RemoteResults:
    from dxforge.syncing import RemoteResults

    return RemoteResults(config, events)


def pending_files(forge: DxForge) -> tuple[PendingFile, ...]:
    """What awaits a decision, as the build wants to know it."""
    if not (forge.root / "dx.lock").exists():
        return ()  # without all that the traffic light needs
    from dxforge.build.model import PendingFile

    return tuple(
        PendingFile(path=change.path, light=change.light.value, reason=change.reason, package=change.package)
        for change in forge.traffic_manager.pending()
    )


class ToolsOfForge:
    """The project's tools, as a build sees them (`dxforge.build.toolbox.Toolbox`).

    The orchestrator is asked for only where something is to run: a build with nothing to do does not pay for it.
    """

    def __init__(self, forge: DxForge) -> None:
        self._forge = forge

    def definition(self, name: str) -> ToolFacts:
        """What of a tool has a say in what a step makes.

        Raises:
            ToolError: unknown, its program is not there, or what it depends on cannot be started in any order.
        """
        from dxforge.build.toolbox import ToolFacts
        from dxforge.orchestrator import graph

        registry = self._forge.tool_registry
        tool = registry.get(name)
        if tool.dependencies:
            graph.sorter(graph.closure([name], registry.all()))
        environment = registry.environment(tool)
        return ToolFacts(
            name=name,
            binary=registry.binary(tool),
            environment={key: environment[key] for key in (*tool.pass_env, *tool.env) if key in environment},
            in_the_open=frozenset(key for key, value in tool.env.items() if environment.get(key) == value),
            # Not the arguments, probe and so on: they are the long-running form's.
            definition={"binary_path": tool.binary_path, "dependencies": list(tool.dependencies)},
            inputs=tool.inputs,
            outputs=tool.outputs,
            search_path=environment["PATH"],
        )

    async def ensure_all(self, names: Sequence[str]) -> None:
        """Wait until all of them are ready.

        Raises:
            ToolError: one does not get ready.
        """
        await self._forge.orchestrator.ensure_all(names)

    async def execute(self, name: str, args: Sequence[str], *, on_output: Callable[[str, str], None]) -> Execution:
        """Run a tool's program to its end.

        Raises:
            ToolError: it cannot be started.
        """
        from dxforge.build.toolbox import Execution

        run = await self._forge.orchestrator.execute_tool(name, args, on_output=on_output)
        return Execution(
            exit_code=run.exit_code,
            stdout=run.stdout,
            stderr=run.stderr,
            duration_s=run.duration_s,
            stdout_path=run.stdout_path,
            stderr_path=run.stderr_path,
        )


def _check_default(registry: Registry) -> None:
    from dxforge.build.graph import DEFAULT
    from dxforge.errors import BuildPlanError

    known = set(registry.all())
    missing = [name for name in (*DEFAULT.needs, *(step.tool for step in DEFAULT.steps)) if name not in known]
    if missing:
        what = f"{missing[0]} is" if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]} are"
        raise BuildPlanError(
            f"there are no [[build.steps]], and of the tools of the default build {what} missing",
            where="dx.toml",
            hint=f"Add [tools.{missing[0]}] with its binary_path, or [[build.steps]] of your own tools",
        )
