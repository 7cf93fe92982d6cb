#!/usr/bin/env python3
"""Compile .scss files that use nothing but variables, whenever they change: style.py SOURCE TARGET."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path


def compile_one(text: str) -> str:
    """Put in the values of ``$names`` and leave out ``//`` comments."""
    text = re.sub(r"^//.*\n", "", text, flags=re.MULTILINE)
    values = dict(re.findall(r"^(\$[\w-]+):\s*(.+);\n", text, flags=re.MULTILINE))
    text = re.sub(r"^\$[\w-]+:.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\$[\w-]+", lambda name: values[name[0]], text).lstrip()


def compile_changed(source: Path, target: Path, seen: dict[Path, int]) -> None:
    """Compile what is new or newer than when it was seen."""
    for file in sorted(source.glob("*.scss")):
        changed_ns = file.stat().st_mtime_ns
        if seen.get(file) != changed_ns:
            css = target / f"{file.stem}.css"
            css.parent.mkdir(parents=True, exist_ok=True)
            css.write_text(compile_one(file.read_text(encoding="utf-8")), encoding="utf-8")
            print(f"compiled {file} to {css}", flush=True)
            seen[file] = changed_ns


def main() -> None:
    """Again and again, until stopped."""
    source, target = map(Path, sys.argv[1:])
    seen: dict[Path, int] = {}
    compile_changed(source, target, seen)
    print("watching for changes", flush=True)
    while True:
        time.sleep(0.2)
        compile_changed(source, target, seen)


if __name__ == "__main__":
    main()
