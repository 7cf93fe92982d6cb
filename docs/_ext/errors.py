"""The tree of errors, from ``errors.py``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from dxforge.errors import DxForgeError

_COMMON = {"what", "where", "hint"}


def markdown() -> str:
    """The tree as nested lists."""
    return "\n".join(_branch(DxForgeError, 0))


def every(kind: type[DxForgeError] = DxForgeError) -> Iterator[type[DxForgeError]]:
    """An error and all below it, in the order of the file."""
    yield kind
    for below in kind.__subclasses__():
        yield from every(below)


def _branch(kind: type[DxForgeError], depth: int) -> Iterator[str]:
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n", 1)[0].split()).replace("``", "`")
    fields = [name for name in inspect.signature(kind.__init__).parameters if name not in {*_COMMON, "self"}]
    more = f" Fields: {', '.join(f'`{name}`' for name in fields)}." if fields else ""
    yield f"{'  ' * depth}- **{kind.__name__}**: {text}{more}"
    for below in kind.__subclasses__():
        yield from _branch(below, depth + 1)
