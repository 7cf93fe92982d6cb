"""``python -I -S .../guard/__main__.py FD``: the launcher, on that socket. Never runs ``dxforge/__init__.py``."""

import sys
import types
from pathlib import PurePath


def name_packages() -> None:
    """Make ``dxforge.orchestrator.guard`` importable without running the packages around it."""
    folder = PurePath(__file__).parents[2]
    for name in ("dxforge", "dxforge.orchestrator"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        folder /= "orchestrator"


if __name__ == "__main__":
    name_packages()
    from dxforge.orchestrator.guard.launcher import main

    main(int(sys.argv[1]))
