"""dxforge: own your dependencies' source, and still get updates.

Everything public is here; a name is imported when it is first used, so ``import dxforge`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dxforge.background.handle import TaskHandle
    from dxforge.background.tasks import BackgroundTask, TaskChanged, TaskInfo, TaskProgressed, TaskState
    from dxforge.build.model import BuildPlan, BuildReport, StepResult, StepState
    from dxforge.errors import DxForgeError
    from dxforge.forge import DxForge
    from dxforge.importer import activate, deactivate
    from dxforge.orchestrator.definition import DxToolDefinition
    from dxforge.orchestrator.orchestrator import Orchestrator
    from dxforge.orchestrator.status import ToolChanged, ToolInfo, ToolOutput, ToolRun, ToolState, ToolStatus
    from dxforge.orchestrator.subscription import Subscription
    from dxforge.runners import BackgroundWorker
    from dxforge.thread import ForgeThread
    from dxforge.traffic.install import Plan
    from dxforge.traffic.manager import TrafficManager
    from dxforge.traffic.model import (
        Action,
        Change,
        FileDiff,
        Hunk,
        InstallReport,
        Operation,
        PackageChange,
        PackageStatus,
        TrafficLight,
    )

    __version__: str

__all__ = [
    "Action",
    "BackgroundTask",
    "BackgroundWorker",
    "BuildPlan",
    "BuildReport",
    "Change",
    "DxForge",
    "DxForgeError",
    "DxToolDefinition",
    "FileDiff",
    "ForgeThread",
    "Hunk",
    "InstallReport",
    "Operation",
    "Orchestrator",
    "PackageChange",
    "PackageStatus",
    "Plan",
    "StepResult",
    "StepState",
    "Subscription",
    "TaskChanged",
    "TaskHandle",
    "TaskInfo",
    "TaskProgressed",
    "TaskState",
    "ToolChanged",
    "ToolInfo",
    "ToolOutput",
    "ToolRun",
    "ToolState",
    "ToolStatus",
    "TrafficLight",
    "TrafficManager",
    "__version__",
    "activate",
    "deactivate",
]

_HOME = {
    "dxforge.background.handle": ("TaskHandle",),
    "dxforge.background.tasks": ("BackgroundTask", "TaskChanged", "TaskInfo", "TaskProgressed", "TaskState"),
    "dxforge.build.model": ("BuildPlan", "BuildReport", "StepResult", "StepState"),
    "dxforge.errors": ("DxForgeError",),
    "dxforge.forge": ("DxForge",),
    "dxforge.importer": ("activate", "deactivate"),
    "dxforge.orchestrator.definition": ("DxToolDefinition",),
    "dxforge.orchestrator.orchestrator": ("Orchestrator",),
    "dxforge.orchestrator.status": ("ToolChanged", "ToolInfo", "ToolOutput", "ToolRun", "ToolState", "ToolStatus"),
    "dxforge.orchestrator.subscription": ("Subscription",),
    "dxforge.runners": ("BackgroundWorker",),
    "dxforge.thread": ("ForgeThread",),
    "dxforge.traffic.install": ("Plan",),
    "dxforge.traffic.manager": ("TrafficManager",),
    "dxforge.traffic.model": (
        "Action",
        "Change",
        "FileDiff",
        "Hunk",
        "InstallReport",
        "Operation",
        "PackageChange",
        "PackageStatus",
        "TrafficLight",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("dxforge")
    elif name in _MODULE_OF:
        from importlib import import_module

        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
