"""The cache and the inputs at their worst: damaged, full, unwritable, unreadable. It never fails a build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.build.cache import LocalCache
from tests.support.project import snapshot
from tests.support.toolbox import Bench, make_site, run_mounted, states, step

DEADLINE_S = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Bench:
    """See `make_site`."""
    return make_site(tmp_path / "project")


# ---- symlinks, special files, unreadable files among inputs


def test_what_a_link_leads_to_is_part_of_the_input(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("a", inputs=("src/**",), outputs="out"))
    bench.tools.add("a", "cat src/link src/folder/* > out; true")
    bench.write("real", "1")
    bench.write("lib/inside/x", "1")
    (bench.root / "src").mkdir()
    (bench.root / "src/link").symlink_to("../real")
    (bench.root / "src/folder").symlink_to("../lib/inside")
    (bench.root / "src/dangling").symlink_to("nowhere")
    (bench.root / "src/loop").symlink_to("loop")
    (bench.root / "src/up").symlink_to("..")
    bench.build()
    assert states(bench.build()) == ["up-to-date"]
    bench.write("real", "2")
    assert bench.build().steps[0].why == "src/link changed"
    bench.write("lib/inside/x", "2")
    assert bench.build().steps[0].why == "lib/inside/x changed"
    bench.write("lib/inside/y", "")
    assert bench.build().steps[0].why == "lib/inside/y added"
    (bench.root / "src/link").unlink()
    (bench.root / "src/link").symlink_to("./../real")
    assert bench.build().steps[0].why == "src/link changed (link ../real → ./../real)"
    bench.write("src/nowhere", "there now")
    assert bench.build().steps[0].why == "src/nowhere added; src/dangling changed"


def test_a_link_out_of_the_project_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("a", inputs="src/**"))
    bench.tools.add("a", ":")
    (bench.root / "src").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (bench.root / "src/out").symlink_to(tmp_path / "elsewhere")
    assert bench.plan().notes == ("src/out leads to a folder outside of the project: what that holds is not looked at",)


def test_special_files_hang_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("a", inputs="src/**", outputs="out"))
    bench.tools.add("a", "mkdir out; cp src/a out; if test -e src/make; then mkfifo out/pipe; fi")
    bench.write("src/a", "a")
    os.mkfifo(bench.root / "src/pipe")
    assert bench.build().ok
    assert states(bench.build()) == ["up-to-date"]
    bench.write("src/make", "")
    for _ in range(2):
        report = bench.build()
        assert (states(report), report.steps[0].notes) == (["built"], ("not kept: out/pipe is a fifo",))


_AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.support.toolbox import Bench, step
from dxforge.errors import BuildError
warm = Bench(Path(sys.argv[3]), step("a", inputs="b"))  # imports what the other user may not read
warm.tools.add("a", "echo")
warm.build()
os.setgid(65534); os.setuid(65534)
bench = Bench(Path(sys.argv[1]), step("a", inputs="src/**", outputs="out"))
bench.tools.add("a", "cp src/a out")
try:
    report = bench.build()
except BuildError as error:
    print(error)
else:
    print(report.ok, [result.why for result in report.steps], *report.notes, *report.steps[0].notes, sep="; ")
"""


def _as_nobody(root: Path) -> str:
    """Build as a user whom permissions hold for."""
    tree = Path(__file__).parents[2]
    command = [sys.executable, "-c", _AS_NOBODY, str(root), str(tree), str(root.parent / "warm")]
    if os.geteuid() != 0:
        command[2] = _AS_NOBODY.replace("os.setgid(65534); os.setuid(65534)", "")
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def foreign() -> Iterator[Bench]:
    """A project that someone else may write, where they can get at it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        bench = Bench(Path(folder) / "p", step("a", inputs="src/**", outputs="out"))
        bench.tools.add("a", "cp src/a out")
        bench.write("src/a", "a")
        if os.geteuid() == 0:
            for path in [bench.root, *bench.root.rglob("*")]:
                os.chown(path, 65534, 65534)
        yield bench


def test_an_unreadable_input_is_named(foreign: Bench) -> None:
    foreign.write("src/secret", "x")
    (foreign.root / "src/secret").chmod(0)
    text = _as_nobody(foreign.root)
    assert text.startswith("src/secret: it cannot be read: permission denied. Give yourself permission")
    (foreign.root / "src/secret").unlink()
    (foreign.root / "src/closed").mkdir()
    (foreign.root / "src/closed").chmod(0)
    assert _as_nobody(foreign.root).startswith("src/closed: it cannot be read: permission denied")
    (foreign.root / "src/closed").chmod(0o755)


# ---- a dead cache never fails a build


def test_a_state_folder_that_cannot_be_written_fails_no_build(foreign: Bench) -> None:
    (foreign.root / ".dx").mkdir()
    (foreign.root / ".dx").chmod(0o555)
    for _ in range(2):
        text = _as_nobody(foreign.root)
        assert text.startswith("True; ['first build']; nothing of this build can be kept")
        assert foreign.read("out") == "a"
    (foreign.root / ".dx").chmod(0o755)


def test_a_cache_that_cannot_be_written_fails_no_build(foreign: Bench) -> None:
    assert _as_nobody(foreign.root) == "True; ['first build']"
    for name in ("actions", "blobs"):
        (foreign.root / ".dx/build" / name).chmod(0o555)
        for path in (foreign.root / ".dx/build" / name).glob("*"):
            path.chmod(0o555)
    foreign.write("src/a", "b")
    assert _as_nobody(foreign.root) == (
        "True; ['src/a changed']; not kept: the cache cannot be written: permission denied"
    )
    assert _as_nobody(foreign.root) == "True; ['up to date']"
    for path in [foreign.root / ".dx/build", *(foreign.root / ".dx/build").rglob("*")]:
        path.chmod(0o755)


_ON_A_FULL_DISK = """
import sys
from pathlib import Path
from tests.support.toolbox import Bench, states, step, whys
bench = Bench(Path(sys.argv[1]), step("a", inputs="src", outputs="out"))
bench.tools.add("a", "for i in 1 2 3 4 5 6 7 8 9 10; do cat src; done > out")
bench.write("src", "x" * 30_000)
for damage in (lambda: None, lambda: None, (bench.root / "out").unlink):
    damage()
    report = bench.build()
    print(report.ok, *states(report), *report.notes, *report.steps[0].notes, sep="; ")
"""


def test_a_full_disk_fails_no_build(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / ".dx/build").mkdir(parents=True)
    done = run_mounted(f"-o size=100k none {root}/.dx/build", _ON_A_FULL_DISK, str(root))
    not_kept = "not kept: the cache cannot be written: no space left on device"
    assert done.splitlines() == [f"True; built; {not_kept}", "True; up-to-date", f"True; built; {not_kept}"]


FOLDERS = (".", "actions", "blobs", "steps", "staging", "replaced")


@pytest.mark.parametrize("name", [*FOLDERS, "stat", "size", "last.json", "lock"])
def test_a_file_for_a_folder_or_a_folder_for_a_file_fails_no_build(site: Bench, name: str) -> None:
    wrong = site.root / ".dx/build" / name  # "." is the folder itself
    wrong.parent.mkdir(parents=True)
    if name in FOLDERS:
        wrong.write_text("not ours\n")
    else:
        (wrong / "inside").mkdir(parents=True)
    site.write("dist/mine.txt", "mine\n")
    report = site.build()
    assert states(report) == ["built", "built"]
    assert site.read("site/index.html") == "a\nb\n<page>\n"
    # Put aside where that can be, else left where it is.
    assert (site.replaced().get("dist/mine.txt") or site.read("dist/mine.txt")) == "mine\n"
    if name == ".":
        assert report.notes[0].startswith(f"nothing of this build can be kept: {wrong}: ")
        assert "move it away" in report.notes[0]
    site.builder().up_to_date()
    assert site.build().ok


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "flip", "folder"])
@pytest.mark.parametrize("what", ["steps", "actions", "stat", "last.json", "size", "staging", "lock.json"])
def test_damaged_files_of_ours_fail_no_build(site: Bench, what: str, damage: str) -> None:
    site.build()
    site.settle()
    site.build()
    before = snapshot(site.root)
    top = site.root / ".dx/build" / what
    if what == "staging":
        (top / "someone").mkdir(parents=True)
        (top / "someone/about.json").write_text("{}")
    for path in [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        path.write_bytes(
            {
                "empty": b"",
                "garbage": b"\x00\xff{[",
                "cut": data[: len(data) // 2],
                "flip": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] if len(data) > 9 else b"!",
                "folder": b"",
            }[damage]
        )
        if damage == "folder":
            path.unlink()
            path.mkdir()
    for _ in range(2):
        report = site.build()
        assert report.ok
        assert snapshot(site.root) == before
    site.write("src/a.js", "x\n")
    assert site.build().ok
    assert site.read("site/index.html") == "x\nb\n<page>\n"
    if (what, damage) != ("steps", "folder"):  # then it is never known who wrote what is there
        assert site.replaced() == {}


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_bit_rot_in_the_cache_is_a_miss_and_heals(site: Bench, damage: str) -> None:
    site.build()
    before = snapshot(site.root)
    for blob in (site.root / ".dx/build/blobs").rglob("*/*"):
        data = blob.read_bytes()
        blob.write_bytes({"flip": data[:-1] + b"!", "cut": data[:-1], "gone": b""}[damage])
        if damage == "gone":
            blob.unlink()
    shutil.rmtree(site.root / "dist")
    report = site.build()
    assert (states(report), site.tools.runs) == (["built", "up-to-date"], ["bundle dist/app.js src/a.js src/b.js"])
    assert "output dist is missing" in report.steps[0].why
    assert snapshot(site.root) == before
    shutil.rmtree(site.root / "dist")
    assert states(site.build()) == ["restored", "up-to-date"]
    assert snapshot(site.root) == before


# ---- the size of the cache


def test_the_cache_keeps_to_its_limit_but_keeps_what_the_last_build_uses(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("big", inputs="a", outputs="out"), step("small", inputs="b", outputs="out2"))
    bench.cache = LocalCache(bench.root / ".dx/build", limit_bytes=300_000)
    bench.tools.add("big", "for i in 1 2 3 4 5 6 7 8 9 10; do cat a a a a a a a a a a; done > out")
    bench.tools.add("small", "cp b out2")
    bench.write("b", "b")
    for number in range(8):
        bench.write("a", f"{number}" * 1000)
        bench.cache = LocalCache(bench.root / ".dx/build", limit_bytes=300_000)
        assert bench.build().ok
        size = sum(
            file.stat().st_size
            for name in ("blobs", "actions")
            for file in (bench.root / ".dx/build" / name).rglob("*")
            if file.is_file()
        )
        assert size <= 300_000
        (bench.root / "out").unlink()
        (bench.root / "out2").unlink()
        assert states(bench.build()) == ["restored", "restored"]
    bench.write("a", "6" * 1000)
    assert states(bench.build())[0] == "restored", "used lately"
    bench.write("a", "0" * 1000)
    assert states(bench.build())[0] == "built", "used long ago"
