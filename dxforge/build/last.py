"""What the last build did, for pictures and panels."""

from __future__ import annotations

import json
from pathlib import Path

from dxforge.build.model import BuildReport


def last_build(root: Path | str) -> BuildReport | None:
    """The report of a project's last build that ended; None where there is none, or a damaged one.

    Output is cut to its last 4096 characters per step, and of each kind of change the first 100 paths are kept.
    """
    try:
        return BuildReport.from_json(json.loads((Path(root) / ".dx" / "build" / "last.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
