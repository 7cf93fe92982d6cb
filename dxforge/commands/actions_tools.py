"""What the commands about tools and builds do."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.commands.result import Result
from dxforge.commands.session import Desk
from dxforge.errors import DxForgeError, UsageError

if TYPE_CHECKING:
    from dxforge.build.model import BuildPlan, BuildReport
    from dxforge.forge import DxForge
    from dxforge.orchestrator.orchestrator import Orchestrator
    from dxforge.orchestrator.status import ToolRun, ToolStatus

_FOLLOW_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolActions(Desk):
    """What has to do with tools and builds; a method per action."""

    def start(self, *, names: Sequence[str]) -> Result:
        return self._each("start", names, lambda tools, name: tools.ensure_running(name, keep=self._keep))

    def restart(self, *, names: Sequence[str]) -> Result:
        async def again(tools: Orchestrator, name: str) -> ToolStatus:
            await tools.restart(name)
            return await tools.ensure_running(name, keep=self._keep)

        return self._each("restart", names, again)

    def stop(self, *, names: Sequence[str], every: bool) -> Result:
        return self._each("stop", None if every else names, lambda tools, name: tools.stop(name))

    @property
    def _keep(self) -> bool | None:
        # In a notebook the kernel is the owner of what it starts; a terminal leaves it to itself.
        return None if self.session.forges.lasting else True

    def run(self, *, name: str, args: Sequence[str], timeout_s: float | None) -> Result:
        from dxforge.commands.tools import RunResult

        async def work(forge: DxForge) -> ToolRun:
            return await forge.orchestrator.execute_tool(
                name, args, timeout_s=timeout_s, on_output=self.session.live.output
            )

        run = self._work(work)
        return RunResult(run=run, log=self._typed(Path(run.stdout_path).parent) if run.stdout_path else "")

    def logs(self, *, name: str, lines: int, follow: bool) -> Result:
        from dxforge.commands.tools import LogsResult

        if follow and self.call.options.as_json:
            raise UsageError("--follow has no end, and --json is one object at the end", where="logs --follow")
        forge = self._look()
        forge.orchestrator.get_tool(name)
        folder = forge.root / ".dx" / "tools" / name
        if follow:
            self._follow(folder, lines)
        return LogsResult(
            tool=name,
            lines=() if follow else tuple(forge.orchestrator.logs(name, tail=lines)),
            followed=follow,
            wanted=lines,
            runs=self._typed(folder / "runs") if (folder / "runs").is_dir() else "",
        )

    def _follow(self, folder: Path, lines: int) -> None:
        from dxforge.commands.follow import Follower
        from dxforge.commands.shown import output_line

        follower = Follower(folder, lines=lines)
        live = self.session.live
        try:
            while True:
                for text in follower.more():
                    live.output("stdout", f"{output_line(text)}\n")
                live.draw()
                time.sleep(_FOLLOW_S)
        except KeyboardInterrupt:
            # How it ends.
            return
        finally:
            follower.close()

    def watch(self, *, names: Sequence[str]) -> Result:
        from dxforge.commands.narrate import Narrator
        from dxforge.commands.tools import WatchResult
        from dxforge.watcher import watch

        narrator = Narrator(self.session.live, program=self.session.program)
        unsubscribe = self.session.forges.events.subscribe(narrator)
        try:
            self._work(lambda forge: watch(forge, names))
        except KeyboardInterrupt:
            # How it ends.
            pass
        finally:
            unsubscribe()
        return WatchResult(rounds=narrator.rounds)

    def build(
        self,
        *,
        dry_run: bool,
        explain: bool,
        force: bool,
        allow_pending: bool,
        strict: bool,
        jobs: int | None,
        graph: Path | None,
    ) -> Result:
        from dxforge import pipelines
        from dxforge.commands.builds import BuildResult

        if graph is not None and not (folder := (self.session.cwd / graph).parent).is_dir():
            raise UsageError(f"there is no folder {self._typed(folder)}", where="--graph", hint="Make it first")
        up: set[str] = set()

        async def work(forge: DxForge) -> BuildReport | BuildPlan:
            if dry_run:
                return await pipelines.plan_build(forge, force=force)
            report = await pipelines.build(forge, force=force, allow_pending=allow_pending, jobs=jobs)
            up.update(_up(forge.orchestrator))
            return report

        report: BuildReport | BuildPlan | None = None
        if not (dry_run or force):
            report = pipelines.built_already(self._look(), allow_pending=allow_pending)
        if report is None:
            report = self._work(work)
        # In a terminal, tools that were started for the build alone have ended with it.
        stopped = sorted(up - _up(self._look().orchestrator)) if up and not self.session.forges.lasting else ()
        if graph is not None:
            self._write_graph(graph, report)
        return BuildResult(
            report=report,
            explain=explain,
            allow_pending=allow_pending,
            strict=strict,
            detailed=self.session.detailed,
            stopped=tuple(stopped),
            graph="" if graph is None else graph.as_posix(),
            folder=os.fspath(self.session.cwd),
        )

    def _typed(self, path: Path) -> str:
        """``path`` as it can be typed here."""
        return os.path.relpath(path, self.session.cwd)

    def _write_graph(self, path: Path, report: BuildReport | BuildPlan) -> None:
        from dxforge.build.picture import graph_svg, mermaid
        from dxforge.files import atomic_write

        text = graph_svg(report) if path.suffix == ".svg" else mermaid(report)
        atomic_write(self.session.cwd / path, text.encode())

    def _each(
        self,
        command: str,
        names: Sequence[str] | None,
        act: Callable[[Orchestrator, str], Awaitable[ToolStatus]],
    ) -> Result:
        """Do something to each tool at once; one that will not does not keep the others from it."""
        import asyncio

        from dxforge.commands.tools import ToolsResult
        from dxforge.orchestrator.status import ToolState, ToolStatus

        async def work(forge: DxForge) -> Result:
            tools = forge.orchestrator
            up = _up(tools)
            chosen = sorted(up) if names is None else list(dict.fromkeys(names))
            if command != "stop":
                for name in chosen:
                    tools.get_tool(name)
            before = tools.infos() if command == "stop" else []
            todo = [tools.stop_all()] if names is None else [act(tools, name) for name in chosen]
            try:
                done = await asyncio.gather(*todo, return_exceptions=True)
            except asyncio.CancelledError:
                # In a terminal, nobody will ask for what was given up; in a notebook, it goes on with the kernel.
                if self._keep and command == "start":
                    begun = _needed(tools, chosen) - up
                    await asyncio.gather(*(tools.stop(name) for name in begun), return_exceptions=True)
                raise
            errors = [error for error in done if isinstance(error, BaseException)]
            ours = tuple(error for error in errors if isinstance(error, DxForgeError))
            infos = tuple(info for info in tools.infos() if info.name in chosen)
            # What dx.toml no longer declares is unknown once it has stopped.
            stopped = [info for info in before if info.name in chosen and info.name not in tools.statuses()]
            infos += tuple(dataclasses.replace(info, status=ToolStatus(state=ToolState.STOPPED)) for info in stopped)
            for error in errors:
                if not isinstance(error, DxForgeError) or not infos:
                    raise error
            return ToolsResult(
                command=command, tools=infos, was_up=frozenset(up), errors=ours, kept=self._keep is not None
            )

        return self._work(work)


def _up(tools: Orchestrator) -> set[str]:
    return {name for name, status in tools.statuses().items() if status.pid is not None}


def _needed(tools: Orchestrator, names: Sequence[str]) -> set[str]:
    """``names``, and what they depend on."""
    from dxforge.orchestrator.graph import closure

    return set(closure(names, {tool.name: tool for tool in tools.tools()}))
