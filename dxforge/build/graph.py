"""Which step must wait for which: pure, from declared inputs and outputs alone, since outputs may not exist yet."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dxforge.build.globs import NEVER, GlobError, Globs, split
from dxforge.build.model import Step
from dxforge.build.toolbox import ToolFacts
from dxforge.config.model import BuildConfig, StepConfig
from dxforge.errors import BuildPlanError

DEFAULT = BuildConfig(needs=("dx-style", "dx-js-runtime"), steps=(StepConfig(tool="dx-js-bundler", args=("build",)),))
"""What is built without ``[build]`` (contract)."""

_OURS = frozenset(("dx.toml", "dx.lock"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The steps of a build in the order of ``dx.toml``, and their inputs, compiled (owners are the steps' indexes)."""

    steps: tuple[Step, ...]
    globs: Globs

    @property
    def order(self) -> list[Step]:
        """Every step after those that it waits for; where that leaves a choice, as in ``dx.toml``."""
        return sorted(self.steps, key=lambda step: (step.wave, step.index))


def make_graph(config: BuildConfig, facts: Mapping[str, ToolFacts], *, packages_dir: str = "") -> Graph:
    """The graph of the steps of ``config``.

    A step waits for those that may write what it reads. One that names no inputs may read anything: it waits for all
    steps before it in ``dx.toml``, and if it names no outputs either, all steps after it wait for it.

    Args:
        config: ``[build]``.
        facts: what is known of each step's tool.
        packages_dir: the folder of the injected packages, from the project's root; no step may write there.

    Raises:
        BuildPlanError: outputs that overlap or must not be written, a glob that cannot be, a cycle.
    """
    steps = _steps(config, facts)
    _check_outputs(steps, config, packages_dir)
    _check_inputs(steps, config)
    globs = Globs([step.inputs for step in steps], without=[step.outputs for step in steps])
    written = _written(steps, globs)
    after = {reader: set(writers) for reader, writers in written.items()}
    _keep_places(steps, after)
    waves = _waves(steps, after, written)
    return Graph(
        steps=tuple(replace(step, after=tuple(sorted(after[step.index])), wave=waves[step.index]) for step in steps),
        globs=globs,
    )


def _steps(config: BuildConfig, facts: Mapping[str, ToolFacts]) -> list[Step]:
    steps: list[Step] = []
    seen: dict[str, int] = {}
    for index, step in enumerate(config.steps):
        known = facts[step.tool]
        outputs = _tops(step.outputs or known.outputs)
        # Without outputs, the n-th step of its tool: so a step whose arguments change is still the same.
        what = "\0".join([step.tool, *outputs])
        seen[what] = seen.get(what, 0) + 1
        digest = hashlib.sha256(f"{what}\0\0{seen[what]}".encode(errors="surrogateescape")).hexdigest()
        inputs = step.inputs or known.inputs
        steps.append(Step(index=index, id=digest[:16], tool=step.tool, args=step.args, inputs=inputs, outputs=outputs))
    return steps


def _tops(outputs: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for path in sorted(set(outputs), key=lambda path: path.split("/")):
        if not (kept and inside(path, kept[-1])):
            kept.append(path)
    return tuple(kept)


def inside(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or below it."""
    return path == top or path.startswith(f"{top}/")


def _key(config: BuildConfig, step: Step, name: str) -> str:
    own = getattr(config.steps[step.index], name)
    return f"dx.toml: build.steps[{step.index}].{name}" if own else f"dx.toml: tools.{step.tool}.{name}"


def _check_outputs(steps: Sequence[Step], config: BuildConfig, packages_dir: str) -> None:
    owned = sorted((path.split("/"), step.index) for step in steps for path in step.outputs)
    top: tuple[str, int] | None = None
    for parts, index in owned:
        path, step = "/".join(parts), steps[index]
        if path in _OURS or NEVER & set(parts):
            where = _key(config, step, "outputs")
            raise BuildPlanError(f'"{path}" is not a step\'s to write', where=where, hint="Name another file or folder")
        if packages_dir and (inside(path, packages_dir) or inside(packages_dir, path)):
            relation = "is" if path == packages_dir else "lies in" if inside(path, packages_dir) else "holds"
            raise BuildPlanError(
                f'the output "{path}" {relation} the folder of the packages, which hold your edits',
                where=_key(config, steps[index], "outputs"),
                hint="Outputs are replaced as a whole: name a folder that only the step writes",
            )
        # In this order, what lies in an output follows it, and a step's own outputs do not overlap.
        if top is not None and inside(path, top[0]):
            (later, at), (earlier, other) = sorted([(path, index), top], key=lambda owner: owner[1], reverse=True)
            relation = "is" if later == earlier else "lies in" if inside(later, earlier) else "holds"
            raise BuildPlanError(
                f'the output "{later}" {relation} "{earlier}", which build.steps[{other}] ({steps[other].name}) writes',
                where=_key(config, steps[at], "outputs"),
                hint="Give each step outputs of its own: they are replaced as a whole",
            )
        top = (path, index)


def _check_inputs(steps: Sequence[Step], config: BuildConfig) -> None:
    for step in steps:
        for index, glob in enumerate(step.inputs):
            where = f"{_key(config, step, 'inputs')}[{index}]"
            try:
                negative, parts = split(glob)
            except GlobError as error:
                raise BuildPlanError(
                    f'"{glob}" is no glob of this project: {error}', where=where, hint='Write for example "src/**"'
                ) from error
            literal: list[str] = []
            for part in parts:
                if not isinstance(part, str):
                    break
                literal.append(part)
            for path in step.outputs:
                if not negative and literal and inside("/".join(literal), path):
                    raise BuildPlanError(
                        f'the step reads "{glob}" in its own output "{path}"',
                        where=where,
                        hint="Let it write elsewhere: its outputs are emptied before it runs",
                    )


def _written(steps: Sequence[Step], globs: Globs) -> dict[int, dict[int, str]]:
    """For each step, whose outputs it may read: index -> path."""
    written: dict[int, dict[int, str]] = {step.index: {} for step in steps}
    for step in steps:
        for path in step.outputs:
            for reader in globs.possible(path):
                if reader != step.index:
                    written[reader].setdefault(step.index, path)
    return written


def _keep_places(steps: Sequence[Step], after: dict[int, set[int]]) -> None:
    """Let steps that may read anything keep their place, where what is declared does not say otherwise."""
    backward = any(writer > reader for reader, writers in after.items() for writer in writers)
    since = 0  # just after the last step that all later ones wait for
    for step in steps:
        first = max(since - 1, 0)
        earlier = range(first, step.index if not step.cacheable else min(since, first + 1))
        after[step.index].update(other for other in earlier if not (backward and _waits(after, other, step.index)))
        if not step.cacheable and not step.outputs:
            since = step.index + 1


def _waits(after: Mapping[int, set[int]], step: int, other: int) -> bool:
    """Whether ``step`` waits for ``other``, by whatever way."""
    seen, left = {step}, [step]
    while left:
        found = after[left.pop()] - seen
        if other in found:
            return True
        seen |= found
        left.extend(found)
    return False


def _waves(
    steps: Sequence[Step], after: Mapping[int, set[int]], written: Mapping[int, Mapping[int, str]]
) -> dict[int, int]:
    from graphlib import CycleError, TopologicalSorter

    try:
        order = list(TopologicalSorter(after).static_order())
    except CycleError as error:
        cycle = list(error.args[1])
        # From the first step of the file on, each one before the one that waits for it.
        start = cycle.index(min(cycle))
        cycle = [*cycle[start:-1], *cycle[:start], cycle[start]]
        drawn = steps[cycle[0]].name
        for writer, reader in itertools.pairwise(cycle):
            path = written[reader].get(writer)
            drawn += f" → {path}" if path is not None else ""
            drawn += f" → {steps[reader].name}"
        raise BuildPlanError(
            f"the steps wait for each other: {drawn}",
            where="dx.toml: build.steps",
            hint='Take what a step does not read out of its inputs, for example with "!dist"',
        ) from None
    waves: dict[int, int] = {}
    for index in order:
        waves[index] = 1 + max((waves[other] for other in after[index]), default=-1)
    return waves
