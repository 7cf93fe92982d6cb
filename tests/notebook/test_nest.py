"""``asyncio.run`` in a cell: what is said where it fails, and what ``%config DxMagics.nest_asyncio`` changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebook.conftest import Cell, Kernel
from tests.support.project import lay

WAYS_OUT = "Two ways out"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Path:
    lay(tmp_path / "theme", {"m.py": "x = 1\n"})
    (tmp_path / "dx.toml").write_text('[project]\nname = "nb"\n\n[packages]\ntheme = { path = "./theme" }\n')
    return tmp_path


def traceback(cell: Cell) -> str:
    """What is shown of the cell's error, without colours."""
    assert cell.error is not None
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(cell.error["traceback"]))


MAIN = """
import asyncio, dxforge
async def main():
    async with dxforge.DxForge(".") as forge:
        return (await forge.run_pipeline("install")).ok
"""
QUIETLY = "import warnings; warnings.simplefilter('ignore')"  # a coroutine that is never awaited warns as well


@pytest.mark.parametrize(
    "code",
    [
        f"{MAIN}asyncio.run(main())",
        f"{MAIN}asyncio.run(asyncio.wait_for(main(), 5))",
        "import asyncio, dxforge\nforge = dxforge.DxForge('.')\nasyncio.run(forge.run_pipeline('install'))",
        f"{MAIN}asyncio.get_event_loop().run_until_complete(main())",
        "import asyncio\nfrom dxforge import DxForge\nasync def f(x): await x.open()\nasyncio.run(f(DxForge('.')))",
    ],
)
def test_without_it_the_error_names_the_two_ways_out(dx: Kernel, project: Path, code: str) -> None:
    dx.run(QUIETLY)
    cell = dx.run(code)
    shown = traceback(cell)
    assert cell.error is not None
    assert cell.error["ename"] == "RuntimeError"
    assert WAYS_OUT in shown
    assert "await main()" in shown
    assert "ForgeThread" in shown
    assert "%config DxMagics.nest_asyncio = True" in shown
    assert not (project / "src").exists()


def test_the_two_ways_out_work(dx: Kernel, project: Path) -> None:
    dx.run(MAIN)
    assert dx.value("await main()") == "True"
    dx.run("with dxforge.ForgeThread('.') as forge: report = forge.run_pipeline('install')")
    assert dx.value("report.ok") == "True"


@pytest.mark.parametrize(
    "code",
    [
        "raise RuntimeError('asyncio.run() cannot be called from a running event loop')",
        "import asyncio\nasync def other(): pass\nasyncio.run(other())",
        f"{MAIN}raise RuntimeError('something else')",
        "import asyncio, dxforge\nasync def other(): raise RuntimeError(dxforge.__name__)\nawait other()",
    ],
)
def test_other_errors_are_shown_as_ever(dx: Kernel, code: str) -> None:
    dx.run(QUIETLY)
    shown = traceback(dx.run(code))
    assert "RuntimeError" in shown
    assert "dxforge:" not in shown
    assert "Two ways" not in shown
    # The very same as without us.
    dx.run("%unload_ext dxforge_nb")
    plain = traceback(dx.run(code))
    assert re.sub(r"In\[\d+\]|0x\w+", "", shown) == re.sub(r"In\[\d+\]|0x\w+", "", plain)


def test_a_hook_of_somebody_else_stays_theirs(kernel: Kernel) -> None:
    kernel.run("get_ipython().set_custom_exc((RuntimeError,), lambda *a, **k: print('theirs'))")
    kernel.run("%load_ext dxforge_nb")
    assert "theirs" in kernel.run("raise RuntimeError").streams
    kernel.run("%unload_ext dxforge_nb")
    assert "theirs" in kernel.run("raise RuntimeError").streams


def test_with_it_asyncio_run_works_in_a_cell(dx: Kernel, project: Path) -> None:
    assert dx.value("import asyncio; hasattr(asyncio, '_nest_patched')") == "False"
    assert dx.run("%config DxMagics.nest_asyncio = True").error is None
    dx.run(MAIN)
    assert dx.value("asyncio.run(main())") == "True"
    assert (project / "src/dx_packages/theme/m.py").read_text() == "x = 1\n"
    (project / "theme/m.py").write_text("x = 2\n")
    # The magics go on as before, and so do forges on loops of their own.
    assert dx.run("%dx install").error is None
    assert (project / "src/dx_packages/theme/m.py").read_text() == "x = 2\n"
    dx.run("with dxforge.ForgeThread('.') as forge: report = forge.run_pipeline('install')")
    assert dx.value("report.ok, asyncio.run(main()), await main()") == "(True, True, True)"
    # `%config` itself takes every error, and writes it.
    told = dx.run("%config DxMagics.nest_asyncio = False").streams
    assert "asyncio stays patched as long as this kernel runs. Restart the kernel." in told
    assert dx.value("get_ipython().magics_manager.registry['DxMagics'].nest_asyncio") == "True"


def test_setting_it_to_what_it_is_changes_nothing(dx: Kernel) -> None:
    assert dx.run("%config DxMagics.nest_asyncio = False").error is None
    assert dx.value("import asyncio; hasattr(asyncio, '_nest_patched')") == "False"
    assert "nest_asyncio" in dx.run("%config DxMagics").streams


def test_it_is_never_applied_to_a_loop_that_is_not_asyncios_own(dx: Kernel) -> None:
    # In a thread, as the cell's own has a loop that runs.
    code = """
import asyncio, threading
class Loop(asyncio.AbstractEventLoop): pass
Loop.__module__ = "uvloop"
def cell():
    asyncio._set_running_loop(Loop())
    get_ipython().run_line_magic("config", "DxMagics.nest_asyncio = True")
thread = threading.Thread(target=cell)
thread.start()
thread.join()
"""
    told = dx.run(code).streams
    assert "cannot patch this kernel's event loop, uvloop.Loop" in told
    assert "ForgeThread" in told
    assert dx.value("hasattr(asyncio, '_nest_patched')") == "False"
    assert dx.value("get_ipython().magics_manager.registry['DxMagics'].nest_asyncio") == "False"


def test_from_a_configuration_file(home: Path, project: Path, kernel: Kernel) -> None:
    profile = home / "ipythondir" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(
        "c.DxMagics.nest_asyncio = True\nc.IPKernelApp.extensions = ['dxforge_nb']\n"
    )
    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=60)
    kernel.run(MAIN)
    assert kernel.value("asyncio.run(main())") == "True"
