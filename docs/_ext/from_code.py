"""What the site takes from the code: ``<!-- dxforge: NAME -->`` in a page stands for what NAME writes.

So the reference cannot say what the code does not, and pictures show what dxforge really decided.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from _ext import commands, errors, keys, lights, notebooks, python_api, screenshots

WRITERS: dict[str, Callable[[], str]] = {
    "commands": commands.markdown,
    "errors": errors.markdown,
    "keys": keys.markdown,
    "light table": lights.table,
    "picture: three versions": lights.three_versions,
    "picture: the base moves": lights.base_moves,
    "notebooks": notebooks.markdown,
    "public names": python_api.markdown,
    **{f"screenshot: {name}": functools.partial(screenshots.markdown, name) for name in screenshots.SHOWN},
}
_PLACE = re.compile(r"^<!-- dxforge: (.+?) -->$", re.MULTILINE)


def fill(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put what the code says in its place."""

    def written(found: re.Match[str]) -> str:
        return WRITERS[found[1]]()

    if not page.startswith("_"):
        source[0] = _PLACE.sub(written, source[0])


def find_public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, inside: nodes.TextElement
) -> nodes.reference | None:
    """Annotations name classes by their module; the site documents them where users import them from."""
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"].rpartition(".")[2]
    known = env.domains["py"].objects  # type: ignore[attr-defined]
    target = known.get(f"dxforge.{name}")
    if target is None or node["reftarget"] == f"dxforge.{name}":
        return None
    from sphinx.util.nodes import make_refnode

    return make_refnode(app.builder, node["refdoc"], target.docname, target.node_id, inside, name)


def always(_app: Sphinx, env: BuildEnvironment, *_known: set[str]) -> list[str]:
    """What is made from the code may be different though the page is not."""
    return [page for page in env.found_docs if _PLACE.search(env.doc2path(page).read_text(encoding="utf-8"))]


def whole_sentences(_app: Sphinx, what: str, _name: str, _what: object, _options: object, lines: list[str]) -> None:
    """Napoleon takes what stands before a colon in a property's first line for its type; an empty line prevents it."""
    if what in {"property", "attribute"}:
        lines.insert(0, "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register it."""
    app.connect("source-read", fill)
    app.connect("env-get-outdated", always)
    app.connect("missing-reference", find_public)
    app.connect("autodoc-process-docstring", whole_sentences, priority=400)
    return {"version": "1", "parallel_read_safe": True}
