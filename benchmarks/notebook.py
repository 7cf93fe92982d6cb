"""The notebook's panels beside nbdime and jupyterlab-git: ``python -m benchmarks.notebook [--files 100 1000]``.

All of it without a browser, at the place where the kernel (or the peer's server) hands over: dxforge by the kernel's
own protocol, the peers by the HTTP requests that their pages make. What is beside each other does the same for a user:

- the list: dxforge's ``%dx review`` until the page has every file that awaits a decision, in a new kernel (importing
  ipywidgets is most of that) and asked again by a page; jupyterlab-git's status, the list of changed files, by a server
  that was asked once before. nbdime has no list, it shows one notebook.
- one file opened: dxforge's sides and hunks of one file (a merge); jupyterlab-git's two contents, which its page then
  compares; nbdime's three-way merge of a notebook with the same lines.
- one decision until the file is on disk: dxforge takes a file's proposal, writes undo information, file and ``dx.lock``
  and syncs them; jupyterlab-git discards the edits of a file (``git checkout``), nbdime stores the merged notebook.
  Neither can take its own back.

Loading, time in the kernel and the size of the saved notebook have no counterpart there: the peers are servers of their
own, and save nothing in a notebook.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

from benchmarks.material import Material
from benchmarks.measure import Say
from benchmarks.table import Row
from dxforge.build.events import BuildStarted, StepStarted
from dxforge.build.model import Step
from dxforge.commands.board import Board
from dxforge.commands.html import html
from tests.support.kernel_page import KernelPage, kernel_page

PEERS = ("jupyterlab-git==0.55.0", "nbdime==4.0.4")
COUNTS = (100, 1_000, 10_000)
LINES = 60
_WATCHED_S = 10.0


class Clock:
    """What was measured, in milliseconds, by name."""

    def __init__(self, say: Say) -> None:
        self._runs: dict[str, list[float]] = {}
        self._say = say

    def add(self, name: str, milliseconds: float) -> None:
        """One run."""
        self._runs.setdefault(name, []).append(milliseconds)
        self._say(f"  {name}: {milliseconds:.1f} ms")

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Measure ``work`` on the clock."""
        start = time.perf_counter()
        result = work()
        self.add(name, (time.perf_counter() - start) * 1000)
        return result

    def row(self, what: str, ours: str, *peers: tuple[str, str]) -> Row:
        """A line of the table: ours, and each peer with what ours is of it."""
        mine = statistics.median(self._runs[ours])
        theirs = [(name, statistics.median(self._runs[peer])) for name, peer in peers]
        return Row(
            what=what,
            ours=f"{mine:.1f} ms ({min(self._runs[ours]):.1f}-{max(self._runs[ours]):.1f})",
            theirs=", ".join(f"{median:.1f} ms, `{name}`" for name, median in theirs) or "–",
            ratio=", ".join(f"{mine / median:.2f}×" for _, median in theirs) or "–",
            goal="–",
            memory="–",
        )


# ---- material


def source(number: int, *, mine: bool = False, theirs: bool = False) -> str:
    """A module that both sides may have edited, in different places."""
    lines = [f"VALUE_{line} = {number} + {line}" for line in range(LINES)]
    if mine:
        lines[LINES - 10] += "  # mine"
    if theirs:
        lines[10] += "  # theirs"
    return "\n".join(lines) + "\n"


def write(folder: Path, count: int, **edits: bool) -> None:
    """``count`` modules in ten folders."""
    for number in range(count):
        file = folder / f"part{number % 10}" / f"m{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source(number, **edits))


def project(folder: Path, count: int, env: dict[str, str]) -> Path:
    """A project with ``count`` Yellows."""
    root, theme = folder / "project", folder / "theme"
    root.mkdir(parents=True)
    (root / "dx.toml").write_text('[project]\nname = "bench"\n\n[packages]\ntheme = { path = "../theme" }\n')
    install = [sys.executable, "-m", "dxforge", "install", "-q"]
    write(theme, count)
    subprocess.run(install, cwd=root, env=env, check=True)
    write(root / "src/dx_packages/theme", count, mine=True)
    write(theme, count, theirs=True)
    done = subprocess.run(install, cwd=root, env=env, check=False)
    if done.returncode != 3:
        raise RuntimeError(f"the second install ended with {done.returncode}, not with decisions to take")
    return root


def repository(folder: Path, count: int, env: dict[str, str]) -> Path:
    """The same files, edited, in git."""
    write(folder, count)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as installed"]):
        subprocess.run(["git", *words], cwd=folder, env=env, check=True)
    write(folder, count, mine=True)
    return folder


# ---- peers


def peers(material: Material) -> Path:
    """The ``bin`` of an environment with the peers."""
    folder = material.cache / "notebook-peers"
    stamp = folder / "stamp.txt"
    if not stamp.exists() or stamp.read_text().split() != list(PEERS):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEERS], check=True)
        stamp.write_text("\n".join(PEERS))
    return folder / "bin"


class Server:
    """A peer's server; one connection that stays open, as a browser's does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any) -> Any:
        """A request of its page."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {"Content-Type": "application/json", "X-XSRFToken": "x", "Cookie": "_xsrf=x"}
        self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
        return json.loads(text) if text else None


@contextlib.contextmanager
def serving(command: list[str | Path], port: int, cwd: Path, env: dict[str, str]) -> Iterator[Server]:
    """Run a server until the end of the block."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{command[0]} does not listen")
            time.sleep(0.1)
        yield Server(port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure_git(clock: Clock, binaries: Path, folder: Path, count: int, rounds: int, env: dict[str, str]) -> None:
    """jupyterlab-git's server extension."""
    port = free_port()
    options = (
        "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={folder.parent}",
    )  # fmt: skip
    with serving([binaries / "jupyter-server", *options], port, folder, env) as server:
        at = f"/git/{folder.name}"
        server.post(f"{at}/status", {})  # the first one imports
        for number in range(rounds):
            found = clock.time(f"git list {count}", lambda: server.post(f"{at}/status", {}))
            if len(found["files"]) != count - number:
                raise RuntimeError(f"jupyterlab-git lists {len(found['files'])} files")
            name = f"part{number % 10}/m{number}.py"

            def both(name: str = name) -> None:
                for reference in ({"git": "HEAD"}, {"special": "WORKING"}):
                    server.post(f"{at}/content", {"filename": name, "reference": reference})

            clock.time(f"git open {count}", both)
            body = {"checkout_branch": False, "checkout_all": False, "filename": name}
            clock.time(f"git decide {count}", functools.partial(server.post, f"{at}/checkout", body))
            if (folder / name).read_text() != source(number):
                raise RuntimeError(f"{name} is not what it was")


def measure_nbdime(clock: Clock, binaries: Path, folder: Path, rounds: int, env: dict[str, str]) -> None:
    """nbdime's merge server, over a notebook that has a file's lines in one cell."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    for name, edits in (("base", {}), ("local", {"mine": True}), ("remote", {"theirs": True})):
        cell = nbformat.v4.new_code_cell(source(1, **edits), id="cell")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / f"{name}.ipynb")
    names = ["base.ipynb", "local.ipynb", "remote.ipynb"]
    command = [binaries / "nbmerge-web", f"--port={port}", "--browser=disabled", "--persist", *names]
    with serving([*command, "--out", "merged.ipynb"], port, folder, env) as server:
        body = {"base": "base.ipynb", "local": "local.ipynb", "remote": "remote.ipynb"}
        server.post("/api/merge", body)
        merged = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source(1, mine=True, theirs=True))])
        for _ in range(rounds):
            (folder / "merged.ipynb").unlink(missing_ok=True)
            clock.time("nbdime open", lambda: server.post("/api/merge", body))
            clock.time("nbdime decide", lambda: server.post("/api/store", {"merged": merged, "conflicts": []}))
            if "# theirs" not in (folder / "merged.ipynb").read_text():
                raise RuntimeError("nbdime has not stored the notebook")


# ---- ours


def measure_review(clock: Clock, root: Path, count: int, rounds: int, env: dict[str, str]) -> None:
    """The review panel's data: a new kernel for each list, since a kernel knows it from then on."""
    for number in range(rounds):
        with kernel_page(root, **env) as page:
            page.run("import time, sys")
            before = "before = time.perf_counter(); get_ipython().run_line_magic('load_ext', 'dxforge_nb')"
            clock.add("load", float(page.value(f"{before}; time.perf_counter() - before")) * 1000)

            def listed(page: KernelPage = page) -> tuple[str, Any]:
                model = page.run("%dx review").model
                return model, page.reply(model, "hello", view="review")

            model, hello = clock.time(f"list {count}", listed)
            files = {entry["path"]: entry for entry in hello["files"]}
            if len(files) != count - number:
                raise RuntimeError(f"the panel has {len(files)} files")
            clock.time(f"list again {count}", functools.partial(page.reply, model, "hello", view="review"))
            path = f"src/dx_packages/theme/part{number % 10}/m{number}.py"
            opened = clock.time(f"open {count}", functools.partial(page.reply, model, "open", path=path))
            if not opened["hunks"]:
                raise RuntimeError("there is nothing to decide")
            chosen = [{"path": path, "version": opened["entry"]["version"]}]
            decide = functools.partial(page.reply, model, "decide", what="accept", files=chosen)
            done = clock.time(f"decide {count}", decide)
            if not done["ok"] or (root / path).read_text() != source(number, mine=True, theirs=True):
                raise RuntimeError(f"{path} is not what was decided: {done}")


_TALK = "import time\nwhile True:\n    print(time.time(), flush=True)\n    time.sleep(0.05)\n"


def measure_status(root: Path, env: dict[str, str]) -> tuple[float, float, float]:
    """Kernel time per update in ms, updates a second, and kernel time per idle second in ms, with five tools."""
    root.mkdir()
    (root / "talk.py").write_text(_TALK)
    tools = "".join(
        f'[tools.t{number}]\nbinary_path = "{sys.executable}"\nargs = ["{root / "talk.py"}"]\n' for number in range(5)
    )
    (root / "dx.toml").write_text(f'[project]\nname = "bench"\n{tools}')
    with kernel_page(root, **env) as page:
        page.run("%load_ext dxforge_nb\nimport time")
        model = page.run("%dx status").model
        page.reply(model, "hello", view="status")
        page.listen(2)
        idle = _spent(page, model)[0] / _WATCHED_S
        page.run("%dx start t0 t1 t2 t3 t4 -q")
        page.listen(2)
        busy, updates = _spent(page, model)
        page.run("%dx stop --all -q")
    return (busy - idle * _WATCHED_S) / max(updates, 1), updates / _WATCHED_S, idle


def _spent(page: KernelPage, model: str) -> tuple[float, int]:
    page.reply(model, "watch")
    before, pushes = float(page.value("time.process_time()")), len(page.pushes(model))
    page.listen(_WATCHED_S)
    return (float(page.value("time.process_time()")) - before) * 1000, len(page.pushes(model)) - pushes


def measure_saved(root: Path, env: dict[str, str]) -> dict[str, int]:
    """Bytes of a notebook that showed a review and the status; with panels, their widget state saved, and without."""
    sizes = {}
    for panels in ("1", "0"):
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(c) for c in ("%load_ext dxforge_nb", "%dx review", "%dx status")]
        environment = {**os.environ, **env, "DXFORGE_PANELS": panels}
        script = (
            "import sys, nbformat; from nbclient import NotebookClient; nb = nbformat.read(sys.argv[1], 4); "
            "NotebookClient(nb, kernel_name='python3', store_widget_state=True, "
            "resources={'metadata': {'path': sys.argv[2]}}).execute(); nbformat.write(nb, sys.argv[1])"
        )
        file = root.parent / f"saved-{panels}-{uuid.uuid4().hex}.ipynb"
        nbformat.write(notebook, file)
        subprocess.run([sys.executable, "-c", script, file, root], env=environment, check=True)
        sizes[panels] = file.stat().st_size
    return sizes


def measure_build(clock: Clock) -> None:
    """One update of a build's panel: 30 steps in five waves, some of them running."""
    steps = tuple(
        Step(
            index=i,
            id=str(i),
            tool=f"tool{i}",
            args=("build", f"src/{i}"),
            wave=i // 6,
            after=(i - 6,) if i > 5 else (),
        )
        for i in range(30)
    )
    board = Board()
    board(BuildStarted(steps=steps, needs=()))
    for index in range(4):
        board(StepStarted(index=index, tool=f"tool{index}", args=("build",), why="first build"))
    html(board.panel())
    for _ in range(20):
        clock.time("build update", lambda: html(board.panel()))


def notebook(material: Material, rounds: int, say: Say, *, counts: Sequence[int] = COUNTS) -> list[Row]:
    """All of it; what is no time beside another goes to ``say``."""
    clock = Clock(say)
    binaries = peers(material)
    home = material.fresh("home")
    env = {
        **material.env,
        **{name: str(home) for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")},
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "DXFORGE_BACKGROUND": "0", "DXFORGE_PANELS": "1",
    }  # fmt: skip
    whole = {**os.environ, **env}
    for count in counts:
        root = project(material.fresh("review"), count, whole)
        sizes = measure_saved(root, env)
        say(
            f"  saved after a review of {count:,} files and the status: {sizes['1'] / 1024:.0f} KiB with panels and "
            f"their widget state, {sizes['0'] / 1024:.0f} KiB without"
        )
        measure_review(clock, root, count, rounds, env)
        measure_git(clock, binaries, repository(material.fresh("git"), count, whole), count, rounds, whole)
    measure_nbdime(clock, binaries, material.fresh("nbdime"), rounds, whole)
    measure_build(clock)
    update, rate, idle = measure_status(material.fresh("status") / "project", env)
    say(f"  status of five busy tools: {update:.1f} ms of kernel time per update, {rate:.1f} updates a second")
    say(f"  status of idle tools, watched: {idle:.1f} ms of kernel time per second")
    rows = [clock.row("`%load_ext dxforge_nb`", "load")]
    for count in counts:
        git = {name: ("jupyterlab-git", f"git {name} {count}") for name in ("list", "open", "decide")}
        rows += [
            clock.row(
                f"review panel, {count:,} files: its data, in a new kernel, imports included",
                f"list {count}",
                git["list"],
            ),
            clock.row("... again", f"list again {count}", git["list"]),
            clock.row("... one opened", f"open {count}", git["open"], ("nbdime", "nbdime open")),
            clock.row("... one decided, on disk", f"decide {count}", git["decide"], ("nbdime", "nbdime decide")),
        ]
    return [*rows, clock.row("build panel drawn, 30 steps", "build update")]


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook", description="Panels beside their peers.")
    parser.add_argument("--rounds", type=int, default=5, help="medians of this many runs (default: 5)")
    parser.add_argument("--files", type=int, nargs="*", default=list(COUNTS), help="how many files await a decision")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="work-", dir=Material(Path()).cache) as work:
        rows = notebook(Material(Path(work)), options.rounds, _say, counts=options.files)
    print(f"\n{', '.join(PEERS).replace('==', ' ')}. Medians of {options.rounds}.\n")
    print("| what | dxforge | beside | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.ours} | {row.theirs} | **{row.ratio}** |")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
