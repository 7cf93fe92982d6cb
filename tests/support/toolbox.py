"""A small real toolbox: shell scripts as tools, run as processes of their own. Builds need no orchestrator here."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dxforge.build.builder import Builder
from dxforge.build.cache import Cache
from dxforge.build.events import StepOutput, StepStarted
from dxforge.build.model import BuildPlan, BuildReport, PendingFile
from dxforge.build.toolbox import Execution, ToolFacts
from dxforge.config.model import BuildConfig, StepConfig
from dxforge.errors import UnknownToolError
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
        self.runs: list[str] = []
        """What was executed, as one would type it."""
        self.ensured: list[str] = []

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
        texts = {"stdout": "", "stderr": ""}

        async def pump(stream: str, reader: asyncio.StreamReader) -> None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while piece := await reader.read(65536):
                text = decoder.decode(piece)
                texts[stream] += text
                on_output(stream, text)

        assert process.stdout is not None and process.stderr is not None
        try:
            await asyncio.gather(pump("stdout", process.stdout), pump("stderr", process.stderr))
            exit_code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
        return Execution(exit_code=exit_code, duration_s=time.monotonic() - started, **texts)


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

    def settle(self) -> None:
        """Let times pass, so that the stat cache can be trusted."""
        time.sleep(0.07)

    def started(self) -> list[str]:
        """The tools whose steps were started, in order."""
        return [event.tool for event in self.events if isinstance(event, StepStarted)]

    def output(self) -> str:
        """What steps printed, replayed or not."""
        return "".join(event.text for event in self.events if isinstance(event, StepOutput))


def whys(report: BuildReport | BuildPlan) -> list[str]:
    """The reasons, step by step."""
    return [(step.why if isinstance(report, BuildReport) else step.why) for step in report.steps]


def states(report: BuildReport | BuildPlan) -> list[str]:
    """The states, step by step."""
    return [step.state.value for step in report.steps]
