"""Run the notebooks in ./notebooks (or those given), and store the outputs that nbval compares.

A cell whose output is the same on every machine has the tag ``nbval-check-output``: its plain text is stored, for
readers who do not run it. No other output is: it has times, process numbers or paths in it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from story import ROOT

CHECKED = "nbval-check-output"
_CELL_TIMEOUT_S = 120


def main(arguments: list[str]) -> int:
    """Refresh them, one after the other."""
    for path in map(Path, arguments) if arguments else sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook)
        store(notebook)
        path.write_text(f"{nbformat.writes(notebook).rstrip()}\n", encoding="utf-8")
        print(path.name)
    return 0


def execute(notebook: Any) -> None:
    """Run every cell, in a folder that nothing else is in."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=_CELL_TIMEOUT_S,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        ).execute()


def store(notebook: Any) -> None:
    """Keep the plain text of checked outputs, and nothing else that a run left."""
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        cell.outputs = [plain(output) for output in cell.outputs] if CHECKED in tags else []


def plain(output: Any) -> Any:
    """One output as plain text."""
    if output.output_type in {"display_data", "execute_result"}:
        output.data = {"text/plain": output.data["text/plain"]}
        output.metadata = {}
    return output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
