"""The reference of Python: every public name, from its docstring."""

from __future__ import annotations

import dxforge

GROUPS = {
    "A project": ("DxForge", "ForgeThread", "activate", "deactivate"),
    "Packages and the traffic light": (
        "TrafficManager", "TrafficLight", "Action", "Change", "Hunk", "FileDiff", "Plan", "InstallReport",
        "PackageChange", "PackageStatus", "Operation",
    ),
    "Tools": (
        "Orchestrator", "DxToolDefinition", "ToolState", "ToolStatus", "ToolRun", "ToolInfo", "ToolChanged",
        "ToolOutput", "Subscription",
    ),
    "Builds": ("BuildPlan", "BuildReport", "StepResult", "StepState"),
    "Background tasks": (
        "BackgroundWorker", "BackgroundTask", "TaskHandle", "TaskInfo", "TaskState", "TaskChanged", "TaskProgressed",
    ),
    "Errors": ("DxForgeError",),
}  # fmt: skip


def markdown() -> str:
    """All groups; a name that is in none makes a group of its own, so that nothing is missing."""
    grouped = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in dxforge.__all__ if name not in grouped and not name.startswith("__"))
    lines = []
    for title, names in {**GROUPS, **({"More": rest} if rest else {})}.items():
        lines += [f"## {title}", ""]
        for name in names:
            directive = "autoclass" if isinstance(getattr(dxforge, name), type) else "autofunction"
            lines += ["```{eval-rst}", f".. {directive}:: dxforge.{name}"]
            if directive == "autoclass":
                lines += ["   :members:"]
            lines += ["```", ""]
    return "\n".join(lines)
