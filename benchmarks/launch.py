"""Runs one command and writes what it cost: ``python -I -S launch.py REPORT COMMAND...``.

A process of its own, as small as can be: on Linux a child's peak memory starts with what its parent had, so a big
parent would hide a small child.
"""

import os
import sys
import time

began = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
with open(sys.argv[1], "w", encoding="ascii") as report:
    report.write(f"{seconds} {usage.ru_maxrss} {os.waitstatus_to_exitcode(status)}")
