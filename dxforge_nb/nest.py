"""``asyncio.run`` in a cell: what dxforge says where it fails, and nest-asyncio for those who want it all the same.

A cell runs inside the kernel's event loop, and Python refuses a second one there. nest-asyncio makes the loop
re-entrant by replacing parts of asyncio in the whole process, for everyone, until it ends; so it is applied only when
it is asked for (``%config DxMagics.nest_asyncio = True``), and nothing in dxforge needs it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, CoroutineType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from dxforge.errors import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

WAYS_OUT = (
    "dxforge: a cell runs in the notebook's own event loop, so asyncio.run() cannot start another. Two ways out:\n"
    "  - await it at the top level of the cell: `await main()`, or `async with dxforge.DxForge(root) as forge:`\n"
    "  - use `with dxforge.ForgeThread(root) as forge:`, which has a loop of its own and needs no await\n"
    "(`%config DxMagics.nest_asyncio = True` makes asyncio.run() work here, by patching asyncio.)"
)
_HINT = "Write `await ...` at the top level of the cell, or use dxforge.ForgeThread, which has a loop of its own"
_PACKAGES = frozenset({"dxforge", "dxforge_nb"})
_DEEP = 4
_CAUGHT = (RuntimeError,)
"""Known by its identity, as the hook that is ours."""


def apply() -> bool:
    """Let ``asyncio.run`` be called in cells, by nest-asyncio; again is harmless.

    Returns:
        Whether a loop runs here. Where none does, nothing is patched: ``asyncio.run`` works as it is.

    Raises:
        UsageError: the loop is not asyncio's own (uvloop), or nest-asyncio is not there; nothing was patched.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    # nest-asyncio itself notices only after it has patched half of asyncio.
    if not isinstance(loop, asyncio.BaseEventLoop):
        name = f"{type(loop).__module__.partition('.')[0]}.{type(loop).__name__}"
        raise UsageError(f"nest-asyncio cannot patch this kernel's event loop, {name}", hint=_HINT)
    try:
        import nest_asyncio  # type: ignore[import-untyped]
    except ImportError as error:
        hint = f"pip install 'dxforge[notebook]' brings it. {_HINT}"
        raise UsageError("nest-asyncio is not installed", hint=hint) from error
    nest_asyncio.apply(loop)
    return True


def follow(shell: InteractiveShell | None, *, wanted: bool) -> None:
    """Do what ``%config DxMagics.nest_asyncio`` was set to.

    Raises:
        UsageError: it cannot be applied, or not be taken back.
    """
    if not wanted:
        if applied():
            raise UsageError("asyncio stays patched as long as this kernel runs", hint="Restart the kernel")
    elif not apply() and shell is not None:
        # Set in a configuration file: no loop runs while a kernel starts.
        def later(*_: object) -> None:
            shell.events.unregister("pre_run_cell", later)
            apply()

        shell.events.register("pre_run_cell", later)


def applied() -> bool:
    """Whether asyncio is patched in this process, by whomever."""
    return hasattr(asyncio, "_nest_patched")


def explain_errors(shell: InteractiveShell) -> None:
    """From now on, where ``asyncio.run`` fails in a cell over something of dxforge, the error names the ways out.

    Through IPython's own hook for exceptions; if somebody else has it, it stays theirs.
    """
    if not shell.custom_exceptions:
        shell.set_custom_exc(_CAUGHT, _show)  # type: ignore[no-untyped-call]


def leave_errors(shell: InteractiveShell) -> None:
    """Take that back."""
    if shell.custom_exceptions is _CAUGHT:
        shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]


def _show(
    shell: InteractiveShell,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> None:
    if is_about_us(trace) and WAYS_OUT not in getattr(error, "__notes__", ()):
        error.add_note(WAYS_OUT)
    # What IPython does without a hook.
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)


def is_about_us(trace: TracebackType | None) -> bool:
    """Whether asyncio itself raised this because a loop runs already, given a coroutine that has to do with dxforge."""
    while trace is not None and trace.tb_next is not None:
        if _refused(trace.tb_next) and any(_is_ours(value) for value in _arguments(trace.tb_next)):
            return True
        trace = trace.tb_next
    return False


def _refused(trace: TracebackType) -> bool:
    code = trace.tb_frame.f_code
    return trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "asyncio" and code.co_name in {
        "run",
        "run_until_complete",
    }


def _arguments(trace: TracebackType) -> list[Any]:
    return list(trace.tb_frame.f_locals.values())


def _is_ours(value: object, deep: int = 0) -> bool:
    """Whether ``value`` is a coroutine that is dxforge's, uses something of dxforge, or waits for one that does."""
    if not isinstance(value, CoroutineType) or deep > _DEEP:
        return False
    if _HERE in Path(value.cr_code.co_filename).parents:
        return True
    frame = value.cr_frame
    if frame is None:
        return False
    names = set(_names(value.cr_code))
    used = [frame.f_globals[name] for name in names if name in frame.f_globals]
    own = list(frame.f_locals.values())
    return any(map(_from_us, (*used, *own))) or any(_is_ours(other, deep + 1) for other in own)


def _names(code: CodeType) -> Iterator[str]:
    """Every global name that ``code`` uses, or functions in it, or modules that it imports."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _from_us(value: object) -> bool:
    if isinstance(value, ModuleType):
        module = value.__name__
    elif inspect.isclass(value) or inspect.isroutine(value):
        module = value.__module__ or ""
    else:
        module = type(value).__module__
    return module.partition(".")[0] in _PACKAGES


def _package_folder() -> Path:
    import dxforge

    return Path(dxforge.__file__).parent


_HERE = _package_folder()
