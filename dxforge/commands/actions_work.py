"""What the commands about the remote, prefetching, analysis and background tasks do."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.commands.result import Result
from dxforge.commands.session import Desk
from dxforge.errors import RemoteCredentialsError

if TYPE_CHECKING:
    from dxforge.background.tasks import TaskInfo
    from dxforge.background.worker import BackgroundWorker
    from dxforge.config.model import Config
    from dxforge.forge import DxForge
    from dxforge.remote.credentials import Credentials
    from dxforge.remote.location import Location

_RECENT = 20
_LOOK_S = 0.1
_PATIENCE_S = 10.0
"""A task that is tried again within this time is waited for."""
_LONGEST_S = 3600.0
_DEAD_S = 3.0
"""Within this time, tasks of processes that died are taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkActions(Desk):
    """What else is done in the background; a method per action."""

    def sync(self, *, dry_run: bool, pull: bool, verify: bool) -> Result:
        from dxforge.commands.work import PullResult, SyncPlanResult, SyncResult, VerifyResult
        from dxforge.config.load import load_config
        from dxforge.syncing import Syncing
        from dxforge.working import in_thread

        config = load_config(self._root())
        credentials = self._credentials(config)

        async def work(forge: DxForge) -> Result:
            syncing = Syncing(config, events=forge.events, credentials=credentials)
            where = _shown(syncing.remote().location, forge.root)
            if dry_run:
                return SyncPlanResult(plan=await in_thread(lambda check: syncing.plan(check=check)), where=where)
            if pull:
                return PullResult(pulled=await in_thread(lambda check: syncing.pull(check=check)), where=where)
            if verify:
                return VerifyResult(found=await in_thread(lambda check: syncing.verify(check=check)), where=where)
            return SyncResult(report=await in_thread(lambda check: syncing.push(check=check)), where=where)

        return self._work(work)

    def _credentials(self, config: Config) -> Credentials | None:
        """Those that the user types in, where the environment has none and somebody can be asked."""
        from dxforge.config.load import load_remote_environment
        from dxforge.remote.credentials import ask_credentials, find_credentials
        from dxforge.syncing import location_of

        environment = load_remote_environment()
        location = location_of(config, environment)
        try:
            return find_credentials(location, environment)
        except RemoteCredentialsError:
            if self.session.ask is None:
                raise
            return ask_credentials(location, self.session.ask)

    def prefetch(self, *, name: str) -> Result:
        from dxforge import runners
        from dxforge.commands.work import PrefetchResult
        from dxforge.working import in_thread

        async def work(forge: DxForge) -> Result:
            return PrefetchResult(
                report=await in_thread(
                    lambda check: runners.prefetch(forge.root, name, events=forge.events, check=check)
                )
            )

        return self._work(work)

    def analyze(self) -> Result:
        from dxforge import pipelines, runners
        from dxforge.commands.work import AnalyzeResult
        from dxforge.working import in_thread

        async def work(forge: DxForge) -> Result:
            report = await in_thread(lambda check: runners.analyze(forge.root, events=forge.events, check=check))
            runners.prefetch_newer(report, lambda task: pipelines.enqueue(forge, task))
            return AnalyzeResult(report=report)

        return self._work(work)

    # -- tasks

    def tasks(self) -> Result:
        from dxforge.commands.tasks import TasksResult

        return TasksResult(command="list", tasks=tuple(self._look().background_worker.tasks(recent=_RECENT)))

    def tasks_retry(self, *, number: int) -> Result:
        return self._about("retry", number)

    def tasks_cancel(self, *, number: int) -> Result:
        return self._about("cancel", number)

    def _about(self, command: str, number: int) -> Result:
        import asyncio

        from dxforge.commands.tasks import TasksResult

        async def work(forge: DxForge) -> Result:
            worker = forge.background_worker
            if command == "retry":
                worker.retry(number)
            else:
                worker.cancel(number)
            await asyncio.to_thread(worker.flush, _DEAD_S)
            shown = tuple(info for info in worker.tasks(recent=_RECENT) if not info.state.ended or info.id == number)
            return TasksResult(command=command, tasks=shown, about=number)

        return self._work(work)

    def tasks_run(self) -> Result:
        from dxforge.background.priority import lower_this_process
        from dxforge.commands.tasks import TasksResult
        from dxforge.working import one_at_a_time

        if not self.session.forges.lasting and self.call.options.quiet:
            lower_this_process()  # nobody looks on

        async def work(forge: DxForge) -> Result:
            worker = forge.background_worker
            before = {info.id for info in worker.tasks(recent=0) if not info.state.ended}
            await worker.start()
            await _drain(worker)
            about = [info for info in worker.tasks(recent=1000) if info.id in before or not info.state.ended]
            return TasksResult(command="run", tasks=tuple(about))

        if self.session.forges.lasting:
            return self._work(work)
        with one_at_a_time(self._root(), "worker") as mine:
            return self._work(work, run_tasks=True) if mine else TasksResult(command="run", tasks=())


def _shown(location: Location, root: Path) -> str:
    if location.relative and location.folder is not None:
        return os.path.relpath(location.folder, root)
    return location.shown


async def _drain(worker: BackgroundWorker) -> None:
    """Wait until nothing is left that is done, or tried again, soon."""
    import asyncio

    begun_s = time.monotonic()
    while time.monotonic() - begun_s < _LONGEST_S:
        young = time.monotonic() - begun_s < _DEAD_S
        if not any(_is_due(info, young=young) for info in worker.tasks(recent=0)):
            return
        await asyncio.sleep(_LOOK_S)


def _is_due(info: TaskInfo, *, young: bool) -> bool:
    from dxforge.background.identity import started

    match info.state.value:
        case "waiting":
            return info.task is not None and info.retry_in_s <= _PATIENCE_S
        case "running":
            theirs = info.pid is not None and info.pid != os.getpid() and started(info.pid) is not None
            return not theirs and (info.pid == os.getpid() or young)
        case _:
            return False
