"""A real upgrade corpus: pip's sources as pipenv patched them, upgrade after upgrade.

pipenv keeps a patched copy of pip in ``pipenv/patched/pip``. For two releases whose copies have different versions of
pip: base = pip's wheel of the first version, local = pipenv's copy of it, incoming = pip's wheel of the second
version, truth = what pipenv's maintainers shipped next. Every file that both sides changed is merged by
``git merge-file`` and by dxforge. ``_vendor`` is left out. Wheels come through pip's ordinary configuration and are
kept in the user's cache.

    python tests/soak/pipenv_corpus.py [--order index|release] [--upgrades N] [--verbose]
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from dxforge.traffic.merge import MergeResult, Sides, merge_many

Files = Mapping[str, bytes]

BY_INDEX = tuple(
    """2022.10.10 2022.10.25 2023.10.20 2023.10.24 2023.10.3 2023.11.17 2023.2.18 2023.2.4 2023.4.20 2023.4.29
    2023.7.23 2024.0.0 2024.1.0 2024.2.0 2024.4.0 2025.0.0 2025.0.3 2025.1.1 2026.1.0 2026.10.0 2026.6.0
    2026.7.0""".split()
)
"""The first wheel of each vendored version in the order of the index, which is alphabetical: a few steps go back in
time (23.3.1 -> 23.2.1 -> 23.3.2), and are as good a test of a merge as those that go forward."""

BY_RELEASE = tuple(
    (step.split(">")[0], step.split(">")[1])
    for step in """2022.10.12>2022.10.25 2022.11.30>2022.12.17 2023.2.4>2023.2.18 2023.3.20>2023.4.20
    2023.4.20>2023.4.29 2023.7.11>2023.7.23 2023.7.23>2023.8.19 2023.10.3>2023.10.20 2023.10.20>2023.10.24
    2023.11.15>2023.11.17 2023.12.1>2024.0.0 2024.0.3>2024.1.0 2024.1.0>2024.2.0 2024.3.1>2024.4.0 2024.4.1>2025.0.0
    2025.0.2>2025.0.3 2025.0.4>2025.1.1 2026.0.3>2026.1.0 2026.5.2>2026.6.0 2026.6.2>2026.7.0
    2026.7.1>2026.8.0""".split()
)
"""In the order of time: (last release with one version of pip, first release with the next)."""

ORDERS = {"index": tuple(itertools.pairwise(BY_INDEX)), "release": BY_RELEASE}
EXPECTED = {"index": (1013, 665, 639), "release": (725, 501, 476)}
"""Files changed on both sides, merged clean by git, of which equal to the truth: the corpus is the one we think."""

_IMPORTS = re.compile(rb"\bpipenv\.patched(?:\.pip)?\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One file, merged by git (None = conflict) and by dxforge."""

    path: str
    git: bytes | None
    ours: MergeResult
    truth: bytes

    @property
    def git_equal(self) -> bool:
        return self.git == self.truth

    @property
    def ours_equal(self) -> bool:
        return self.ours.clean and self.ours.content == self.truth

    @property
    def worse(self) -> bool:
        """Git merges it and we do not, or not to the same, unless ours is what the maintainers shipped."""
        return self.git is not None and not self.ours_equal and self.ours.content != self.git

    @property
    def better(self) -> bool:
        return (self.git is None and self.ours.clean) or (self.ours_equal and not self.git_equal)

    @property
    def verdict(self) -> str:
        """How a better merge compares with what was shipped."""
        if self.ours_equal:
            return "as shipped"
        if _plain(self.ours.content) == _plain(self.truth):
            return "as shipped, but for pipenv's import prefix in lines new upstream"
        return "the maintainers did more by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One step of the corpus and its files."""

    releases: tuple[str, str]
    versions: tuple[str, str]
    files: tuple[Merged, ...] = field(repr=False)

    def figures(self) -> tuple[int, ...]:
        """Files, git clean, git equal, ours clean, ours equal, worse, better."""
        return (
            len(self.files),
            sum(file.git is not None for file in self.files),
            sum(file.git_equal for file in self.files),
            sum(file.ours.clean for file in self.files),
            sum(file.ours_equal for file in self.files),
            sum(file.worse for file in self.files),
            sum(file.better for file in self.files),
        )


def run(order: str = "index", steps: slice = slice(None)) -> Iterator[Upgrade]:
    """Merge every file of the chosen steps.

    Args:
        order: "index" or "release", a key of ``ORDERS``.
        steps: which of its 21 steps.
    """
    pairs = ORDERS[order][steps]
    copies = _pipenv_copies(sorted({release for pair in pairs for release in pair}))
    versions = {release: _pip_version(files) for release, files in copies.items()}
    wheels = _wheels("pip", sorted(set(versions.values())))
    pips = {version: _files(wheel, "pip/") for version, wheel in wheels.items()}
    for before, after in pairs:
        base, incoming = pips[versions[before]], pips[versions[after]]
        yield Upgrade(
            releases=(before, after),
            versions=(versions[before], versions[after]),
            files=tuple(_merge(base, copies[before], incoming, copies[after])),
        )


def totals(upgrades: Sequence[Upgrade]) -> tuple[int, ...]:
    """The sums of the figures."""
    return tuple(sum(column) for column in zip(*(upgrade.figures() for upgrade in upgrades), strict=True))


def _merge(base: Files, local: Files, incoming: Files, truth: Files) -> Iterator[Merged]:
    both = {
        path: Sides(content, local[path], incoming[path])
        for path, content in sorted(base.items())
        if path in local and path in incoming and content not in (local[path], incoming[path])
    }
    ours = merge_many(both)
    with ThreadPoolExecutor(2) as pool:
        for path, git in zip(both, pool.map(git_merge_file, both.values()), strict=True):
            yield Merged(path=path, git=git, ours=ours[path], truth=truth.get(path, b""))


def git_merge_file(sides: Sides) -> bytes | None:
    """What ``git merge-file`` makes of it; None on conflict."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, content in (("local", sides.local), ("base", sides.base), ("incoming", sides.incoming)):
            path = Path(folder, name)
            path.write_bytes(content)
            names.append(str(path))
        done = subprocess.run(["git", "merge-file", "-p", "-q", *names], capture_output=True, check=False)
    if done.returncode > 127:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return done.stdout if done.returncode == 0 else None


def _plain(content: bytes) -> bytes:
    return _IMPORTS.sub(b"pip", content)


def _pip_version(copy: Files) -> str:
    found = re.search(rb'__version__ = "(.+?)"', copy["__init__.py"])
    if found is None:
        raise RuntimeError("pipenv's copy of pip has no version")
    return found[1].decode()


def _pipenv_copies(releases: Sequence[str]) -> dict[str, Files]:
    return {release: _files(wheel, "pipenv/patched/pip/") for release, wheel in _wheels("pipenv", releases).items()}


def _files(wheel: Path, prefix: str) -> Files:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.removeprefix(prefix): archive.read(name)
            for name in archive.namelist()
            if name.startswith(prefix) and not name.endswith("/") and "/_vendor/" not in name
        }


def _wheels(project: str, versions: Sequence[str]) -> dict[str, Path]:
    """The wheels of ``versions``, downloaded once."""
    folder = platformdirs.user_cache_path("dxforge-tests") / "wheels"
    folder.mkdir(parents=True, exist_ok=True)

    def wheel(version: str) -> Path:
        found = list(folder.glob(f"{project}-{version}-*.whl"))
        if not found:
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
                subprocess.run([*command, "--dest", temporary, f"{project}=={version}"], check=True)
                (downloaded,) = Path(temporary).iterdir()
                found = [downloaded.rename(folder / downloaded.name)]
        return found[0]

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(versions, pool.map(wheel, versions), strict=True))


def main() -> int:
    """Print the table; exit status 1 where a file is worse than git's, or the corpus is not the one we know."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--order", choices=[*ORDERS, "both"], default="both")
    parser.add_argument("--upgrades", type=int, default=None, help="only the first N")
    parser.add_argument("--verbose", action="store_true", help="list the files that stay conflicts too")
    options = parser.parse_args()
    failed = False
    for order in ORDERS if options.order == "both" else [options.order]:
        upgrades = list(run(order, slice(options.upgrades)))
        sums = _print_table(order, upgrades)
        _print_files(upgrades, verbose=options.verbose)
        if options.upgrades is None and sums[:3] != EXPECTED[order]:
            print(f"The corpus has changed: {sums[:3]} where {EXPECTED[order]} were measured before.")
            failed = True
        failed |= sums[5] > 0
    return int(failed)


def _print_table(order: str, upgrades: Sequence[Upgrade]) -> tuple[int, ...]:
    sums = totals(upgrades)
    print(f"\n## {len(upgrades)} upgrades in {order} order\n")
    print("| pipenv | pip | files | git clean | git equal | ours clean | ours equal | worse | better |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for upgrade in upgrades:
        names = (" → ".join(upgrade.releases), " → ".join(upgrade.versions))
        print("|", " | ".join([*names, *map(str, upgrade.figures())]), "|")
    print("| all | |", " | ".join(map(str, sums)), "|")
    return sums


def _print_files(upgrades: Sequence[Upgrade], *, verbose: bool) -> None:
    reasons: dict[str, int] = {}
    for upgrade in upgrades:
        for file in upgrade.files:
            where = f"{' → '.join(upgrade.versions)} {file.path}"
            if file.worse:
                print(f"WORSE  {where}")
            elif file.better:
                reason = f"{file.ours.how or 'line merge'}: {file.verdict}"
                reasons[reason] = reasons.get(reason, 0) + 1
                print(f"better {where} ({reason})")
            elif verbose and not file.ours.clean:
                print(f"conflict {where}")
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"{count:5} better by {reason}")


if __name__ == "__main__":
    sys.exit(main())
