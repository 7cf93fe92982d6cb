"""Outputs: a hit only where they are exactly right, restored whole, and nothing that a user wrote is lost."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.project import snapshot
from tests.support.toolbox import Bench, make_site, run_mounted, states, step, whys

DEADLINE_S = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Bench:
    """See `make_site`."""
    return make_site(tmp_path / "project")


# ---- a hit while outputs are missing (turborepo#4137); stale files after a restore (turborepo#4566)


def test_a_missing_output_is_restored(site: Bench) -> None:
    site.build()
    before = snapshot(site.root)
    (site.root / "dist/app.js").unlink()
    report = site.build()
    assert (states(report), site.tools.runs) == (["restored", "up-to-date"], [])
    assert report.steps[0].why == "output dist/app.js is missing: restored from the cache"
    assert snapshot(site.root) == before


def test_an_edited_output_is_restored_and_the_edit_put_aside(site: Bench) -> None:
    site.build()
    before = snapshot(site.root)
    site.write("dist/app.js", "mine\n")
    site.write("dist/notes.txt", "also mine\n")
    report = site.build()
    assert states(report) == ["restored", "up-to-date"]
    assert snapshot(site.root) == before
    assert site.replaced() == {"dist/app.js": "mine\n", "dist/notes.txt": "also mine\n"}
    (note,) = report.steps[0].notes
    assert note.startswith("put aside in .dx/build/replaced/") and "dist/app.js, dist/notes.txt" in note
    assert states(site.build()) == ["up-to-date"] * 2


def test_no_stale_file_survives_a_restore_or_a_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("chunks", inputs="src/**", outputs="dist"))
    bench.tools.add("chunks", "mkdir -p dist/deep; for f in src/*; do cp $f dist/deep/$(cat $f).js; done")
    bench.write("src/a", "one")
    bench.build()
    bench.write("src/a", "two")
    bench.build()
    assert [path.name for path in (bench.root / "dist/deep").iterdir()] == ["two.js"]
    bench.write("src/a", "one")
    assert states(bench.build()) == ["restored"]
    assert [path.name for path in (bench.root / "dist/deep").iterdir()] == ["one.js"]
    assert not (bench.root / ".dx/build/replaced").exists()


def test_a_restore_is_exact(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("all", inputs="src/**", outputs=("dist", "one.txt", "deep/er/link")))
    bench.tools.add(
        "all",
        """
        mkdir -p dist/empty dist/sub "dist/with space"
        echo x > dist/sub/x; chmod 750 dist/sub/x; chmod 600 dist/empty/../sub/x; chmod 755 dist/sub
        echo r > dist/ro; chmod 444 dist/ro; mkdir dist/rodir; echo y > dist/rodir/y; chmod 555 dist/rodir
        ln -s ../sub/x dist/empty/link; ln -s nowhere dist/dangling; ln -s sub dist/folder
        printf '\\377\\000bin' > dist/bin; : > dist/void; cp src/a "dist/with space/ü
newline"
        cat src/a > one.txt; mkdir -p deep/er; ln -s ../../one.txt deep/er/link
        """,
    )
    bench.write("src/a", "1")
    assert bench.build().ok

    def modes() -> dict[str, int]:
        return {
            path.relative_to(bench.root).as_posix(): stat.S_IMODE(path.lstat().st_mode)
            for top in ("dist", "one.txt", "deep")
            for path in [bench.root / top, *(bench.root / top).rglob("*")]
            if not path.is_symlink()
        }

    before, modes_before = snapshot(bench.root), modes()
    bench.write("src/a", "2")
    assert states(bench.build()) == ["built"]
    bench.write("src/a", "1")
    assert states(bench.build()) == ["restored"]
    assert (snapshot(bench.root), modes()) == (before, modes_before)
    shutil.rmtree(bench.root / "deep")
    (bench.root / "one.txt").unlink()
    (bench.root / "one.txt").mkdir()
    bench.write("one.txt/in the way", "mine")
    os.chmod(bench.root / "dist/sub", 0o700)
    assert states(bench.build()) == ["restored"]
    assert (snapshot(bench.root), modes()) == (before, modes_before)
    assert bench.replaced() == {"one.txt/in the way": "mine"}
    assert states(bench.build()) == ["up-to-date"]


@pytest.mark.parametrize("first", ["file", "folder", "link"])
def test_an_output_may_change_what_it_is(tmp_path: Path, first: str) -> None:
    bench = Bench(tmp_path / "p", step("any", inputs="what", outputs="out"))
    bench.tools.add(
        "any",
        "case $(cat what) in file) echo f > out;; folder) mkdir out; echo i > out/i;; link) ln -s what out;; esac",
    )
    seen = {}
    for what in [first, "file", "folder", "link", first]:
        bench.write("what", what)
        assert bench.build().ok
        seen.setdefault(what, snapshot(bench.root))
        assert snapshot(bench.root) == seen[what]
    assert not (bench.root / ".dx/build/replaced").exists()


def test_what_lay_in_the_outputs_before_the_first_build_is_put_aside(site: Bench) -> None:
    site.write("dist/by-hand.js", "precious\n")
    report = site.build()
    assert site.replaced() == {"dist/by-hand.js": "precious\n"}
    assert "dist/by-hand.js" in report.steps[0].notes[0]
    assert [path.name for path in (site.root / "dist").iterdir()] == ["app.js"]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_the_note_has_the_command_that_brings_back_what_was_put_aside(tmp_path: Path, exit_code: int) -> None:
    bench = Bench(tmp_path / "with space", step("make", inputs="src", outputs=("dist", "one.txt")))
    bench.tools.add("make", f"echo new > one.txt; mkdir dist; exit {exit_code}")
    bench.write("src", "")
    bench.write("dist/CNAME", "example.org\n")
    bench.write("one.txt", "mine\n").chmod(0o751)
    report = bench.build()
    assert report.ok is (exit_code == 0)
    (note,) = report.steps[0].notes
    subprocess.run(note.split("`")[1], shell=True, cwd=bench.root, check=True)
    assert (bench.read("dist/CNAME"), bench.read("one.txt")) == ("example.org\n", "mine\n")
    assert stat.S_IMODE((bench.root / "one.txt").stat().st_mode) == 0o751


def test_a_step_whose_tool_has_another_name_still_knows_its_outputs(site: Bench) -> None:
    site.tools.add("bundle", "mkdir dist; cp src/a.js dist/$(cat src/b.js)")
    site.build()
    site.tools.add("bundler", "mkdir dist; cp src/a.js dist/new")
    site.steps = (step("bundler", inputs="src/**", outputs="dist"),)
    assert site.build().steps[0].why == "first build"
    assert [path.name for path in (site.root / "dist").iterdir()] == ["new"]
    assert site.replaced() == {}


def test_a_lost_cache_folder_leaves_no_clutter_where_the_same_comes_out(site: Bench) -> None:
    site.build()
    shutil.rmtree(site.root / ".dx")
    report = site.build()
    assert (states(report), whys(report)) == (["built"] * 2, ["first build"] * 2)
    assert site.replaced() == {} and [result.notes for result in report.steps] == [(), ()]


def test_a_step_that_failed_leaves_what_it_wrote_and_the_next_run_starts_clean(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("half", inputs="src", outputs="dist"))
    bench.tools.add("half", "test ! -e dist || exit 9; mkdir dist; echo part > dist/$(cat src); test $(cat src) != bad")
    bench.write("src", "bad")
    report = bench.build()
    assert (report.ok, states(report), report.steps[0].error) == (False, ["failed"], "exit status 1")
    assert bench.read("dist/bad") == "part\n"
    bench.write("src", "good")
    assert bench.build().ok
    assert [path.name for path in (bench.root / "dist").iterdir()] == ["good"]
    assert not (bench.root / ".dx/build/replaced").exists()


def test_bytecode_in_outputs_is_no_difference(site: Bench) -> None:
    site.build()
    site.write("dist/__pycache__/app.pyc", "cached")
    assert states(site.build()) == ["up-to-date"] * 2


# ---- an input edited during the step (bazel#3360)


def test_an_input_that_changes_while_the_step_runs_is_not_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("slow", inputs="src/**", outputs="out"))
    bench.tools.add("slow", "cat src/a > out; if test -e evil; then echo edited > src/a; fi")
    bench.write("src/a", "first\n")
    bench.write("evil", "")
    report = bench.build()
    assert (report.ok, states(report)) == (True, ["built"])
    assert report.steps[0].notes == ("not kept: src/a changed while it ran",)
    (bench.root / "evil").unlink()
    bench.write("src/a", "first\n")
    report = bench.build()
    assert (states(report), whys(report)) == (["built"], ["src/a changed while it ran last time"])
    assert states(bench.build()) == ["up-to-date"]


def test_a_file_that_appears_or_goes_while_the_step_runs_counts_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("slow", inputs=("src/**", "do"), outputs="out"))
    bench.tools.add("slow", "ls src > out; . ./do")
    bench.write("src/a", "a")
    bench.write("do", "touch src/b")
    assert bench.build().steps[0].notes == ("not kept: src/b changed while it ran",)
    bench.write("do", "rm -f src/a")
    assert bench.build().steps[0].notes == ("not kept: src/a changed while it ran",)


# ---- failed steps


def test_failed_steps_are_never_kept_and_stop_the_build(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "p",
        step("ok", inputs="a", outputs="A"),
        step("bad", inputs="b", outputs="B"),
        step("after", inputs="B", outputs="C"),
        step("other", inputs="c", outputs="D"),
    )
    bench.jobs = 1
    bench.tools.add("ok", "cp a A")
    bench.tools.add("bad", "echo partly > B; echo sorry >&2; exit 3")
    bench.tools.add("after", "cp B C")
    bench.tools.add("other", "cp c D")
    for name in "abc":
        bench.write(name, name)
    for why in ("first build", "failed last time: exit status 3"):
        report = bench.build()
        assert (report.ok, states(report)[1:]) == (False, ["failed", "skipped", "skipped"])
        assert (report.steps[1].exit_code, report.steps[1].why, report.steps[1].stderr) == (3, why, "sorry\n")
        assert [(result.exit_code, result.why) for result in report.steps[2:]] == [(None, "bad failed")] * 2
    bench.tools.add("bad", "echo whole > B")
    assert bench.build().ok
    assert bench.read("C") == "whole\n"


def test_running_steps_finish_when_another_fails(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("bad", inputs="a"), step("slow", inputs="a", outputs="out"))
    bench.jobs = 2
    bench.tools.add("bad", "while ! test -e started; do sleep 0.02; done; exit 1")
    bench.tools.add("slow", "touch started; sleep 0.3; cp a out")
    bench.write("a", "a")
    report = bench.build()
    assert states(report) == ["failed", "built"]
    assert bench.read("out") == "a"


def test_a_forced_run_that_fails_is_run_again_although_an_older_result_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("flaky", inputs="a", outputs="out"))
    flag = tmp_path / "broken"
    bench.tools.add("flaky", f"cp a out; test ! -e {flag}")
    bench.write("a", "a")
    assert bench.build().ok
    flag.touch()
    assert not bench.build(force=True).ok
    flag.unlink()
    report = bench.build()
    assert (states(report), whys(report)) == (["built"], ["failed last time: exit status 1"])


def test_declared_outputs_that_are_not_written_fail_the_step(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("lazy", inputs="a", outputs=("out", "dist/never")))
    bench.tools.add("lazy", "cp a out")
    bench.write("a", "a")
    for _ in range(2):
        report = bench.build()
        assert (report.ok, states(report), report.steps[0].exit_code) == (False, ["failed"], 0)
        assert report.steps[0].error == "it ended well, but did not write its output dist/never"


def test_a_program_that_cannot_be_started_fails_the_step(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("first", inputs="a", outputs="b"), step("second", inputs="b", outputs="c"))
    bench.tools.add("first", "cp a b; rm tools/second")
    bench.tools.add("second", "cp b c")
    bench.write("a", "a")
    bench.write("c", "mine")
    report = bench.build()
    assert (report.ok, states(report), report.steps[1].exit_code) == (False, ["built", "failed"], None)
    assert report.steps[1].error == "tool second: it cannot be started: No such file or directory"
    assert "put aside" in report.steps[1].notes[0] and bench.replaced() == {"c": "mine"}
    bench.tools.add("first", "cp a b")
    bench.tools.add("second", "cp b c")
    assert bench.build().ok


_ON_A_MOUNT = """
import sys
from pathlib import Path
from tests.support.toolbox import Bench, states, step
bench = Bench(Path(sys.argv[1]), step("a", inputs="src", outputs="dist"))
bench.tools.add("a", "mkdir -p dist/deep; cp src dist/deep/a")
for text in ("old", "new", "old"):
    bench.write("src", text)
    if text == "old":
        bench.write("dist/mine", text)
    report = bench.build()
    tree = sorted(path.relative_to(bench.root).as_posix() for path in (bench.root / "dist").rglob("*"))
    print(*states(report), bench.read("dist/deep/a"), *tree)
"""


def test_an_output_that_is_a_mount_point(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / "dist").mkdir(parents=True)
    assert run_mounted(f"none {root}/dist", _ON_A_MOUNT, str(root)).splitlines() == [
        "built old dist/deep dist/deep/a",
        "built new dist/deep dist/deep/a",
        "restored old dist/deep dist/deep/a",
    ]
    assert sorted(path.read_text() for path in (root / ".dx/build/replaced").rglob("mine*")) == ["old", "old"]


def test_a_step_that_fails_leaves_the_last_good_outputs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("page", inputs="in", outputs="dist"))
    bench.tools.add("page", "mkdir -p dist; cp in dist/new; grep -q good in && cp in dist/page")
    bench.write("in", "good")
    assert bench.build().ok
    before = snapshot(bench.root / "dist")
    for text in ("bad", "worse"):
        bench.write("in", text)
        report = bench.build()
        assert (report.ok, states(report)) == (False, ["failed"])
        assert "dist: as the last build that succeeded made it" in report.steps[0].notes
        assert snapshot(bench.root / "dist") == before
    assert whys(bench.build())[0].startswith("failed last time")
    bench.write("in", "good again")
    assert bench.build().ok
    assert bench.replaced() == {}
