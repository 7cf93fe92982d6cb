"""Kills operations at every step and at random moments, and looks at what recovery makes of it.

Every trial forks: the child carries an operation out and dies by SIGKILL, the parent recovers and compares. The tree
must be wholly as before the operation or wholly as after it, ``dx.lock`` included, with every edit in place.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dxforge.traffic.journal import Journal
from dxforge.traffic.manager import TrafficManager

Operation = Callable[[TrafficManager], object]


def install(manager: TrafficManager) -> object:
    """The operation "install"."""
    return asyncio.run(manager.install_all_dependencies())


def accept(manager: TrafficManager) -> object:
    """The operation "accept" of everything pending."""
    return manager.accept([change.path for change in manager.pending()])


def undo(manager: TrafficManager) -> object:
    """The operation "undo"."""
    return manager.undo()


def remove(manager: TrafficManager) -> object:
    """The operation "remove" of the package that was edited."""
    return asyncio.run(manager.remove("edited"))


def picture(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything of a project outside ``.dx``: path -> permissions and content."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if relative.parts[0] == ".dx" or relative.parts[0] == "upstream":
            continue
        if path.is_symlink():
            found[relative.as_posix()] = (0, os.readlink(path).encode())
        elif path.is_file():
            found[relative.as_posix()] = (path.stat().st_mode & 0o111, path.read_bytes())
    return found


@dataclass
class Scene:
    """An operation with the state before it (a folder to copy) and the pictures before and after it."""

    name: str
    operation: Operation
    template: Path
    before: dict[str, tuple[int, bytes]]
    after: dict[str, tuple[int, bytes]]
    steps: int
    duration_s: float


@dataclass
class Tally:
    """How many trials ended before and after, by scene, and how many children were really killed."""

    before: int = 0
    after: int = 0
    killed: int = 0
    steps: dict[str, int] = field(default_factory=dict)


def build_scenes(folder: Path) -> list[Scene]:
    """First install, upgrade over edits, accept, undo of each, and remove; each ready to be killed."""
    start = folder / "start"
    _upstream(start, 1)
    (start / "dx.toml").write_text(
        '[packages]\nedited = { path = "upstream/edited" }\nplain = { path = "upstream/plain" }\n'
    )
    scenes = [_scene("first install", install, start, folder)]
    edited = _continued(scenes[-1], folder, "edited")
    _edit(edited / "src/dx_packages/edited")
    _upstream(edited, 2)
    scenes.append(_scene("upgrade", install, edited, folder))
    upgraded = _continued(scenes[-1], folder, "upgraded")
    scenes.append(_scene("accept", accept, upgraded, folder))
    scenes.append(_scene("undo upgrade", undo, upgraded, folder))
    scenes.append(_scene("undo accept", undo, _continued(scenes[2], folder, "accepted"), folder))
    scenes.append(_scene("remove", remove, upgraded, folder))
    return scenes


def _upstream(root: Path, version: int) -> None:
    shutil.rmtree(root / "upstream", ignore_errors=True)
    for package in ("edited", "plain"):
        for number in range(12):
            if (number, version) == (3, 2):
                continue
            file = root / "upstream" / package / f"m{number % 3}" / f"f{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"line {number}.{line}\n" for line in range(30)]
            if number % 2 == 0:
                lines[20] = f"upstream {version}\n"
            if number == 5:
                lines[1] = f"clash {version}\n"
            file.write_text("".join(lines))
    if version == 2:
        (root / "upstream/edited/added.py").write_text("new = 1\n")


def _edit(package: Path) -> None:
    for number in (0, 2, 4, 7):
        file = package / f"m{number % 3}" / f"f{number}.py"
        file.write_text(file.read_text().replace(f"line {number}.3\n", "my own line\n"))
    clash = package / "m2/f5.py"
    clash.write_text(clash.read_text().replace("clash 1\n", "my clash\n"))
    (package / "mine.txt").write_text("only mine\n")


def _continued(scene: Scene, folder: Path, name: str) -> Path:
    target = folder / name
    shutil.copytree(scene.template, target, symlinks=True)
    scene.operation(TrafficManager(target))
    return target


def _scene(name: str, operation: Operation, template: Path, folder: Path) -> Scene:
    before = picture(template)
    done = folder / "done"
    shutil.copytree(template, done, symlinks=True)
    steps: list[str] = []
    started = time.monotonic()
    operation(_checkpointed(done, steps.append))
    duration = time.monotonic() - started
    after = picture(done)
    shutil.rmtree(done)
    if before == after:
        raise AssertionError(f"{name} changes nothing, so killing it proves nothing")
    return Scene(name, operation, template, before, after, len(steps), duration)


def _checkpointed(root: Path, checkpoint: Callable[[str], None]) -> TrafficManager:
    manager = TrafficManager(root)
    plain = manager._ground.journal

    def journal() -> Journal:
        made = plain()
        made.checkpoint = checkpoint
        return made

    manager._ground.journal = journal  # type: ignore[method-assign]
    return manager


def kill_at_step(scene: Scene, step: int, folder: Path, tally: Tally) -> None:
    """One trial: the child dies at its ``step``-th checkpoint."""
    seen = 0

    def checkpoint(_: str) -> None:
        nonlocal seen
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    _trial(scene, folder, tally, checkpoint, None)


def kill_after(scene: Scene, delay_s: float, folder: Path, tally: Tally) -> None:
    """One trial: the child is killed ``delay_s`` seconds after it was forked."""
    _trial(scene, folder, tally, lambda _: None, delay_s)


def _trial(scene: Scene, folder: Path, tally: Tally, checkpoint: Callable[[str], None], delay_s: float | None) -> None:
    root = folder / "trial"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(scene.template, root, symlinks=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            scene.operation(_checkpointed(root, checkpoint))
            code = 0
        finally:
            os._exit(code)
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        tally.killed += 1
    elif os.WEXITSTATUS(status):
        raise AssertionError(f"{scene.name} failed instead of being killed")
    asyncio.run(TrafficManager(root).recover())
    found = picture(root)
    if found == scene.before:
        tally.before += 1
    elif found == scene.after:
        tally.after += 1
    else:
        strange = {path for path in {*found, *scene.before} if found.get(path) != scene.before.get(path)}
        raise AssertionError(f"{scene.name}: neither before nor after: {sorted(strange)}")
    if list((root / ".dx").glob("interrupted/*")):
        raise AssertionError(f"{scene.name}: recovery gave up on something that nobody else had touched")
    _usable(scene, root)


def _usable(scene: Scene, root: Path) -> None:
    """What was interrupted can simply be done again, and then everything is as after it."""
    if picture(root) == scene.before:
        scene.operation(TrafficManager(root))
    if picture(root) != scene.after:
        raise AssertionError(f"{scene.name}: doing it again after recovery ends elsewhere")


def run_crashes(folder: Path, *, every_step: int, random_kills: int, seed: int) -> Tally:
    """Kill every scene at every ``every_step``-th checkpoint, and ``random_kills`` times at random moments in all."""
    scenes = build_scenes(folder)
    tally = Tally()
    for scene in scenes:
        tally.steps[scene.name] = scene.steps
        for step in range(0, scene.steps, every_step):
            kill_at_step(scene, step, folder, tally)
    chance = random.Random(seed)
    for _ in range(random_kills):
        scene = chance.choice(scenes)
        kill_after(scene, chance.uniform(0, scene.duration_s), folder, tally)
    return tally
