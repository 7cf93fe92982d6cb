"""Batches of changes as they come, over the system's own notifications."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dxforge.errors import WatchError
from dxforge.watching.globs import Globs
from dxforge.watching.watch import Watch

DEADLINE_S = 30


def watched(root: Path, *globs: str, ignore: tuple[str, ...] = ()) -> Watch:
    return Watch(root, Globs(globs, leave_out=ignore), debounce_s=0.05)


def story(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await work()

    asyncio.run(within())
    assert not [thread for thread in threading.enumerate() if thread.name == "dxforge-watch"]


async def until(changes: Watch, expected: set[str]) -> None:
    """Batches until all that is expected has come, and nothing else."""
    found: set[str] = set()
    while found != expected:
        found |= await anext(changes)
        assert found <= expected


async def only(changes: Watch, root: Path, sentinel: str) -> None:
    """Nothing was left to tell: what is changed now comes alone."""
    (root / sentinel).write_text(os.urandom(8).hex())
    assert await anext(changes) == {sentinel}


def test_changes_come_in_batches_and_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")

    async def work() -> None:
        async with watched(tmp_path, "*") as changes:
            (tmp_path / "a").write_text("new")
            await until(changes, {"a"})
            (tmp_path / "b").write_text("b")
            (tmp_path / "a").unlink()
            await until(changes, {"a", "b"})
            await only(changes, tmp_path, "c")

    story(work)


def test_what_happens_during_a_run_is_one_batch_after_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()

    async def work() -> None:
        async with watched(tmp_path, "src/**", "out/**", ignore=("out", "src/made.css")) as changes:
            (tmp_path / "src/a").write_text("begin")
            await until(changes, {"src/a"})
            for number in range(20):  # a run that writes its outputs while somebody edits
                (tmp_path / "src/a").write_text(str(number))
                (tmp_path / f"src/b{number % 3}").write_text(str(number))
                (tmp_path / "src/made.css").write_text(str(number))
                (tmp_path / "src/temporary").write_text("gone in a moment")
                (tmp_path / "out").mkdir(exist_ok=True)
                (tmp_path / "out/x").write_text(str(number))
                await asyncio.sleep(0.02)
                (tmp_path / "src/temporary").unlink()
            assert await anext(changes) == {"src/a", "src/b0", "src/b1", "src/b2"}
            await only(changes, tmp_path, "src/a")

    story(work)


def test_new_folders_are_watched_however_they_come(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/there.txt").write_text("before")
    root = tmp_path / "root"
    root.mkdir()

    async def work() -> None:
        async with watched(root, "src/**") as changes:
            (root / "src/one/two").mkdir(parents=True)
            (root / "src/one/two/a.txt").write_text("filled at once")
            await until(changes, {"src/one/two/a.txt"})
            (root / "src/one/two/a.txt").write_text("filled later")
            await until(changes, {"src/one/two/a.txt"})
            outside.rename(root / "src/moved")
            await until(changes, {"src/moved/deep/there.txt"})
            (root / "src/moved/deep/there.txt").write_text("edited where it is now")
            await until(changes, {"src/moved/deep/there.txt"})
            (root / "src/moved").rename(tmp_path / "away")
            await until(changes, {"src/moved/deep/there.txt"})
            shutil.rmtree(root / "src")
            await until(changes, {"src/one/two/a.txt"})
            (root / "src").mkdir()
            await only(changes, root, "src/back.txt")

    story(work)


def test_an_editor_that_writes_by_rename_is_one_change(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")

    async def work() -> None:
        async with watched(tmp_path, "*") as changes:
            for number in range(3):  # as vim does with backupcopy=no
                (tmp_path / "4913").write_text("")
                (tmp_path / "4913").unlink()
                (tmp_path / "page.html").rename(tmp_path / "page.html~")
                (tmp_path / "page.html").write_text(f"version {number}")
                (tmp_path / "page.html~").unlink()
                assert await anext(changes) == {"page.html"}
            await only(changes, tmp_path, "page.html")

    story(work)


def test_a_burst_of_ten_thousand_files_is_told_whole(tmp_path: Path) -> None:
    expected = {f"d{number % 100}/f{number}" for number in range(10_000)}

    def burst() -> None:
        for path in expected:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text("x")

    async def work() -> None:
        async with watched(tmp_path, "**") as changes:
            writing = asyncio.create_task(asyncio.to_thread(burst))
            await until(changes, expected)
            await writing
            await only(changes, tmp_path, "d0/f0")

    story(work)


def test_a_root_that_vanishes_ends_it_and_one_that_is_replaced_does_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    async def work() -> None:
        async with watched(root, "*") as changes:
            root.rename(tmp_path / "elsewhere")
            with pytest.raises(WatchError, match="not there"):
                await anext(changes)
        root.mkdir()
        async with watched(root, "*") as changes:
            root.rename(tmp_path / "again")
            root.mkdir()
            (root / "a").write_text("in the new one")
            await until(changes, {"a"})
            await only(changes, root, "b")
        with pytest.raises(WatchError):
            async with watched(tmp_path / "never", "*"):
                pass

    story(work)


def test_who_stops_waiting_loses_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with watched(tmp_path, "*") as changes:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.01)
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            (tmp_path / "a").write_text("a")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.sleep(0.3)  # found meanwhile, with nobody waiting
            await until(changes, {"a"})
            await only(changes, tmp_path, "b")

    story(work)


def test_several_watches_side_by_side(tmp_path: Path) -> None:
    async def work() -> None:
        async with watched(tmp_path, "*.css") as styles, watched(tmp_path, "*.js") as scripts:
            (tmp_path / "a.css").write_text("")
            (tmp_path / "a.js").write_text("")
            await asyncio.gather(until(styles, {"a.css"}), until(scripts, {"a.js"}))

    story(work)


OUT_OF_WATCHES = """
import asyncio, sys
from pathlib import Path
from dxforge.watching.globs import Globs
from dxforge.watching.watch import Watch

async def main(root: Path) -> None:
    told = []
    async with Watch(root, Globs(["**"]), notice=told.append) as changes:
        (root / "d7/new").write_text("found all the same")
        print(sorted(await anext(changes)))
        (root / "d7/new").write_text("and again")
        print(sorted(await anext(changes)))
    print(told)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of inotify")
@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_where_the_system_cannot_watch_we_look(tmp_path: Path, limit: str) -> None:
    for number in range(10):
        (tmp_path / f"d{number}").mkdir()
    # A user namespace of its own may lower its limits.
    lower = f'echo {3 if "watches" in limit else 0} > /proc/sys/user/{limit} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", lower, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not to be had here")
    done = subprocess.run(
        [*command, sys.executable, "-c", OUT_OF_WATCHES, tmp_path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, told = done.stdout.splitlines()
    assert (first, second) == ("['d7/new']", "['d7/new']")
    assert "max_user_watches" in told and "11 folders" in told


FORGOTTEN = """
import asyncio, sys, threading
from dxforge.watching.globs import Globs
from dxforge.watching.watch import Watch

async def forget(begun: threading.Event) -> None:
    watch = Watch(sys.argv[1], Globs(["**"]))
    await watch.__aenter__()
    begun.set()
    await anext(watch)

begun = threading.Event()
threading.Thread(target=lambda: asyncio.run(forget(begun)), daemon=True).start()
begun.wait()
print("end")
"""


def test_a_forgotten_watch_neither_hangs_nor_aborts_the_interpreters_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
