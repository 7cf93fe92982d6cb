"""``DxForge``: opened, closed, and its pipelines."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest

import dxforge
from dxforge.errors import ConfigError, ProjectError, ToolStopError, UsageError
from dxforge.events import Event, Notice
from dxforge.orchestrator.status import ToolChanged, ToolState
from dxforge.pipelines import Report, UnknownPipeline
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
    async def main() -> Report:
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


@pytest.mark.parametrize(
    ("command", "nearest"),
    [("instal", "'install'"), ("biuld", "'build'"), ("INSTALL", "'install'"), ("xyz", ""), ("", "empty")],
)
def test_an_unknown_command_changes_nothing_and_says_what_there_is(
    project: Project, caplog: pytest.LogCaptureFixture, command: str, nearest: str
) -> None:
    before = project.whole()

    async def main() -> Report:
        async with dxforge.DxForge(project.root) as forge:
            return await forge.run_pipeline(command)

    with caplog.at_level(logging.WARNING, logger="dxforge"):
        report = asyncio.run(main())
    assert not report.ok
    assert project.whole() == before
    assert not (project.root / ".dx").exists()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "only 'install', 'build'" in record.getMessage()
    assert repr(command) in record.getMessage()
    assert ("did you mean" in record.getMessage()) == nearest.startswith("'")
    assert nearest in record.getMessage()
    assert isinstance(report, UnknownPipeline)
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


SLEEPER = """
[tools.sleeper]
binary_path = "/bin/sh"
args = ["-c", "exec sleep 300"]
"""


def declare(project: Project, text: str) -> None:
    file = project.root / "dx.toml"
    file.write_text(file.read_text() + text)


def test_tools_of_dx_toml_run_while_the_forge_is_open(project: Project) -> None:
    declare(project, SLEEPER)
    heard: list[Event] = []

    async def main() -> int | None:
        async with dxforge.DxForge(project.root) as forge:
            forge.events.subscribe(heard.append)
            assert [tool.name for tool in forge.orchestrator.tools()] == ["sleeper"]
            status = await forge.orchestrator.ensure_running("sleeper")
            assert forge.orchestrator is forge.orchestrator
            return status.pid

    pid = asyncio.run(main())
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    states = [event.status.state for event in heard if isinstance(event, ToolChanged)]
    assert ToolState.RUNNING in states
    assert states[-1] is ToolState.STOPPED


def test_tools_end_with_an_exception_too_and_it_is_not_hidden(project: Project) -> None:
    declare(project, SLEEPER)
    pids: list[int | None] = []

    async def main() -> None:
        async with dxforge.DxForge(project.root) as forge:
            pids.append((await forge.orchestrator.ensure_running("sleeper")).pid)
            raise KeyError("the user's own")

    with pytest.raises(KeyError, match="own"):
        asyncio.run(main())
    assert pids[0] is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_an_error_of_closing_stands_beside_the_users_own(project: Project) -> None:
    class Stuck(dxforge.DxForge):
        async def close(self) -> None:
            raise ToolStopError("something withstands", tool="x")

    async def main(*, fail: bool) -> None:
        async with Stuck(project.root):
            if fail:
                raise KeyError("own")

    with pytest.raises(KeyError) as caught:
        asyncio.run(main(fail=True))
    assert any("something withstands" in note for note in caught.value.__notes__)
    with pytest.raises(ToolStopError):
        asyncio.run(main(fail=False))


def test_a_broken_dx_toml_is_said_when_tools_are_used(project: Project) -> None:
    declare(project, "[tools.x]\nbinary = 1\n")

    async def main() -> None:
        async with dxforge.DxForge(project.root) as forge:
            with pytest.raises(ConfigError, match=r"tools\.x"):
                forge.orchestrator.tools()
            with pytest.raises(ConfigError):
                await forge.orchestrator.ensure_running("x")
            with pytest.raises(ConfigError):
                await forge.run_pipeline("build")

    asyncio.run(main())


def test_tools_can_be_registered_where_there_is_no_dx_toml(tmp_path: Path) -> None:
    async def main() -> str:
        async with dxforge.DxForge(tmp_path) as forge:
            forge.orchestrator.register_tool(dxforge.DxToolDefinition("sh", "/bin/sh"))
            return (await forge.orchestrator.execute_tool("sh", ["-c", "echo hi"])).stdout

    assert asyncio.run(main()) == "hi\n"


def test_a_plain_with_names_the_two_ways_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="async with") as caught, dxforge.DxForge(tmp_path):
        pass
    assert "top level of a cell" in caught.value.hint
    assert "ForgeThread" in caught.value.hint
