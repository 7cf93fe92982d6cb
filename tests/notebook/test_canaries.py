"""What a notebook is saved with, widget state included: neither the text of a diff nor a secret.

Secrets are planted where they are in real life: credentials of the remote and of the index in the environment, tokens
that tools are given and print. Contents of files that are under review are planted as well. The notebook runs in a
client that stores widget state, as JupyterLab does with "Save Widget State Automatically".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.index_server import IndexServer
from tests.support.tool_project import ToolProject, free_port

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="POSIX programs"), pytest.mark.slow]

SECRETS = {
    "AWS_ACCESS_KEY_ID": "canary-key-id-1f",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key-2f",
    "AWS_SESSION_TOKEN": "canary-session-3f",
    "GIVEN_TO_TOOLS": "canary-given-4f",
    "API_TOKEN": "canary-token-5f",
    "DATABASE_URL": "postgres://user:canary-password-6f@db.invalid/x",
}
NUMBER = "src/dx_packages/demo/demo/number.py"
CLASH = "src/dx_packages/demo/demo/clash.py"
OLD = "".join(f"LINE_{number} = 'canary-base-{number}'\n" for number in range(1, 21))
# Prints all that it was given, in pieces, on both streams; then ends as it is told.
LEAK = """\
import os, sys, time
for name in ("GIVEN_TO_TOOLS", "API_TOKEN"):
    value = os.environ.get(name, "none")
    print(f"{name}={value}", flush=True)
    for piece in (value[:7], value[7:], "\\n"):
        sys.stderr.write(piece)
        sys.stderr.flush()
        time.sleep(0.15)
time.sleep(1.0)
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def project(tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Yellow and a Red with canaries on every side; tools that print secrets; a remote that needs credentials."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DXFORGE_PANELS", "1")  # nobody sits before this client, yet the state is to be saved
    monkeypatch.setenv("PIP_INDEX_URL", index.pypi_url.replace("://", "://user:canary-index-7f@"))
    root = tmp_path / "project"
    root.mkdir()
    old = {"demo/__init__.py": "A = 1\n", "demo/number.py": OLD, "demo/clash.py": "VALUE = 'canary-base'\n"}
    index.wheel("demo", "1.0", old)
    new = {**old, "demo/number.py": OLD.replace("canary-base-5'", "canary-theirs'")}
    index.wheel("demo", "2.0", {**new, "demo/clash.py": "VALUE = 'canary-theirs'\n"})
    tools = ToolProject(root)
    passed = '["GIVEN_TO_TOOLS", "API_TOKEN"]'
    tools.script("leak", LEAK)
    tools.toml(f"pass_env = {passed}\n")
    for name, end in (("crash", "sys.exit(3)"), ("serve", "time.sleep(600)")):
        code = LEAK.partition("time.sleep(1.0)")[0] + end
        health = 'log = "^ready"' if name == "crash" else 'log = "API_TOKEN"'
        args = json.dumps(["-c", code])
        tools.toml(
            f'[tools.{name}]\nbinary_path = "{sys.executable}"\nargs = {args}\npass_env = {passed}\n'
            f'health = {{ {health}, timeout_s = 20 }}\nrestart = {{ policy = "never" }}\n'
            f'env = {{ DX_TEST_MARK = "{tools.mark}" }}\n'
        )
    tools.toml(
        '[packages]\ndemo = "==1.0"\n\n'
        f'[remote]\nurl = "s3://bucket/prefix?endpoint=http://127.0.0.1:{free_port()}"\n\n'
        + "".join(
            f'[[build.steps]]\ntool = "leak"\nargs = {args}\ninputs = ["a.txt"]\noutputs = []\n'
            for args in ('["0"]', '["4"]')
        )
    )
    (root / "a.txt").write_text("a\n")
    try:
        yield root
    finally:
        tools.end()


EDIT = f"""
from pathlib import Path
file = Path("{NUMBER}"); file.write_text(file.read_text().replace("canary" + "-base-15'", "canary" + "-mine'"))
Path("{CLASH}").write_text("VALUE = 'can" + "ary-mine'")
file = Path("dx.toml"); file.write_text(file.read_text().replace("==1.0", ">=1.0"))
"""
CELLS = [
    "%load_ext dxforge_nb",
    "%dx install",
    EDIT,
    "%dx install --upgrade",
    "%dx review",
    "r = %dx review\nr",
    "%dx status",
    "%dx run leak 0",
    "%dx run leak 5",
    "r = get_ipython().run_line_magic('dx', '--json run leak 0')\nr",
    "%dx start serve",
    "%dx start crash",
    "%dx status",
    "%dx logs serve",
    "%dx logs crash",
    "%dx build --allow-pending",
    "%dx build --allow-pending --explain",
    "r = get_ipython().run_line_magic('dx', '--json build --allow-pending')\nr",
    "%dx sync",
    "%dx sync --dry-run",
    "%dx doctor",
    "%dx stop --all",
    "%dx accept --all",
    "%dx undo",
    "%dx log",
    "import dxforge_nb\ndxforge_nb.forge()",
]


def saved(project: Path, cells: list[str]) -> Any:
    """The notebook with ``cells`` after it was run, errors included."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    client = NotebookClient(
        notebook, timeout=180, kernel_name="python3", allow_errors=True, store_widget_state=True,
        resources={"metadata": {"path": str(project)}},
    )  # fmt: skip
    client.execute()
    return notebook


def found(notebook: Any, needle: str) -> list[str]:
    """Where ``needle`` is in what the notebook is saved with, but for what the user has typed."""
    places = [cell.source for cell in notebook.cells if needle in json.dumps([cell.get("outputs", []), cell.metadata])]
    if needle in json.dumps(notebook.metadata):
        places.append("metadata")
    return places


def test_a_saved_notebook_holds_neither_diffs_nor_secrets(home: Path, project: Path) -> None:
    notebook = saved(project, CELLS)
    assert found(notebook, "canary") == []
    whole = json.dumps([cell.outputs for cell in notebook.cells], ensure_ascii=False)
    # All of that was shown, without the secrets.
    for text in (
        "GIVEN_TO_TOOLS=***", "▲ 1 Yellow", "■ 1 Red", NUMBER, "● Healthy", "■ Degraded", "ended with exit status 5",
        ": exit status 4; the last", "2 changes await your decision",
    ):  # fmt: skip
        assert text in whole, text
    errors = [output.ename for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]
    assert {"ToolError", "ToolStartError", "BuildFailedError"} <= set(errors), errors
    assert len(errors) >= 5
    # The files themselves have what was typed.
    assert "canary-mine" in (project / NUMBER).read_text()


def test_what_was_asked_to_be_seen_is_seen(home: Path, project: Path) -> None:
    notebook = saved(project, [*CELLS[:4], f"%dx diff {NUMBER}"])
    assert found(notebook, "canary-theirs") == [f"%dx diff {NUMBER}"]
    for secret in (*SECRETS.values(), "canary-index-7f"):
        assert found(notebook, secret) == []


def test_a_panel_saves_nothing_of_the_project(home: Path, project: Path) -> None:
    notebook = saved(project, [*CELLS[:6], "%dx status"])
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    assert state, "panels are not shown here"
    text = json.dumps(state)
    for word in ("demo", NUMBER, str(project), "canary", "leak"):
        assert word not in text
