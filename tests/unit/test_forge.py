"""``DxForge``: opened, closed, and its pipelines."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest

import dxforge
from dxforge.errors import ProjectError
from dxforge.events import Event, Notice
from dxforge.pipelines import UnknownPipeline
from dxforge.traffic.ground import Ground
from dxforge.traffic.journal import Journal
from dxforge.traffic.model import InstallReport
from tests.support.project import PACKAGES, Project


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.publish({"m.py": "a\n"})
    return made


def test_as_a_block(project: Project) -> None:
    async def main() -> InstallReport | UnknownPipeline:
        async with dxforge.DxForge(project.root) as forge:
            assert isinstance(forge.traffic_manager, dxforge.TrafficManager)
            return await forge.run_pipeline("install")

    report = asyncio.run(main())
    assert isinstance(report, InstallReport)
    assert report.ok
    assert [change.path for change in report.changes] == [f"{PACKAGES}/pkg/m.py"]
    assert project.read("m.py") == b"a\n"


def test_by_hand(project: Project) -> None:
    async def main() -> None:
        forge = await dxforge.DxForge.new(str(project.root))
        try:
            assert (await forge.run_pipeline("install")).ok
        finally:
            await forge.close()
            await forge.close()

    asyncio.run(main())
    assert project.path("m.py").exists()


@pytest.mark.parametrize(("command", "nearest"), [("instal", "'install'"), ("INSTALL", ""), ("xyz", ""), ("", "")])
def test_an_unknown_command_changes_nothing_and_says_what_there_is(
    project: Project, caplog: pytest.LogCaptureFixture, command: str, nearest: str
) -> None:
    before = project.whole()

    async def main() -> InstallReport | UnknownPipeline:
        async with dxforge.DxForge(project.root) as forge:
            return await forge.run_pipeline(command)

    with caplog.at_level(logging.WARNING, logger="dxforge"):
        report = asyncio.run(main())
    assert not report.ok
    assert project.whole() == before
    assert not (project.root / ".dx").exists()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "'install'" in record.getMessage()
    assert repr(command) in record.getMessage()
    assert ("did you mean" in record.getMessage()) == bool(nearest)
    assert report.to_json()["ok"] is False
    assert list(report.notes) == [record.getMessage()]


def test_an_error_of_a_pipeline_is_the_callers(tmp_path: Path) -> None:
    async def main() -> None:
        async with dxforge.DxForge(tmp_path) as forge:
            await forge.run_pipeline("install")

    with pytest.raises(ProjectError):
        asyncio.run(main())


def test_events_of_the_parts_arrive(project: Project) -> None:
    async def main() -> list[Event]:
        heard: list[Event] = []
        async with dxforge.DxForge(project.root) as forge:
            forge.events.subscribe(heard.append)
            await forge.run_pipeline("install")
        return heard

    assert {type(event).__name__ for event in asyncio.run(main())} >= {"Progress"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victim")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_opening_takes_back_what_a_killed_process_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.install()
    project.publish({"m.py": "b\n"})
    before = project.whole()
    original = Ground.journal

    def journal(self: Ground) -> Journal:
        made = original(self)
        made.checkpoint = lambda at: os.kill(os.getpid(), signal.SIGKILL) if at == "commit" else None
        return made

    child = os.fork()
    if child == 0:
        Ground.journal = journal  # type: ignore[method-assign]
        project.install()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert project.read("m.py") == b"b\n"  # half-done

    async def main() -> list[str]:
        forge = dxforge.DxForge(project.root)
        notices: list[str] = []
        forge.events.subscribe(lambda event: notices.append(event.text) if isinstance(event, Notice) else None)
        async with forge:
            assert project.whole() == before
        return notices

    assert any("taken back" in notice for notice in asyncio.run(main()))
