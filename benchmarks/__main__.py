"""Measure, and print a table for the README.

python -m benchmarks [install noop upgrade startup tools ensure build notebook] [--rounds 5] [--copier-rounds 5]
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import cases
from benchmarks.builds import build
from benchmarks.material import NPM_PEERS, PEERS, Material
from benchmarks.measure import Say
from benchmarks.notebook import PEERS as NOTEBOOK_PEERS
from benchmarks.notebook import notebook
from benchmarks.supervise import ensure, tools
from benchmarks.table import Row

CASES: dict[str, Callable[[Material, int, Say], list[Row]]] = {
    "install": cases.install,
    "noop": cases.noop,
    "upgrade": cases.upgrade,
    "startup": cases.startup,
    "tools": tools,
    "ensure": ensure,
    "build": build,
    "notebook": notebook,
}


def main() -> int:
    """Run the chosen cases."""
    names = tuple(CASES)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="dxforge beside its peers.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="medians of this many runs (default: 5)")
    parser.add_argument(
        "--copier-rounds", type=int, default=None, help="for copier, which takes minutes; 0 leaves it out"
    )
    options = parser.parse_args()
    chosen = options.cases or names
    if unknown := set(chosen) - set(names):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    _compile()
    rows: list[Row] = []
    # Not in /tmp, which may be memory: on the disk that the caches are on.
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as work:
        material = Material(Path(work))
        for name in chosen:
            print(f"{name} ...", file=sys.stderr)
            if name == "upgrade":
                rows += cases.upgrade(material, options.rounds, _say, copier_rounds=options.copier_rounds)
            else:
                rows += CASES[name](material, options.rounds, _say)
    print(f"\n{_machine()} Medians of {options.rounds}, contenders by turns.\n")
    print("| what | dxforge | beside | ratio | goal | peak memory, MiB (dxforge / peer) |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.ours} | {row.theirs} | **{row.ratio}** | {row.goal} | {row.memory} |")
    return 0


def _compile() -> None:
    """Compile the checkout, as pip compiles what it installs, the peers among it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-m", "compileall", "-q", root / "dxforge", root / "dxforge_nb"], check=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    peers = ", ".join(peer.replace("==", " ").replace("@", " ") for peer in (*PEERS, *NPM_PEERS, *NOTEBOOK_PEERS))
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} "
        f"cores, {memory:.0f} GiB, Python {platform.python_version()}, git {git}, {peers}."
    )


if __name__ == "__main__":
    sys.exit(main())
