"""What was prefetched is there when the index is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dxforge.background.prefetch import PrefetchReport, prefetch, prefetch_runner
from dxforge.background.tasks import PrefetchPackage, TaskProgressed
from dxforge.background.worker import BackgroundWorker
from dxforge.config.load import load_config, load_environment
from dxforge.errors import PackageNotFoundError, TaskCancelledError, TaskFailedError
from dxforge.events import Event, EventBus
from dxforge.sources.model import Pin
from dxforge.traffic.lock import loads
from dxforge.traffic.manager import TrafficManager
from tests.support.index_server import IndexServer


def project(root: Path, packages: str) -> Path:
    (root / "dx.toml").write_text(f'[project]\nname = "demo"\n\n[packages]\n{packages}')
    return root


def pins(root: Path) -> dict[str, Pin]:
    file = root / "dx.lock"
    return {name: item.pin for name, item in loads(file.read_text() if file.exists() else None).packages.items()}


def fetch(root: Path, name: str) -> PrefetchReport:
    return prefetch(load_config(root), load_environment(), name, pins=pins(root), events=EventBus())


def install(root: Path, *, upgrade: bool = False) -> dict[str, str]:
    report = asyncio.run(TrafficManager(root).install_all_dependencies(upgrade=upgrade))
    assert report.ok
    return {name: pin.version for name, pin in pins(root).items()}


def offer(index: IndexServer) -> None:
    for version in ("1.0", "1.5", "2.0"):
        index.wheel("demo", version, {"demo/__init__.py": f"A = '{version}'\n"}, requires=["other"])
        index.npm("left", f"{version}.0", {"index.js": f"module.exports = '{version}'\n"})
    index.wheel("other", "3.0", {"other/__init__.py": "B = 3\n"})


def test_the_next_upgrade_works_without_the_index(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/__init__.py": "A = '1.0'\n"})
    root = project(tmp_path, 'demo = ">=1,<2"\n')
    assert install(root) == {"demo": "1.0"}
    offer(index)
    report = fetch(root, "demo")
    assert report.declared and report.newer
    assert [(item.name, item.before, item.version) for item in report.packages] == [("demo", "1.0", "1.5")]
    assert str(report) == "demo 1.5 is in the cache (1.0 is installed)"
    assert pins(root)["demo"].version == "1.0", "the project is not touched"
    index.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_OFFLINE", "1")
        assert install(root, upgrade=True) == {"demo": "1.5"}
    assert (root / "src/dx_packages/demo/demo/__init__.py").read_text() == "A = '1.5'\n"


def test_so_does_the_first_install_with_dependencies_and_from_npm(tmp_path: Path, index: IndexServer) -> None:
    offer(index)
    root = project(
        tmp_path, 'demo = { version = "<2", with_dependencies = true }\nleft = { npm = "left", version = "^1" }\n'
    )
    assert [item.name for item in fetch(root, "demo").packages] == ["demo", "other"]
    assert [item.version for item in fetch(root, "left").packages] == ["1.5.0"]
    index.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_OFFLINE", "1")
        assert install(root) == {"demo": "1.5", "left": "1.5.0", "other": "3.0"}


def test_a_name_that_dx_toml_does_not_have_is_the_index_s(tmp_path: Path, index: IndexServer) -> None:
    offer(index)
    root = project(tmp_path, "")
    report = fetch(root, "demo")
    assert not report.declared and [item.version for item in report.packages] == ["2.0"]
    index.stop()
    project(root, 'demo = ""\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_OFFLINE", "1")
        assert install(root) == {"demo": "2.0"}


def test_what_is_cached_is_not_fetched_again(tmp_path: Path, index: IndexServer) -> None:
    offer(index)
    root = project(tmp_path, 'demo = "==1.5"\n')
    first = fetch(root, "demo")
    count = index.count("demo-1.5")
    assert fetch(root, "demo") == first and index.count("demo-1.5") == count == 1


def test_a_damaged_cache_entry_is_fetched_anew(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    offer(index)
    root = project(tmp_path, 'demo = "==1.5"\n')
    (item,) = fetch(root, "demo").packages
    entry = cache_dir / "archives" / item.sha256[:2] / item.sha256
    entry.chmod(0o644)
    entry.write_bytes(b"rot")
    assert fetch(root, "demo").packages == (item,)
    assert entry.read_bytes() != b"rot" and index.count("demo-1.5") == 2


def test_there_is_no_such_package(tmp_path: Path, index: IndexServer) -> None:
    with pytest.raises(PackageNotFoundError):
        fetch(project(tmp_path, ""), "nothing")


def test_it_stops_where_it_is_asked_to_and_keeps_no_half(tmp_path: Path, index: IndexServer, cache_dir: Path) -> None:
    offer(index)
    root = project(tmp_path, 'demo = "==1.5"\n')
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise TaskCancelledError("stop")

    with pytest.raises(TaskCancelledError):
        prefetch(load_config(root), load_environment(), "demo", pins={}, events=EventBus(), check=check)
    assert len(calls) == 4
    assert [item.version for item in fetch(root, "demo").packages] == ["1.5"]
    assert not list(cache_dir.glob("tmp/*"))


def test_by_the_worker(tmp_path: Path, index: IndexServer) -> None:
    offer(index)
    root = project(tmp_path, 'demo = "<2"\n')
    heard: list[Event] = []
    events = EventBus()
    events.subscribe(heard.append)

    async def main() -> None:
        runner = prefetch_runner(root, pins=lambda: pins(root))
        async with BackgroundWorker(root, runners={PrefetchPackage: runner}, events=events) as worker:
            report = await worker.enqueue(PrefetchPackage("demo"))
            assert isinstance(report, PrefetchReport)
            assert worker.tasks()[0].result == report.to_json()
            with pytest.raises(TaskFailedError, match="nothing"):
                await worker.enqueue(PrefetchPackage("nothing"))

    asyncio.run(main())
    items = [event.progress.item for event in heard if isinstance(event, TaskProgressed)]
    assert any("demo" in item for item in items)
