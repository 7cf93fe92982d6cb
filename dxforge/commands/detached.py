"""A process of its own for the background tasks that a command line leaves behind: started, and not waited for."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from dxforge.commands.cli import main; main()"
LOG = "worker.log"


def start_worker(root: Path) -> None:
    """Let ``dxforge tasks run`` do what waits in the project in ``root``; what it cannot do waits for the next session.

    It is in a session of its own: neither Ctrl-C nor the end of the terminal is meant for it.
    """
    # -P: no module of the project's may stand in for the standard library's.
    command = [sys.executable, "-P", "-c", _CODE, str(Path(__file__).parents[2]), "-C", str(root), "-q", "tasks", "run"]
    # Without a place to write to, or a process to be had, there is still the next session.
    with contextlib.suppress(OSError), open(root / ".dx" / LOG, "wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=sys.platform != "win32",
            creationflags=_windows_flags(),
        )
        process.returncode = 0  # nobody waits for it, and that is no mistake to be warned of


def _windows_flags() -> int:
    if sys.platform == "win32":
        return subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0
