"""What a tool's program is: its content, its interpreter's, and what is installed beside it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil

from dxforge.build.digests import Digests
from dxforge.build.toolbox import ToolFacts

_MAX_SCRIPTS = 4
"""A script's interpreter may be a script too."""
_MODULES = "/node_modules/"
_NODE_STATE = (".package-lock.json", ".yarn-integrity", ".yarn-state.yml", ".pnpm/lock.yaml")
"""What npm, yarn and pnpm write into ``node_modules`` when they install: every package with its version."""
_SITE = ("lib", "lib64", "Lib")
_INSTALLED = (".dist-info", ".egg-info")


class Programs:
    """Identities of programs, each found once per build.

    A script's own content says little: what it imports is the program. That is not followed, but for what is installed
    beside it, in the ``node_modules`` or the virtual environment that program or interpreter come from.
    """

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._known: dict[tuple[str, str], dict[str, str]] = {}

    def identity(self, facts: ToolFacts) -> dict[str, str]:
        """``program``, and where there is one ``interpreter`` and ``packages``, each as a digest or a word.

        Raises:
            BuildError: a file cannot be read.
        """
        asked = (str(facts.binary), facts.search_path)
        if asked not in self._known:
            self._known[asked] = self._identify(*asked)
        return self._known[asked]

    def _identify(self, binary: str, search_path: str) -> dict[str, str]:
        found = {"program": self._digests.program(binary)}
        chain = [binary]
        while len(chain) <= _MAX_SCRIPTS:
            interpreter = _interpreter(chain[-1], search_path)
            if interpreter is None:
                break
            chain.append(interpreter)
        if len(chain) > 1:
            found["interpreter"] = " ".join(self._digests.program(path) for path in chain[1:])
        packages = self._node_packages(os.path.realpath(binary)) + [
            line for path in chain for line in _python_packages(path)
        ]
        if packages:
            found["packages"] = hashlib.sha256("\n".join(packages).encode(errors="surrogateescape")).hexdigest()
        return found

    def _node_packages(self, real: str) -> list[str]:
        real = real.replace(os.sep, "/")
        if _MODULES not in real:
            return []
        top = real[: real.index(_MODULES) + len(_MODULES) - 1]
        start = real.rindex(_MODULES) + len(_MODULES)
        names = real[start:].split("/")
        own = real[:start] + "/".join(names[: 2 if names[0].startswith("@") else 1])
        files = [f"{own}/package.json", *(f"{top}/{state}" for state in _NODE_STATE)]
        return [f"{os.path.basename(file)} {self._digests.program(file)}" for file in files]


def _interpreter(path: str, search_path: str) -> str | None:
    """The program that runs the script at ``path``; None where it is no script, or that cannot be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            start = os.read(descriptor, 256)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if not start.startswith(b"#!"):
        return None
    words = os.fsdecode(start[2:].split(b"\n", 1)[0]).split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and not re.match(r"\w+=", word)]
        return shutil.which(words[0], path=search_path or None) if words else None
    return words[0] if words else None


def _python_packages(path: str) -> list[str]:
    """What is installed in the virtual environment that ``path`` lies in, by name and version."""
    top = os.path.dirname(os.path.dirname(path))
    if not os.path.exists(f"{top}/pyvenv.cfg"):
        return []
    names: set[str] = set()
    for folder in _SITE:
        try:
            inside = [f"{top}/{folder}/{name}/site-packages" for name in os.listdir(f"{top}/{folder}")]
        except OSError:
            continue
        for site in [f"{top}/{folder}/site-packages", *inside]:
            try:
                names.update(name for name in os.listdir(site) if name.endswith(_INSTALLED))
            except OSError:
                continue
    return sorted(names)
