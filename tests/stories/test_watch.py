"""`dxforge watch`: what reacts to which change, how often, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from dxforge import DxForge
from dxforge.errors import UnknownToolError, UsageError, WatchError
from dxforge.events import Event
from dxforge.orchestrator.status import ToolState
from dxforge.watcher import BUILD, DX_TOML, WatchFinished, Watching, WatchSuspended, WatchTriggered, watch
from tests.support.processes import DEADLINE_S
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")

JOIN = """\
# Joins the files that its first arguments name into the last one, and counts its runs.
import pathlib, sys, time
*sources, target = map(pathlib.Path, sys.argv[1:])
with open(f".dx/{target.name}.runs", "a") as runs:
    runs.write(".")
text = "".join(source.read_text() for source in sources)
if "fail" in text:
    sys.exit("it says fail")
if "slow" in text:
    pathlib.Path("begun").touch()
    while pathlib.Path("begun").exists():
        time.sleep(0.02)
target.parent.mkdir(exist_ok=True)
target.write_text(text)
if "again" in text:
    sources[0].write_text(text + "!")
"""
SERVE = """\
import pathlib, time
if "scribble" in pathlib.Path("web.conf").read_text():
    pathlib.Path("web.conf").write_text(f"scribble {time.monotonic()}")
time.sleep(300)
"""


class Seen:
    """What a watch told."""

    def __init__(self, forge: DxForge, names: tuple[str, ...]) -> None:
        self.forge = forge
        self.events: list[Event] = []
        forge.events.subscribe(self.events.append)
        self.task = asyncio.ensure_future(watch(forge, names, debounce_s=0.05))

    def finished(self, what: str) -> list[WatchFinished]:
        """The rounds of ``what`` that ended, with the first one."""
        return [event for event in self.events if isinstance(event, WatchFinished) and event.what == what]

    def paths(self, what: str) -> list[str]:
        """What brought about the rounds of ``what`` after the first one."""
        return [event.path for event in self.events if isinstance(event, WatchTriggered) and event.what == what]

    def suspended(self) -> list[WatchSuspended]:
        """The suspensions."""
        return [event for event in self.events if isinstance(event, WatchSuspended)]

    async def rounds(self, what: str, count: int) -> WatchFinished:
        """Wait until the ``count``-th round of ``what`` ended."""
        await self.until(lambda: len(self.finished(what)) >= count)
        return self.finished(what)[count - 1]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for it; fails where the watch does."""
        while not condition():
            if self.task.done():
                self.task.result()
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def watching(project: ToolProject, *names: str) -> AsyncIterator[Seen]:
    """A watch that is at work, and is ended in the end."""
    async with DxForge(project.root) as forge, asyncio.timeout(DEADLINE_S):
        seen = Seen(forge, names)
        try:
            await seen.until(lambda: [event for event in seen.events if isinstance(event, Watching)])
            yield seen
        finally:
            seen.task.cancel()
            await asyncio.wait([seen.task])


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Iterator[ToolProject]:
    """A project whose tools are all gone in the end."""
    made = ToolProject(tmp_path)
    (tmp_path / "src").mkdir()
    for name in ("a", "b"):
        (tmp_path / "src" / name).write_text(name)
    (tmp_path / "web.conf").write_text("1")
    made.script("join", JOIN)
    try:
        yield made
    finally:
        made.end()


def declare_steps(project: ToolProject) -> None:
    """``src/a`` goes to ``out/a``, ``src/b`` to ``out/b``, and both of these to ``dist/all``."""
    for sources, target in ((["src/a"], "out/a"), (["src/b"], "out/b"), (["out/a", "out/b"], "dist/all")):
        declare_step(project, sources, target)


def declare_step(project: ToolProject, sources: list[str], target: str) -> None:
    words = ", ".join(f'"{word}"' for word in [*sources, target])
    inputs = ", ".join(f'"{source}"' for source in sources)
    project.toml(f'[[build.steps]]\ntool = "join"\nargs = [{words}]\ninputs = [{inputs}]\noutputs = ["{target}"]\n')


def runs(project: ToolProject, target: str) -> int:
    """How often the step that writes ``target`` ran."""
    return len((project.root / ".dx" / f"{Path(target).name}.runs").read_text())


def story(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it."""
    asyncio.run(work())


def test_just_the_steps_that_read_a_file_run_again(project: ToolProject) -> None:
    declare_steps(project)

    async def work() -> None:
        async with watching(project) as seen:
            first = await seen.rounds(BUILD, 1)
            assert first.report is not None and first.report.ok
            (project.root / "src/b").write_text("new")
            second = await seen.rounds(BUILD, 2)
            assert second.report is not None
            assert [(step.cached, step.exit_code) for step in second.report.steps] == [
                (True, 0), (False, 0), (False, 0)
            ]  # fmt: skip
            assert "src/b changed" in second.report.steps[1].why
            assert (project.root / "dist/all").read_text() == "anew"
            # What the steps write themselves, and what none reads, brings about nothing: the next change is the next.
            (project.root / "out/a").write_text("touched")
            (project.root / "dist/all").unlink()
            (project.root / "unread.txt").write_text("x")
            (project.root / "src/a").write_text("A")
            await seen.rounds(BUILD, 3)
            assert seen.paths(BUILD) == ["src/b", "src/a"]
            assert (project.root / "dist/all").read_text() == "Anew"
        assert (runs(project, "a"), runs(project, "b"), runs(project, "all")) == (2, 2, 3)

    story(work)


def test_changes_during_a_build_make_for_just_one_more(project: ToolProject) -> None:
    declare_step(project, ["src/a", "src/b"], "out/ab")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds(BUILD, 1)
            (project.root / "src/a").write_text("slow")
            await seen.until((project.root / "begun").exists)
            for number in range(10):
                (project.root / "src/b").write_text(f"during {number}")
                await asyncio.sleep(0.03)
            (project.root / "src/a").write_text("quick ")
            (project.root / "begun").unlink()
            await seen.rounds(BUILD, 3)
            assert (project.root / "out/ab").read_text() == "quick during 9"
            (project.root / "src/b").write_text("end")
            await seen.rounds(BUILD, 4)
            assert seen.paths(BUILD) == ["src/a", "src/a", "src/b"]
        assert runs(project, "ab") == 4

    story(work)


def test_a_step_that_fails_is_run_again_after_the_next_edit(project: ToolProject) -> None:
    declare_step(project, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds(BUILD, 1)
            (project.root / "src/a").write_text("fail")
            failed = await seen.rounds(BUILD, 2)
            assert failed.report is not None and not failed.report.ok
            assert "it says fail" in failed.report.steps[0].stderr
            (project.root / "src/a").write_text("right")
            mended = await seen.rounds(BUILD, 3)
            assert mended.report is not None and mended.report.ok

    story(work)


def test_a_program_of_the_project_is_watched_too(project: ToolProject) -> None:
    declare_step(project, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds(BUILD, 1)
            program = project.root / "join.bin"
            program.write_text(program.read_text() + "# better\n")
            again = await seen.rounds(BUILD, 2)
            assert seen.paths(BUILD) == ["join.bin"]
            assert again.report is not None and not again.report.steps[0].cached

    story(work)


def test_a_step_that_rewrites_its_input_is_suspended_and_told_why(project: ToolProject) -> None:
    (project.root / "src/a").write_text("again")
    declare_step(project, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.until(seen.suspended)
            told = seen.suspended()[0]
            assert (told.what, told.path, told.quiet_s) == (BUILD, "src/a", 2)
            assert "src/a changed during or just after each of the last 5 builds" in told.reason
            before = len(seen.paths(BUILD))
            assert before == 5
            # After the quiet it is tried once more, and no edit is forgotten.
            (project.root / "src/a").write_text("mended")
            await seen.rounds(BUILD, before + 2)
            assert (project.root / "out/a").read_text() == "mended"
            await asyncio.sleep(2.1)  # what comes later than that is not the build's doing
            (project.root / "src/a").write_text("edited")
            await seen.rounds(BUILD, before + 3)
            assert len(seen.suspended()) == 1

    story(work)


def test_a_tool_is_restarted_for_the_files_that_it_names(project: ToolProject) -> None:
    project.script("web", SERVE)
    project.toml('watch = ["web.conf", "lib/**/*.py"]\n')

    async def work() -> None:
        async with watching(project) as seen:
            first = await seen.rounds("web", 1)
            assert first.status is not None and first.status.state is ToolState.RUNNING
            (project.root / "web.txt").write_text("not named")
            (project.root / "lib/deep").mkdir(parents=True)
            (project.root / "lib/deep/a.py").write_text("named")
            second = await seen.rounds("web", 2)
            assert seen.paths("web") == ["lib/deep/a.py"]
            assert second.status is not None and second.status.up
            assert second.status.pid not in (None, first.status.pid)
            assert len(project.processes()) == 1

    story(work)


def test_a_tool_that_rewrites_what_restarts_it_is_suspended(project: ToolProject) -> None:
    (project.root / "web.conf").write_text("scribble")
    project.script("web", SERVE)
    project.toml('watch = ["web.conf"]\n')

    async def work() -> None:
        async with watching(project) as seen:
            await seen.until(seen.suspended)
            assert "each of the last 5 restarts" in seen.suspended()[0].reason
            assert seen.forge.orchestrator.status("web").up, "it is left in peace"
            assert len(project.processes()) == 1

    story(work)


def test_what_cannot_start_is_told_and_tried_again_with_the_next_change(project: ToolProject) -> None:
    project.script("web", "import pathlib, sys, time\nif pathlib.Path('web.conf').read_text() == 'bad': sys.exit(3)\n")
    program = project.root / "web.bin"
    program.write_text(program.read_text() + "time.sleep(300)\n")
    project.toml('watch = ["web.conf"]\nrestart = { policy = "never" }\n')

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds("web", 1)
            (project.root / "web.conf").write_text("bad")
            failed = await seen.rounds("web", 2)
            assert failed.error is not None and "web" in str(failed.error)
            (project.root / "web.conf").write_text("good")
            mended = await seen.rounds("web", 3)
            assert mended.status is not None and mended.status.up

    story(work)


def test_an_edit_of_dx_toml_takes_effect_at_once(project: ToolProject) -> None:
    declare_step(project, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds(BUILD, 1)
            whole = (project.root / "dx.toml").read_text()
            (project.root / "dx.toml").write_text(whole + "[build\n")
            broken = await seen.rounds(DX_TOML, 1)
            assert broken.error is not None
            (project.root / "dx.toml").write_text(whole)
            declare_step(project, ["src/b"], "out/b")
            await seen.rounds(BUILD, 2)
            assert (project.root / "out/b").read_text() == "b"
            (project.root / "src/b").write_text("watched now")
            await seen.rounds(BUILD, 3)
            assert (project.root / "out/b").read_text() == "watched now"
            assert seen.paths(BUILD) == ["src/b"]
        assert runs(project, "a") == 1

    story(work)


def test_an_edit_of_dx_toml_that_changes_neither_tools_nor_build_disturbs_nothing(project: ToolProject) -> None:
    declare_step(project, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(project) as seen:
            await seen.rounds(BUILD, 1)
            project.toml('[traffic]\nreview = "always"\n')
            (project.root / "src/a").write_text("next")
            await seen.rounds(BUILD, 2)
            assert seen.paths(BUILD) == ["src/a"]

    story(work)


def test_only_what_is_asked_for(project: ToolProject) -> None:
    declare_steps(project)
    project.script("web", SERVE)
    project.toml('watch = ["web.conf"]\n')

    async def work() -> None:
        async with watching(project, "web") as seen:
            await seen.rounds("web", 1)
            (project.root / "src/a").write_text("not asked for")
            (project.root / "web.conf").write_text("2")
            await seen.rounds("web", 2)
            assert seen.finished(BUILD) == []
        async with watching(project, "join") as seen:
            await seen.rounds(BUILD, 1)
            assert seen.finished("web") == []

    story(work)


def test_what_cannot_be_watched_is_an_error(project: ToolProject) -> None:
    async def fails(kind: type[Exception], *names: str) -> str:
        with pytest.raises(kind) as caught:
            async with watching(project, *names):
                pass
        return str(caught.value)

    async def work() -> None:
        assert "wev" in await fails(UnknownToolError, "wev")
        project.toml("[build]\nneeds = []\n[[build.steps]]\ntool = 'join'\nargs = ['src/a', 'out/a']\n")
        assert "no file is watched" in await fails(UsageError)
        assert "no file is watched for join" in await fails(UsageError, "join")

    story(work)


def test_a_project_that_vanishes_ends_the_watch(project: ToolProject, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = ToolProject(tmp_path_factory.mktemp("other"))
    (other.root / "src").mkdir()
    (other.root / "src/a").write_text("a")
    other.script("join", JOIN)
    declare_step(other, ["src/a"], "out/a")

    async def work() -> None:
        async with watching(other) as seen:
            await seen.rounds(BUILD, 1)
            shutil.rmtree(other.root)
            with pytest.raises(WatchError):
                await seen.task

    story(work)
