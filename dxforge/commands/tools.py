"""Results about tools: what start, stop, restart, run, logs and watch did, and the rows of the status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dxforge.commands.result import DONE, FAILED, INTERRUPTED, Result, error_json, plural
from dxforge.commands.shown import quoted
from dxforge.commands.view import (
    Block,
    Commands,
    Gap,
    Line,
    Output,
    Span,
    Table,
    Text,
    duration,
    line,
    size,
    state_span,
)
from dxforge.errors import ToolError
from dxforge.orchestrator.status import ToolInfo, ToolRun, ToolState

if TYPE_CHECKING:
    from dxforge.errors import DxForgeError

_NONE = Span("-", "dim")


def tool_table(infos: Iterable[ToolInfo]) -> Table:
    """Everything at a glance, a row per tool."""
    header = ("Tool", "State", "Pid", "Up for", "CPU", "Memory", "Restarts", "")
    return Table(tuple(_row(info) for info in infos), header)


def _row(info: ToolInfo) -> tuple[Line, ...]:
    def cell(value: float | None, text: str) -> Line:
        return line(_NONE if value is None else text)

    return (
        line(Span(info.name, "strong")),
        line(state_span(info.status.state)),
        cell(info.status.pid, str(info.status.pid)),
        cell(info.uptime_s, duration(info.uptime_s or 0)),
        cell(info.cpu_percent, f"{info.cpu_percent or 0:.0f}%"),
        cell(info.memory_bytes, size(info.memory_bytes or 0)),
        line(str(info.restarts) if info.restarts else _NONE),
        _standing(info),
    )


def _standing(info: ToolInfo) -> Line:
    """What is to say of a tool; of one that is well also where that is asked."""
    detail, health = info.status.detail, info.health
    if detail and (info.status.state is not ToolState.HEALTHY or not health):
        return line(detail)
    return line(Span(health, "dim"), f"  {detail}" if detail else "")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ToolsResult(Result):
    """What start, stop or restart (``command``) left; ``was_up`` names the tools that ran before.

    ``errors`` are those of tools that would not: the others were dealt with all the same. ``kept``: they go on when
    the command ends.
    """

    command: str
    tools: tuple[ToolInfo, ...]
    was_up: frozenset[str] = frozenset()
    errors: tuple[DxForgeError, ...] = ()
    kept: bool = False

    @property
    def exit_code(self) -> int:
        return FAILED if self.errors else DONE

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"ok": not self.errors, "tools": [info.to_json() for info in self.tools]}
        if self.errors:
            data["error"] = error_json(self.errors[0])
            data["errors"] = [error_json(error) for error in self.errors]
        return data

    def failure(self) -> DxForgeError | None:
        return self.errors[0] if self.errors else None

    def summary(self) -> str:
        states = ", ".join(f"{info.name} {info.status.state.value}" for info in self.tools)
        return f"{self.command}: {states or 'no tools'}"

    def view(self) -> Sequence[Block]:
        if not self.tools:
            return [Text(line("No tool is running."))]
        rows = tuple(
            (
                line(state_span(info.status.state)),
                line(Span(info.name, "strong")),
                line(Span(f"pid {info.status.pid}" if info.status.pid is not None else "", "dim")),
                line(self._remark(info)),
            )
            for info in self.tools
        )
        blocks: list[Block] = [Table(rows)]
        # The face itself complains about the first one.
        blocks.extend(Text(line(Span("error: ", "red"), f"{error.where}: {error.what}")) for error in self.errors[1:])
        up = [quoted(info.name) for info in self.tools if info.status.up]
        if up and self.command != "stop":
            end = "until you stop it" if len(up) == 1 else "until you stop them"
            blocks.append(Gap())
            if self.kept:
                blocks.append(Text(line(Span(f"Runs on {end}, also when this terminal is closed.", "dim"))))
            blocks.append(
                Commands(
                    (
                        (f"{self.program} logs {up[0]} -f", "what it writes"),
                        (f"{self.program} stop {' '.join(up)}", "stop it" if len(up) == 1 else "stop them"),
                    )
                )
            )
        return blocks

    def _remark(self, info: ToolInfo) -> str | Span:
        if info.status.detail:
            return info.status.detail
        if self.command == "stop":
            return Span("" if info.name in self.was_up else "was not running", "dim")
        if self.command == "start" and info.name in self.was_up and info.status.up:
            return Span("was running already", "dim")
        return Span(info.health, "dim")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunResult(Result):
    """A tool's program ran to its end. Its output was shown as it came, so terminals show nothing more."""

    run: ToolRun
    log: str = ""
    """Where all that it wrote lies, as the user can type it."""

    @property
    def shown_live(self) -> bool:
        return True

    @property
    def exit_code(self) -> int:
        return DONE if self.run.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        run = asdict(self.run)
        data = {"ok": self.run.ok, "tool": run.pop("name"), **run, "args": list(self.run.args)}
        data |= {"duration_s": round(self.run.duration_s, 6), "cpu_s": round(self.run.cpu_s, 6)}
        if error := self.failure():
            data["error"] = error_json(error)
        return data

    def failure(self) -> DxForgeError | None:
        if self.run.ok:
            return None
        return ToolError(
            f"ended with {ending(self.run.exit_code)}",
            tool=self.run.name,
            hint=f"All that it wrote is in {self.log}" if self.log else "",
        )

    def summary(self) -> str:
        return f"run: {self.run.name}, {ending(self.run.exit_code)}"

    def view(self) -> Sequence[Block]:
        sign = Span("● Done", "green") if self.run.ok else Span("■ Failed", "red")
        spent = f"  {ending(self.run.exit_code)}, {duration(self.run.duration_s)}"
        return [Text(line(sign, "  ", Span(self.run.name, "strong"), Span(spent, "dim")))]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LogsResult(Result):
    """The last lines that a tool wrote.

    ``followed``: they were shown as they came, until the user had enough. ``wanted``: so many were asked for. ``runs``:
    where output of its executions is kept, if there is any.
    """

    tool: str
    lines: tuple[str, ...]
    followed: bool = False
    wanted: int = 100
    runs: str = ""

    @property
    def shown_live(self) -> bool:
        return self.followed

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.followed else DONE

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, "tool": self.tool, "lines": list(self.lines)}

    def summary(self) -> str:
        return f"logs: {self.tool}, {plural(len(self.lines), 'line')}"

    def view(self) -> Sequence[Block]:
        if self.followed:
            return [Text(line(Span(f"Stopped following {self.tool}.", "dim")))]
        if not self.wanted:
            return [Text(line("No lines were asked for (-n 0)."))]
        if not self.lines:
            started = f" as a long-running tool; what its runs wrote is in {self.runs}" if self.runs else " yet"
            return [Text(line(f"{self.tool} has written nothing{started}."))]
        return [Output(self.lines)]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WatchResult(Result):
    """The watching was ended by the user, as it ends; ``rounds`` are what it caused."""

    rounds: int

    @property
    def exit_code(self) -> int:
        return INTERRUPTED

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.exit_code == DONE, "rounds": self.rounds}

    def summary(self) -> str:
        return f"watch: {plural(self.rounds, 'change')}"

    def view(self) -> Sequence[Block]:
        return [Text(line(f"Stopped watching after {plural(self.rounds, 'change')}."))]


def ending(exit_code: int) -> str:
    """How a program ended, in words: ``exit status 3``, ``signal 9 (SIGKILL)``."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    import signal

    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        name = ""
    return f"signal {-exit_code}{name}"


def up_count(infos: Sequence[ToolInfo]) -> str:
    """``2 of 3 tools up``."""
    up = sum(info.status.state not in (ToolState.STOPPED, ToolState.DEGRADED) for info in infos)
    return f"{up} of {plural(len(infos), 'tool')} up"
