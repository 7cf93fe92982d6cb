from __future__ import annotations

import os
import re
from pathlib import Path

from tests.notebook.conftest import Kernel


def test_loading_is_quiet_and_brings_none_of_the_machinery(dx: Kernel) -> None:
    assert dx.run("%load_ext dxforge_nb").streams.startswith("The dxforge_nb extension is already loaded")
    loaded = dx.value(
        "import sys; sorted(m for m in sys.modules if m.partition('.')[0] in {'pygit2', 'click', 'rich'})"
    )
    assert loaded == "[]"
    assert dx.value("[m for m in sys.modules if m.startswith('dxforge.traffic')]") == "[]"


def test_help_is_a_result_and_a_docstring(dx: Kernel) -> None:
    cell = dx.run("%dx help install")
    assert "Usage: %dx install" in cell.text
    assert "<pre>" in cell.html
    assert dx.run("%dx").text == dx.run("%dx --help").text
    doc = dx.inspect("%dx")
    assert "%dx accept PATH [--hunk N]" in doc
    assert "-o NAME" in doc


def test_results_are_values_and_are_shown(dx: Kernel) -> None:
    cell = dx.run("%dx init --name demo")
    assert "Made project demo" in cell.text
    assert '<div class="dxforge">' in cell.html
    assert dx.run("r = %dx status").displays == []
    assert dx.value("r") == dx.run("%dx status").text
    assert dx.value("repr(r)") == "'<dxforge status: 0 packages, 0 pending>'"
    assert dx.value("r.exit_code, r.to_json()['packages']") == "(0, [])"


def test_quiet_store_and_json(dx: Kernel) -> None:
    dx.run("%dx init --name demo")
    assert dx.run("%dx status -q").displays == []
    assert dx.run("%dx status;").displays == []
    assert dx.run("%dx -q status -o kept").displays == []
    assert dx.value("repr(kept)") == "'<dxforge status: 0 packages, 0 pending>'"
    assert dx.run("%dx status -o shown").text == dx.run("%dx status").text
    assert "'packages': []" in dx.run("%dx status --json").text
    cell = dx.run("%dx status -o 'no name'")
    assert cell.error is not None
    assert cell.error["ename"] == "UsageError"


def test_errors_are_two_lines_and_fail_the_cell(dx: Kernel, project: Path) -> None:
    cell = dx.run("%dx status")
    assert cell.error is not None
    assert cell.error["ename"] == "ProjectError"
    assert len(cell.error["traceback"]) == 2
    assert "no dx.toml" in cell.error["traceback"][0]
    assert "hint: Make a project with `%dx init`" in cell.error["traceback"][1]
    for line in ("%dx nonsense", "%dx install --nonsense", "%dx accept", "%dx diff 'unclosed"):
        cell = dx.run(line)
        assert cell.error is not None, line
        assert cell.error["ename"] == "UsageError"
        assert len(cell.error["traceback"]) <= 2
    assert "`%dx status`" in dx.run("%dx statsu").error["traceback"][1]  # type: ignore[index]


def test_errors_are_of_our_tree_for_code_that_catches_them(dx: Kernel) -> None:
    code = """
from dxforge.errors import ProjectError
try:
    get_ipython().run_line_magic("dx", "status")
except ProjectError as error:
    print(error.kind, bool(error.hint))
"""
    assert dx.run(code).streams == "ProjectError True\n"


def test_a_cell_runs_line_by_line_and_stops_at_the_first_error(dx: Kernel) -> None:
    cell = dx.run("%%dx\n# a comment\n\ninit --name demo\n  status\n")
    assert cell.error is None
    assert len(cell.displays) == 2
    assert "Made project demo" in cell.displays[0]["text/plain"]
    assert "Project demo" in cell.displays[1]["text/plain"]
    cell = dx.run("%%dx\nstatus -o before\ninit\nstatus -o after\n")
    assert cell.error is not None
    assert cell.error["ename"] == "ProjectError"
    assert "Project demo" in cell.text
    assert dx.value("'before' in globals(), 'after' in globals()") == "(True, False)"


def test_a_cells_header_holds_for_every_line(dx: Kernel, project: Path) -> None:
    assert dx.run("%%dx -q\ninit sub --name demo\n").displays == []
    cell = dx.run("%%dx -C sub\nstatus\nlog\n")
    assert "Project demo" in cell.text
    assert "Nothing has been done" in cell.text


def test_a_change_of_folder_counts_at_once(dx: Kernel, project: Path) -> None:
    dx.run("%%dx -q\ninit one\ninit two\n")
    dx.run("import os; os.chdir('one')")
    assert "Project one" in dx.run("%dx status").text
    dx.run("os.chdir('../two')")
    assert "Project two" in dx.run("%dx status").text


def test_variables_are_expanded_and_words_quoted(dx: Kernel, project: Path) -> None:
    dx.run("name = 'a b'")
    dx.run('%dx init --name "$name"')
    assert "Project a b" in dx.run("%dx status").text
    dx.run("folder = 'other'")
    assert "Made project x y" in dx.run("%dx init {folder} --name 'x y'").text


def test_a_broken_project_does_not_keep_the_extension_from_loading(kernel: Kernel, project: Path) -> None:
    (project / "dx.toml").write_text("[pakages]\n")
    cell = kernel.run("%load_ext dxforge_nb")
    assert cell.error is None
    assert "packages are not imported" in cell.streams
    assert "pakages" in cell.streams
    cell = kernel.run("%dx status")
    assert cell.error is not None
    assert cell.error["ename"] == "ConfigError"
    assert "dx.toml" in kernel.run("%dx doctor").text


def test_unloading_takes_everything_back_and_reloading_brings_it(dx: Kernel, project: Path) -> None:
    dx.run("%dx init --name demo")
    before = dx.value("len(get_ipython().Completer.custom_matchers)")
    assert dx.run("%unload_ext dxforge_nb").error is None
    assert dx.run("%dx status").error is not None or "not found" in dx.run("%dx status").streams
    assert dx.value("len(get_ipython().Completer.custom_matchers)") == str(int(before) - 1)
    assert dx.value("[f for f in __import__('sys').meta_path if 'Injected' in repr(f)]") == "[]"
    assert dx.run("%load_ext dxforge_nb").error is None
    assert "Project demo" in dx.run("%dx status").text
    assert dx.run("%reload_ext dxforge_nb").error is None
    assert "Project demo" in dx.run("%dx status").text
    assert dx.value("len(get_ipython().Completer.custom_matchers)") == before


def test_completion_of_commands_and_options(dx: Kernel) -> None:
    assert dx.complete("%dx stat") == ["%dx status"]
    words = ("remove", "review", "reject", "resolve", "restart")
    assert dx.complete("r = %dx re") == [f"r = %dx {word}" for word in words]
    assert "%dx install --upgrade" in dx.complete("%dx install --up")
    assert dx.complete("%dx help doc") == ["%dx help doctor"]
    assert dx.complete("%dx install --on-yellow a") == ["%dx install --on-yellow ask", "%dx install --on-yellow accept"]
    assert dx.complete("%%dx\nstatus\nund") == ["%%dx\nstatus\nundo"]
    assert "%dx status" in dx.complete("%dx ")


def test_completion_leaves_other_lines_alone(dx: Kernel) -> None:
    dx.run("status_of_things = 1")
    assert dx.complete("status_of_th") == ["status_of_things"]
    assert all("undo" not in text for text in dx.complete("%time und"))


def test_no_absolute_path_or_address_in_what_is_shown(dx: Kernel, project: Path) -> None:
    for line in ("%dx init --name demo", "%dx status", "%dx log", "%dx help"):
        cell = dx.run(line)
        assert not re.search(rf"0x[0-9a-f]{{6,}}|{re.escape(os.fspath(project))}", cell.text + cell.html), line
