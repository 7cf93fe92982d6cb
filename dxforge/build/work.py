"""Carrying out what was decided for a step: all of it but running its program. Blocks; belongs in a thread."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dxforge.build.cache import Cache, DamagedError, write_record
from dxforge.build.digests import Digests
from dxforge.build.model import SHOWN, BuildReport, Changes, Step, StepState
from dxforge.build.outputs import Held, look_at, read
from dxforge.build.planner import Planner, Records, Verdict
from dxforge.build.record import Outcome, Record, Row, Rows, Transcript, encode_manifest
from dxforge.build.replace import Aside, Outputs, StagingError
from dxforge.build.toolbox import Execution
from dxforge.errors import BuildError, WriteError

_LAST_CHARS = 4096
_LAST_PATHS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What came of a step's run: its state, what is wrong, and what the user is to know."""

    state: StepState
    error: str = ""
    notes: tuple[str, ...] = ()


class Work:
    """The changes that one build makes. From several threads, for several steps.

    Args:
        root: the project's folder.
        folder: ``.dx/build``.
        planner: of this build.
        cache: where results are kept.
        records: the steps' last runs.
        digests: what files hold.
    """

    def __init__(
        self, root: str, folder: Path, *, planner: Planner, cache: Cache, records: Records, digests: Digests
    ) -> None:
        self._root = root
        self._folder = folder
        self._planner = planner
        self._cache = cache
        self._records = records
        self._digests = digests
        self._good: dict[str, Rows] = {}
        """Of steps that are being run: what the last run that succeeded made, where that was still there."""
        self._outputs = Outputs(root, folder, digests, time_name=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))

    def repair(self) -> list[str]:
        """Clear up after a killed build; returns notes."""
        try:
            aside = self._outputs.repair(self._wrote)
        except (OSError, WriteError) as error:
            return [f"what a killed build left in {self._folder} cannot be cleared up: {_reason(error)}"]
        return self._told(aside)

    def _wrote(self, step_id: str) -> Sequence[Rows]:
        """What was written by the step, or where that is not known, by any: it may have had another name."""
        last = self._records.get(step_id)
        return [last.rows] if last is not None else [record.rows for record in self._records.all()]

    def restore(self, verdict: Verdict) -> list[str]:
        """Make a step's outputs what its kept result says; returns notes.

        Raises:
            DamagedError, StagingError: that cannot be; the outputs are as they were.
            OSError, WriteError: they could not be replaced.
        """
        step, record = verdict.step, verdict.record
        if record is None:
            raise ValueError("there is no result to restore")
        aside = self._outputs.restore(step.id, step.outputs, record.rows, self._wrote(step.id), self._cache)
        return [*self._told(aside), *self.remember(verdict)]

    def remember(self, verdict: Verdict) -> list[str]:
        """Keep a result that was used as the step's last run; returns notes."""
        step, record = verdict.step, verdict.record
        last = self._records.get(step.id)
        if record is None or record is last:
            return []
        return self._set(step, record)

    def clear(self, verdict: Verdict) -> tuple[Aside, list[str]]:
        """Empty a step's outputs before it runs, and write down that it does; what was put aside, and notes.

        Raises:
            OSError, WriteError: they cannot be emptied.
        """
        step, notes = verdict.step, []
        known = self._wrote(step.id)
        last = self._records.get(step.id)
        if last is not None and last.outcome in ("ok", "kept") and last.rows:
            self._good[step.id] = last.rows
        aside: Aside = {}
        try:
            aside = self._outputs.clear(step.id, step.outputs, known) if step.outputs else {}
        except StagingError as error:
            notes.append(f"nothing can be moved to {self._folder} ({error}): what else lies in the outputs stays there")
            self._outputs.clear_in_place(step.outputs, known)
        # Whatever lies there from now on was written by a run that did not end, until that is put right.
        notes += self._set(step, self._record(verdict, "running", {}))
        return aside, notes

    def left(self, verdict: Verdict, transcript: Transcript, aside: Aside, *, reason: str = "") -> list[str]:
        """A step's run has no end, since it was cancelled or for some ``reason``: what it wrote so far is its own.

        Returns notes.
        """
        try:
            rows: Rows = read(look_at(self._root, verdict.step.outputs), self._digests)
        except BuildError:
            rows = {}
        return [*self._told(aside), *self._fail(verdict, rows, reason, transcript)]

    def _fail(
        self, verdict: Verdict, rows: Rows, reason: str, transcript: Transcript, duration_s: float = 0.0
    ) -> list[str]:
        """Write down that a step failed or (no ``reason``) was cut short, and put the last good outputs back.

        ``rows`` are what it wrote. Returns notes. So what serves or reads the outputs goes on with something whole.
        """
        step, notes = verdict.step, list[str]()
        outcome: Outcome = "failed" if reason else "running"
        good = self._good.pop(step.id, None)
        if good is not None:
            try:
                aside = self._outputs.restore(step.id, step.outputs, good, [rows], self._cache)
            except (DamagedError, StagingError, OSError, WriteError):
                pass  # what the failed run left is there then, as after a first run
            else:
                rows, outcome = good, "kept"
                notes = [*self._told(aside), f"{_some(step.outputs)}: as the last build that succeeded made it"]
        record = self._record(verdict, outcome, rows, duration_s, transcript, reason=reason)
        return [*notes, *self._set(step, record)]

    def share(self, first: Step, step: Step) -> None:
        """``step`` is the same as ``first``, which ran: so was its run."""
        record = self._records.get(first.id)
        if record is not None:
            self._set(step, record)

    def after(self, verdict: Verdict, execution: Execution, transcript: Transcript, aside: Aside) -> After:
        """Judge a run that ended, and keep its result where that can be used again."""
        step = verdict.step

        def ended(outcome: Outcome, rows: Rows, reason: str = "") -> Record:
            return self._record(verdict, outcome, rows, execution.duration_s, transcript, reason=reason)

        held, rows = Held(), dict[str, Row]()
        try:
            held = look_at(self._root, step.outputs)
            rows = read(held, self._digests)
            error = _failure(execution.exit_code, [path for path in step.outputs if path not in rows])
        except BuildError as unreadable:
            error = str(unreadable)
        if error:
            notes = [*self._told(aside), *self._fail(verdict, rows, error, transcript, execution.duration_s)]
            return After(state=StepState.FAILED, error=error, notes=tuple(notes))
        self._good.pop(step.id, None)
        notes = self._told(self._forget_same(aside, rows))
        record = ended("ok", rows)
        if step.cacheable:
            reason = self._why_not(verdict, held)
            if reason:
                record = ended("uncached", rows, f"{reason} last time")
                notes.append(f"not kept: {reason}")
            else:
                notes += self._keep(record)
        notes += self._set(step, record)
        return After(state=StepState.BUILT, notes=tuple(notes))

    def _why_not(self, verdict: Verdict, held: Held) -> str:
        """Why a result cannot be used again; empty where it can."""
        if held.special:
            path, what = next(iter(held.special.items()))
            return f"{path} is a {what}"
        try:
            changed = self._planner.changed_since(verdict.step, verdict.inputs)
        except BuildError as error:
            return str(error)
        return f"{changed} changed while it ran" if changed is not None else ""

    def _keep(self, record: Record) -> list[str]:
        """Store a result; returns notes."""
        try:
            for path, row in record.rows.items():
                if row.kind != "file" or self._cache.has(row.what, row.size):
                    continue
                if not self._cache.store(row.what, f"{self._root}/{path}"):
                    return [f"not kept: {path} changed after the step had ended"]
            self._cache.put(record)
        except OSError as error:
            return [f"not kept: the cache cannot be written: {_reason(error)}"]
        return []

    def _forget_same(self, aside: Aside, rows: Rows) -> Aside:
        try:
            return self._outputs.forget_same(aside, rows)
        except OSError:
            return aside

    def _told(self, aside: Aside) -> list[str]:
        if not aside:
            return []
        # Relative to the project, these hold nothing that a shell would read in another way.
        tops = sorted({str(file)[: -len(path) - 1] for path, file in aside.items()})
        folders = [os.path.relpath(top, self._root) for top in tops]
        back = " && ".join(f"cp -a {folder}/. ." for folder in folders)
        what = f"put aside in {', '.join(folders)}: {_some(list(aside))} (not what the step wrote)"
        return [f"{what}; `{back}` in the project's folder brings it back"]

    @staticmethod
    def _record(
        verdict: Verdict,
        outcome: Outcome,
        rows: Rows,
        duration_s: float = 0.0,
        transcript: Transcript | None = None,
        *,
        reason: str = "",
    ) -> Record:
        return Record(
            key=verdict.plan.key,
            outcome=outcome,
            reason=reason,
            rows=rows,
            duration_s=duration_s,
            raw_manifest=encode_manifest(verdict.manifest),
            raw_log=transcript.encode() if transcript is not None else b"[]",
        )

    def _set(self, step: Step, record: Record) -> list[str]:
        self._records.set(step.id, record)
        try:
            self._records.folder.mkdir(parents=True, exist_ok=True)
            write_record(self._records.path(step.id), record)
        except OSError as error:
            # The old one would say that nothing happened.
            with contextlib.suppress(OSError):
                self._records.path(step.id).unlink()
            return [f"what became of the step cannot be written down: {_reason(error)}"]
        return []

    def finish(self, report: BuildReport, used: Collection[str], *, complete: bool) -> list[str]:
        """Keep what the next build needs, and the cache to its limit; returns notes."""
        notes: list[str] = []
        chores: list[Callable[[], object]] = [
            lambda: self._digests.save(complete=complete),
            lambda: self._cache.prune(used),
            lambda: _write_last(self._folder / "last.json", report),
        ]
        for chore in chores:
            try:
                chore()
            except OSError as error:
                text = f"{self._folder} cannot be written: {_reason(error)}"
                notes += [text] if text not in notes else []
        return notes


def _failure(exit_code: int, missing: Sequence[str]) -> str:
    """Why a run was no success; empty where it was one."""
    if exit_code:
        return f"exit status {exit_code}" if exit_code > 0 else f"ended by signal {-exit_code}"
    return f"it ended well, but did not write its output {_some(missing)}" if missing else ""


def _write_last(file: Path, report: BuildReport) -> None:
    data: dict[str, Any] = report.to_json()
    for step, result in zip(data["steps"], report.steps, strict=True):
        step["stdout"], step["stderr"] = result.stdout[-_LAST_CHARS:], result.stderr[-_LAST_CHARS:]
        step["changes"] = _capped(result.changes).to_json()
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_text(json.dumps(data, separators=(",", ":")), encoding="ascii")
    os.replace(temporary, file)


def _capped(changes: Changes) -> Changes:
    return Changes(
        added=dict(list(changes.added.items())[:_LAST_PATHS]),
        removed=dict(list(changes.removed.items())[:_LAST_PATHS]),
        changed=dict(list(changes.changed.items())[:_LAST_PATHS]),
        other=changes.other,
    )


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
