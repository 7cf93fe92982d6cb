"""Type what a page shows: its commands in a fresh folder, one after the other, as a reader would.

In a page (Markdown), from top to bottom:

    ```console            each line after a ``$`` is typed into a shell; below it stands what it printed
    <!-- file: NAME -->   the block that follows is written to NAME; ``<!-- file: NAME append -->`` adds it to the end
    <!-- run: COMMAND --> typed as well, and not shown

``python scripts/typed.py PAGE...`` types pages and puts what was printed in its place. The tests only compare.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECES = re.compile(
    r"^<!-- run: (?P<run>.+?) -->$"
    r"|^<!-- file: (?P<file>\S+?)(?P<append> append)? -->\n+```\w*\n(?P<content>.*?)^```$"
    r"|^```console\n(?P<console>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_TIMEOUT_S = 120
_DONE = {0, 3}


@dataclass(frozen=True, kw_only=True)
class Typed:
    """One command: what the page says that it prints, what it printed, and its exit status."""

    command: str
    shown: str
    printed: str
    exit_code: int


class Reader:
    """Someone who follows a page, in ``folder``; dxforge of this environment comes first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.home = self.folder = folder.resolve()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "VIRTUAL_ENV"}},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "DXFORGE_CACHE_DIR": str(self.home / ".cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "120",
        }

    def follow(self, page: str) -> Iterator[Typed]:
        """Do all that ``page`` says."""
        for piece in _PIECES.finditer(page):
            if piece["run"] is not None:
                done = self.type(piece["run"])
                if done.returncode not in _DONE:
                    raise RuntimeError(f"{piece['run']}: {done.stdout}{done.stderr}")
            elif piece["file"] is not None:
                path = self.folder / piece["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                before = path.read_text(encoding="utf-8") if piece["append"] and path.exists() else ""
                path.write_text(before + piece["content"], encoding="utf-8")
            else:
                yield from self._console(piece["console"])

    def _console(self, text: str) -> Iterator[Typed]:
        for command, shown in commands(text):
            done = self.type(command)
            # Of what goes well, a page shows the result and not the way there.
            printed = done.stdout if done.returncode in _DONE else done.stdout + done.stderr
            printed = printed.replace(str(self.home), "~")
            yield Typed(command=command, shown=shown, printed=printed, exit_code=done.returncode)

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type one command. ``cd`` counts for those that follow."""
        if command.startswith("cd "):
            self.folder = (self.folder / shlex.split(command)[1]).resolve()
            return subprocess.CompletedProcess(command, 0, "", "")
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what is shown for it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def comparable(text: str) -> str:
    """Without times, process numbers, ports, ids, sizes and loads, and the widths that they give to columns."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\b[\d.]+ ([KM]i)?B\b", "SIZE", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)
    text = re.sub(r"\b\d+%", "LOAD", text)
    text = re.sub(r"\b(pid|port) \d+|127\.0\.0\.1:\d+|(?<=Healthy {2})\d+\b", "NUMBER", text)
    text = text.replace("; the cache spared TIME", "")  # said only where it is worth saying
    return re.sub(r" {2,}", "  ", text).strip()


def main(pages: list[str]) -> int:
    """Put what is printed into the pages."""
    for page in map(Path, pages):
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            typed = list(Reader(Path(folder)).follow(text))
        page.write_text(refreshed(text, typed), encoding="utf-8")
        print(f"{page}: {len(typed)} commands, exit statuses {[one.exit_code for one in typed]}")
    return 0


def refreshed(page: str, typed: list[Typed]) -> str:
    """``page`` with what was printed."""
    rest = iter(typed)

    def block(piece: re.Match[str]) -> str:
        if piece["console"] is None:
            return piece[0]
        parts: list[str] = []
        apart = False
        for _ in commands(piece["console"]):
            one = next(rest)
            output = one.printed.strip("\n")
            # An empty line sets a command apart from the output above it.
            parts += [*([""] if apart else []), f"$ {one.command}", *([output] if output else [])]
            apart = bool(output)
        return "\n".join(["```console", *parts, "```"])

    return _PIECES.sub(block, page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
