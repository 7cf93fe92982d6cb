"""Analysis of the standard library beside pyflakes: ``python -m benchmarks.analysis [--rounds 3]``.

Both read the same files; pyflakes at normal priority, dxforge's child at a low one, so a busy machine is unfair to it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.material import Material
from benchmarks.measure import Contender, by_turns, process
from dxforge.background.analyze import FILE_NAME, analyze
from dxforge.config.load import load_config

_ANALYZE = (
    "import sys; from pathlib import Path; from dxforge.background.analyze import analyze; "
    "from dxforge.config.load import load_config; analyze(load_config(Path(sys.argv[1])))"
)


def material(folder: Path) -> Path:
    """A project that holds a copy of the standard library, long unchanged."""
    root = folder / "project"
    skip = shutil.ignore_patterns("site-packages", "__pycache__", "config-*", "*.so", "*.a")
    shutil.copytree(sysconfig.get_path("stdlib"), root / "stdlib", ignore=skip)
    (root / "dx.toml").write_text('[project]\nname = "benchmark"\n\n[analyze]\npatterns = { todo = "TODO|XXX" }\n')
    time.sleep(2.5)  # files as young as the clock is coarse are never taken from memory
    return root


def longest_pause_ms(root: Path) -> float:
    """The longest that another thread of the process had to wait while the analysis ran; it wakes every millisecond."""
    ended = threading.Event()
    gaps: list[float] = []

    def tick() -> None:
        before = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - before)
            before = now

    thread = threading.Thread(target=tick)
    thread.start()
    analyze(load_config(root))
    ended.set()
    thread.join()
    return max(gaps) * 1000


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analysis", description="analyze beside pyflakes.")
    parser.add_argument("--rounds", type=int, default=3, help="medians of this many runs (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as folder:
        root = material(Path(folder))
        memory = root / ".dx" / FILE_NAME
        dx = [sys.executable, "-c", _ANALYZE, root]
        python = Material(Path()).peers / "python"

        def forget() -> None:
            memory.unlink(missing_ok=True)

        first, again, peer = by_turns(
            [
                Contender(name="analyze", prepare=forget, run=lambda: process(dx, cwd=root)),
                Contender(name="analyze again", run=lambda: process(dx, cwd=root)),
                Contender(
                    name="pyflakes",
                    run=lambda: process([python, "-m", "pyflakes", root], cwd=root, expect=(0, 1)),
                ),
            ],
            rounds=options.rounds,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        forget()
        pause_ms = longest_pause_ms(root)
        count = analyze(load_config(root)).files
    print(f"| {count:,} files | seconds | of pyflakes | peak memory, MiB |")
    print("|---|---|---|---|")
    for result in (first, again, peer):
        ratio, peak = result.seconds / peer.seconds, result.peak_bytes / 2**20
        print(f"| {result.name} | {result.seconds:.2f} ({result.spread}) | {ratio:.2f}× | {peak:.0f} |")
    print(f"\nThe longest pause of another thread meanwhile: {pause_ms:.0f} ms.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
