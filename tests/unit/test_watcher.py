"""What a watch finds to react to; how it reacts is told in tests/stories/test_watch.py."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dxforge import DxForge
from dxforge.errors import BuildPlanError, DxForgeError, UnknownToolError, UsageError
from dxforge.watcher import DX_TOML, Watching, watch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs")

DEADLINE_S = 30.0
HEAD = '[project]\nname = "demo"\n'
SLEEPER = '[tools.sleeper]\nbinary_path = "sleep"\nargs = ["300"]\n'
STEP = '[[build.steps]]\ntool = "sleeper"\nargs = ["0"]\n'


def what_reacts(root: Path, *names: str) -> tuple[str, ...]:
    """Watch until something reacts to changes; returns what."""

    async def work() -> tuple[str, ...]:
        async with DxForge(root) as forge, asyncio.timeout(DEADLINE_S):
            found: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
            forge.events.subscribe(lambda event: found.set_result(event.what) if isinstance(event, Watching) else None)
            watching = asyncio.ensure_future(watch(forge, names))
            await asyncio.wait([found, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            watching.cancel()
            await asyncio.wait([watching])
            assert watching.cancelled()
            return found.result()

    return asyncio.run(work())


def declare(root: Path, text: str) -> None:
    (root / DX_TOML).write_text(HEAD + text)


def test_a_tool_with_watch_reacts_also_where_there_is_no_build(tmp_path: Path, cache_dir: Path) -> None:
    declare(tmp_path, SLEEPER + 'watch = ["*.conf"]\n')
    assert what_reacts(tmp_path) == ("sleeper",)


def test_a_build_reacts_once_for_all_its_steps(tmp_path: Path, cache_dir: Path) -> None:
    step = STEP + 'inputs = ["src/**"]\n'
    declare(tmp_path, SLEEPER + "[build]\nneeds = []\n" + step + step.replace('"0"', '"0.0"'))
    assert what_reacts(tmp_path) == ("build",)
    assert what_reacts(tmp_path, "sleeper") == ("build",)


@pytest.mark.parametrize(
    ("text", "names", "kind", "said"),
    [
        pytest.param(SLEEPER + "[build]\nneeds = []\n" + STEP, (), UsageError, "no file is watched", id="nothing"),
        pytest.param(SLEEPER + 'watch = ["a"]\n', ("sleper",), UnknownToolError, "sleper", id="a name mistyped"),
        pytest.param(
            SLEEPER + 'watch = ["a"]\n[build]\nneeds = []\n' + 2 * (STEP + 'outputs = ["dist"]\n'),
            (),
            BuildPlanError,
            "dist",
            id="a build that cannot be planned",
        ),
    ],
)
def test_what_cannot_be_watched_is_an_error_at_once(
    tmp_path: Path, cache_dir: Path, text: str, names: tuple[str, ...], kind: type[DxForgeError], said: str
) -> None:
    declare(tmp_path, text)
    with pytest.raises(kind, match=said):
        what_reacts(tmp_path, *names)
