"""Builds over real files and real processes: what runs, what does not, and why."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.last import last_build
from dxforge.build.model import PendingFile
from dxforge.errors import BuildPlanError
from dxforge.events import Progress
from tests.support.project import snapshot
from tests.support.toolbox import Bench, make_site, states, step, whys


@pytest.fixture
def site(tmp_path: Path) -> Bench:
    """See `make_site`."""
    return make_site(tmp_path / "project")


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
    assert kinds == [BuildStarted, *[StepStarted, StepFinished, Progress] * 2]
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
    assert report.steps[0].why == "src/a.js changed (mode 644 → 755)"
    assert [token.split(":")[0] for token in report.steps[0].changes.changed["src/a.js"]] == ["file", "exec"]


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
    allowed = site.builder().up_to_date(allow_pending=True, pending=(pending,))
    assert allowed is not None
    assert (allowed.ok, allowed.pending) == (True, (pending,))
    (site.root / ".dx/build/staging/left").mkdir()
    assert site.builder().up_to_date() is None


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
    assert "the build without steps" in caught.value.where
    for name in ("dx-style", "dx-js-runtime"):
        bench.tools.add(name)
    bench.tools.add("dx-js-bundler", "cat src/* > bundle.js", inputs=("src/**",), outputs=("bundle.js",))
    bench.write("src/a", "a")
    report = bench.build()
    assert [(result.tool, result.args) for result in report.steps] == [("dx-js-bundler", ("build",))]
    assert (bench.tools.ensured, bench.read("bundle.js")) == (["dx-style", "dx-js-runtime"], "a")
    assert states(bench.build()) == ["up-to-date"]


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
    first, second, other = whys(report)
    # Whichever of the two was looked at first runs.
    assert {first, second} in (
        {"first build", "the same as build.steps[0]"},
        {"first build", "the same as build.steps[1]"},
    )
    assert other == "first build"
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
    assert (report.ok, report.pending) == (True, (inside,))
    assert report.notes == ("built although a decision is due: src/dx_packages/lib/lib/x.js",)
    assert site.build(pending=(elsewhere,)).ok


def test_a_package_counts_as_a_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("a", inputs="src/dx_packages/lib/used.js"))
    bench.tools.add("a", ":")
    bench.write("src/dx_packages/lib/used.js", "")
    pending = PendingFile(path="src/dx_packages/lib/other.js", light="yellow", reason="x", package="lib")
    assert not bench.build(pending=(pending,)).ok
