"""What of the Windows path can be looked at elsewhere: the structures' layout. It has never run."""

from __future__ import annotations

import asyncio
import ctypes
import struct
import sys
from pathlib import Path

import pytest

from dxforge.errors import ToolStartError
from dxforge.orchestrator import windows
from tests.support.processes import Output, launch


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="sizes of 64-bit Windows")
def test_the_structures_are_as_windows_has_them() -> None:
    limits = windows._ExtendedLimits
    assert ctypes.sizeof(limits) == 144
    assert limits.limit_flags.offset == 16
    assert limits.active_process_limit.offset == 40
    assert limits.io_counters.offset == 64
    assert limits.peak_process_memory.offset == 128
    assert ctypes.sizeof(windows._Accounting) == 48
    assert windows._Accounting.active_processes.offset == 40


@pytest.mark.skipif(sys.platform == "win32", reason="there it starts")
def test_elsewhere_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(ToolStartError, match="could not be executed"):
        asyncio.run(windows.start(launch(tmp_path, ("/bin/true",)), on_output=Output()))
