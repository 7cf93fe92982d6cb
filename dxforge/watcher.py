"""``dxforge watch``: tools are restarted, and the build runs again, when the files that they name change.

Each of them reacts by itself: a round (a restart, a build) takes all that changed before it began, and what changes
meanwhile makes for one further round.
"""

from __future__ import annotations

import asyncio
import glob
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dxforge import pipelines
from dxforge.config.model import BuildConfig
from dxforge.errors import BuildPlanError, DxForgeError, UsageError
from dxforge.events import Event, Notice
from dxforge.watching.flapping import Flapping
from dxforge.watching.globs import Globs
from dxforge.watching.watch import Watch

if TYPE_CHECKING:
    from dxforge.build.model import BuildReport, Step
    from dxforge.config.model import ToolConfig
    from dxforge.forge import DxForge
    from dxforge.orchestrator.definition import DxToolDefinition
    from dxforge.orchestrator.status import ToolStatus

BUILD = "build"
"""What reacts, where it is no tool."""
DX_TOML = "dx.toml"
# A tool writes this and that after its start, a step is done with writing when it ends.
_TOOL_SETTLE_S = 5.0
_BUILD_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching(Event):
    """Changes are noticed from now on: ``what`` reacts to them (names of tools, `BUILD`)."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTriggered(Event):
    """A round begins: ``path`` changed, and ``others`` more."""

    what: str
    path: str
    others: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSuspended(Event):
    """The next round of ``what`` waits until nothing changes for ``quiet_s``; ``reason`` says why in a sentence."""

    what: str
    path: str
    reason: str
    quiet_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFinished(Event):
    """A round ended, also the first one, which no change brought about.

    One of ``report`` (of the build), ``status`` (of the tool) and ``error`` is set. An error of "dx.toml" means that
    it says nothing that could be followed; what is watched stays as it was.
    """

    what: str
    report: BuildReport | None = None
    status: ToolStatus | None = None
    error: DxForgeError | None = None


_Config: TypeAlias = "tuple[tuple[ToolConfig, ...], BuildConfig]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reaction:
    what: str
    globs: Globs
    first: Callable[[], Awaitable[WatchFinished]]
    again: Callable[[], Awaitable[WatchFinished]]
    flapping: Flapping


async def watch(forge: DxForge, names: Sequence[str] = (), *, debounce_s: float = 0.1) -> None:
    """Start and build what is watched, and react to changes until cancelled. What happens is told as events.

    Tools with ``watch`` in their definition are restarted for those files. The build runs again for what its steps
    read and for a program of theirs that lies in the project; always as a whole, since its cache knows which steps that
    concerns. A change of ``dx.toml`` takes effect at once, and ends what is being built.

    Args:
        forge: the project's, open; what is started belongs to it.
        names: of tools: only those, and the build only for what their steps read; all where empty.
        debounce_s: changes that follow each other this closely are one.

    Raises:
        UnknownToolError: one of ``names`` does not exist.
        UsageError: there is nothing to watch.
        WatchError: the project's folder is gone.
        DxForgeError: ``dx.toml`` cannot be read at first, or its build not be planned. Later, that is an event.
    """
    await _Watcher(forge, names, debounce_s).run()


class _Watcher:
    def __init__(self, forge: DxForge, names: Sequence[str], debounce_s: float) -> None:
        self._forge = forge
        self._tell = forge.events.emit
        self._names = names
        self._debounce_s = debounce_s

    async def run(self) -> None:
        """See `watch`."""
        async with self._watch(Globs([DX_TOML])) as edits:
            config = await self._config()
            reactions = await self._reactions(config)
            while True:
                try:
                    config, reactions = await self._react(config, reactions, edits)
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None

    async def _react(
        self, config: _Config, reactions: list[_Reaction], edits: Watch
    ) -> tuple[_Config, list[_Reaction]]:
        """Until ``dx.toml`` says something else than ``config``; returns that, and what follows from it."""
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Barrier(len(reactions) + 1)
            tasks = [group.create_task(self._follow(reaction, ready)) for reaction in reactions]
            await ready.wait()
            self._tell(Watching(what=tuple(reaction.what for reaction in reactions)))
            async for _ in edits:
                try:
                    new = await self._config()
                    if new == config:
                        continue
                    reactions = await self._reactions(new)
                except DxForgeError as error:
                    self._tell(WatchFinished(what=DX_TOML, error=error))
                    continue
                break
            for task in tasks:
                task.cancel()
        return new, reactions

    async def _follow(self, reaction: _Reaction, ready: asyncio.Barrier) -> None:
        """Let one reaction answer to its changes."""
        async with self._watch(reaction.globs) as changes:
            await ready.wait()
            await self._act(reaction, reaction.first)
            async for first in changes:
                paths = await self._quiet(reaction, changes, first)
                self._tell(WatchTriggered(what=reaction.what, path=min(paths), others=len(paths) - 1))
                await self._act(reaction, reaction.again)

    async def _act(self, reaction: _Reaction, work: Callable[[], Awaitable[WatchFinished]]) -> None:
        reaction.flapping.began()
        try:
            finished = await work()
        except DxForgeError as error:
            finished = WatchFinished(what=reaction.what, error=error)
        finally:
            reaction.flapping.ended(time.monotonic())
        self._tell(finished)

    async def _quiet(self, reaction: _Reaction, changes: Watch, paths: frozenset[str]) -> frozenset[str]:
        """Wait while the reaction flaps; returns all that has changed until then."""
        flapping = reaction.flapping
        flapping.changed(time.monotonic())
        if quiet_s := flapping.quiet_s():
            path, runs = min(paths), "build" if reaction.what == BUILD else "restart"
            reason = (
                f"{path} changed during or just after each of the last {flapping.runs} {runs}s, so each may cause the "
                "next. If a tool writes it, name it in its outputs or in .gitignore"
            )
            self._tell(WatchSuspended(what=reaction.what, path=path, reason=reason, quiet_s=quiet_s))
        while wait_s := flapping.wait_s(time.monotonic()):
            try:
                async with asyncio.timeout(wait_s):  # wait_for may swallow a cancellation, up to Python 3.11
                    paths |= await anext(changes)
            except TimeoutError:
                continue
            flapping.changed(time.monotonic())
        return paths

    def _watch(self, globs: Globs) -> Watch:
        def notice(text: str) -> None:
            self._tell(Notice(text=text))

        return Watch(self._forge.root, globs, debounce_s=self._debounce_s, notice=notice)

    async def _config(self) -> _Config:
        """What of ``dx.toml`` matters here."""
        from dxforge.config.load import load_config

        config = await asyncio.to_thread(load_config, self._forge.root)
        return config.tools, config.build

    async def _reactions(self, config: _Config) -> list[_Reaction]:
        """What there is to react.

        Raises:
            DxForgeError: see `watch`.
        """
        tools = self._forge.orchestrator
        known = [tools.get_tool(name) for name in self._names] or tools.tools()
        names = {tool.name for tool in known}
        reactions = [self._tool(tool) for tool in known if tool.watch]
        try:
            plan = await pipelines.plan_build(self._forge)
            steps = [planned.step for planned in plan.steps]
        except BuildPlanError:
            # Tools can be watched where there is no build at all.
            if config[1] != BuildConfig() or not reactions:
                raise
            steps = []
        read = [step for step in steps if step.tool in names and step.inputs]
        if read:
            reactions.append(self._build(read, outputs=[path for step in steps for path in step.outputs]))
        if not reactions:
            raise UsageError(
                f"no file is watched for {', '.join(self._names)}" if self._names else "no file is watched",
                where=DX_TOML,
                hint='Name files in a tool\'s `watch = ["..."]`, or in the `inputs` of a build step',
            )
        return reactions

    def _tool(self, tool: DxToolDefinition) -> _Reaction:
        name, tools = tool.name, self._forge.orchestrator

        async def first() -> WatchFinished:
            return WatchFinished(what=name, status=await tools.ensure_running(name))

        async def again() -> WatchFinished:
            return WatchFinished(what=name, status=await tools.restart(name))

        return _Reaction(
            what=name,
            globs=Globs(tool.watch, leave_out=tool.outputs),
            first=first,
            again=again,
            flapping=Flapping(settle_s=_TOOL_SETTLE_S),
        )

    def _build(self, steps: Sequence[Step], *, outputs: Sequence[str]) -> _Reaction:
        root, tools = self._forge.root, self._forge.orchestrator

        async def build() -> WatchFinished:
            return WatchFinished(what=BUILD, report=await pipelines.build(self._forge, sync=False))

        programs = {tools.resolve_binary(tools.get_tool(step.tool)) for step in steps}
        own = [path.relative_to(root).as_posix() for path in programs if path.is_relative_to(root)]
        return _Reaction(
            what=BUILD,
            globs=Globs(
                *(step.inputs for step in steps),
                [glob.escape(path) for path in own],
                leave_out=outputs,
            ),
            first=build,
            again=build,
            flapping=Flapping(settle_s=_BUILD_SETTLE_S),
        )
