"""Eight processes at one project: what the concurrency test starts, round after round."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

from dxforge.errors import DxForgeError
from dxforge.traffic.manager import TrafficManager


def fingerprint(root: Path) -> str:
    """A digest over the whole tree outside ``.dx``."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if ".dx" not in path.parts and path.is_file():
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def main(root: Path) -> int:
    """Install; print the pending count, or the error."""
    try:
        report = asyncio.run(TrafficManager(root).install_all_dependencies())
    except DxForgeError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print(len(report.pending))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
