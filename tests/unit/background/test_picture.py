"""The picture and the table: complete in themselves, escaped, and never larger than they must be."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from dxforge.background.analysis import AnalysisReport, EditedPackage, FilePlace, FileProblem, PatternMatch
from dxforge.background.edits import EditedFile
from dxforge.background.picture import svg

EVIL = "<script>alert('x')</script>&\"\x00\x1b[31m\ud800"
NS = "{http://www.w3.org/2000/svg}"


def package(name: str, added: int, removed: int) -> EditedPackage:
    files = (EditedFile(path="a.py", kind="changed", lines_added=added, lines_removed=removed),)
    return EditedPackage(name=name, version="1.0", files=files)


def bars(text: str) -> list[tuple[str, list[float]]]:
    picture = ET.fromstring(text.encode())
    return [
        (group.findtext(f"{NS}text") or "", [float(bar.get("width", "")) for bar in group.findall(f"{NS}rect")])
        for group in picture.findall(f"{NS}g")
    ]


def test_bars_are_in_proportion_and_the_largest_is_first() -> None:
    found = bars(svg([package("small", 1, 0), package("large", 30, 10), package("middle", 5, 5)]))
    assert [name for name, _ in found] == ["large", "middle", "small"]
    assert found[0][1] == [225.0, 75.0] and found[1][1] == [37.5, 37.5]
    assert found[2][1] == [7.5, 0.0]


def test_an_edit_without_lines_still_has_its_row() -> None:
    assert bars(svg([package("binary", 0, 0)])) == [("binary", [0.0, 0.0])]


def test_no_edits_no_picture() -> None:
    assert svg([]) == ""


def test_many_packages_are_cut() -> None:
    text = svg([package(f"p{number}", number, 0) for number in range(50)])
    assert len(bars(text)) == 20 and "and 30 more" in text


def test_a_name_cannot_break_out_of_the_picture() -> None:
    text = svg([package(EVIL, 1, 1)])
    assert "<script" not in text and "\x1b" not in text
    ((name, _),) = bars(text)
    assert name.startswith("<script>") and len(name) == 24


def test_the_picture_refers_to_nothing_outside() -> None:
    text = svg([package("a", 1, 1)])
    assert "href" not in text and "url(" not in text and text.count("http") == 1  # the namespace


class Checker(HTMLParser):
    """Counts what is open; a script is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script" and not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "rect"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


@pytest.mark.parametrize("text", ["plain", EVIL])
def test_the_table_is_sound_and_escaped(text: str) -> None:
    place = FilePlace(path=f"{text}.py", line=3)
    report = AnalysisReport(
        files=1,
        read=1,
        unused=(text,),
        edits=(package(text, 1, 2),),
        matches=(PatternMatch(pattern=text, place=place, text=text),),
        problems=(FileProblem(place=place, what=text),),
    )
    html = report._repr_html_()
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open and len(checker.cells) >= 8
    html.encode()
    assert all(line.isprintable() for line in str(report).splitlines())
