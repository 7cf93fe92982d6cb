"""A build of a hundred steps over five thousand files: nothing to do, and everything."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.material import BIN, Material
from benchmarks.measure import Contender, Say, by_turns, process
from benchmarks.table import Row, row

STEPS = 100
FILES_PER_STEP = 50
NAMES = [f"p{number}" for number in range(STEPS)]
COLD_ROUNDS = 3

CONCAT = """#!/bin/sh
set -e
mkdir -p "packages/$1/out"
cat "packages/$1/src/"* > "packages/$1/out/all.txt"
echo "built $1"
"""

DODO = f"""from glob import glob

def task_build():
    for number in range({STEPS}):
        name = f"p{{number}}"
        yield {{
            "name": name,
            "file_dep": glob(f"packages/{{name}}/src/*"),
            "targets": [f"packages/{{name}}/out/all.txt"],
            "actions": [f"./concat.sh {{name}}"],
        }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """One way to build the project."""

    name: str
    command: Sequence[str | Path]
    state: tuple[str, ...]
    """What it remembers of earlier builds."""
    nothing_done: Callable[[str], bool]
    """Whether its output says that no step ran."""
    question: tuple[str, ...] = ()
    """What is added to the command for that output."""


def build(material: Material, rounds: int, say: Say) -> list[Row]:
    """Nothing to do, and a cold build for information; each a whole process in a project of its own."""
    env = {"TURBO_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "TURBO_NO_UPDATE_NOTIFIER": "1", **material.env}
    builders = [
        Builder(
            name="dxforge build",
            command=[BIN / "dxforge", "build"],
            state=(".dx",),
            question=("--json",),
            nothing_done=lambda output: all(step["cached"] for step in json.loads(output)["steps"]),
        ),
        Builder(
            name="turbo run build",
            command=[material.turbo, "run", "build"],
            state=(".turbo",),
            nothing_done=lambda output: f"{STEPS} cached, {STEPS} total" in output,
        ),
        Builder(
            name="doit",
            command=[material.peers / "doit"],
            state=(".doit.db.db", ".doit.db"),
            nothing_done=lambda output: output.count("-- build:") == STEPS,
        ),
        Builder(name="make", command=["make"], state=(), nothing_done=lambda output: "Nothing to be done" in output),
        Builder(
            name="make -r",
            command=["make", "-r"],
            state=(),
            nothing_done=lambda output: "Nothing to be done" in output,
        ),
    ]
    roots = {builder.name: _project(material) for builder in builders}

    def contender(builder: Builder, *, cold: bool) -> Contender:
        root = roots[builder.name]
        return Contender(
            name=builder.name,
            prepare=(lambda: _forget(root, builder)) if cold else (lambda: None),
            run=lambda: process(builder.command, cwd=root, env=env),
        )

    # A cold make is the same with and without -r.
    cold = by_turns(
        [contender(builder, cold=True) for builder in builders[:-1]], rounds=min(rounds, COLD_ROUNDS), say=say
    )
    process(builders[-1].command, cwd=roots[builders[-1].name], env=env)
    for builder in builders:
        _check(builder, roots[builder.name], env)
    warm = by_turns([contender(builder, cold=False) for builder in builders], rounds=rounds, say=say)
    for builder in builders:
        _check(builder, roots[builder.name], env)
    what = f"build with nothing to do, {STEPS} steps, {STEPS * FILES_PER_STEP:,} files"
    return [
        *(row(what if peer is warm[1] else "the same", peer.name, [warm[0], peer], 1.0) for peer in warm[1:]),
        *(
            row("everything to do" if peer is cold[1] else "the same", peer.name, [cold[0], peer], None)
            for peer in cold[1:]
        ),
    ]


def _project(material: Material) -> Path:
    """The same project for all: sources, and each one's idea of how to build them."""
    root = material.fresh("build")
    chance = random.Random(1)
    (root / "concat.sh").write_text(CONCAT)
    (root / "concat.sh").chmod(0o755)
    for name in NAMES:
        source = root / "packages" / name / "src"
        source.mkdir(parents=True)
        for number in range(FILES_PER_STEP):
            (source / f"f{number}.txt").write_text("".join(f"{chance.random()} of a line\n" for _ in range(60)))
        manifest = {"name": name, "version": "1.0.0", "scripts": {"build": f"cd ../.. && ./concat.sh {name}"}}
        (root / "packages" / name / "package.json").write_text(json.dumps(manifest))
    workspace = {"name": "bench", "private": True, "packageManager": "npm@10.0.0", "workspaces": ["packages/*"]}
    (root / "package.json").write_text(json.dumps(workspace))
    (root / "turbo.json").write_text(json.dumps({"tasks": {"build": {"inputs": ["src/**"], "outputs": ["out/**"]}}}))
    (root / "node_modules").symlink_to(material.turbo.parent.parent)
    (root / "Makefile").write_text(
        f"all: {' '.join(f'packages/{name}/out/all.txt' for name in NAMES)}\n"
        + "".join(
            f"packages/{name}/out/all.txt: $(wildcard packages/{name}/src/*)\n\t./concat.sh {name}\n" for name in NAMES
        )
    )
    (root / "dodo.py").write_text(DODO)
    steps = "".join(
        f'[[build.steps]]\ntool = "concat"\nargs = ["{name}"]\n'
        f'inputs = ["packages/{name}/src/**"]\noutputs = ["packages/{name}/out"]\n\n'
        for name in NAMES
    )
    (root / "dx.toml").write_text(
        f'[project]\nname = "bench"\n\n[tools.concat]\nbinary_path = "concat.sh"\n\n[build]\nneeds = []\n\n{steps}'
    )
    (root / ".gitignore").write_text("out/\nnode_modules\n.turbo/\n.doit.db*\n.dx/\n")
    # Turborepo asks git for the hashes of what is committed.
    material.git("init", "--quiet", cwd=root)
    material.commit_all(root, "bench")
    return root


def _forget(root: Path, builder: Builder) -> None:
    for name in NAMES:
        shutil.rmtree(root / "packages" / name / "out", ignore_errors=True)
        shutil.rmtree(root / "packages" / name / ".turbo", ignore_errors=True)
    for name in builder.state:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).unlink(missing_ok=True)


def _check(builder: Builder, root: Path, env: dict[str, str]) -> None:
    """A build that runs a step, or leaves an output out, is no faster no-op."""
    done = subprocess.run(
        [*builder.command, *builder.question],
        cwd=root, env={**os.environ, **env}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if not builder.nothing_done(done.stdout):
        raise RuntimeError(f"{builder.name} did something:\n{done.stdout[-2000:]}")
    for name in NAMES:
        expected = b"".join(path.read_bytes() for path in sorted((root / "packages" / name / "src").iterdir()))
        if (root / "packages" / name / "out/all.txt").stat().st_size != len(expected):
            raise RuntimeError(f"{builder.name}: the output of {name} is wrong")
