"""Builds on the command line as a user meets them: real steps, real files, real watching."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.support.project import lay, lines
from tests.support.tool_project import CONCATENATE, ToolProject, ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")

STEP = """\
[[build.steps]]
tool = "join"
args = [{args}]
inputs = [{inputs}]
outputs = ["{output}"]
"""


def step(*inputs: str, output: str, reads: tuple[str, ...] = ()) -> str:
    """A step that joins ``inputs`` into ``output``."""
    quoted = [f'"{path}"' for path in inputs]
    return STEP.format(
        args=", ".join([*quoted, f'"{output}"']),
        inputs=", ".join([*quoted, *(f'"{path}"' for path in reads)]),
        output=output,
    )


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Iterator[ToolProject]:
    """Two steps and one that joins what they make; a tool that the build needs."""
    made = ToolProject(tmp_path)
    lay(tmp_path, {"src/a.txt": "a\n", "src/b.txt": "b\n"})
    made.script("join", CONCATENATE)
    made.tool("db", "/bin/sh", "-c", "echo up; sleep 300", health={"log": "up"})
    made.toml('[build]\nneeds = ["db"]\n')
    made.toml(step("src/a.txt", output="out/a.txt"))
    made.toml(step("src/b.txt", output="out/b.txt"))
    made.toml(step("out/a.txt", "out/b.txt", output="dist/all.txt"))
    try:
        yield made
    finally:
        made.end()


def edit(project: ToolProject, path: str, text: str) -> None:
    (project.root / path).write_text(text)


def test_a_life(project: ToolProject) -> None:
    planned = project.dx("build", "--dry-run").stdout
    assert re.search(r"^join src/a.txt out/a.txt +◐ To run +first build", planned, re.MULTILINE)
    assert "Nothing was run" in planned
    assert not (project.root / "out").exists()

    done = project.dx("build")
    assert "Built in" in done.stdout
    assert "3 built" in done.stdout
    assert "Stopped again: db" in done.stdout
    assert re.search(r"^● Healthy  db", done.stderr, re.MULTILINE)
    assert (project.root / "dist/all.txt").read_text() == "a\nb\n"
    assert not project.processes()

    assert "3 steps up to date." in project.dx("build").stdout
    edit(project, "src/a.txt", "A\n")
    explained = project.dx("build", "--dry-run", "--explain").stdout
    assert "join src/a.txt out/a.txt is different from its last run:\n  ~ changed  src/a.txt\n" in explained
    data = project.answer("build")
    assert data["ok"] is True
    assert [item["cached"] for item in data["steps"]] == [False, True, False]
    assert [item["exit_code"] for item in data["steps"]] == [0, 0, 0]
    assert data["steps"][0]["tool"] == "join"
    assert data["steps"][0]["args"] == ["src/a.txt", "out/a.txt"]
    assert data["steps"][0]["why"] == "src/a.txt changed"
    assert data["stopped"] == ["db"]
    assert (project.root / "dist/all.txt").read_text() == "A\nb\n"

    assert [item["cached"] for item in project.answer("build", "--force")["steps"]] == [False] * 3
    (project.root / "dist/all.txt").unlink()
    restored = project.answer("build")["steps"][2]
    assert (restored["cached"], restored["state"]) == (True, "restored")
    assert (project.root / "dist/all.txt").read_text() == "A\nb\n"


def test_a_tool_that_ran_before_the_build_runs_on(project: ToolProject) -> None:
    project.dx("start", "db", "-q")
    (pid,) = [tool["pid"] for tool in project.answer("status")["tools"] if tool["name"] == "db"]
    data = project.answer("build")
    assert data["stopped"] == []
    assert [tool["pid"] for tool in project.answer("status")["tools"] if tool["name"] == "db"] == [pid]


def test_a_failing_step_is_status_one_with_its_last_words(project: ToolProject) -> None:
    edit(project, "src/b.txt", "fail\n")
    done = project.dx("build", status=1)
    assert re.search(r"^join src/b.txt out/b.txt +■ Failed .* exit status 1", done.stdout, re.MULTILINE)
    assert re.search(r"^join out/a.txt .* +○ Skipped", done.stdout, re.MULTILINE)
    assert "\n  cannot join: it says fail\n" in done.stdout
    assert "error: step join src/b.txt out/b.txt: failed: exit status 1" in done.stderr
    assert str(project.root) not in done.stdout
    data = project.answer("build", status=1)
    assert data["ok"] is False
    assert data["error"]["kind"] == "BuildFailedError"
    assert [item["exit_code"] for item in data["steps"]] == [0, 1, None]
    assert "cannot join" in data["steps"][1]["stderr"]
    edit(project, "src/b.txt", "b\n")
    assert project.answer("build")["ok"] is True


def test_a_need_that_does_not_get_ready_ends_the_build(project: ToolProject) -> None:
    project.tool("broken", "/bin/sh", "-c", "echo cannot; exit 1", restart={"policy": "never"})
    file = project.root / "dx.toml"
    file.write_text(file.read_text().replace('needs = ["db"]', 'needs = ["db", "broken"]'))
    done = project.dx("build", status=1)
    assert "error: tool broken" in done.stderr
    assert "\n    cannot\n" in done.stderr
    answer = project.answer("build", status=1)
    assert (answer["ok"], answer["steps"], answer["error"]["log_tail"]) == (False, [], ["cannot"])
    assert not (project.root / "out").exists()
    assert not project.processes()


def test_files_that_await_a_decision_keep_it_from_building(project: ToolProject, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    lay(upstream, {"m.txt": lines()})
    file = project.root / "dx.toml"
    file.write_text(file.read_text() + '\n[packages]\npkg = { path = "upstream" }\n')
    mine = "src/dx_packages/pkg/m.txt"
    file.write_text(file.read_text() + step(mine, output="dist/m.txt"))
    project.dx("install", "-q")
    edit(project, mine, lines(_3="mine"))
    edit(project, "upstream/m.txt", lines(_15="theirs"))
    project.dx("install", "-q", status=3)

    done = project.dx("build", status=3)
    assert "1 change awaits your decision, so nothing was built" in done.stdout
    assert re.search(rf"▲ Yellow +{mine}", done.stdout)
    assert not (project.root / "dist").exists()
    data = project.answer("build", status=3)
    assert data["ok"] is False
    assert [item["path"] for item in data["pending"]] == [mine]
    assert project.dx("build", "--dry-run", status=3).stdout.count(mine) >= 1
    strict = project.answer("build", "--strict", status=1)
    assert strict["error"]["kind"] == "BuildPendingError"
    assert "mine" not in (project.root / "upstream/m.txt").read_text()

    for _ in range(2):  # also where there is nothing to do
        allowed = project.answer("build", "--allow-pending")
        assert allowed["ok"] is True
        assert [file["path"] for file in allowed["pending"]] == [mine]
        assert f"built although a decision is due: {mine}" in allowed["notes"]
    assert "mine" in (project.root / "dist/m.txt").read_text()
    project.dx("accept", "--all", "-q")
    assert project.answer("build")["ok"] is True
    assert "theirs" in (project.root / "dist/m.txt").read_text()


def test_without_a_build_the_default_one_names_what_it_misses(project: ToolProject) -> None:
    file = project.root / "dx.toml"
    file.write_text('[project]\nname = "x"\n')
    done = project.dx("build", status=1)
    assert "dx-style, dx-js-runtime and dx-js-bundler are missing" in done.stderr
    assert "[tools.dx-style]" in done.stderr
    answer = project.answer("build", status=1)
    assert (answer["ok"], answer["steps"], answer["error"]["kind"]) == (False, [], "BuildPlanError")


def test_an_empty_build_table_is_not_said_to_be_missing(project: ToolProject) -> None:
    (project.root / "dx.toml").write_text('[project]\nname = "x"\n[build]\n')
    assert "there are no [[build.steps]], and of the tools" in project.dx("build", status=1).stderr


@pytest.mark.parametrize("used", ["needs", "step"])
def test_a_circle_of_tools_is_found_when_planning(project: ToolProject, used: str) -> None:
    project.tool("one", dependencies=["two"])
    project.tool("two", dependencies=["one"])
    file = project.root / "dx.toml"
    if used == "needs":
        file.write_text(file.read_text().replace('needs = ["db"]', 'needs = ["db", "one"]'))
    else:
        file.write_text(file.read_text() + '\n[[build.steps]]\ntool = "one"\n')
    error = project.answer("build", "--dry-run", status=1)["error"]
    assert "one → two → one" in error["what"]


def test_a_graph_without_a_folder_is_refused_before_anything_runs(project: ToolProject) -> None:
    done = project.dx("build", "--graph", "nodir/g.svg", status=2)
    assert "error: --graph: there is no folder nodir" in done.stderr
    assert not (project.root / "out").exists()


def test_a_step_that_writes_nothing_is_told_in_whole_sentences(project: ToolProject) -> None:
    project.tool("idle", "/bin/true")
    project.toml('[[build.steps]]\ntool = "idle"\ninputs = ["src/**"]\noutputs = ["never"]\n')
    what = project.answer("build", status=1)["error"]["what"]
    assert what == "failed: it ended well, but did not write its output never"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("args", [("build", "--json"), ("build",), ("buld", "--json"), ("status",)])
def test_an_output_that_cannot_be_written_is_one_clear_error(project: ToolProject, args: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "dxforge", *args]
        done = subprocess.run(
            command,
            cwd=project.root,
            env=project.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == (2 if "buld" in args else 1)
    assert done.stderr.count("error: ") == 1 and "standard output" in done.stderr
    assert "no space left on device" in done.stderr.lower()
    assert "Traceback" not in done.stderr and "bug in dxforge" not in done.stderr


def test_the_default_build_starts_its_tools_and_bundles(tmp_path: Path, cache_dir: Path) -> None:
    project = ToolProject(tmp_path)
    lay(tmp_path, {"src/a.txt": "a\n"})
    for name in ("dx-style", "dx-js-runtime"):
        project.tool(name, "/bin/sh", "-c", f"echo up > {name}.up; echo up; sleep 300", health={"log": "up"})
    code = (
        "import os, pathlib, sys\nassert sys.argv[1:] == ['build'], sys.argv\n"
        "assert os.path.exists('dx-style.up') and os.path.exists('dx-js-runtime.up')\n"
        "pathlib.Path('dist').mkdir(exist_ok=True)\n"
        "pathlib.Path('dist/a.txt').write_text(pathlib.Path('src/a.txt').read_text().upper())\n"
    )
    project.script("dx-js-bundler", code)
    file = project.root / "dx.toml"
    file.write_text(file.read_text() + 'inputs = ["src/**"]\noutputs = ["dist"]\n')
    try:
        data = project.answer("build")
        assert [(item["tool"], item["args"], item["cached"]) for item in data["steps"]] == [
            ("dx-js-bundler", ["build"], False)
        ]
        assert data["needs"] == ["dx-style", "dx-js-runtime"]
        assert (tmp_path / "dist/a.txt").read_text() == "A\n"
        assert project.answer("build")["steps"][0]["cached"] is True
    finally:
        project.end()


def test_the_graph_is_written_where_it_is_wanted(project: ToolProject) -> None:
    (project.root / "sub").mkdir()
    done = project.dx("build", "--dry-run", "--graph", "steps.mmd", cwd="sub")
    assert "The graph is in steps.mmd" in done.stdout
    mermaid = (project.root / "sub/steps.mmd").read_text()
    assert mermaid.startswith(("graph", "flowchart"))
    project.dx("build", "--graph", "steps.svg")
    assert "<svg" in (project.root / "steps.svg").read_text()
    assert ".svg or .mmd" in project.dx("build", "--graph", "steps.png", status=2).stderr
    assert "no/such" in project.dx("build", "--graph", "no/such/steps.svg", status=2).stderr


def test_ctrl_c_ends_the_build_and_leaves_no_process(project: ToolProject) -> None:
    project.script("slow", "import time\nprint('on it', flush=True)\ntime.sleep(300)\n")
    file = project.root / "dx.toml"
    file.write_text(file.read_text() + '\n[[build.steps]]\ntool = "slow"\ninputs = ["src/*"]\noutputs = ["never"]\n')
    process = project.begin("build")
    assert process.stderr is not None
    until(lambda: "slow" in process.stderr.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    _, err = ended(process)
    assert process.returncode == 130
    assert "interrupted" in err
    project.gone()


def test_watching_builds_again_and_says_why(project: ToolProject) -> None:
    process = project.begin("watch")
    assert process.stdout is not None
    heard = iter(process.stdout.readline, "")
    assert next(text for text in heard if "Built in" in text)
    edit(project, "src/a.txt", "changed\n")
    assert next(text for text in heard if text == "src/a.txt changed: build\n")
    assert next(text for text in heard if "Built in" in text)
    assert (project.root / "dist/all.txt").read_text() == "changed\nb\n"
    edit(project, "src/b.txt", "fail\n")
    assert next(text for text in heard if "cannot join" in text)
    edit(project, "src/b.txt", "well\n")
    assert next(text for text in heard if "Built in" in text)
    process.send_signal(signal.SIGINT)
    out, _ = ended(process)
    assert process.returncode == 130
    assert "Stopped watching after" in out
    project.gone()


def test_watching_restarts_a_tool(project: ToolProject) -> None:
    project.tool("server", "/bin/sh", "-c", "cat settings; sleep 300", watch=["settings"])
    edit(project, "settings", "first\n")
    process = project.begin("watch", "server")
    assert process.stdout is not None
    heard = iter(process.stdout.readline, "")
    assert next(text for text in heard if re.match("◉ Running  server", text))
    edit(project, "settings", "second\n")
    assert next(text for text in heard if text == "settings changed: server\n")
    assert next(text for text in heard if re.match("◉ Running  server", text))
    until(lambda: project.dx("logs", "server").stdout.endswith("second\n"))
    process.send_signal(signal.SIGINT)
    ended(process)
    assert process.returncode == 130
    project.gone()
