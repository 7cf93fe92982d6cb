"""A small real toolbox: shell scripts as tools, run as processes of their own. Builds need no orchestrator here."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dxforge.build.builder import Builder
from dxforge.build.cache import Cache
from dxforge.build.events import StepOutput, StepStarted
from dxforge.build.model import BuildPlan, BuildReport, PendingFile
from dxforge.build.toolbox import Execution, ToolFacts
from dxforge.config.model import BuildConfig, StepConfig
from dxforge.errors import ToolStartError, UnknownToolError
from dxforge.events import Event, EventBus

JOIN = """#!/bin/sh
# join OUT IN...: the inputs, one after the other
out=$1; shift
mkdir -p "$(dirname "$out")"
cat "$@" > "$out"
"""


class Tools:
    """Tools by name. They run in ``root`` with only what is declared, PATH and HOME."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.facts: dict[str, ToolFacts] = {}
        self.scripts: dict[str, str] = {}
        self.runs: list[str] = []
        """What was executed, as one would type it."""
        self.ensured: list[str] = []
        self.groups: Path | None = None
        """A file that the process groups of tools are written to."""

    def add(
        self,
        name: str,
        script: str = JOIN,
        *,
        env: Mapping[str, str] | None = None,
        definition: Mapping[str, Any] | None = None,
        inputs: tuple[str, ...] = (),
        outputs: tuple[str, ...] = (),
        binary: Path | None = None,
    ) -> None:
        """Write a script, and declare it as a tool."""
        path = binary or self.root / "tools" / name
        if binary is None:
            path.parent.mkdir(exist_ok=True)
            self.scripts[name] = script
            text = script if script.startswith("#!") else f"#!/bin/sh\nset -e\n{script}\n"
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
                path.chmod(0o755)
        self.facts[name] = ToolFacts(
            name=name,
            binary=path,
            environment=env or {},
            definition=definition or {"binary_path": name},
            inputs=inputs,
            outputs=outputs,
        )

    def definition(self, name: str) -> ToolFacts:
        """See `Toolbox.definition`."""
        if name not in self.facts:
            raise UnknownToolError(
                f'there is no tool "{name}"', tool=name, hint=f"Did you mean {next(iter(self.facts), '?')!r}?"
            )
        return self.facts[name]

    async def ensure_all(self, names: Sequence[str]) -> None:
        """See `Toolbox.ensure_all`."""
        self.ensured += names

    async def execute(self, name: str, args: Sequence[str], *, on_output: Callable[[str, str], None]) -> Execution:
        """See `Toolbox.execute`."""
        facts = self.facts[name]
        self.runs.append(" ".join([name, *args]))
        started = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                facts.binary,
                *args,
                cwd=self.root,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **facts.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolStartError(f"it cannot be started: {error.strerror}", tool=name) from error
        texts = {"stdout": "", "stderr": ""}

        async def pump(stream: str, reader: asyncio.StreamReader) -> None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while piece := await reader.read(65536):
                text = decoder.decode(piece)
                texts[stream] += text
                on_output(stream, text)

        assert process.stdout is not None and process.stderr is not None
        if self.groups is not None:
            with self.groups.open("a") as groups:
                groups.write(f"{process.pid}\n")
        try:
            await asyncio.gather(pump("stdout", process.stdout), pump("stderr", process.stderr))
            exit_code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
        return Execution(exit_code=exit_code, duration_s=time.monotonic() - started, **texts)


class _Assassin:
    """An audit hook that kills its process before its ``number``-th change to the file system."""

    _CHANGES = frozenset(("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "os.link"))

    def __init__(self, number: int, spared: str) -> None:
        self._left = number
        self._spared = spared

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        changes = event in self._CHANGES
        if event == "open" and isinstance(args[2], int) and str(args[0]) != self._spared:
            changes = bool(args[2] & (os.O_WRONLY | os.O_CREAT))
        if changes:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def step(
    tool: str,
    *args: str,
    inputs: tuple[str, ...] | str = (),
    outputs: tuple[str, ...] | str = (),
) -> StepConfig:
    """One of ``[[build.steps]]``; a single text is a tuple of one."""
    return StepConfig(
        tool=tool,
        args=args,
        inputs=(inputs,) if isinstance(inputs, str) else inputs,
        outputs=(outputs,) if isinstance(outputs, str) else outputs,
    )


class Bench:
    """A project with steps, and everything that its builds told."""

    def __init__(self, root: Path, *steps: StepConfig, needs: tuple[str, ...] = ()) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.tools = Tools(root)
        self.steps = steps
        self.needs = needs
        self.events: list[Event] = []
        self.jobs: int | None = None
        self.cache: Cache | None = None

    def builder(self) -> Builder:
        """A new builder, as a new process would make."""
        bus = EventBus()
        bus.subscribe(self.events.append)
        config = BuildConfig(needs=self.needs, steps=self.steps)
        return Builder(self.root, config, self.tools, bus, jobs=self.jobs, cache=self.cache)

    def build(
        self, *, force: bool = False, allow_pending: bool = False, pending: tuple[PendingFile, ...] = ()
    ) -> BuildReport:
        """Build in a new loop, from a new builder; ``events`` and ``tools.runs`` start anew."""
        self.events.clear()
        self.tools.runs.clear()
        return asyncio.run(self.builder().build(force=force, allow_pending=allow_pending, pending=pending))

    def plan(self, *, force: bool = False, pending: tuple[PendingFile, ...] = ()) -> BuildPlan:
        """Plan in a new loop."""
        return asyncio.run(self.builder().plan(force=force, pending=pending))

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the project, in place."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def read(self, path: str) -> str:
        """A file of the project."""
        return (self.root / path).read_text()

    def build_and_die(self, number: int) -> bool:
        """Build in a child that is killed, with its tools, before its ``number``-th change to the file system.

        Returns:
            False: it came to its end before.
        """
        groups = self.root.parent / "groups"
        groups.unlink(missing_ok=True)
        jobs, self.jobs, self.tools.groups = self.jobs, 1, groups
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sys.addaudithook(_Assassin(number, str(groups)))
                self.build()
                code = 0
            finally:
                os._exit(code)
        self.jobs, self.tools.groups = jobs, None
        _, status = os.waitpid(child, 0)
        for group in groups.read_text().split() if groups.exists() else []:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
        return os.WIFSIGNALED(status)

    def spawn(self) -> subprocess.Popen[str]:
        """Build in a process of its own, which prints the states as JSON."""
        given = {
            "root": str(self.root),
            "steps": [[one.tool, one.args, one.inputs, one.outputs] for one in self.steps],
            "tools": self.tools.scripts,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.toolbox", json.dumps(given)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )

    def settle(self) -> None:
        """Let times pass, so that the stat cache can be trusted."""
        time.sleep(0.07)

    def replaced(self) -> dict[str, str]:
        """What was put aside: path in the project -> content."""
        return {
            file.relative_to(top).as_posix(): file.read_text()
            for top in sorted((self.root / ".dx/build/replaced").glob("*"))
            for file in top.rglob("*")
            if file.is_file()
        }

    def started(self) -> list[str]:
        """The tools whose steps were started, in order."""
        return [event.tool for event in self.events if isinstance(event, StepStarted)]

    def output(self) -> str:
        """What steps printed, replayed or not."""
        return "".join(event.text for event in self.events if isinstance(event, StepOutput))


def make_site(root: Path) -> Bench:
    """Two steps, the second reads what the first writes."""
    bench = Bench(
        root,
        step("bundle", "dist/app.js", "src/a.js", "src/b.js", inputs="src/**", outputs="dist"),
        step("page", "site/index.html", "dist/app.js", "page.html", inputs=("dist/**", "page.html"), outputs="site"),
    )
    bench.tools.add("bundle")
    bench.tools.add("page")
    bench.write("src/a.js", "a\n")
    bench.write("src/b.js", "b\n")
    bench.write("page.html", "<page>\n")
    return bench


def run_mounted(mount: str, program: str, *args: str) -> str:
    """Run Python code with a tmpfs mounted (``mount``: options and place) where nobody else sees it; its output."""
    shell = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs {mount} && exec "$@"', "sh"]
    if subprocess.run([*shell, "true"], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    done = subprocess.run(
        [*shell, sys.executable, "-c", program, *args],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def whys(report: BuildReport | BuildPlan) -> list[str]:
    """The reasons, step by step."""
    return [step.why for step in report.steps]


def states(report: BuildReport | BuildPlan) -> list[str]:
    """The states, step by step."""
    return [step.state.value for step in report.steps]


def main(given: dict[str, Any]) -> None:
    """What `Bench.spawn` runs."""
    steps = [
        StepConfig(tool=tool, args=tuple(args), inputs=tuple(inputs), outputs=tuple(outputs))
        for tool, args, inputs, outputs in given["steps"]
    ]
    bench = Bench(Path(given["root"]), *steps)
    for name, script in given["tools"].items():
        bench.tools.add(name, script)
    print(json.dumps(states(bench.build())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
