"""The build pipeline: the orchestrator as a build sees it, and what runs without ``[build]``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import dxforge
from dxforge import pipelines
from dxforge.errors import BuildPlanError, ConfigError, ToolDefinitionError, UnknownToolError
from dxforge.pipelines import ToolsOfForge

TOML = """\
[project]
name = "x"

[tools.copy]
binary_path = "./copy"
args = ["--serve"]
env = { MODE = "fast" }
pass_env = ["DX_TEST_TOKEN", "DX_TEST_UNSET"]
dependencies = ["db"]
inputs = ["a.txt"]
outputs = ["b.txt"]

[tools.db]
binary_path = "/bin/sh"
args = ["-c", "exec sleep 300"]

[build]
needs = ["db"]
[[build.steps]]
tool = "copy"
"""


@pytest.fixture
def root(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DX_TEST_TOKEN", "t")
    monkeypatch.delenv("DX_TEST_UNSET", raising=False)
    (tmp_path / "dx.toml").write_text(TOML)
    (tmp_path / "a.txt").write_text("a")
    program = tmp_path / "copy"
    program.write_text(
        f"#!{sys.executable}\nimport os, shutil, sys\nprint(sys.argv[1:], os.environ['MODE'])\n"
        "shutil.copy('a.txt', 'b.txt')\n"
    )
    program.chmod(0o755)
    return tmp_path


def test_facts_are_what_a_steps_result_depends_on(root: Path) -> None:
    facts = ToolsOfForge(dxforge.DxForge(root)).definition("copy")
    assert facts.name == "copy"
    assert facts.binary == root / "copy"
    assert facts.environment == {"MODE": "fast", "DX_TEST_TOKEN": "t"}
    assert facts.definition == {"binary_path": "./copy", "dependencies": ["db"]}
    assert (facts.inputs, facts.outputs) == (("a.txt",), ("b.txt",))
    assert facts.search_path


def test_tools_that_are_not_there(root: Path) -> None:
    tools = ToolsOfForge(dxforge.DxForge(root))
    with pytest.raises(UnknownToolError):
        tools.definition("cpy")
    (root / "copy").unlink()
    with pytest.raises(ToolDefinitionError):
        tools.definition("copy")


def test_the_pipeline_starts_what_is_needed_and_runs_the_steps(root: Path) -> None:
    async def main() -> tuple[dxforge.BuildReport, dxforge.BuildReport, str]:
        async with dxforge.DxForge(root) as forge:
            first = await forge.run_pipeline("build")
            state = forge.orchestrator.status("db").state.value
            second = await forge.run_pipeline("build")
            assert isinstance(first, dxforge.BuildReport)
            assert isinstance(second, dxforge.BuildReport)
            return first, second, state

    first, second, state = asyncio.run(main())
    assert first.ok
    assert first.needs == ("db",)
    (step,) = first.steps
    assert step.stdout == "[] fast\n"  # its own arguments, not those of the long-running form
    assert Path(step.stdout_path).read_text() == step.stdout
    assert state == "running"
    assert second.steps[0].cached
    assert (root / "b.txt").read_text() == "a"


def test_a_sync_caller_builds_as_well(root: Path) -> None:
    with dxforge.ForgeThread(root) as thread:
        assert thread.run_pipeline("build").ok


def test_a_plan_runs_nothing(root: Path) -> None:
    async def main() -> dxforge.BuildPlan:
        async with dxforge.DxForge(root) as forge:
            return await pipelines.plan_build(forge)

    plan = asyncio.run(main())
    assert [step.state.value for step in plan.steps] == ["run"]
    assert not (root / "b.txt").exists()


def test_what_is_up_to_date_is_known_without_a_loop(root: Path) -> None:
    (root / "dx.toml").write_text(TOML.replace('needs = ["db"]', "").replace('dependencies = ["db"]', ""))
    forge = dxforge.DxForge(root)
    assert pipelines.built_already(forge) is None
    with dxforge.ForgeThread(root) as thread:
        assert thread.run_pipeline("build").ok
    report = pipelines.built_already(forge)
    assert report is not None
    assert report.steps[0].cached
    (root / "a.txt").write_text("changed")
    assert pipelines.built_already(forge) is None


def test_without_a_build_the_tools_that_are_missing_are_named(root: Path) -> None:
    (root / "dx.toml").write_text('[tools.dx-style]\nbinary_path = "/bin/sh"\n')
    with pytest.raises(BuildPlanError, match="dx-js-runtime and dx-js-bundler are missing") as caught:
        pipelines.make_builder(dxforge.DxForge(root))
    assert "[tools.dx-js-runtime]" in caught.value.hint
    names = ("dx-style", "dx-js-runtime", "dx-js-bundler")
    (root / "dx.toml").write_text("".join(f'[tools.{name}]\nbinary_path = "/bin/sh"\n' for name in names))
    assert pipelines.make_builder(dxforge.DxForge(root)) is not None


def test_a_broken_dx_toml(root: Path) -> None:
    (root / "dx.toml").write_text("[bild]\n")
    with pytest.raises(ConfigError):
        pipelines.make_builder(dxforge.DxForge(root))
