"""The documentation: it builds without a warning, says everything, and what it shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest

import dxforge
from dxforge.commands import grammar
from dxforge.config import load
from dxforge.config.model import Config
from dxforge.errors import DxForgeError
from scripts.typed import Reader, comparable

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.is_relative_to(DOCS / "_ext"))
NEED_THE_INDEX = {"tutorial", "packages", "offline"}
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(page, found[1], found[2]) for page in PAGES for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-d", str(folder / "trees")]
    done = subprocess.run(
        [*words, str(DOCS), str(folder / "site")], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "site"


class Links(HTMLParser):
    """What a page links to and shows, and the places in it that can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        for name, value in attrs:
            if value and name in {"href", "src"}:
                self.targets.add(value)
            elif value and name == "id":
                self.places.add(value)


def links(page: Path) -> Links:
    parsed = Links()
    parsed.feed(page.read_text(encoding="utf-8"))
    return parsed


def text_of(site: Path, page: str) -> str:
    """What a reader sees of a page, more or less."""
    html = (site / page).read_text(encoding="utf-8")
    return re.sub(r"<[^>]+>", "", html).replace("&gt;", ">").replace("&lt;", "<").replace("&quot;", '"')


def test_every_link_inside_leads_somewhere(site: Path) -> None:
    pages = {page: links(page) for page in site.rglob("*.html")}
    broken = []
    for page, found in pages.items():
        for target in found.targets:
            parts = urlsplit(target)
            if parts.scheme or target.startswith("//"):
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            file = file / "index.html" if file.is_dir() else file
            known = pages.get(file)
            if not file.exists() or (parts.fragment and known and unquote(parts.fragment) not in known.places):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert broken == []
    assert len(pages) > 15


def test_pages_ask_no_other_machine_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"(https?:[^\"]+)|<link[^>]+href=\"(https?:[^\"]+)", html)
        assert loaded == [], page


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{before}{name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def test_every_command_and_option_is_documented(site: Path) -> None:
    text = text_of(site, "reference/commands.html")
    places = links(site / "reference/commands.html").places
    for name in commands(grammar.dxforge):
        assert f"{name.replace(' ', '-')}-command" in places, name
        assert f"dxforge {name}" in text
    for command in grammar.dxforge.commands.values():
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[0] in text, (command.name, option.opts)


def test_every_key_of_dx_toml_is_documented(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    from _ext import keys

    said = {path: text for path, _, text in keys.documented()}
    assert [path for path, text in said.items() if not text.strip()] == []
    assert set(keys.NOTES) <= set(said)
    tables = {path.split(".")[0] for path in said}
    assert tables == set(load._TOP_KEYS)
    # An unknown key is an error that names the known ones: so `known` is the truth about each table.
    for path in said:
        table, _, key = path.rpartition(".")
        if " " not in table and not accepts(table, key):
            raise AssertionError(f"{path} is documented, and no key")
    text = text_of(site, "reference/dx-toml.html")
    assert all(path.rpartition(".")[2] in text for path in said)


def accepts(table: str, key: str) -> bool:
    """Whether ``dx.toml`` knows this key: of a value that fits no key, it does not say that the key is unknown."""
    lines = f"[[{table}]]" if table == "build.steps" else f"[{table.replace('NAME', 'one')}]"
    if table.startswith("tools.NAME."):
        lines = f'[tools.one]\nbinary_path = "one"\n{lines}'
    try:
        load.decode(f"{lines}\n{key} = 1979-05-27\n", root=Path("/"), where="dx.toml")
    except DxForgeError as error:
        return "unknown key" not in error.what
    return True


def test_an_unknown_key_would_be_noticed() -> None:
    assert not accepts("traffic", "on_yelow")
    assert not accepts("tools.NAME.stop", "grace")


def test_every_public_name_is_documented(site: Path) -> None:
    places = links(site / "reference/python.html").places
    names = {name for name in dxforge.__all__ if not name.startswith("__")}
    assert {name for name in names if f"dxforge.{name}" not in places} == set()
    for method in ("DxForge.run_pipeline", "TrafficManager.accept", "Orchestrator.ensure_running", "TaskHandle.result"):
        assert f"dxforge.{method}" in places


def test_every_error_is_documented(site: Path) -> None:
    text = text_of(site, "reference/errors.html")

    def tree(kind: type[DxForgeError]) -> Iterator[type[DxForgeError]]:
        yield kind
        for below in kind.__subclasses__():
            if below.__module__ == "dxforge.errors":
                yield from tree(below)

    for kind in tree(DxForgeError):
        assert f"{kind.__name__}:" in text


def test_every_environment_variable_is_documented() -> None:
    said = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    used = set()
    for file in (*(ROOT / "dxforge").rglob("*.py"), *(ROOT / "dxforge_nb").rglob("*.py"), ROOT / "hatch_build.py"):
        used |= set(re.findall(r"\bDXFORGE_[A-Z]+(?:_[A-Z]+)*\b", file.read_text(encoding="utf-8")))
    assert {name for name in used if name not in said} == set()


def test_the_pictures_show_what_was_decided(site: Path) -> None:
    html = (site / "explanation" / "traffic-light.html").read_text(encoding="utf-8")
    # One for each row, and two. Of two rows an install says nothing, for there is nothing to say.
    assert html.count('role="img"') == 17
    assert html.count('class="dx-said"') == 13
    for light, rows in (("green", 7), ("yellow", 4), ("red", 4)):
        assert html.count(f'<span class="dx-{light}">') == rows
    for picture in html.split('<svg class="dx-picture"')[1:]:
        assert "<title>" in picture
    assert re.search(r'(?:fill|stroke)="#', html.split('<svg class="dx-picture"')[1]) is None, (
        "colours follow the theme"
    )


def test_every_screenshot_is_shown_and_described(site: Path) -> None:
    there = {path.name for path in (DOCS / "images").glob("*.png")}
    html = "\n".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    shown = re.findall(r'<img alt="([^"]+)"[^>]+src="[^"]*_images/([^"/]+)"', html)
    assert {name for _, name in shown} == there
    assert all(len(described) > 20 for described, _ in shown)


@pytest.mark.parametrize(
    ("page", "text"), [(p, t) for p, kind, t in BLOCKS if kind == "toml"], ids=lambda value: getattr(value, "stem", "")
)
def test_every_dx_toml_that_is_shown_is_right(page: Path, text: str) -> None:
    assert isinstance(load.decode(text, root=Path("/project"), where=page.name), Config)


def typed_lines() -> list[Any]:
    """Each line that a reader could type: its page, its words, and whether it is a notebook's."""
    found = set()
    for page, kind, text in BLOCKS:
        for line in text.splitlines():
            if kind == "console" and not line.startswith("$ "):
                continue  # what was printed
            words = line.removeprefix("$ ")
            if magic := re.match(r"(?:\w+ = )?%dx (.+)", words):
                found.add((page.stem, magic[1], True))
            elif words.startswith("dxforge ") and kind in {"sh", "console"}:
                found.add((page.stem, re.split(r" > |; ", words.removeprefix("dxforge "))[0], False))
    for page in PAGES:
        for program, words in re.findall(r"(?<!`)`(dxforge|%dx) ([^`…]+)`", page.read_text(encoding="utf-8")):
            found.add((page.stem, words, program == "%dx"))
    return sorted(found)


@pytest.mark.parametrize(("page", "line", "notebook"), typed_lines())
def test_every_command_that_is_shown_can_be_typed(page: str, line: str, *, notebook: bool) -> None:
    words = [{"ID": "1"}.get(word, word) for word in shlex.split(line)]
    if len(words) == 1 and words[0] in grammar.dxforge.commands:
        return  # only named, without what it takes
    assert grammar.parse(words, notebook=notebook).action


def followed() -> list[Any]:
    return [
        pytest.param(page, id=page.stem, marks=[pytest.mark.network] if page.stem in NEED_THE_INDEX else [])
        for page in PAGES
        if "```console" in page.read_text(encoding="utf-8")
    ]


@pytest.mark.skipif(os.name == "nt", reason="POSIX programs")
@pytest.mark.parametrize("page", followed())
def test_a_reader_sees_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    typed = 0
    try:
        for one in reader.follow(page.read_text(encoding="utf-8")):
            assert comparable(one.printed) == comparable(one.shown), one.command
            typed += 1
    finally:
        if (reader.folder / ".dx" / "tools").exists():
            reader.type("dxforge stop --all")
    assert typed >= 2
