"""A project at a glance, as the status panel shows it: each part is looked at again only when it may have changed."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.background.tasks import TaskInfo, TaskState
from dxforge.commands.result import plural
from dxforge.commands.shown import output_line, shown
from dxforge.errors import DxForgeError
from dxforge.traffic.model import TrafficLight
from dxforge_nb.redact import redacted, redactor_for

if TYPE_CHECKING:
    from dxforge.forge import DxForge
    from dxforge.orchestrator.status import ToolInfo
    from dxforge_nb.redact import Redactor

_RECENT_TASKS = 5
_LAST_LINES = 5
_LINE_CHARS = 300
_STARTED_SLACK_S = 2
_MEMORY_STEP_BYTES = 1 << 20
_MEMORY_SHARE = 0.02
_CPU_STEP = 2.0
_CPU_SHARE = 0.1
"""Probes alone make a tool that does nothing use a little now and then."""


class Part(Enum):
    """What can change by itself."""

    TOOLS = "tools"
    TASKS = "tasks"
    PACKAGES = "packages"
    SNAPSHOT = "snapshot"


class Glance:
    """What is to be shown of a project. Blocks; belongs in a thread, one at a time. `forget`: any thread."""

    def __init__(self, forge: DxForge) -> None:
        self._forge = forge
        self._root = forge.root
        self._lock = threading.Lock()
        self._stale = set(Part)
        self._stamps: dict[Part, object] = {}
        self._found: dict[str, Any] = {}
        self._logs: dict[str, tuple[object, list[str]]] = {}
        self._redactor: Redactor | None = None
        self.troubles: dict[str, str] = {}
        """By tool: what went wrong that its state does not say."""
        self.tools_run = False
        """Whether any did at the last look."""

    def forget(self, *parts: Part) -> None:
        """They may have changed."""
        with self._lock:
            self._stale.update(parts)

    def look(self, now_s: float) -> dict[str, Any]:
        """Everything; what has not changed is taken from the last look.

        Args:
            now_s: the wall clock.

        Raises:
            DxForgeError: it cannot be read, and never could.
        """
        for part in Part:
            stamp = _stamp(self._files(part))
            if stamp != self._stamps.get(part):
                self._stamps[part] = stamp
                self.forget(part)
        with self._lock:
            stale, self._stale = self._stale, set()
        if Part.PACKAGES in stale or self._redactor is None:
            self._redactor = redactor_for(self._root)
        try:
            self._find(stale, now_s)
        except BaseException:
            self.forget(*stale)  # for the next look
            raise
        return redacted(dict(self._found), self._redactor)

    def _find(self, stale: set[Part], now_s: float) -> None:
        if Part.PACKAGES in stale:
            self._found |= self._project()
        if Part.TOOLS in stale:
            self._found["tools"] = self._tools(now_s)
        if Part.TASKS in stale:
            tasks = self._forge.background_worker.tasks(recent=_RECENT_TASKS)
            self._found["tasks"] = [_task(info) for info in sorted(tasks, key=_rank)]
        if stale & {Part.SNAPSHOT, Part.TASKS}:
            self._found["sync"] = self._sync()
        if Part.SNAPSHOT in stale:
            self._found["snapshot"] = self._snapshot()

    def shown(self, line: str, most_chars: int) -> str:
        """A line that a tool wrote: harmless, without secrets, and not longer than that."""
        redactor = self._redactor or redactor_for(self._root)
        text = redactor(output_line(line))
        return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"

    # -- the parts --------------------------------------------------------------------------------------------------

    def _files(self, part: Part) -> Iterator[Path]:
        """What another process writes when it changes a part."""
        state = self._root / ".dx"
        match part:
            case Part.TOOLS:
                yield self._root / "dx.toml"
                yield from (folder / "run.json" for folder in _entries(state / "tools"))
            case Part.TASKS:
                yield state / "state.db"
                yield state / "state.db-wal"
            case Part.PACKAGES:
                yield self._root / "dx.toml"
                yield self._root / "dx.lock"
            case Part.SNAPSHOT:
                yield state / "snapshots.git" / "packed-refs"
                yield from _entries(state / "snapshots.git" / "refs")
                yield from (folder / "head" for folder in _entries(state / "sync"))

    def _project(self) -> dict[str, Any]:
        from dxforge.commands.actions import packages_of
        from dxforge.config.load import load_config

        try:
            config = load_config(self._root)
            manager = self._forge.traffic_manager
            packages = packages_of(config, manager)
            # Not `manager.pending`, which merges every file anew: this is asked for after each cell.
            waiting = manager.reviewing.pending() if any(map(_pending, packages)) else []
        except DxForgeError:
            if "packages" in self._found:
                return {}  # someone is editing dx.toml; what it last said still stands
            raise
        lights = [known.light.value for known in waiting]
        pending = {light: lights.count(light) for light in ("yellow", "red")}
        red = Counter(known.package for known in waiting if known.light is TrafficLight.RED)
        packages = [{**package, "red": red[package["name"]]} for package in packages]
        return {"project": config.name, "packages": packages, "pending": pending}

    def _tools(self, now_s: float) -> list[dict[str, Any]]:
        before = {tool["name"]: tool for tool in self._found.get("tools", ())}
        infos = self._forge.orchestrator.infos()
        self.tools_run = any(info.status.pid is not None for info in infos)
        return [self._tool(info, before.get(info.name, {}), now_s) for info in infos]

    def _tool(self, info: ToolInfo, before: Mapping[str, Any], now_s: float) -> dict[str, Any]:
        if before.get("pid") != info.status.pid:
            before = {}
        return {
            "name": info.name,
            "state": info.status.state.value,
            "pid": info.status.pid,
            "started": _started(info.uptime_s, before.get("started"), now_s),
            "cpu_percent": _steady(info.cpu_percent, before.get("cpu_percent"), _CPU_STEP, _CPU_SHARE),
            "memory_bytes": _steady(info.memory_bytes, before.get("memory_bytes"), _MEMORY_STEP_BYTES, _MEMORY_SHARE),
            "restarts": info.restarts,
            "health": info.health,
            "detail": info.status.detail or self.troubles.get(info.name, ""),
            "last_lines": self._last_lines(info),
            "owner": _owner(info),
        }

    def _last_lines(self, info: ToolInfo) -> list[str]:
        stamp = _stamp([Path(info.log_path)]) if info.log_path else None
        known = self._logs.get(info.name)
        if known is None or known[0] != stamp or not info.log_path:
            lines: list[str] = []
            with contextlib.suppress(DxForgeError):  # it has just gone from dx.toml
                lines = [
                    self.shown(line, _LINE_CHARS) for line in self._forge.orchestrator.logs(info.name, _LAST_LINES)
                ]
            known = self._logs[info.name] = stamp, lines
        return known[1]

    def _snapshot(self) -> dict[str, str] | None:
        from dxforge.store.snapshots import SnapshotStore

        if not (self._root / ".dx" / "snapshots.git").is_dir():
            return None
        try:
            newest = SnapshotStore(self._root).latest()
        except DxForgeError:
            return None
        return None if newest is None else {"id": newest.id, "time": newest.time, "label": shown(newest.label)}

    def _sync(self) -> dict[str, str] | None:
        """The last one: of the background's, or of the command's, which leaves the remote's head."""
        found: dict[str, str] | None = None
        done = [
            info
            for info in self._forge.background_worker.tasks(recent=_RECENT_TASKS)
            if info.kind == "SyncToCloudflareR2" and info.state is TaskState.DONE
        ]
        if done:
            newest = max(done, key=lambda info: info.ended)
            found = {"time": newest.ended, "detail": _sync_detail(newest.result)}
        heads = [folder / "head" for folder in _entries(self._root / ".dx" / "sync")]
        seen_s = max((stamp[0] / 1e9 for stamp in _stamp(heads) if stamp is not None), default=None)
        if seen_s is not None:
            time = dt.datetime.fromtimestamp(seen_s, dt.UTC).isoformat(timespec="seconds")
            if found is None or time[:19] > found["time"][:19]:
                found = {"time": time, "detail": ""}
        return None if found is None else {**found, "url": self._remote()}

    def _remote(self) -> str:
        from dxforge.config.load import load_config, load_remote_environment
        from dxforge.syncing import location_of

        try:
            location = location_of(load_config(self._root), load_remote_environment())
        except DxForgeError:
            return ""
        if location.relative and location.folder is not None:
            return os.path.relpath(location.folder, self._root)
        return location.shown


def same(state: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether there is nothing new in ``state``: that a retry comes closer is nothing new."""
    return _without_countdown(state) == _without_countdown(other)


def _without_countdown(state: Mapping[str, Any]) -> dict[str, Any]:
    tasks = [{**task, "retry_in_s": task["retry_in_s"] is not None} for task in state["tasks"]]
    return {**state, "tasks": tasks}


def _stamp(files: Iterable[Path]) -> list[tuple[int, int] | None]:
    """What is another one when one of the files is: time of change in ns and size in bytes."""
    stamps: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append(None)
    return stamps


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _pending(package: Mapping[str, Any]) -> bool:
    return bool(package["pending"])


def _started(uptime_s: float | None, before_s: int | None, now_s: float) -> int | None:
    """Since when, in seconds since the epoch; the same from look to look, though clocks are not exact."""
    if uptime_s is None:
        return None
    started_s = round(now_s - uptime_s)
    return before_s if before_s is not None and abs(started_s - before_s) <= _STARTED_SLACK_S else started_s


def _steady(value: float | None, before: int | None, step: float, share: float) -> int | None:
    """``value``, or what it was ``before`` where the difference says nothing: below ``step`` and ``share`` of it."""
    if value is None:
        return None
    if before is not None and value and abs(value - before) < max(step, share * before):
        return before
    return round(value)


def _owner(info: ToolInfo) -> str:
    if os.getpid() in info.owner_pids:
        return "here"
    return "elsewhere" if info.owner_pids else ""


_ORDER = (TaskState.RUNNING, TaskState.WAITING, TaskState.FAILED, TaskState.CANCELLED, TaskState.DONE)


def _rank(info: TaskInfo) -> tuple[int, int]:
    return _ORDER.index(info.state), -(info.id or 0)


def _task(info: TaskInfo) -> dict[str, Any]:
    failed = info.state is TaskState.FAILED
    known = info.id is not None and info.task is not None
    return {
        "id": info.id,
        "kind": info.kind,
        "label": shown(info.title),
        "state": info.state.value,
        "done": info.progress.done,
        "total": info.progress.total,
        "detail": shown(info.progress.item if info.state is TaskState.RUNNING else "" if failed else info.reason),
        "error": shown(info.reason) if failed else "",
        "retry_in_s": round(info.retry_in_s, 1) if info.retry_in_s else None,
        "can_retry": known and info.state in (TaskState.FAILED, TaskState.CANCELLED),
        "can_cancel": known and not info.state.ended,
    }


def _sync_detail(result: object) -> str:
    if not isinstance(result, dict):
        return ""
    if skipped := result.get("skipped"):
        return f"nothing uploaded: {shown(str(skipped))}"
    uploads = result.get("uploads")
    return "" if not isinstance(uploads, int) else plural(uploads, "item") + " uploaded" if uploads else "nothing new"
