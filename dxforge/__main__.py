"""``python -m dxforge``."""

from __future__ import annotations

from dxforge.commands.cli import main

if __name__ == "__main__":
    main()
