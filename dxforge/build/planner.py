"""What is to become of each step, and why. Reads, hashes, decides; writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dxforge.build.action import compare, make_key, make_manifest
from dxforge.build.cache import Cache, DamagedError
from dxforge.build.digests import Digests
from dxforge.build.globs import Globs
from dxforge.build.graph import Graph, inside
from dxforge.build.look import Found, look
from dxforge.build.model import Changes, PendingFile, Step, StepPlan, StepState
from dxforge.build.outputs import difference, look_at
from dxforge.build.program import Programs
from dxforge.build.record import Record, Rows, decode
from dxforge.build.toolbox import ToolFacts

_FIRST = "first build"
FROM_CACHE = ": restored from the cache"


class Records:
    """Each step's last run, in ``.dx/build/steps``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "steps"
        self._read: dict[str, Record | None] = {}

    def get(self, step_id: str) -> Record | None:
        """The last run of a step; None where there is none, or a damaged one."""
        if step_id not in self._read:
            try:
                self._read[step_id] = decode(self.path(step_id).read_bytes())
            except (OSError, ValueError):
                self._read[step_id] = None
        return self._read[step_id]

    def all(self) -> list[Record]:
        """The last runs of all steps that there ever were."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        found = [self.get(name.removesuffix(".json")) for name in names if name.endswith(".json")]
        return [record for record in found if record is not None]

    def path(self, step_id: str) -> Path:
        """The file that a step's last run is in."""
        return self.folder / f"{step_id}.json"

    def set(self, step_id: str, record: Record) -> None:
        """What `get` gives from now on."""
        self._read[step_id] = record


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A step's plan, with what is needed to carry it out."""

    plan: StepPlan
    inputs: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    """The result to use, of a step that need not run."""

    @property
    def step(self) -> Step:
        """The step."""
        return self.plan.step

    @property
    def state(self) -> StepState:
        """What is to become of it."""
        return self.plan.state


class Planner:
    """Decides for the steps of one build. May be asked from several threads, for several steps.

    Args:
        root: the project's folder.
        graph: the steps.
        facts: of their tools.
        cache: where results may be.
        records: the steps' last runs.
        digests: what files hold.
        force: run all steps.
    """

    def __init__(
        self,
        root: str,
        graph: Graph,
        facts: Mapping[str, ToolFacts],
        *,
        cache: Cache,
        records: Records,
        digests: Digests,
        force: bool = False,
    ) -> None:
        self._root = root
        self._graph = graph
        self._facts = facts
        self._cache = cache
        self._records = records
        self._digests = digests
        self._programs = Programs(digests)
        self._force = force

    def all(self) -> tuple[list[Verdict], list[str]]:
        """Verdicts for all steps in the order of the file, from one walk; and notes.

        Raises:
            BuildError: something cannot be read.
        """
        graph = self._graph
        looked = look(self._root, graph.globs, len(graph.steps), without=[step.outputs for step in graph.steps])
        verdicts: dict[int, Verdict] = {}
        for step in graph.order:
            verdicts[step.index] = self._with_others(step, looked.found[step.index], verdicts)
        notes = [*self._unmatched(looked.matched), *self._leading_out(looked.found)]
        return [verdicts[step.index] for step in graph.steps], notes

    def one(self, step: Step) -> Verdict:
        """The verdict for a step whose turn it is: all that it waits for is done.

        Raises:
            BuildError: something cannot be read.
        """
        return self._judge(step, self._inputs(step, self.look(step)))

    def look(self, step: Step) -> Found:
        """A fresh look at one step's inputs.

        Raises:
            BuildError: a folder cannot be read.
        """
        without = [step.outputs]
        return look(self._root, Globs([step.inputs], without=without), 1, without=without).found[0]

    def changed_since(self, step: Step, inputs: Mapping[str, str]) -> str | None:
        """The first of a step's inputs that is no longer what it was; None: all are.

        Raises:
            BuildError: something cannot be read.
        """
        now = self._digests.inputs(self.look(step), patient=True)
        paths = sorted(path for path in inputs.keys() | now.keys() if inputs.get(path) != now.get(path))
        return paths[0] if paths else None

    def _inputs(self, step: Step, found: Found) -> dict[str, str]:
        return self._digests.inputs(found) if step.cacheable else {}

    def _with_others(self, step: Step, found: Found, verdicts: Mapping[int, Verdict]) -> Verdict:
        """The verdict while the steps before it are only planned."""
        if self._force or not step.cacheable:
            return self._judge(step, self._inputs(step, found))
        before = [verdicts[index] for index in step.after]
        open_ones = [verdict for verdict in before if verdict.state in {StepState.RUN, StepState.DEPENDS}]
        if open_ones:
            names = ", ".join(verdict.step.name for verdict in open_ones)
            why = f"{names} {'runs' if len(open_ones) == 1 else 'run'} first"
            return Verdict(plan=StepPlan(step=step, state=StepState.DEPENDS, why=why))
        inputs = self._inputs(step, found)
        for verdict in before:
            if verdict.state is StepState.RESTORE and verdict.record is not None:
                self._overlay(step, inputs, verdict.step.outputs, verdict.record.rows)
        return self._judge(step, inputs)

    def _overlay(self, step: Step, inputs: dict[str, str], outputs: Sequence[str], rows: Rows) -> None:
        """Let ``inputs`` be as they will be once the step before has been restored."""
        for path in [path for path in inputs if any(inside(path, output) for output in outputs)]:
            del inputs[path]
        for path, row in rows.items():
            if row.kind == "file" and step.index in self._graph.globs.owners(path):
                inputs[path] = f"{'exec' if row.mode & 0o100 else 'file'}:{row.what}"

    def _judge(self, step: Step, inputs: Mapping[str, str]) -> Verdict:
        facts = self._facts[step.tool]
        manifest = make_manifest(step, facts, program=self._programs.identity(facts), inputs=inputs)
        key = make_key(manifest) if step.cacheable else ""
        notes: list[str] = []
        last = self._records.get(step.id)
        same = last is not None and last.key == key
        changes = compare(last.manifest, manifest) if last is not None and not same else Changes()

        def decided(state: StepState, why: str, record: Record | None = None) -> Verdict:
            plan = StepPlan(step=step, state=state, why=why, changes=changes, key=key, notes=tuple(notes))
            return Verdict(plan=plan, inputs=inputs, manifest=manifest, record=record)

        if not step.cacheable:
            return decided(StepState.RUN, "no inputs declared: always runs")
        if self._force:
            return decided(StepState.RUN, "--force")
        if same and last is not None and last.outcome != "ok":
            return decided(StepState.RUN, _again(last))
        record = last if same else self._kept(key, notes)
        why = changes.text() if last is not None else _FIRST
        if record is None:
            return decided(StepState.RUN, why)
        differs = difference(record.rows, look_at(self._root, step.outputs), self._digests)
        if not differs:
            text = "up to date" if same else f"{why}: the outputs are those of an earlier build"
            return decided(StepState.UP_TO_DATE, text, record)
        if same and self._kept(key, notes) is None:
            return decided(StepState.RUN, differs)
        return decided(StepState.RESTORE, f"{differs if same else why}{FROM_CACHE}", record)

    def _kept(self, key: str, notes: list[str]) -> Record | None:
        """The cache's result for ``key``; what is wrong with it is noted."""
        try:
            return self._cache.get(key)
        except DamagedError as error:
            notes.append(f"a kept result is of no use: {error}")
        except OSError as error:
            notes.append(f"the cache cannot be read: {(error.strerror or str(error)).lower()}")
        return None

    def _unmatched(self, matched: set[int]) -> list[str]:
        notes = []
        for number, text in enumerate(self._graph.globs.texts):
            if text is None or number in matched:
                continue
            owner, glob = text
            step = self._graph.steps[owner]
            coming = [path for other in step.after for path in self._graph.steps[other].outputs]
            if not any(Globs([[glob]]).possible(path) for path in coming):
                notes.append(f'build.steps[{owner}] ({step.name}): the input "{glob}" matches no file')
        return notes

    def _leading_out(self, found: Iterable[Found]) -> list[str]:
        paths = sorted({path for mine in found for path in mine.links})
        real_root = os.path.realpath(self._root) if paths else ""
        out = []
        for path in paths:
            real = os.path.realpath(f"{self._root}/{path}")
            if os.path.isdir(real) and not inside(real, real_root):
                out.append(f"{path} leads to a folder outside of the project: what that holds is not looked at")
        return out


def _again(last: Record) -> str:
    if last.outcome in ("failed", "kept") and last.reason:
        return f"failed last time{f': {last.reason}' if last.reason else ''}"
    if last.outcome in ("running", "kept"):
        return "its last run was cut short"
    return last.reason


def read_by_steps(graph: Graph, pending: Sequence[PendingFile]) -> tuple[PendingFile, ...]:
    """Those of ``pending`` that lie in a package of which some step may read something.

    A step that names no inputs may read anything.
    """
    if any(not step.cacheable for step in graph.steps):
        return tuple(pending)
    return tuple(file for file in pending if graph.globs.possible(_package_folder(file)))


def _package_folder(file: PendingFile) -> str:
    parts = file.path.split("/")
    at = parts.index(file.package) + 1 if file.package in parts else len(parts)
    return "/".join(parts[:at])
