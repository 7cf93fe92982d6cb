from __future__ import annotations

import pytest

from dxforge.build.model import BuildReport
from dxforge.build.picture import timeline_svg
from dxforge.commands.svg import clean_svg
from tests.support.strict_html import read

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'


def test_shapes_and_text_stay_as_they_are() -> None:
    drawn = (
        f'{HEAD}<title>a &amp; b</title><g class="x"><rect x="1" y="2" width="3" fill="var(--dx-green)"></rect>'
        '<text x="1">5 &lt; 6<tspan>!</tspan> tail</text></g></svg>'
    )
    assert clean_svg(drawn) == drawn
    assert "5 < 6! tail" in read(clean_svg(drawn))


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<rect onclick="alert(1)" x="1"/>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<image href="http://example.org/x.png"/>',
        '<use href="#a"/>',
        '<foreignObject><div xmlns="http://www.w3.org/1999/xhtml">x</div></foreignObject>',
        '<rect fill="url(http://example.org/x)"/>',
        '<rect style="background: url(//x)"/>',
        "<style>* { display: none }</style>",
        "<style>.dxb-p{fill:red}div{display:none}</style>",
        "<style>.dxb-p,body{display:none}</style>",
        "<style>.dxb-p{background:url(//x)}</style>",
        "<style>@import 'alert';</style>",
        '<animate attributeName="href" values="javascript:alert(1)"/>',
        "<!-- a comment --><?php x?>",
    ],
)
def test_nothing_that_runs_or_reaches_outside_gets_through(inside: str) -> None:
    cleaned = clean_svg(f"{HEAD}{inside}<text>kept</text></svg>")
    assert "kept" in read(cleaned)
    for trace in ("script", "onclick", "href", "example.org", "url(", "display", "alert", "div", "php"):
        assert trace not in cleaned


def test_a_marker_of_the_same_picture_may_be_named() -> None:
    assert 'marker-end="url(#arrow)"' in clean_svg(f'{HEAD}<path d="M0 0" marker-end="url(#arrow)"/></svg>')


@pytest.mark.parametrize("text", ["", "<svg", "<html></html>", "<svg></svg>", "x"])
def test_what_is_no_svg_is_nothing(text: str) -> None:
    assert clean_svg(text) == ""


def test_our_own_pictures_keep_their_style() -> None:
    picture = timeline_svg(BuildReport(ok=True))
    assert "<style>" in clean_svg(picture)
    assert clean_svg(picture).count("<text") == picture.count("<text")
