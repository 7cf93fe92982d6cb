"""Make sure that there is a browser for the browser tests: ``python -m scripts.browser``.

Where apt is, and we may, Chromium and fonts are installed if there is no browser; else this says what to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.support.browser import VARIABLE, NoBrowserError, find_browser

PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-liberation")


def main() -> int:
    """Find a browser, or install one; the exit status says whether there is one."""
    try:
        print(f"browser: {find_browser()}")
        return 0
    except NoBrowserError as error:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0 or VARIABLE in os.environ:
            print(error, file=sys.stderr)
            return 1
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
        status = subprocess.run([apt, *words], env=environment, stdout=subprocess.DEVNULL, check=False).returncode
        if status:
            print(f"apt-get {words[0]} failed with exit status {status}", file=sys.stderr)
            return 1
    try:
        print(f"browser: {find_browser()}")
    except NoBrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
