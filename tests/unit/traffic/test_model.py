"""What the report says as JSON is the contract's."""

from __future__ import annotations

import json

from dxforge.traffic.model import (
    Action,
    Change,
    Counts,
    InstallReport,
    PackageChange,
    PackageStatus,
    TrafficLight,
)

GREEN = Change(path="a/b.py", light=TrafficLight.GREEN, reason="new file", action=Action.CREATE, package="a")
YELLOW = Change(
    path="a/c.py",
    light=TrafficLight.YELLOW,
    reason="renamed",
    action=Action.PROPOSE,
    package="a",
    new_path="a/d.py",
    broken="line 1: no",
)
RED = Change(
    path="a/e", light=TrafficLight.RED, reason="overlap", action=Action.SET_ASIDE, package="a", set_aside="a/e.new"
)


def test_a_change() -> None:
    assert GREEN.to_json() == {
        "path": "a/b.py",
        "light": "green",
        "reason": "new file",
        "action": "create",
        "package": "a",
    }
    assert (YELLOW.to_json()["new_path"], YELLOW.to_json()["broken"]) == ("a/d.py", "line 1: no")
    assert RED.to_json()["set_aside"] == "a/e.new"


def test_a_report() -> None:
    report = InstallReport(
        changes=[GREEN, YELLOW, RED, RED],
        packages=[PackageChange(name="a", from_version=None, to_version="1", source="pypi")],
        pending=[YELLOW],
        operation="000001",
    )
    data = report.to_json()
    assert {"ok", "packages", "changes", "counts", "pending"} <= set(data)
    assert data["ok"] is True
    assert data["packages"] == [{"name": "a", "from": None, "to": "1", "source": "pypi"}]
    assert data["counts"] == {"green": 1, "yellow": 1, "red": 2}
    assert [change["light"] for change in data["changes"]] == ["green", "yellow", "red", "red"]
    assert len(data["pending"]) == 1
    assert json.loads(json.dumps(data)) == data


def test_counts() -> None:
    assert Counts.of(()) == Counts()
    assert Counts.of((GREEN, RED)) == Counts(green=1, red=1)


def test_a_package() -> None:
    status = PackageStatus(name="a", version="1", source="git", edited=2, pending=1, leaving=True)
    assert status.to_json() == {
        "name": "a",
        "version": "1",
        "source": "git",
        "edited": 2,
        "pending": 1,
        "leaving": True,
    }
