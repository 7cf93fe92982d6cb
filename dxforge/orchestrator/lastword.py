"""How a tool ended that nobody has asked to stop, on disk for sessions to come: ``ended.json`` in its folder.

Its guard writes the exit status there when no session is connected; a session that gives it up, how it stands then.
The next start or stop takes it away. It holds nothing that a reboot would make untrue.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from pathlib import Path

from dxforge.config.model import RestartConfig
from dxforge.orchestrator import policy
from dxforge.orchestrator.status import ToolState, ToolStatus

_NAME = "ended.json"


def write(folder: Path, status: ToolStatus) -> None:
    """Leave ``status`` behind; where the disk refuses it, nothing."""
    temporary = folder / f"{_NAME}.{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        try:
            temporary.write_text(json.dumps({"state": status.state.value, "detail": status.detail}), "utf-8")
            temporary.replace(folder / _NAME)
        finally:
            temporary.unlink(missing_ok=True)


def read(folder: Path, restart: RestartConfig) -> ToolStatus | None:
    """How the tool stands that ended; ``restart`` says what a session would have made of that. None: no word of it."""
    try:
        said = json.loads((folder / _NAME).read_bytes())
        if "state" in said:
            return ToolStatus(ToolState(said["state"]), None, str(said["detail"]))
        exit_code = int(said["exit_code"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    next_ = policy.after_exit(
        restart, exit_code=exit_code, ready=True, lived_s=0.0, in_a_row=0, chance=0.0, pace=policy.Pace()
    )
    if isinstance(next_, policy.Over):
        return ToolStatus(ToolState.DEGRADED if next_.failed else ToolState.STOPPED, None, next_.reason)
    what = f"{policy.exit_reason(exit_code)}; no session was there to start it again"
    return ToolStatus(ToolState.DEGRADED, None, what)


def forget(folder: Path) -> None:
    """It is started, or stopped: how it ended before is over."""
    with contextlib.suppress(OSError):
        (folder / _NAME).unlink(missing_ok=True)
