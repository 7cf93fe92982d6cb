"""Whatever is edited, deleted, reverted, damaged or killed in between: a build gives what a clean build gives."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.support.project import Snapshot, snapshot
from tests.support.toolbox import Bench, states, step

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

_OUTPUTS = ("dist", "style.css", "site")
_SOURCES = ("src/a", "src/b", "src/deep/c")
_TEXTS = st.sampled_from(["", "one", "two", "three"])
_BUNDLE = """
mkdir -p dist/parts
for f in src/a src/b src/deep/c; do
  if test -e $f; then cp $f dist/parts/$(basename $f)-$(wc -c < $f | tr -d ' '); fi
done
mkdir dist/empty; ln -s parts dist/link; echo "$@ $MODE" > dist/args; chmod 755 dist/args
echo bundled
"""
_STYLE = "cat style/* 2>/dev/null > style.css || true; echo $1 >> style.css"
_PAGE = "mkdir site; { cat dist/parts/* 2>/dev/null; cat dist/args style.css; } > site/index || true; echo page >&2"


class Builds(RuleBasedStateMachine):
    """A project with three steps, a user, and accidents. The model is a function: from inputs to outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sources: dict[str, str] = {}
        self.args: tuple[str, ...] = ("build",)
        self.mode = "dev"
        self.precious: set[str] = set()
        self.edits = 0
        self.kills = 0
        self.bench = Bench(Path(self.folder.name) / "p")
        for name, script in (("bundle", _BUNDLE), ("style", _STYLE), ("page", _PAGE)):
            self.bench.tools.add(name, script)
        self.declare()
        self.edit_source("src/a", "one")

    def teardown(self) -> None:
        self.folder.cleanup()

    def declare(self) -> None:
        """What ``dx.toml`` says now."""
        self.bench.tools.add("bundle", _BUNDLE, env={"MODE": self.mode})
        self.bench.steps = (
            step("bundle", *self.args, inputs="src/**", outputs="dist"),
            step("style", "x", inputs="style/**", outputs="style.css"),
            step("page", inputs=("dist/**", "style.css"), outputs="site"),
        )

    # ---- what a user does

    @rule(path=st.sampled_from([*_SOURCES, "style/s"]), text=_TEXTS)
    def edit_source(self, path: str, text: str) -> None:
        """Write an input."""
        self.sources[path] = text
        self.bench.write(path, text)

    @rule(path=st.sampled_from([*_SOURCES, "style/s"]))
    def delete_source(self, path: str) -> None:
        """Delete an input."""
        self.sources.pop(path, None)
        (self.bench.root / path).unlink(missing_ok=True)

    @rule(args=st.sampled_from([("build",), ("build", "--minify"), ()]))
    def change_args(self, args: tuple[str, ...]) -> None:
        """Toggle arguments."""
        self.args = args
        self.declare()

    @rule(mode=st.sampled_from(["dev", "production"]))
    def change_env(self, mode: str) -> None:
        """Toggle the environment."""
        self.mode = mode
        self.declare()

    @rule(path=st.sampled_from(["dist/parts/a-3", "dist/args", "dist/new/file", "dist", "style.css", "site/index"]))
    def edit_output(self, path: str) -> None:
        """Write into an output by hand."""
        target = self.bench.root / path
        if target.is_dir() or any(parent.is_file() for parent in target.parents):
            return
        if target.is_file():
            self.precious.discard(target.read_text())
        self.edits += 1
        text = f"precious {self.edits:04}"
        self.precious.add(text)
        self.bench.write(path, text)

    @rule(path=st.sampled_from(["dist/parts", "dist/args", "dist/empty", "dist/link", "dist", "style.css", "site"]))
    def delete_output(self, path: str) -> None:
        """Delete an output, or a part of one."""
        target = self.bench.root / path
        there = self.everything(target)
        self.precious -= {text for text in self.precious if text in there}
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        elif os.path.lexists(target):
            target.unlink()

    # ---- accidents

    @rule(choice=st.integers(0, 20))
    def rot(self, choice: int) -> None:
        """Damage a file of the cache."""
        files = sorted(path for path in (self.bench.root / ".dx/build").rglob("*") if path.is_file())
        files = [path for path in files if not {"replaced", "staging"} & {*path.parts}]
        if files:
            path = files[choice % len(files)]
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :])

    @precondition(lambda self: self.kills < 3)
    @rule(number=st.integers(0, 60))
    def killed_build(self, number: int) -> None:
        """Build, and be killed."""
        self.kills += 1
        self.bench.build_and_die(number)

    # ---- what must hold

    @rule(force=st.booleans())
    def build(self, force: bool) -> None:
        """Build: exactly what a clean build gives, and nothing of the user's is lost."""
        report = self.bench.build(force=force)
        assert report.ok, [(result.why, result.error) for result in report.steps]
        built = snapshot(self.bench.root)
        clean = self.clean()
        for seen, expected in (
            (built.files, clean.files),
            (dict.fromkeys(built.folders), dict.fromkeys(clean.folders)),
        ):
            assert _outputs(seen) == _outputs(expected)
        text = self.everything(self.bench.root)
        assert [precious for precious in self.precious if precious not in text] == []
        again = self.bench.build()
        assert set(states(again)) == {"up-to-date"}
        assert [(one.stdout, one.stderr) for one in again.steps] == [("bundled\n", ""), ("", ""), ("", "page\n")]

    def clean(self) -> Snapshot:
        """The same inputs, built in an empty folder."""
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder) / "p", *self.bench.steps)
            bench.tools.add("style", _STYLE)
            bench.tools.add("page", _PAGE)
            bench.tools.add("bundle", _BUNDLE, env={"MODE": self.mode})
            for path, text in self.sources.items():
                bench.write(path, text)
            assert bench.build().ok
            return snapshot(bench.root)

    @staticmethod
    def everything(top: Path) -> str:
        """All content at and below a path."""
        files = [top, *top.rglob("*")] if top.exists() else []
        return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())


@st.composite
def _reads(draw: st.DrawFn) -> tuple[list[set[int]], list[int]]:
    """What each of some steps reads of earlier ones, and the order in which ``dx.toml`` names them."""
    count = draw(st.integers(2, 9))
    reads = [draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set() for index in range(count)]
    return reads, draw(st.permutations(range(count)))


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(_reads(), st.integers(1, 4), st.data())
def test_any_graph_is_built_in_an_order_that_fits(
    given_graph: tuple[list[set[int]], list[int]], jobs: int, data: st.DataObject
) -> None:
    reads, order = given_graph
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "p")
        bench.jobs = jobs
        bench.tools.add("join", "out=$1; shift; cat $@ > $out; echo $out >> $out")

        def content(index: int) -> str:
            return "".join([f"{index}={sources[index]} ", *(content(other) for other in sorted(reads[index]))]) + (
                f"o{index}\n"
            )

        inputs = [(f"s{index}", *(f"o{other}" for other in sorted(reads[index]))) for index in range(len(reads))]
        bench.steps = tuple(
            step("join", f"o{index}", *inputs[index], inputs=inputs[index], outputs=f"o{index}") for index in order
        )
        sources = dict.fromkeys(range(len(reads)), "first")
        for change in (None, data.draw(st.sampled_from(order))):
            if change is not None:
                sources[change] = "second"
            for index, text in sources.items():
                bench.write(f"s{index}", f"{index}={text} ")
            report = bench.build()
            assert report.ok
            assert [bench.read(f"o{index}") for index in range(len(reads))] == [content(i) for i in range(len(reads))]
        stale = {change}
        while more := {index for index, before in enumerate(reads) if before & stale} - stale:
            stale |= more
        assert {order[one.step.index] for one in report.steps if not one.cached} == stale


def _outputs(paths: dict[str, object]) -> dict[str, object]:
    return {path: what for path, what in paths.items() if path.split("/")[0] in _OUTPUTS}


Builds.TestCase.settings = settings(
    max_examples=25, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBuilds = pytest.mark.slow(Builds.TestCase)
