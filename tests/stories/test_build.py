"""Builds over real files and real processes: every way in which the caches of others fail, and what a user sees."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.build.cache import LocalCache
from dxforge.build.events import StepFinished, StepOutput, StepStarted, WaitingForBuild
from dxforge.build.last import last_build
from dxforge.build.model import PendingFile
from dxforge.errors import BuildPlanError
from dxforge.events import Notice, Progress
from tests.support.project import snapshot
from tests.support.toolbox import Bench, states, step, whys

DEADLINE_S = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Bench:
    """Two steps, the second reads what the first writes."""
    bench = Bench(
        tmp_path / "project",
        step("bundle", "dist/app.js", "src/a.js", "src/b.js", inputs="src/**", outputs="dist"),
        step("page", "site/index.html", "dist/app.js", "page.html", inputs=("dist/**", "page.html"), outputs="site"),
    )
    bench.tools.add("bundle")
    bench.tools.add("page")
    bench.write("src/a.js", "a\n")
    bench.write("src/b.js", "b\n")
    bench.write("page.html", "<page>\n")
    return bench


def _replaced(bench: Bench) -> dict[str, str]:
    """What was put aside: path in the project -> content."""
    found = {}
    for top in sorted((bench.root / ".dx/build/replaced").glob("*")):
        for file in top.rglob("*"):
            if file.is_file():
                found[file.relative_to(top).as_posix()] = file.read_text()
    return found


# ---- the ordinary day


def test_the_second_build_runs_nothing_and_says_so(site: Bench) -> None:
    first = site.build()
    assert (first.ok, states(first), whys(first)) == (True, ["built", "built"], ["first build", "first build"])
    assert site.read("site/index.html") == "a\nb\n<page>\n"
    before = snapshot(site.root)
    second = site.build()
    assert (second.ok, states(second), whys(second)) == (True, ["up-to-date"] * 2, ["up to date"] * 2)
    assert [(result.cached, result.exit_code) for result in second.steps] == [(True, 0)] * 2
    assert site.tools.runs == []
    assert snapshot(site.root) == before
    assert site.started() == []


def test_a_change_runs_what_depends_on_it_and_names_it(site: Bench) -> None:
    site.build()
    site.write("page.html", "<new>\n")
    report = site.build()
    assert states(report) == ["up-to-date", "built"]
    assert report.steps[1].why == "page.html changed"
    site.write("src/b.js", "B\n")
    site.write("src/c.js", "c\n")
    (site.root / "src/a.js").unlink()
    site.steps = (
        step("bundle", "dist/app.js", "src/b.js", "src/c.js", inputs="src/**", outputs="dist"),
        site.steps[1],
    )
    report = site.build()
    assert report.steps[0].why == (
        "args changed: dist/app.js src/a.js src/b.js → dist/app.js src/b.js src/c.js; "
        "src/c.js added; src/b.js changed; src/a.js removed"
    )
    assert report.steps[1].why == "dist/app.js changed"
    assert site.read("site/index.html") == "B\nc\n<new>\n"


def test_an_output_that_comes_out_the_same_ends_the_chain(site: Bench) -> None:
    site.tools.add("bundle", "mkdir -p dist; grep -v comment src/a.js > dist/app.js")
    site.build()
    site.write("src/a.js", "a\n# comment\n")
    report = site.build()
    assert states(report) == ["built", "up-to-date"]
    assert site.tools.runs == ["bundle dist/app.js src/a.js src/b.js"]


def test_back_to_an_earlier_state_is_restored_not_run(site: Bench) -> None:
    site.build()
    before = snapshot(site.root)
    site.write("src/a.js", "other\n")
    site.build()
    site.write("src/a.js", "a\n")
    report = site.build()
    assert (states(report), site.tools.runs) == (["restored", "restored"], [])
    assert report.steps[0].why == "src/a.js changed: restored from the cache"
    assert snapshot(site.root) == before


def test_force_runs_everything_and_keeps_it(site: Bench) -> None:
    site.build()
    report = site.build(force=True)
    assert (states(report), whys(report)) == (["built"] * 2, ["--force"] * 2)
    assert states(site.build()) == ["up-to-date"] * 2


def test_a_plan_tells_what_a_build_would_do_and_touches_nothing(site: Bench) -> None:
    before = snapshot(site.root, without=())
    plan = site.plan()
    assert (states(plan), whys(plan)) == (
        ["run", "depends"],
        ["first build", "bundle dist/app.js src/a.js src/b.js runs first"],
    )
    assert snapshot(site.root, without=()) == before
    site.build()
    site.write("src/a.js", "x\n")
    plan = site.plan()
    assert states(plan) == ["run", "depends"]
    (old, new) = plan.steps[0].changes.changed["src/a.js"]
    assert old.startswith("file:") and new.startswith("file:") and old != new
    site.build()
    site.write("src/a.js", "a\n")
    before = snapshot(site.root, without=())
    assert states(site.plan()) == ["restore", "restore"]
    assert states(site.plan(force=True)) == ["run", "run"]
    assert snapshot(site.root, without=()) == before
    assert (states(site.build()), site.tools.runs) == (["restored"] * 2, [])


def test_what_a_step_printed_is_printed_again(site: Bench) -> None:
    site.tools.add("bundle", "mkdir -p dist; echo out; echo err >&2; cat src/a.js > dist/app.js; printf 'é'")
    first = site.build()
    assert first.steps[0].stdout == "out\né" and first.steps[0].stderr == "err\n"
    for damage in (lambda: None, lambda: shutil.rmtree(site.root / "dist")):
        damage()
        again = site.build()
        assert again.steps[0].cached
        assert (again.steps[0].stdout, again.steps[0].stderr) == ("out\né", "err\n")
        replayed = [event for event in site.events if isinstance(event, StepOutput)]
        assert all(event.replayed and event.index == 0 for event in replayed)
        for stream, text in (("stdout", "out\né"), ("stderr", "err\n")):
            assert "".join(event.text for event in replayed if event.stream == stream) == text


def test_what_is_told_while_it_goes_on(site: Bench) -> None:
    site.build()
    kinds = [type(event) for event in site.events if not isinstance(event, StepOutput)]
    assert kinds == [StepStarted, StepFinished, Progress] * 2
    progress = [event for event in site.events if isinstance(event, Progress)]
    assert [(event.phase, event.done, event.total) for event in progress] == [("build", 1, 2), ("build", 2, 2)]


def test_the_report_is_the_contracts_and_is_kept(site: Bench) -> None:
    report = site.build()
    data = report.to_json()
    assert data["ok"] is True
    assert (
        data["steps"][0] | {"tool": "bundle", "cached": False, "exit_code": 0, "why": "first build"}
        == (data["steps"][0])
    )
    kept = last_build(site.root)
    assert kept is not None and kept.to_json() == data
    (site.root / ".dx/build/last.json").write_text("{")
    assert last_build(site.root) is None


# ---- "miss" without a reason (turborepo#4494)


def test_every_run_says_why(site: Bench) -> None:
    env = {"NODE_ENV": "production"}
    site.tools.add("bundle", env=env)
    site.build()
    site.tools.add("bundle", env={"NODE_ENV": "hush-1"})
    report = site.build()
    assert report.steps[0].why == "env NODE_ENV changed"
    site.tools.add("bundle", env={"NODE_ENV": "hush-1", "TOKEN": "hush-2"})
    assert site.build().steps[0].why == "env TOKEN added"
    site.tools.add("bundle", env={"TOKEN": "hush-2"})
    report = site.build()
    assert report.steps[0].why == "env NODE_ENV removed"
    everything = b"".join(file.read_bytes() for file in (site.root / ".dx").rglob("*") if file.is_file())
    assert b"hush" not in everything
    assert "hush" not in str(report.to_json())
    site.tools.add("bundle", env={"TOKEN": "hush-2"}, definition={"binary_path": "bundle", "cwd": "x"})
    assert site.build().steps[0].why == "cwd of bundle added"
    site.tools.add("bundle", "mkdir -p dist; cat src/a.js > dist/app.js", env={"TOKEN": "hush-2"})
    assert site.build().steps[0].why == "program bundle changed; cwd of bundle removed"
    (site.root / "dist/app.js").unlink()
    shutil.rmtree(site.root / ".dx/build/actions")
    assert site.build().steps[0].why == "output dist/app.js is missing"


def test_many_changes_are_named_by_number_and_all_in_json(site: Bench) -> None:
    for number in range(20):
        site.write(f"src/more/{number:02}.js", "x")
    site.build()
    for number in range(20):
        site.write(f"src/more/{number:02}.js", "y")
    (result, _) = site.build().steps
    assert result.why == "20 inputs changed: src/more/00.js, src/more/01.js, src/more/02.js, …"
    assert len(result.to_json()["changes"]["changed"]) == 20


def test_a_mode_is_part_of_an_input(site: Bench) -> None:
    site.build()
    (site.root / "src/a.js").chmod(0o755)
    report = site.build()
    assert report.steps[0].why == "src/a.js changed"
    assert [token.split(":")[0] for token in report.steps[0].changes.changed["src/a.js"]] == ["file", "exec"]


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
    assert _replaced(site) == {"dist/app.js": "mine\n", "dist/notes.txt": "also mine\n"}
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
    assert _replaced(bench) == {"one.txt/in the way": "mine"}
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
    assert _replaced(site) == {"dist/by-hand.js": "precious\n"}
    assert "dist/by-hand.js" in report.steps[0].notes[0]
    assert [path.name for path in (site.root / "dist").iterdir()] == ["app.js"]


def test_a_step_whose_tool_has_another_name_still_knows_its_outputs(site: Bench) -> None:
    site.tools.add("bundle", "mkdir dist; cp src/a.js dist/$(cat src/b.js)")
    site.build()
    site.tools.add("bundler", "mkdir dist; cp src/a.js dist/new")
    site.steps = (step("bundler", inputs="src/**", outputs="dist"),)
    assert site.build().steps[0].why == "first build"
    assert [path.name for path in (site.root / "dist").iterdir()] == ["new"]
    assert _replaced(site) == {}


def test_a_lost_cache_folder_leaves_no_clutter_where_the_same_comes_out(site: Bench) -> None:
    site.build()
    shutil.rmtree(site.root / ".dx")
    report = site.build()
    assert (states(report), whys(report)) == (["built"] * 2, ["first build"] * 2)
    assert _replaced(site) == {} and [result.notes for result in report.steps] == [(), ()]


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


# ---- overlapping outputs, cycles, unknown tools: refused when planning


def test_overlapping_outputs_are_refused_before_anything_runs(site: Bench) -> None:
    site.steps = (*site.steps, step("bundle", "dist/x.js", "page.html", inputs="page.html", outputs="dist/x.js"))
    for call in (site.plan, site.build):
        with pytest.raises(BuildPlanError, match=r'output "dist/x.js" lies in "dist", which build.steps\[0\]'):
            call()
    assert site.tools.runs == [] and not (site.root / "dist").exists()


def test_unknown_tools_are_named_with_their_key(site: Bench) -> None:
    site.steps = (*site.steps, step("bundel", inputs="x"))
    with pytest.raises(BuildPlanError) as caught:
        site.plan()
    assert caught.value.where == "dx.toml: build.steps[2].tool"
    assert "bundle" in caught.value.hint
    site.steps, site.needs = site.steps[:2], ("page", "servr")
    with pytest.raises(BuildPlanError) as caught:
        site.build()
    assert caught.value.where == "dx.toml: build.needs[1]"


def test_without_a_build_section_the_default_pipeline_is_built(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p")
    with pytest.raises(BuildPlanError) as caught:
        bench.plan()
    assert "without [build]" in caught.value.where
    for name in ("dx-style", "dx-js-runtime"):
        bench.tools.add(name)
    bench.tools.add("dx-js-bundler", "cat src/* > bundle.js", inputs=("src/**",), outputs=("bundle.js",))
    bench.write("src/a", "a")
    report = bench.build()
    assert [(result.tool, result.args) for result in report.steps] == [("dx-js-bundler", ("build",))]
    assert (bench.tools.ensured, bench.read("bundle.js")) == (["dx-style", "dx-js-runtime"], "a")
    assert states(bench.build()) == ["up-to-date"]


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
    assert "put aside" in report.steps[1].notes[0] and _replaced(bench) == {"c": "mine"}
    bench.tools.add("first", "cp a b")
    bench.tools.add("second", "cp b c")
    assert bench.build().ok


# ---- steps that name no inputs, or no outputs


def test_a_step_without_inputs_always_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("stamp", outputs="out"))
    bench.tools.add("stamp", "echo x >> log; cp log out")
    for count in (1, 2):
        report = bench.build()
        assert (states(report), whys(report)) == (["built"], ["no inputs declared: always runs"])
        assert bench.read("out") == "x\n" * count


def test_a_step_without_outputs_is_cached_with_what_it_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("lint", inputs="src/**"))
    bench.tools.add("lint", "echo clean")
    bench.write("src/a", "a")
    assert states(bench.build()) == ["built"]
    report = bench.build()
    assert (states(report), bench.tools.runs, bench.output()) == (["up-to-date"], [], "clean\n")


def test_a_glob_that_matches_nothing_is_said(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "p", step("a", inputs=("src/**", "lib/*.js"), outputs="out"), step("b", inputs=("out/**", "!out/x"))
    )
    bench.tools.add("a", "mkdir out; touch out/y")
    bench.tools.add("b", ":")
    bench.write("src/a", "")
    for report in (bench.plan(), bench.build(), bench.build()):
        assert report.notes == ('build.steps[0] (a): the input "lib/*.js" matches no file',)


def test_the_same_step_twice_runs_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("lint", inputs="a"), step("lint", inputs="a"), step("lint", "-v", inputs="a"))
    bench.jobs = 3
    bench.tools.add("lint", "echo done; sleep 0.2")
    bench.write("a", "a")
    report = bench.build()
    assert sorted(bench.tools.runs) == ["lint", "lint -v"]
    assert report.ok and [result.stdout for result in report.steps] == ["done\n"] * 3
    assert sorted(whys(report)) == ["first build", "first build", "the same as build.steps[0]"]
    assert states(bench.build()) == ["up-to-date"] * 3


# ---- in parallel


def test_independent_steps_run_at_once_and_dependents_after(tmp_path: Path) -> None:
    """Each of the first two waits for the other: they end only when both run."""
    bench = Bench(
        tmp_path / "p",
        step("meet", "one", "two", inputs="x", outputs="A"),
        step("meet", "two", "one", inputs="x", outputs="B"),
        step("both", inputs=("A", "B"), outputs="C"),
    )
    bench.jobs = 2
    bench.tools.add(
        "meet", 'touch "$1"; while ! test -e "$2"; do sleep 0.02; done; case $1 in one) echo > A;; *) echo > B; esac'
    )
    bench.tools.add("both", "cat A B > C")
    bench.write("x", "")
    report = bench.build()
    assert states(report) == ["built"] * 3
    assert report.steps[2].started_s >= max(result.started_s + result.duration_s for result in report.steps[:2])


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
    assert bench.build().steps[0].why == "src/link changed"
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


def test_a_full_disk_fails_no_build(site: Bench, tmp_path: Path) -> None:
    class Full(LocalCache):
        """Has no room left; the device is real."""

        def store(self, digest: str, source: str) -> bool:
            with open("/dev/full", "wb", buffering=0) as full:
                full.write(digest.encode())
            return True

    site.cache = Full(site.root / ".dx/build")
    report = site.build()
    assert report.ok
    assert [result.notes for result in report.steps] == [
        ("not kept: the cache cannot be written: no space left on device",)
    ] * 2
    assert states(site.build()) == ["up-to-date"] * 2
    (site.root / "dist/app.js").unlink()
    assert states(site.build()) == ["built", "up-to-date"]


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
        assert _replaced(site) == {}


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


# ---- pending decisions in what a step reads


def test_pending_changes_in_what_a_step_reads_stop_the_build(site: Bench) -> None:
    site.steps = (step("bundle", "dist/app.js", "src/a.js", inputs="src/**", outputs="dist"),)
    site.needs = ("page",)
    inside = PendingFile(path="src/dx_packages/lib/lib/x.js", light="red", reason="overlapping edits", package="lib")
    elsewhere = PendingFile(path="vendor/other/y.js", light="yellow", reason="clean merge", package="other")
    report = site.build(pending=(elsewhere, inside))
    assert (report.ok, report.steps, report.pending) == (False, (), (inside,))
    assert (site.tools.ensured, site.tools.runs) == ([], [])
    assert site.plan(pending=(elsewhere, inside)).pending == (inside,)
    report = site.build(pending=(elsewhere, inside), allow_pending=True)
    assert (report.ok, report.pending) == (True, ())
    assert report.notes == ("built although a decision is due: src/dx_packages/lib/lib/x.js",)
    assert site.build(pending=(elsewhere,)).ok


def test_a_package_counts_as_a_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("a", inputs="src/dx_packages/lib/used.js"))
    bench.tools.add("a", ":")
    bench.write("src/dx_packages/lib/used.js", "")
    pending = PendingFile(path="src/dx_packages/lib/other.js", light="yellow", reason="x", package="lib")
    assert not bench.build(pending=(pending,)).ok


# ---- two builds at once, cancelling, killing


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def _wait_for(path: Path) -> None:
    _wait_until(path.exists)


def _gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def slow(tmp_path: Path) -> Bench:
    """One step that says ``started``, has written half, and waits for ``go``."""
    bench = Bench(tmp_path / "p", step("slow", inputs="a", outputs="out"))
    bench.tools.add(
        "slow",
        "mkdir out; echo part > out/half; echo $$ > ../pid; touch ../started\n"
        "while ! test -e ../go; do sleep 0.02; done; cp a out/a; mv out/half out/whole",
    )
    bench.write("a", "a")
    return bench


def test_a_second_build_waits_for_the_first(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as other:
        _wait_for(tmp_path / "started")

        async def second() -> list[str]:
            building = asyncio.ensure_future(slow.builder().build())
            await asyncio.to_thread(
                _wait_until, lambda: any(isinstance(event, WaitingForBuild) for event in slow.events)
            )
            assert slow.builder().up_to_date() is None
            (tmp_path / "go").touch()
            return states(await building)

        assert asyncio.run(asyncio.wait_for(second(), DEADLINE_S)) == ["up-to-date"]
        assert slow.tools.runs == []
        (waiting,) = [event for event in slow.events if isinstance(event, WaitingForBuild)]
        assert waiting.pid == other.pid and str(other.pid) in waiting.text
        assert other.communicate(timeout=DEADLINE_S)[0] == '["built"]\n'


def test_waiting_for_another_build_can_be_given_up(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as other:
        _wait_for(tmp_path / "started")
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(slow.builder().build(), 0.3))
        (tmp_path / "go").touch()
        assert other.wait(DEADLINE_S) == 0


def test_cancelling_kills_the_step_and_leaves_all_whole(slow: Bench, tmp_path: Path) -> None:
    slow.write("out/mine", "precious")

    async def cancelled() -> None:
        building = asyncio.ensure_future(slow.builder().build())
        await asyncio.to_thread(_wait_for, tmp_path / "started")
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building

    asyncio.run(asyncio.wait_for(cancelled(), DEADLINE_S))
    assert _gone(int((tmp_path / "pid").read_text()))
    assert any(isinstance(event, Notice) and "out/mine" in event.text for event in slow.events)
    assert slow.plan().steps[0].why == "its last run was cut short"
    (tmp_path / "go").touch()
    report = slow.build()
    assert (states(report), whys(report)) == (["built"], ["its last run was cut short"])
    assert sorted(path.name for path in (slow.root / "out").iterdir()) == ["a", "whole"]
    assert _replaced(slow) == {"out/mine": "precious"}


def test_an_interrupt_of_the_whole_program(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as process:
        _wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) != 0
    assert _gone(int((tmp_path / "pid").read_text()))
    (tmp_path / "go").touch()
    assert states(slow.build()) == ["built"]


def test_a_killed_build_is_put_right_by_the_next(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as process:
        _wait_for(tmp_path / "started")
        process.kill()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    (tmp_path / "go").touch()
    report = slow.build()
    assert (states(report), whys(report)) == (["built"], ["its last run was cut short"])
    assert sorted(path.name for path in (slow.root / "out").iterdir()) == ["a", "whole"]
    assert _replaced(slow) == {"out/half": "part\n"}, "nobody knows who wrote that"


@pytest.mark.slow
def test_killed_at_any_moment_of_a_restore_the_outputs_are_old_or_new_and_the_edit_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("many", inputs="a", outputs=("out", "one.txt")))
    bench.tools.add("many", "mkdir out; for n in 1 2 3; do cat a > out/$n; done; cp a one.txt")
    trees = {}
    for text in ("old", "new"):
        bench.write("a", text)
        assert bench.build().ok
        trees[text] = snapshot(bench.root / "out")
    template = tmp_path / "template"
    shutil.copytree(bench.root, template, symlinks=True)
    with_mine = {**trees["new"].files, "mine": (0o100644, b"precious")}
    seen = set()
    for number in itertools.count():
        shutil.rmtree(bench.root)
        shutil.copytree(template, bench.root, symlinks=True)
        bench.write("a", "old")
        bench.write("out/mine", "precious")
        killed = bench.build_and_die(number)
        out = snapshot(bench.root / "out")
        assert out.files in (trees["old"].files, with_mine), "a mix"
        seen.add(out.files == with_mine)
        report = bench.build()
        assert report.ok and bench.tools.runs == []
        assert snapshot(bench.root / "out") == trees["old"] and bench.read("one.txt") == "old"
        assert _replaced(bench) == {"out/mine": "precious"}
        assert not any((bench.root / ".dx/build/staging").iterdir())
        if not killed:
            break
    assert seen == {True, False}


@pytest.mark.slow
def test_killed_at_any_moment_of_a_run_the_next_build_puts_it_right(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("many", inputs="a", outputs="out"))
    bench.tools.add("many", "mkdir out; for n in 1 2 3; do cat a > out/$n; done")
    bench.write("a", "old")
    assert bench.build().ok
    template = tmp_path / "template"
    shutil.copytree(bench.root, template, symlinks=True)
    for number in itertools.count():
        shutil.rmtree(bench.root)
        shutil.copytree(template, bench.root, symlinks=True)
        bench.write("a", "new")
        bench.write("out/mine", "precious")
        killed = bench.build_and_die(number)
        assert bench.build().ok
        assert {path.name: path.read_text() for path in (bench.root / "out").iterdir()} == dict.fromkeys("123", "new")
        assert _replaced(bench)["out/mine"] == "precious"
        assert states(bench.build()) == ["up-to-date"]
        if not killed:
            break


def test_up_to_date_without_a_loop(site: Bench) -> None:
    assert site.builder().up_to_date() is None
    site.build()
    report = site.builder().up_to_date()
    assert report is not None and (report.ok, states(report)) == (True, ["up-to-date"] * 2)
    site.write("src/a.js", "x")
    assert site.builder().up_to_date() is None
    site.build()
    site.needs = ("page",)
    assert site.builder().up_to_date() is None
    site.needs = ()
    pending = PendingFile(path="src/p/x", light="red", reason="", package="p")
    assert site.builder().up_to_date(pending=(pending,)) is None
    (site.root / ".dx/build/staging/left").mkdir()
    assert site.builder().up_to_date() is None


_ON_A_MOUNT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
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
    mount = f'mount -t tmpfs none {root}/dist && exec "$@"'
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    program = [sys.executable, "-c", _ON_A_MOUNT, str(root), str(Path(__file__).parents[2])]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", *program],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "built old dist/deep dist/deep/a",
        "built new dist/deep dist/deep/a",
        "restored old dist/deep dist/deep/a",
    ]
    assert sorted(path.read_text() for path in (root / ".dx/build/replaced").rglob("mine*")) == ["old", "old"]


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


def test_a_build_with_nothing_to_do_opens_no_input(site: Bench) -> None:
    site.build()
    site.settle()
    site.build()
    opened: set[str] = set()

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and str(args[0]).startswith(str(site.root)):
            opened.add(os.path.relpath(str(args[0]), site.root))

    sys.addaudithook(watch)
    assert states(site.build()) == ["up-to-date"] * 2
    # The programs, for the interpreter in their first line.
    assert {path for path in opened if not path.startswith(".dx")} == {"tools/bundle", "tools/page"}
    opened.clear()
    (site.root / "page.html").touch()
    assert states(site.build()) == ["up-to-date"] * 2, "touched, but the same"
    assert {path for path in opened if not path.startswith((".dx", "tools"))} == {"page.html"}
