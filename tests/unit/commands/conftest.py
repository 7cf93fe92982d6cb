"""Hand-made reports: rendering needs nothing but data."""

from __future__ import annotations

import pytest

from dxforge.traffic.model import (
    Action,
    Change,
    FileDiff,
    Hunk,
    InstallReport,
    PackageChange,
    TrafficLight,
)

BASE = "src/dx_packages/humanize/humanize"

HOSTILE_NAMES = [
    "plain.py",
    "two\nlines.py",
    "carriage\rreturn.py",
    "\x1b[31mred\x1b[0m.py",
    "\x1b]8;;file:///etc/passwd\x07link\x1b]8;;\x07.py",
    "\x9b31mC1.py",
    "[bold red]markup[/].py",
    "[/]closing.py",
    ":warning:.py",
    "<script>alert(1)</script>.py",
    "<img src=x onerror=alert(1)>.py",
    "'\"><svg onload=alert(1)>.py",
    "&lt;b&gt;.py",
    "</pre></details></div><style>.dxforge{display:none}</style>.py",
    "\u202egnp.exe.py",
    "zero\u200bwidth.py",
    "line\u2028separator.py",
    "nul\x00.py",
    "tab\tname.py",
    "del\x7f.py",
    "undecodable\udcff.py",
    "a b  c.py",
    "-rf.py",
    "$(reboot).py",
    "`id`.py",
    "宽的名字.py",
    "e\u0301.py",
    "%s {x} {0}.py",
    "backslash\\x1b.py",
    "very" * 80 + ".py",
]


def hunk(number: int, *lines: str) -> Hunk:
    """A hunk with a header of its own."""
    return Hunk(
        id=str(number),
        header=f"@@ -{number},3 +{number},4 @@ def f{number}():",
        lines=lines or (" a\n", "-b\n", "+c\n"),
    )


def change(name: str = "number.py", light: TrafficLight = TrafficLight.YELLOW, **more: object) -> Change:
    """A pending change, or a Green one."""
    action = {"green": Action.UPDATE, "yellow": Action.PROPOSE, "red": Action.SET_ASIDE}[light.value]
    fields: dict[str, object] = {
        "path": f"{BASE}/{name}",
        "light": light,
        "reason": {"green": "only upstream changed it", "yellow": "both changed it, the merge is clean"}.get(
            light.value, "your edits and theirs overlap"
        ),
        "action": action,
        "package": "humanize",
    }
    return Change(**{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def yellow() -> Change:
    """Two hunks to decide on."""
    return change(hunks=(hunk(1), hunk(2)))


@pytest.fixture
def red() -> Change:
    """Their file set aside."""
    return change("time.py", TrafficLight.RED, hunks=(hunk(1),), set_aside=f"{BASE}/time.py.new")


@pytest.fixture
def report(yellow: Change, red: Change) -> InstallReport:
    """An upgrade that left two files to decide on."""
    green = [change(f"g{number}.py", TrafficLight.GREEN) for number in range(3)]
    created = change("new.py", TrafficLight.GREEN, action=Action.CREATE)
    return InstallReport(
        changes=[*green, created, yellow, red],
        packages=[
            PackageChange(name="humanize", from_version="4.9.0", to_version="4.12.1", source="pypi"),
            PackageChange(name="lodash", from_version=None, to_version="4.17.21", source="npm"),
            PackageChange(name="old", from_version="1.0", to_version=None, source="path"),
        ],
        pending=[yellow, red],
        notes=["humanize.number is still loaded from the old source; restart to use the new one"],
        operation="0007",
    )


@pytest.fixture
def file_diff(yellow: Change) -> FileDiff:
    """A file seen from every side."""
    return FileDiff(
        change=yellow,
        mine="--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+mine\n",
        theirs="--- a/x\n+++ b/x\n@@ -1,3 +1,4 @@\n a\n b\n+theirs <b>\n",
        proposal="@@ -1,3 +1,4 @@\n a\n-b\n+c\n",
    )


@pytest.fixture
def hostile_changes() -> list[Change]:
    """Pending changes whose every text is hostile."""
    return [
        change(
            name, path=f"src/dx_packages/p/{name}", package="p", reason=name, broken=name, set_aside=name, new_path=name
        )
        for name in HOSTILE_NAMES
    ]
