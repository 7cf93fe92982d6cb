"""What is measured, and against what."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.material import BIN, EDITS, Material, edit, files, sha256
from benchmarks.measure import RSS_UNIT, Contender, Cost, Result, Say, by_turns, process
from benchmarks.table import Row, memory, row

Command = Sequence[str | Path]


def install(material: Material, rounds: int, say: Say) -> list[Row]:
    """A first install of the whole set from a warm cache, as a whole process."""
    uv: Command = [material.peers / "uv", "pip", "install", "--quiet", "--link-mode", "copy", "--no-deps"]
    uv = [*uv, "--python", sys.executable, *material.requirements()]
    dx: Command = [BIN / "dxforge", "install"]
    # Warms both caches; what is measured then needs no network.
    process([*uv, "--target", material.fresh("target")], cwd=material.work, env=material.env)
    warm = material.project("warm")
    process(dx, cwd=warm, env=material.env)
    count = sum(1 for _ in files(warm / "src"))
    results = by_turns(
        [
            Contender(
                name="dxforge install",
                run=lambda: process([*dx, "--offline"], cwd=material.project("first"), env=material.env),
            ),
            Contender(
                name="uv pip install",
                run=lambda: process(
                    [*uv, "--offline", "--target", material.fresh("target")], cwd=material.work, env=material.env
                ),
            ),
        ],
        rounds=rounds,
        say=say,
    )
    return [row(f"first install, {count:,} files, warm cache", "uv pip install --link-mode copy", results, 1.0)]


def noop(material: Material, rounds: int, say: Say) -> list[Row]:
    """A second install in one process, where there is nothing to do."""
    root = material.project("noop")
    process([BIN / "dxforge", "install"], cwd=root, env=material.env)
    count = sum(1 for _ in files(root / "src"))
    material.git("init", "--quiet", cwd=root)
    material.commit_all(root, "as installed")
    script = Path(__file__).with_name("noop.py")
    done = subprocess.run(
        [sys.executable, script, root, str(rounds)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **material.env},
    )
    results = [
        Result(name=name, costs=tuple(Cost(seconds=seconds, peak_bytes=peak * RSS_UNIT) for seconds in runs))
        for name, (runs, peak) in json.loads(done.stdout).items()
    ]
    for result in results:
        say(f"  {result.name}: {result.seconds:.3f} s ({result.spread})")
    return [row(f"install with nothing to do, {count:,} files, in one process", "git status", results, 1.0)]


def upgrade(material: Material, rounds: int, say: Say, *, copier_rounds: int | None = None) -> list[Row]:
    """An upgrade of one tree in which both sides edited the same thousand files."""
    before, after = material.archives
    ours = _ours(material, before, after)
    theirs = _git_merge(material)
    results = by_turns([ours, theirs], rounds=rounds, say=say)
    count = sum(1 for _ in files(material.trees[0]))
    what = f"upgrade, {len(material.edited):,} of {count:,} files edited on both sides"
    rows = [row(what, "git merge", results, 1.0)]
    if copier_rounds != 0:
        copier = by_turns([_copier(material)], rounds=copier_rounds or rounds, say=say)
        rows.append(row("the same", "copier update", [results[0], *copier], 1 / 20))
    return rows


def _ours(material: Material, before: Path, after: Path) -> Contender:
    archives = [(archive, sha256(archive)) for archive in (before, after)]
    root = material.work

    def ask_for(number: int) -> None:
        archive, digest = archives[number]
        packages = f'big = {{ url = "{archive.as_uri()}", sha256 = "{digest}" }}\n'
        material.write_project(root, packages)

    def prepare() -> None:
        nonlocal root
        root = material.fresh("ours")
        ask_for(0)
        process([BIN / "dxforge", "install"], cwd=root, env=material.env)
        for path in material.edited:
            edit(root / "src/dx_packages/big" / path, "here", 1)
        ask_for(1)
        # The archive is fetched and looked into, as git has its objects before it merges.
        process([BIN / "dxforge", "install", "--dry-run"], cwd=root, env=material.env, expect=(0, 3))

    def run() -> Cost:
        cost = process([BIN / "dxforge", "install", "--on-yellow", "accept"], cwd=root, env=material.env)
        _check_merged(root / "src/dx_packages/big", material.edited)
        return cost

    return Contender(name="dxforge install", prepare=prepare, run=run)


def _git_merge(material: Material) -> Contender:
    root = material.work / "git"
    before, after = material.trees
    shutil.copytree(before, root)
    material.git("init", "--quiet", "--initial-branch", "main", cwd=root)
    material.commit_all(root, "base")
    material.git("checkout", "--quiet", "-b", "upstream", cwd=root)
    for path in material.edited:
        shutil.copyfile(after / path, root / path)
    material.commit_all(root, "upstream")
    material.git("checkout", "--quiet", "main", cwd=root)
    for path in material.edited:
        edit(root / path, "here", 1)
    material.commit_all(root, "here")
    material.git("branch", "here", cwd=root)

    def run() -> Cost:
        cost = process(["git", "merge", "--quiet", "--no-edit", "upstream"], cwd=root, env=material.env)
        _check_merged(root, material.edited)
        return cost

    return Contender(
        name="git merge", prepare=lambda: material.git("reset", "--quiet", "--hard", "here", cwd=root), run=run
    )


def _copier(material: Material) -> Contender:
    template, root = material.work / "template", material.work / "generated"
    before, after = material.trees
    shutil.copytree(before, template / "files")
    (template / "copier.yml").write_text("_subdirectory: files\n")
    (template / "files" / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers|to_nice_yaml -}}\n")
    material.git("init", "--quiet", cwd=template)
    material.commit_all(template, "base")
    material.git("tag", "v1.0.0", cwd=template)
    for path in material.edited:
        shutil.copyfile(after / path, template / "files" / path)
    material.commit_all(template, "upstream")
    material.git("tag", "v2.0.0", cwd=template)
    copier = material.peers / "copier"
    process(
        [copier, "copy", "--quiet", "--defaults", "--vcs-ref", "v1.0.0", f"git+file://{template}", root],
        cwd=material.work,
        env=material.env,
    )
    material.git("init", "--quiet", cwd=root)
    material.commit_all(root, "generated")
    for path in material.edited:
        edit(root / path, "here", 1)
    material.commit_all(root, "here")

    def prepare() -> None:
        material.git("reset", "--quiet", "--hard", cwd=root)
        material.git("clean", "--quiet", "--force", "-d", cwd=root)

    def run() -> Cost:
        cost = process([copier, "update", "--quiet", "--defaults"], cwd=root, env=material.env)
        _check_merged(root, material.edited)
        return cost

    return Contender(name="copier update", prepare=prepare, run=run)


def _check_merged(root: Path, paths: list[str]) -> None:
    """A merge that left an edit out is no faster merge."""
    for path in paths:
        text = (root / path).read_text(encoding="utf-8")
        if "# edited here\n" not in text or "# edited upstream\n" not in text or "<<<<<<<" in text:
            raise RuntimeError(f"{path} is not merged in {root}")
    if len(paths) != EDITS:
        raise RuntimeError(f"{len(paths)} files are edited, not {EDITS}")


def startup(material: Material, rounds: int, say: Say) -> list[Row]:
    """What starting costs over the bare interpreter."""
    python, ipython = [sys.executable], [sys.executable, "-m", "IPython", "--quick", "--no-banner"]
    root = material.project("startup")
    quiet = {**material.env, "IPYTHONDIR": str(material.work / "ipython")}
    pairs: list[tuple[str, Command, Command, str, int]] = [
        ("import dxforge", [*python, "-c", "import dxforge"], [*python, "-c", "pass"], "Python", 60),
        ("%load_ext dxforge_nb", [*ipython, "-c", "%load_ext dxforge_nb"], [*ipython, "-c", "pass"], "IPython", 100),
        ("dxforge --help", [BIN / "dxforge", "--help"], [*python, "-c", "pass"], "Python", 150),
    ]
    rows = []
    for what, command, bare, name, goal_ms in pairs:

        def contender(command: Command, label: str) -> Contender:
            return Contender(name=label, run=lambda: process(command, cwd=root, env=quiet))

        # Cheap runs, and small differences: more of them.
        ours, theirs = by_turns(
            [contender(command, what), contender(bare, f"bare {name}")], rounds=rounds * 3, say=lambda _: None
        )
        over_ms = (ours.seconds - theirs.seconds) * 1000
        say(f"  {what}: {over_ms:.0f} ms over {theirs.seconds * 1000:.0f} ms")
        rows.append(
            Row(
                what=f"`{what}`",
                ours=f"{ours.seconds * 1000:.0f} ms",
                theirs=f"{theirs.seconds * 1000:.0f} ms (bare {name})",
                ratio=f"+{over_ms:.0f} ms",
                goal=f"+{goal_ms} ms",
                memory=memory([ours, theirs]),
            )
        )
    return rows
