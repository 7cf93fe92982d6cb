"""`make demo` tells its story to the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo.py"


@pytest.mark.network
@pytest.mark.slow
def test_the_demo_shows_every_light_and_leaves_an_executed_notebook(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("Green", "1 Yellow", "1 Red", "hunk 3", "$ dxforge undo"):
        assert shown in done.stdout
    number = (folder / "src/dx_packages/humanize/humanize/number.py").read_text(encoding="utf-8")
    assert 'NS_("k", "k")' in number
    assert "max(0, precision" not in number, "the accepted hunk was not undone"
    cells = [cell for cell in json.loads((folder / "demo.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert "12.4 k" in json.dumps(cells)
