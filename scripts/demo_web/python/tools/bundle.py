#!/usr/bin/env python3
"""Bundle the page: bundle.py build.

Follows imports of .js, .json and .css files that stand at the beginning of a line; knows no other JavaScript.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_IMPORT = re.compile(r'^import (?:(?P<what>.+?) from )?"(?P<path>.+)";\n', re.MULTILINE)


def gather(file: Path, scripts: dict[Path, str], styles: dict[Path, str]) -> None:
    """Put everything that ``file`` needs before it, each once."""
    text = file.read_text(encoding="utf-8")
    for found in _IMPORT.finditer(text):
        needed = (file.parent / found["path"]).resolve()
        if needed in scripts or needed in styles:
            continue
        if needed.suffix == ".css":
            styles[needed] = needed.read_text(encoding="utf-8")
        elif needed.suffix == ".json":
            scripts[needed] = f"const {found['what']} = {needed.read_text(encoding='utf-8')};\n"
        else:
            gather(needed, scripts, styles)
    scripts[file] = re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)


def main() -> None:
    """Write main.js, main.css and the page."""
    start, page, target = Path("src/page/main.js"), Path("src/page/index.html"), Path("dist")
    scripts: dict[Path, str] = {}
    styles: dict[Path, str] = {}
    gather(start.resolve(), scripts, styles)
    target.mkdir(exist_ok=True)
    (target / f"{start.stem}.js").write_text("(() => {\n" + "".join(scripts.values()) + "})();\n", encoding="utf-8")
    (target / f"{start.stem}.css").write_text("".join(styles.values()), encoding="utf-8")
    shutil.copyfile(page, target / page.name)
    print(f"{target}: {len(scripts)} scripts, {len(styles)} styles")


if __name__ == "__main__":
    main()
