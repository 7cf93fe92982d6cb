"""The catalogue: what it remembers, and that losing it is no error."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dxforge.events import Event, EventBus
from dxforge.sources.catalogue import Catalogue, Packed
from dxforge.sources.model import Candidate, Layout

ONE = Candidate(
    name="demo", kind="pypi", ref="demo", version="1.0", filename="demo-1.0.tar.gz", layout=Layout.TOP_FOLDER,
    sha256="a" * 64, requires_python=">=3.8", yanked=True, digests=(("sha1", "00"),),
)  # fmt: skip


@pytest.fixture
def heard() -> list[Event]:
    """Events of :func:`catalogue`."""
    return []


@pytest.fixture
def catalogue(tmp_path: Path, heard: list[Event]) -> Catalogue:
    """One that does not exist yet."""
    events = EventBus()
    events.subscribe(heard.append)
    return Catalogue(tmp_path / "cache", events)


def test_asking_makes_no_file(catalogue: Catalogue, tmp_path: Path) -> None:
    assert catalogue.archives("pypi", "", "demo") == []
    assert catalogue.requirements("a" * 64) is None
    assert catalogue.packed("/x") is None
    assert not (tmp_path / "cache").exists()


def test_what_was_recorded_comes_back(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.record(ONE, "here")
    catalogue.record(ONE, "here")
    catalogue.record(replace(ONE, version="2.0", filename="demo-2.0.tar.gz", sha256="b" * 64), "here")
    found = Catalogue(tmp_path / "cache", EventBus()).archives("pypi", "here", "demo")
    assert [candidate.version for candidate in found] == ["1.0", "2.0"]
    assert replace(found[0], name="demo") == ONE
    assert catalogue.archives("pypi", "elsewhere", "demo") == []
    assert catalogue.archives("npm", "here", "demo") == []


def test_the_same_file_is_known_by_its_digests(catalogue: Catalogue) -> None:
    catalogue.record(ONE, "here")
    asked = replace(ONE, sha256="")
    assert catalogue.same(asked, "here").sha256 == "a" * 64
    assert catalogue.same(replace(asked, digests=(("sha1", "11"),)), "here").sha256 == ""
    assert catalogue.same(replace(asked, digests=()), "here").sha256 == ""


def test_requirements_and_folders(catalogue: Catalogue) -> None:
    catalogue.record_requirements("a" * 64, ["lib>=1", "base"])
    assert catalogue.requirements("a" * 64) == ("lib>=1", "base")
    catalogue.record_requirements("a" * 64, [])
    assert catalogue.requirements("a" * 64) == ()
    catalogue.record_packed("/x", Packed(mark="1", sha256="b"))
    catalogue.record_packed("/x", Packed(mark="2", sha256="c"))
    assert catalogue.packed("/x") == Packed(mark="2", sha256="c")


def test_a_damaged_catalogue_is_begun_anew_with_a_word(
    catalogue: Catalogue, tmp_path: Path, heard: list[Event]
) -> None:
    catalogue.record(ONE, "here")
    file = tmp_path / "cache" / "catalogue.db"
    file.write_bytes(b"this is no database " * 100)
    assert catalogue.archives("pypi", "here", "demo") == []
    assert len(heard) == 1
    catalogue.record(ONE, "here")
    assert len(catalogue.archives("pypi", "here", "demo")) == 1
    file.write_bytes(b"neither is this one " * 100)
    catalogue.record(ONE, "here")
    catalogue.record(ONE, "here")
    assert len(catalogue.archives("pypi", "here", "demo")) == 1


def test_a_catalogue_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    catalogue = Catalogue(tmp_path / "cache", EventBus())
    catalogue.record(ONE, "here")
    assert catalogue.archives("pypi", "here", "demo") == []


def test_a_busy_catalogue_is_not_thrown_away(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.record(ONE, "here")
    monkeypatch.setattr("dxforge.sources.catalogue._WAIT_S", 0.01)
    other = sqlite3.connect(tmp_path / "cache" / "catalogue.db")
    other.execute("begin exclusive")
    catalogue.record(replace(ONE, filename="other"), "here")
    assert catalogue.archives("pypi", "here", "demo") == []
    other.rollback()
    other.close()
    assert len(catalogue.archives("pypi", "here", "demo")) == 1


def test_threads_share_it(catalogue: Catalogue) -> None:
    def work(number: int) -> None:
        for round_ in range(10):
            catalogue.record(replace(ONE, filename=f"{number}-{round_}"), "here")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalogue.archives("pypi", "here", "demo")) == 60
