"""All sources together: order, parallel work, offline, events, and the real registries."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dxforge.errors import (
    DownloadError,
    DxForgeError,
    NoMatchingVersionError,
    OfflineError,
    PackageNotFoundError,
    SourceError,
)
from dxforge.events import Progress
from tests.support.index_server import IndexServer
from tests.support.sources import Given, contents_of, pins_of

FILES = {"demo/__init__.py": "A = 1\n"}


@pytest.fixture
def given(index: IndexServer, tmp_path: Path) -> Given:
    """An empty project."""
    return Given(tmp_path / "project")


def offer_many(index: IndexServer, given: Given, count: int = 12) -> None:
    """``count`` packages in dx.toml and on the index."""
    names = [f"p{number:02}" for number in range(count)]
    for name in names:
        index.wheel(name, "1.0", {f"{name}.py": "x" * 100_000})
    given.toml = "".join(f'{name} = ""\n' for name in names)


def test_nothing_declared_is_nothing(index: IndexServer, given: Given) -> None:
    assert given.install() == {}
    assert index.count() == 0 and given.heard == []


def test_results_come_in_the_order_of_the_file_and_progress_ends(index: IndexServer, given: Given) -> None:
    offer_many(index, given)
    packages = given.install()
    assert list(packages) == [f"p{number:02}" for number in range(12)]
    for phase in ("resolve", "unpack"):
        steps = given.progress(phase)
        assert [step.done for step in steps] == list(range(1, 13))
        assert all(step.total == 12 for step in steps)
    last: dict[str, Progress] = {step.item: step for step in given.progress("download")}
    assert len(last) == 12
    assert all(step.done == step.total for step in last.values())


@pytest.mark.parametrize("dependencies", ["", ", with_dependencies = true"])
def test_of_several_failures_the_first_in_the_file_is_raised(
    index: IndexServer, given: Given, dependencies: str
) -> None:
    index.wheel("good", "1.0", FILES)
    index.wheel("b", "1.0", FILES)
    given.toml = f'good = ""\nb = {{ version = ">2"{dependencies} }}\nc = {{ npm = "c" }}\nd = {{ path = "nowhere" }}\n'
    for _ in range(5):
        with pytest.raises(NoMatchingVersionError, match="b >2"):
            given.resolve()
    given.toml = given.toml.replace('version = ">2"', 'version = ""')
    with pytest.raises(PackageNotFoundError, match="npm registry has no package c"):
        given.resolve()


def test_one_bad_download_fails_the_lot_and_keeps_the_rest(index: IndexServer, given: Given, cache_dir: Path) -> None:
    offer_many(index, given)
    index.fail("p03-1.0-py3-none-any.whl", times=99, status=403)
    with pytest.raises(DownloadError, match="p03"):
        given.install()
    index.clear_faults()
    index.forget_requests()
    assert len(given.install()) == 12
    kept = [path for path in (cache_dir / "archives").rglob("*") if path.is_file()]
    assert len(kept) == 12
    assert index.count(".whl") < 12


def test_a_damaged_archive_is_fetched_again_with_a_word(index: IndexServer, given: Given, cache_dir: Path) -> None:
    release = index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    pins = pins_of(given.install())
    kept = cache_dir / "archives" / release.sha256[:2] / release.sha256
    kept.write_bytes(kept.read_bytes()[:-10] + b"0123456789")
    index.forget_requests()
    assert contents_of(given.install(pins)["demo"])["demo/__init__.py"] == b"A = 1\n"
    assert kept.read_bytes() == release.content
    assert len(given.notices) == 1 and "damaged" in given.notices[0]
    assert index.count(release.filename) == 1
    # Offline it is simply missing.
    kept.write_bytes(b"rot")
    with pytest.raises(OfflineError, match=r"demo 1\.0"):
        given.install(pins, offline=True)


def test_offline_the_lock_is_served_from_the_cache(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    pins = pins_of(given.install())
    index.wheel("demo", "2.0", FILES)
    index.stop()
    assert pins_of(given.install(pins, offline=True)) == pins


def test_offline_what_was_ever_fetched_can_be_chosen(index: IndexServer, given: Given, tmp_path: Path) -> None:
    index.wheel("demo", "1.0", FILES, requires=["lib"])
    index.wheel("demo", "2.0", FILES, requires_python=">=3.8")
    index.wheel("lib", "1.0", {"lib.py": ""})
    for specifier in ("==1.0", "==2.0"):
        given.toml = f'demo = {{ version = "{specifier}", with_dependencies = true }}\n'
        given.install()
    index.stop()
    other = Given(tmp_path / "other", 'demo = ""\n')
    assert other.install(offline=True)["demo"].pin.version == "2.0"
    other.toml = 'alias = { project = "demo", version = "<2", with_dependencies = true }\n'
    packages = other.install(offline=True)
    assert {name: package.pin.version for name, package in packages.items()} == {"alias": "1.0", "lib": "1.0"}
    other.toml = 'demo = ">2"\n'
    with pytest.raises(OfflineError, match=r"no version of demo >2, only 1\.0, 2\.0") as caught:
        other.resolve(offline=True)
    assert "the same command" in caught.value.hint
    other.toml = 'never = ""\n'
    with pytest.raises(OfflineError, match="never"):
        other.resolve(offline=True)


def test_offline_one_index_is_not_taken_for_another(
    index: IndexServer, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    given.install()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/private/simple/")
    with pytest.raises(OfflineError):
        given.resolve(offline=True)


def test_the_environment_can_forbid_the_network(
    index: IndexServer, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    monkeypatch.setenv("DXFORGE_OFFLINE", "1")
    with pytest.raises(OfflineError):
        given.resolve()
    assert index.count() == 0


def test_an_index_that_is_down_is_an_error_and_not_an_empty_one(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    given.install()
    index.stop()
    with pytest.raises(DownloadError, match="connection was refused"):
        given.resolve()


def test_a_source_of_a_newer_dxforge_is_said(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ""\n'
    pin = dataclasses.replace(given.install()["demo"].pin, kind="hologram", sha256="0" * 64)
    with pytest.raises(SourceError, match="hologram") as caught:
        given.sources().recall(pin)
    assert "Upgrade dxforge" in caught.value.hint


def test_recall_serves_every_kind_from_the_cache(index: IndexServer, given: Given, tmp_path: Path) -> None:
    index.wheel("demo", "1.0", FILES)
    index.npm("left", "1.0.0", {"index.js": "1"})
    (tmp_path / "theme").mkdir()
    (tmp_path / "theme" / "a.css").write_text("a {}\n")
    given.toml = 'demo = ""\nleft = { npm = "left" }\ntheme = { path = "../theme" }\n'
    packages = given.install()
    index.stop()
    shutil.rmtree(tmp_path / "theme")
    for name, package in packages.items():
        again = given.sources(offline=True).recall(package.pin)
        assert contents_of(again) == contents_of(package), name
        assert dict(again.tree) == dict(package.tree)


_CHILD = """
import sys
from pathlib import Path
from tests.support.sources import Given
given = Given(Path(sys.argv[1]), sys.argv[2])
packages = given.install()
print(len(packages), sum(len(content) for package in packages.values() for _, content in package.read()))
"""


def test_processes_that_start_with_an_empty_cache_together(index: IndexServer, given: Given, tmp_path: Path) -> None:
    offer_many(index, given, 6)
    root = Path(__file__).parents[3]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path / f"project{number}"), given.toml],
            cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    answers = [child.communicate(timeout=60) for child in children]
    assert len({out for out, _ in answers}) == 1, answers
    assert answers[0][0].startswith("6 ")


def test_errors_read_well(index: IndexServer, given: Given) -> None:
    given.toml = 'demo = ""\n'
    with pytest.raises(DxForgeError) as caught:
        given.resolve()
    error = caught.value
    assert error.what and error.where and error.hint
    assert not error.what.endswith(".") and not error.hint.endswith(".")


@pytest.mark.network
def test_the_real_registries_serve(tmp_path: Path, cache_dir: Path) -> None:
    """Whatever index and registry this machine is configured to use; both packages are small and old."""
    given = Given(
        tmp_path / "project",
        'humanize = ">=4.9,<4.12"\nnumbers = { npm = "is-number", version = "^7" }\n'
        'requests = { version = "==2.32.3", with_dependencies = true }\n',
    )
    packages = given.install()
    assert {"humanize", "numbers", "requests", "certifi", "idna", "urllib3", "charset-normalizer"} == set(packages)
    assert packages["humanize"].pin.version == "4.11.0"
    assert packages["humanize"].pin.filename == "humanize-4.11.0-py3-none-any.whl"
    assert b"def naturalsize" in contents_of(packages["humanize"])["humanize/filesize.py"]
    assert packages["numbers"].pin.version == "7.0.0"
    assert "index.js" in packages["numbers"].tree
    assert "requests/__init__.py" in packages["requests"].tree
    pins = pins_of(packages)
    assert pins_of(given.install(pins, offline=True)) == pins
