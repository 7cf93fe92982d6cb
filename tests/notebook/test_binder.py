"""Binder: what repo2docker does with ``binder/``, in a fresh virtual environment; and then the quick start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.support.tool_project import free_port

ROOT = Path(__file__).parents[2]
QUICK_START = "notebooks/01-quick-start.ipynb"
DEADLINE_S = 60.0
REQUIREMENTS = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8")


def test_every_version_is_pinned() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    assert "-c ../constraints.txt" in REQUIREMENTS
    for line in REQUIREMENTS.splitlines():
        if re.match(r"[a-z]", line):
            assert "==" in line or re.search(rf"^{re.escape(line)}==", constraints, re.MULTILINE), line
    assert (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8") == "python-3.11\n"
    assert "://" not in REQUIREMENTS + (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")


def test_post_build_can_be_run() -> None:
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)
    assert (ROOT / QUICK_START).is_file()


class Image:
    """The checkout in a folder of its own, and an environment, as in Binder's image."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.prefix, self.home = folder / "repository", folder / "venv", folder / "home"
        # PATH holds Python and what any system has. Settings of pip and npm are the machine's.
        self.env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        self.env["PATH"] = os.pathsep.join([str(self.prefix / "bin"), "/usr/bin", "/bin"])

    def run(self, *words: str, timeout_s: float = 300.0) -> str:
        """Run something in the checkout, as repo2docker does."""
        done = subprocess.run(
            words, cwd=self.repository, env=self.env, capture_output=True, text=True, check=False, timeout=timeout_s
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built once: it takes the time that an installation takes."""
    folder = tmp_path_factory.mktemp("binder")
    made = Image(folder)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (made.repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, made.repository / name)
    subprocess.run([sys.executable, "-m", "venv", str(made.prefix)], check=True)
    made.run("pip", "install", "--quiet", "--no-cache-dir", "-r", "binder/requirements.txt")
    made.run("./binder/postBuild")
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="Binder is Linux")
def test_the_environment_is_what_was_tested(image: Image) -> None:
    installed = dict(line.split("==") for line in image.run("pip", "freeze").splitlines() if "==" in line)
    pinned = dict(
        line.strip().split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    found = {name.lower().replace("_", "-"): version for name, version in installed.items()}
    assert {name: version for name, version in found.items() if pinned.get(name, version) != version} == {}
    # -P: not the checkout, which is the current folder.
    package = image.run("python", "-P", "-c", "import dxforge_nb; print(dxforge_nb.__file__)").strip()
    assert Path(package).is_relative_to(image.prefix)
    assert {file.name for file in (Path(package).parent / "static").iterdir()} >= {"panel.js", "panel.css", "editor.js"}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="Binder is Linux")
def test_the_quick_start_runs_there(image: Image, tmp_path: Path, cache_dir: Path) -> None:
    image.env["DXFORGE_CACHE_DIR"] = str(cache_dir)
    image.run("jupyter", "execute", "--timeout=120", f"--output={tmp_path / 'executed.ipynb'}", QUICK_START)
    executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    stored = nbformat.read(ROOT / QUICK_START, as_version=4)
    for was, now in zip(stored.cells, executed.cells, strict=True):
        if "nbval-check-output" in was.metadata.get("tags", []):
            assert [text(output) for output in now.outputs] == [text(output) for output in was.outputs], was.source


def text(output: nbformat.NotebookNode) -> str:
    return str(output["text"] if output.output_type == "stream" else output.data["text/plain"])


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="Binder is Linux")
def test_lab_opens_with_the_quick_start(image: Image, tmp_path: Path) -> None:
    port = free_port()
    env = {
        **image.env,
        "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    words = ["jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*words, "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token="],
            cwd=image.repository,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        opened = landed(f"http://127.0.0.1:{port}/", server)
    finally:
        server.terminate()
        try:
            server.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    assert opened.endswith(f"/lab/tree/{QUICK_START}"), (tmp_path / "log").read_text()


def landed(url: str, server: subprocess.Popen[bytes]) -> str:
    """Where a browser ends that asks for ``url``, once the server is there."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=DEADLINE_S) as answer:
                return str(answer.url)
        except urllib.error.URLError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
