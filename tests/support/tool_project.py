"""A project with real tools, whose processes can be found again wherever they went."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.support.processes import DEADLINE_S, marked, until

ECHO = """\
import json, sys
print(json.dumps(sys.argv[1:]))
print("to stderr", file=sys.stderr)
"""
CONCATENATE = """\
# Joins the files that its first arguments name into the last one; fails where one of them says so.
import pathlib, sys
*sources, target = map(pathlib.Path, sys.argv[1:])
text = "".join(source.read_text() for source in sources)
print(f"joining {len(sources)} files")
if "fail" in text:
    sys.exit("cannot join: it says fail")
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text(text)
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ToolProject:
    """A project in ``root`` with tools; every process of theirs carries a mark.

    ``tool`` and ``toml`` write ``dx.toml``; ``dx`` runs the real command line.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = uuid.uuid4().hex
        self._parts = ['[project]\nname = "story"\n']
        (root / "echo.py").write_text(ECHO)
        (root / "join.py").write_text(CONCATENATE)
        self.toml()

    def toml(self, text: str = "") -> None:
        """Add ``text`` to ``dx.toml``."""
        self._parts.append(text)
        (self.root / "dx.toml").write_text("\n".join(self._parts))

    def tool(self, name: str, program: str = sys.executable, *args: str, **keys: Any) -> None:
        """Declare a tool; ``keys`` are those of ``[tools.<name>]``, as JSON is TOML where it matters."""
        values = {"binary_path": program, "args": list(args), "env": {"DX_TEST_MARK": self.mark}, **keys}
        lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
        self.toml(f"[tools.{name}]\n" + "\n".join(lines) + "\n")

    def server(self, name: str, **keys: Any) -> int:
        """Declare a web server with a probe; returns its port."""
        port = free_port()
        words = ("-u", "-m", "http.server", str(port), "--bind", "127.0.0.1")
        self.tool(name, sys.executable, *words, health={"http": f"http://127.0.0.1:{port}/", "interval_s": 0.1}, **keys)
        return port

    def script(self, name: str, text: str) -> None:
        """Declare a tool that runs a Python script with the arguments that it is given."""
        file = self.root / f"{name}.bin"
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(0o755)
        self.tool(name, f"./{name}.bin")

    def environment(self, **env: str) -> dict[str, str]:
        """What a command line gets."""
        left_out = ("FORCE_COLOR", "DXFORGE_DEBUG", "NO_COLOR", "COLUMNS")
        return {**{name: value for name, value in os.environ.items() if name not in left_out}, **env}

    def dx(self, *args: str, status: int | None = 0, cwd: str = ".", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit status."""
        done = subprocess.run(
            [sys.executable, "-m", "dxforge", *args],
            cwd=self.root / cwd,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done

    def answer(self, *args: str, status: int = 0, **options: Any) -> dict[str, Any]:
        """Run it with ``--json``; the one object on standard output."""
        done = self.dx("--json", *args, status=status, **options)
        assert done.stdout.count("\n") == 1, done.stdout
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    def begin(self, *args: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "dxforge", *args],
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def states(self) -> dict[str, str]:
        """What ``status`` says of each tool."""
        return {tool["name"]: tool["state"] for tool in self.answer("status")["tools"]}

    def processes(self) -> set[int]:
        """Every process of a tool that is there."""
        return marked(self.mark)

    def gone(self) -> None:
        """Wait until no process of a tool is there."""
        until(lambda: not self.processes(), "processes are left behind")

    def end(self) -> None:
        """Stop all tools, and kill what is left of them; fails where something was."""
        self.dx("stop", "--all", "-q", status=None)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command that was begun wrote, once it has ended."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert "Traceback" not in err, err
    return out, err


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)
