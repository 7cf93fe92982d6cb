"""The background worker with dxforge's own runners, and a forge's."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import dxforge
from dxforge import BackgroundTask, BackgroundWorker, pipelines
from dxforge.background.tasks import TaskState
from dxforge.errors import TaskFailedError, UsageError
from dxforge.store.snapshots import SnapshotStore
from tests.support.project import Project

WAIT_S = 60.0


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path, background: None) -> Project:
    made = Project(tmp_path, "pkg")
    made.publish({"m.py": "a = 1\n"})
    return made


def states(root: Path) -> dict[str, TaskState]:
    return {info.kind: info.state for info in BackgroundWorker(root).tasks()}


def test_every_kind_of_task_does_its_work(project: Project) -> None:
    project.install()

    async def main() -> tuple[object, ...]:
        async with BackgroundWorker(project.root) as worker:
            taken = await worker.enqueue(BackgroundTask.CacheCurrentState())
            again = await worker.enqueue(BackgroundTask.CacheCurrentState())
            sent = await worker.enqueue(BackgroundTask.SyncToCloudflareR2())
            analysed = await worker.enqueue(BackgroundTask.AnalyzeCodebasePatterns())
            fetched = await worker.enqueue(BackgroundTask.PrefetchPackage("pkg"))
            assert await worker.join(WAIT_S)
            return taken, again, sent, analysed, fetched

    taken, again, sent, analysed, fetched = asyncio.run(main())
    assert [item.oid for item in SnapshotStore(project.root).list()] == [taken.oid]  # type: ignore[attr-defined]
    assert again is None
    assert sent.uploads > 0  # type: ignore[attr-defined]
    assert analysed.unused == ("pkg",)  # type: ignore[attr-defined]
    assert fetched.declared  # type: ignore[attr-defined]


def test_a_failed_task_says_why(project: Project) -> None:
    (project.root / "dx.toml").write_text("[bild]\n")

    async def main() -> None:
        async with BackgroundWorker(project.root) as worker:
            with pytest.raises(TaskFailedError, match="bild"):
                await worker.enqueue(BackgroundTask.CacheCurrentState())

    asyncio.run(main())
    assert states(project.root) == {"CacheCurrentState": TaskState.FAILED}


def test_where_nothing_may_be_written_a_sync_is_no_failure(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXFORGE_REMOTE_WRITE", "0")

    async def main() -> object:
        async with BackgroundWorker(project.root) as worker:
            return await worker.enqueue(BackgroundTask.SyncToCloudflareR2())

    assert asyncio.run(main()) == {"skipped": "[remote] write is off"}
    assert not (project.root / ".dx" / "remote").exists()


def test_an_install_leaves_a_snapshot_to_the_background(project: Project) -> None:
    async def main() -> None:
        async with dxforge.DxForge(project.root) as forge:
            assert (await forge.run_pipeline("install")).ok
            assert forge.background_worker is forge.background_worker
            assert await forge.background_worker.join(WAIT_S)

    asyncio.run(main())
    assert [item.label for item in SnapshotStore(project.root).list()] == ["automatic"]


def test_what_is_not_done_when_a_forge_closes_is_done_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.install()

    async def first() -> None:
        forge = await dxforge.DxForge.new(project.root, run_tasks=False)
        pipelines.enqueue(forge, BackgroundTask.CacheCurrentState())
        await forge.close()
        assert forge.left_tasks()
        await forge.close()
        heard: list[str] = []
        forge.events.subscribe(lambda event: heard.append(str(event)))
        pipelines.enqueue(forge, BackgroundTask.SyncToCloudflareR2())  # never fails
        assert any("closed" in text for text in heard)

    asyncio.run(first())
    assert states(project.root) == {"CacheCurrentState": TaskState.WAITING}
    monkeypatch.setenv("DXFORGE_BACKGROUND", "0")
    with dxforge.ForgeThread(project.root) as thread:
        assert thread.background_worker.tasks()[0].state is TaskState.WAITING
    monkeypatch.delenv("DXFORGE_BACKGROUND")
    with dxforge.ForgeThread(project.root) as thread:  # whose opening goes on with it
        assert thread.background_worker.join(WAIT_S)
    assert states(project.root) == {"CacheCurrentState": TaskState.DONE}


def test_a_forge_that_is_opened_again_works_again(project: Project) -> None:
    async def main() -> object:
        forge = dxforge.DxForge(project.root)
        async with forge:
            await forge.background_worker.enqueue(BackgroundTask.CacheCurrentState())
        async with forge:
            return await forge.background_worker.enqueue(BackgroundTask.CacheCurrentState())

    assert asyncio.run(main()) is None


def test_tasks_can_be_enqueued_from_any_thread(project: Project) -> None:
    project.install()
    with dxforge.ForgeThread(project.root) as thread:
        results: list[object] = []
        worker = thread.background_worker
        callers = [
            threading.Thread(
                target=lambda: results.append(worker.enqueue(BackgroundTask.CacheCurrentState()).result(WAIT_S))
            )
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(WAIT_S)
    assert len(results) == 4
    assert len(SnapshotStore(project.root).list()) == 1


def test_background_off_means_nothing_is_enqueued(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXFORGE_BACKGROUND", "0")
    with dxforge.ForgeThread(project.root) as thread:
        assert thread.run_pipeline("install").ok
    assert states(project.root) == {}
    monkeypatch.setenv("DXFORGE_BACKGROUND", "maybe")
    assert pipelines.background_is_on()


def test_a_worker_takes_only_its_own_kinds(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        BackgroundWorker(tmp_path, runners={"Nonsense": lambda _: None})
