"""SVG that goes into a notebook: only shapes and text, whatever it came with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from xml.etree import ElementTree

_SPACE = "{http://www.w3.org/2000/svg}"
_TAGS = frozenset(
    "svg style g title desc rect circle ellipse line path polyline polygon text tspan defs marker".split()
)
_ATTRIBUTES = frozenset(
    "viewBox width height x y x1 y1 x2 y2 cx cy r rx ry d points dx dy transform id class role aria-label fill stroke "
    "fill-opacity stroke-opacity opacity stroke-width stroke-dasharray stroke-linecap stroke-linejoin font-family "
    "font-size font-weight text-anchor dominant-baseline marker-end marker-start markerWidth markerHeight refX refY "
    "orient preserveAspectRatio color style".split()
)
# Of what could reach outside or run, only a marker of the same picture may be named.
_INNER = re.compile(r"url\(#[\w-]+\)")
_OUTSIDE = re.compile(r"url\(|javascript:|expression|@import|[<>]", re.IGNORECASE)
# A style sheet holds for the whole page: only what names classes of our pictures (`dxforge.build.svg`) may stay.
_RULE = r"\.dxb[\w .-]*(?:,\.dxb[\w .-]*)*\{[\w#:;,.%' -]*\}"
_SHEET = re.compile(rf"(?:{_RULE}|@media \(prefers-color-scheme:dark\)\{{(?:{_RULE})+\}})+")


def clean_svg(text: str) -> str:
    """``text`` with nothing but known elements and attributes; empty where it is no SVG."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - what we drew; and only a copy of known parts leaves here
    except ElementTree.ParseError:
        return ""
    return "".join(_copied(root, top=True)) if root.tag == f"{_SPACE}svg" else ""


def _copied(element: ElementTree.Element, *, top: bool = False) -> Iterator[str]:
    name = element.tag.removeprefix(_SPACE)
    if name == "style" and not _SHEET.fullmatch(element.text or ""):
        name = ""
    if name in _TAGS:
        attributes = "".join(
            f' {key}="{escape(value)}"' for key, value in element.attrib.items() if key in _ATTRIBUTES and _inner(value)
        )
        namespace = ' xmlns="http://www.w3.org/2000/svg"' if top else ""
        yield f"<{name}{namespace}{attributes}>{escape(element.text or '')}"
        for child in element:
            yield from _copied(child)
        yield f"</{name}>"
    yield escape(element.tail or "") if not top else ""


def _inner(value: str) -> bool:
    return _OUTSIDE.search(_INNER.sub("", value)) is None
