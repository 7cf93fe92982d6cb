"""A project is looked through; what has not changed is not parsed again."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from dxforge.background.analysis import AnalysisReport, FilePlace, ImportedModule
from dxforge.background.analyze import FILE_NAME, analysis_runner, analyze, newer_versions
from dxforge.background.edits import Newest, PackageEdits
from dxforge.background.tasks import AnalyzeCodebasePatterns, PrefetchPackage, TaskState
from dxforge.background.worker import BackgroundWorker, TaskContext
from dxforge.config.load import load_config, load_environment
from dxforge.errors import TaskCancelledError
from dxforge.traffic.lock import loads
from dxforge.traffic.manager import TrafficManager
from tests.support.index_server import IndexServer


def lay(root: Path, files: dict[str, str | bytes]) -> None:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def notebook(*sources: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources], "metadata": {}})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay(
        tmp_path,
        {
            "dx.toml": '[packages]\nused = { path = "../u" }\nidle = { path = "../i" }\nlazy = { path = "../l" }\n'
            'pyyaml = ""\n[analyze]\nexclude = ["generated"]\npatterns = { todo = "TODO" }\n',
            "pyproject.toml": '[project]\nname = "demo"\ndependencies = ["packaging>=20"]\n',
            "requirements-dev.txt": "# tools\n-r other.txt\npytest ~= 8.0 ; python_version > '3'  # yes\n",
            ".gitignore": "ignored.py\nbuild/\n",
            "app/main.py": "import os, used.core\nfrom app import helper\nimport helper\nimport psutil\n"
            "try:\n    import nowhere\nexcept ImportError: pass\n",
            "app/helper.py": "import packaging.version, yaml\n# TODO: later\n",
            "tests/test_main.py": "import pytest\nfrom app.main import x\n",
            "look.ipynb": notebook("%matplotlib inline\nimport used", "import psutil\nx = ("),
            "broken.py": "def (\n",
            "ignored.py": "import secret\n",
            "build/x.py": "import secret\n",
            "generated/x.py": "import secret\n",
            ".venv/x.py": "import secret\n",
            "env/pyvenv.cfg": "",
            "env/x.py": "import secret\n",
            "src/dx_packages/used/used/__init__.py": "import lazy, os\n# TODO of somebody else\n",
            "src/dx_packages/used/used/core.py": "",
            "src/dx_packages/used/.gitignore": "*\n",
            "src/dx_packages/idle/idle/__init__.py": "import idle\n",
            "src/dx_packages/lazy/lazy.py": "",
        },
    )
    return tmp_path


def look(root: Path) -> AnalysisReport:
    return analyze(load_config(root))


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been written some time ago: the time of change of an inode cannot be set."""
    monkeypatch.setattr("dxforge.background.analyze._RACY_NS", -3_600_000_000_000)


def test_what_is_imported_by_whom_and_what_is_not(root: Path) -> None:
    report = look(root)
    found = {item.module: item for item in report.imports}
    assert "secret" not in found and "idle" not in found
    assert found["used"] == ImportedModule(
        module="used",
        provider="injected",
        packages=("used",),
        places=(FilePlace(path="app/main.py", line=1), FilePlace(path="look.ipynb", cell=1, line=2)),
    )
    assert {name: found[name].provider for name in ("os", "app", "helper", "packaging", "psutil", "nowhere")} == {
        "os": "stdlib", "app": "own", "helper": "own", "packaging": "distribution", "psutil": "distribution",
        "nowhere": "unknown",
    }  # fmt: skip
    assert report.unused == ("idle",), "lazy is imported by another injected package"
    assert [(item.module, item.packages, item.guarded) for item in report.undeclared] == [
        ("nowhere", (), True),
        ("psutil", ("psutil",), False),
    ]
    assert found["yaml"].declared == (found["yaml"].provider == "distribution")
    assert [(item.pattern, str(item.place), item.text) for item in report.matches] == [
        ("todo", "app/helper.py:2", "# TODO: later")
    ]
    assert [str(item.place) for item in report.problems] == ["broken.py:1", "look.ipynb cell 2:2"]


def test_what_has_not_changed_is_not_parsed_again(root: Path, calm: None) -> None:
    first = look(root)
    assert first.read == first.files == 9
    again = look(root)
    assert again.read == 0
    assert again.to_json() | {"read": 9} == first.to_json()
    lay(root, {"app/helper.py": "import json\n"})
    changed = look(root)
    assert changed.read == 1 and "yaml" not in {item.module for item in changed.imports}
    (root / "app/helper.py").unlink()
    assert look(root).files == first.files - 1
    (root / "dx.toml").write_text((root / "dx.toml").read_text().replace("TODO", "import"))
    other = look(root)
    assert other.read == other.files and len(other.matches) > 3


def test_what_was_written_just_now_may_be_written_again_unseen(root: Path) -> None:
    assert look(root).read == look(root).read > 0


@pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff"])
def test_a_damaged_memory_costs_only_time(root: Path, calm: None, damage: bytes) -> None:
    first = look(root)
    (root / ".dx" / FILE_NAME).write_bytes(damage)
    assert look(root) == first


def test_facts_of_another_shape_are_read_anew(root: Path, calm: None) -> None:
    look(root)
    file = root / ".dx" / FILE_NAME
    data = json.loads(file.read_text())
    for entry in data["files"].values():
        entry[1] = [["nonsense"]]
    file.write_text(json.dumps(data))
    assert look(root).read == len(data["files"])


def test_odd_files_do_no_harm(root: Path) -> None:
    os.mkfifo(root / "pipe.py")
    (root / "link.py").symlink_to("broken.py")
    (root / "dangling.py").symlink_to("missing.py")
    (root / "folder.py").mkdir()
    (root / os.fsdecode(b"latin\xe9.py")).write_text("import a_module\n")
    (root / "new\nline.py").write_text("import another\n")
    report = look(root)
    assert {"a_module", "another"} <= {item.module for item in report.imports}
    json.dumps(report.to_json())
    assert "new\\x0aline.py" in str(report)
    assert "<td>" in report._repr_html_()


def test_it_stops_where_it_is_asked_to(root: Path) -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 8:
            raise TaskCancelledError("stop")

    with pytest.raises(TaskCancelledError):
        analyze(load_config(root), check=check)
    assert look(root).files


def edits_of(root: Path) -> list[PackageEdits]:
    base = {"used/__init__.py": b"", "used/core.py": b"def start(): pass\ndef stop(): pass\n"}
    return [
        PackageEdits(
            name="used",
            version="1.0",
            files={
                "used/core.py": (
                    base["used/core.py"],
                    base["used/core.py"] + b"def mine():\n    start()\n    stop()\n",
                ),
                "data.bin": (b"\0\1", b"\0\1\2"),
                "notes.txt": (None, b"mine\n"),
                "old.txt": (b"a\nb\n", None),
            },
            base=lambda: base,
            newest=lambda: Newest(version="2.0", files={**base, "used/core.py": b"def stop(): pass\n"}),
        ),
        PackageEdits(
            name="plain", version="1", files={"a.css": (b"a\n", b"b\n")}, base=pytest.fail, newest=pytest.fail
        ),
    ]


def test_edits_are_measured_and_what_vanishes_is_named(root: Path) -> None:
    report = analyze(load_config(root), edits=edits_of(root))
    plain, used = report.edits
    assert (plain.lines_added, plain.lines_removed, plain.newest, plain.vanished) == (1, 1, "", ())
    assert [(file.path, file.kind, file.lines_added, file.lines_removed) for file in used.files] == [
        ("data.bin", "binary", 0, 0), ("notes.txt", "created", 1, 0), ("old.txt", "deleted", 0, 2),
        ("used/core.py", "changed", 3, 0),
    ]  # fmt: skip
    assert used.newest == "2.0"
    assert [(item.symbol, item.path, item.line, item.sure) for item in used.vanished] == [
        ("used.core.start", "used/core.py", 4, True)
    ]
    text = str(report)
    assert "used.core.start" in text and "used/core.py:4" in text and "+3" in text
    assert json.loads(json.dumps(report.to_json()))["edits"][1]["vanished"][0]["symbol"] == "used.core.start"


def test_by_the_worker_newer_versions_are_prefetched(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/__init__.py": "A = 1\n"})
    (tmp_path / "dx.toml").write_text('[packages]\ndemo = "<2"\n')
    (tmp_path / "main.py").write_text("import demo\n")
    asyncio.run(TrafficManager(tmp_path).install_all_dependencies())
    for version in ("1.5", "2.0"):
        index.wheel("demo", version, {"demo/__init__.py": "A = 2\n"})
    fetched: list[str] = []

    def pins() -> dict[str, object]:
        return {name: item.pin for name, item in loads((tmp_path / "dx.lock").read_text()).packages.items()}

    def fetch(context: TaskContext) -> None:
        fetched.append(context.task.argument)

    async def main() -> AnalysisReport:
        runners = {
            AnalyzeCodebasePatterns: analysis_runner(tmp_path, pins=pins, edits=lambda: edits_of(tmp_path)),  # type: ignore[arg-type]
            PrefetchPackage: fetch,
        }
        async with BackgroundWorker(tmp_path, runners=runners) as worker:  # type: ignore[arg-type]
            report = await worker.enqueue(AnalyzeCodebasePatterns())
            assert await worker.join(30)
            (info, _) = worker.tasks()
            assert info.state is TaskState.DONE and info.result == report.to_json()
            assert isinstance(report, AnalysisReport)
            return report

    report = asyncio.run(main())
    assert fetched == ["demo"]
    assert [(item.name, item.before, item.version) for item in report.newer] == [("demo", "1.0", "1.5")]
    assert [item.provider for item in report.imports] == ["injected"] and not report.unused
    index.stop()
    environment = load_environment({**os.environ, "DXFORGE_OFFLINE": "1", "DXFORGE_CACHE_DIR": str(tmp_path / "empty")})
    newer, unasked = newer_versions(load_config(tmp_path), environment, pins())  # type: ignore[arg-type]
    assert newer == [] and [name for name, _ in unasked] == ["demo"]
