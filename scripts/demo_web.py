"""The second tour: a web page built from a notebook's data, in ./demo/web (or the folder given), with real tools.

Sass, esbuild and a Node server, which npm puts into the project; where there is no Node, a few lines of Python each.
Every line after a ``$`` is run as it stands there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self

from story import ROOT, Shell, say, show, stop, styled, write_notebook

DEMO = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "demo" / "web"
MATERIAL = Path(__file__).resolve().parent / "demo_web"
DEADLINE_S = 60.0

CELLS = (
    ("markdown", "# The build in a notebook\n\nMade by `make demo`. The same commands, with `%dx` before them."),
    ("code", "%load_ext dxforge_nb"),
    (
        "markdown",
        "All of it, cached or not. Unfold the graph, the timeline, and what each step printed:",
    ),
    ("code", "%dx build --force"),
    ("markdown", "The tools belong to this kernel: they end with it, however it ends."),
    ("code", "%dx status"),
)


def main() -> int:
    """Tell the story, and leave nothing running, however it ends."""
    node = shutil.which("node") is not None and shutil.which("npm") is not None
    port = prepare("node" if node else "python")
    dx = Shell(DEMO)
    try:
        tell(dx, port, node=node)
    finally:
        subprocess.run(["dxforge", "stop", "--all", "--quiet"], cwd=DEMO, env=dx.environment, check=False)
    nothing_left()
    return 0


def tell(dx: Shell, port: int, *, node: bool) -> None:
    """The story."""
    say("A page that shows a notebook's data. dx.toml names four tools, and two steps that build it:")
    print((DEMO / "dx.toml").read_text(encoding="utf-8"))
    if node:
        dx.run("npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts")
    else:
        say("There is no Node here, so small Python programs stand in for Sass, esbuild and the Node server.")
    say("A build starts the tools that it needs, in order, waits until they are healthy, and runs the steps.")
    dx.run("dxforge build")
    say("Nothing has changed, so nothing runs.")
    dx.run("dxforge build")
    say("An edit: just what reads it runs, and it says why.")
    dx.edit("src/page/main.js", "The largest modules", "The longest modules")
    dx.run("dxforge build --explain")
    say("The notebook makes the data. Five bars will do:")
    dx.edit("data.ipynb", "TOP = 8", "TOP = 5")
    dx.run("dxforge build")
    edit_while_watching(dx, port)

    say("Tools can also be left running between builds. The last build as a picture, then:")
    dx.run("dxforge start dx-style dx-js-runtime")
    dx.run("dxforge build --graph graph.svg")
    dx.run("dxforge stop --all")
    say("And in a notebook ...")
    write_notebook(DEMO / "build.ipynb", CELLS)


def prepare(variant: str) -> int:
    """Lay out the project; returns the port of its server."""
    if (DEMO / "dx.toml").exists():
        shutil.rmtree(DEMO)
    shutil.copytree(MATERIAL / "page", DEMO)
    shutil.copytree(MATERIAL / variant, DEMO, dirs_exist_ok=True)
    (DEMO / "gitignore").rename(DEMO / ".gitignore")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = DEMO / "dx.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("@PORT@", str(port)), encoding="utf-8")
    return port


def edit_while_watching(dx: Shell, port: int) -> None:
    """A second terminal."""
    say("While you work, a second terminal watches. Its lines have a bar in front:")
    show("dxforge watch")
    with Terminal(dx, ["dxforge", "watch"]) as watch:
        watch.until(lambda text: "up to date" in text)
        print()
        say("The style is another colour now. dx-style rewrites build/css, and a step reads that:")
        dx.edit("src/style/page.scss", "#3b6ea5", "#a5563b")
        watch.until(lambda text: "build/css/page.css changed" in text and "1 built" in text)
        print()
        address = f"http://127.0.0.1:{port}/main.css"
        say(f"The server has it: {address}")
        with urllib.request.urlopen(address) as answer:
            colours = re.findall(rb"#[0-9a-f]{6}", answer.read())
        if b"#a5563b" not in colours:
            stop("the server has the old style")
        print(f"    ... {b' ... '.join(colours).decode()} ...\n")
        dx.run("dxforge status")
        say("The server is killed, from outside, as hard as can be.")
        pid = server_pid(dx)
        show(f"kill -9 {pid}")
        os.kill(pid, signal.SIGKILL)
        wait(lambda: server_pid(dx) not in {0, pid} and answers(port))
        print()
        dx.run("dxforge logs dx-js-runtime -n 4")
        say("Ctrl-C in the second terminal ends the watch, and the tools with it.")
    print()


class Terminal:
    """A command in the background, whose lines are shown as they come; interrupted at the end of the block."""

    def __init__(self, shell: Shell, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=shell.folder,
            env=shell.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(DEADLINE_S)
        finally:
            self._process.kill()
            self._reader.join()

    def until(self, condition: Callable[[str], bool]) -> None:
        """Wait until what was shown since the last time fulfils it."""
        wait(lambda: condition(self._text) or self._process.poll() is not None)
        if self._process.poll() is not None:
            stop("the watch has ended")
        self._text = ""

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            print(f"{styled('  │', '36')} {line}", end="", flush=True)
            self._text += line


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds; for too long, and the demo ends."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            stop("something did not happen in time")
        time.sleep(0.05)


def server_pid(dx: Shell) -> int:
    """The server's process, by ``dxforge status --json``; 0 where there is none."""
    done = subprocess.run(
        ["dxforge", "status", "--json"], cwd=dx.folder, env=dx.environment, stdout=subprocess.PIPE, check=True
    )
    tools = {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}
    return int(tools["dx-js-runtime"]["pid"] or 0)


def answers(port: int) -> bool:
    """Whether the server is there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


def nothing_left() -> None:
    """No process works in the project any more."""
    import psutil

    left = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(DEMO):
                left.append(f"{process.pid} ({process.name()})")
        except (psutil.Error, OSError):
            continue
    if left:
        stop(f"still running: {', '.join(left)}")
    say("Nothing is left running.")


if __name__ == "__main__":
    sys.exit(main())
