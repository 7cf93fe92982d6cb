"""Keys: what they depend on, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dxforge.build.action import compare, make_key, make_manifest
from dxforge.build.model import Step
from dxforge.build.toolbox import ToolFacts

STEP = Step(index=0, id="x", tool="js", args=("build",), inputs=("src/**",), outputs=("dist",))


def _manifest(**other: Any) -> dict[str, Any]:
    facts = ToolFacts(
        name="js",
        binary=Path(other.get("binary", "/usr/bin/js")),
        environment=other.get("env", {"MODE": "dev"}),
        in_the_open=frozenset(other.get("in_the_open", ())),
        definition=other.get("definition", {"binary_path": "js"}),
    )
    return make_manifest(
        other.get("step", STEP),
        facts,
        program=other.get("program", {"program": "exec:1"}),
        inputs=other.get("inputs", {"src/a": "file:1", "src/b": "file:2"}),
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"inputs": {"src/a": "file:9", "src/b": "file:2"}}, "src/a changed"),
        ({"inputs": {"src/b": "file:2"}}, "src/a removed"),
        ({"inputs": {"src/a": "file:1", "src/b": "file:2", "src/c": "file:3"}}, "src/c added"),
        ({"inputs": {"src/a": "exec:1", "src/b": "file:2"}}, "src/a changed (mode 644 → 755)"),
        ({"env": {"MODE": "production"}}, "env MODE changed"),
        ({"env": {}}, "env MODE removed"),
        ({"env": {"MODE": "dev", "TOKEN": ""}}, "env TOKEN added"),
        ({"program": {"program": "exec:2"}}, "program js changed"),
        ({"program": {"program": "exec:1", "interpreter": "exec:1"}}, "the interpreter of js changed"),
        ({"program": {"program": "exec:1", "packages": "1"}}, "what is installed beside js changed"),
        ({"definition": {"binary_path": "js", "cwd": "web"}}, "cwd of js added"),
        (
            {"step": Step(index=0, id="x", tool="js", args=("build", "-m"), outputs=("dist",))},
            "args changed: build → build -m",
        ),
        ({"step": Step(index=0, id="x", tool="js", outputs=("dist",))}, "args changed: build → (none)"),
        ({"step": Step(index=0, id="x", tool="js", args=("build",), outputs=("out",))}, "outputs changed"),
    ],
)
def test_what_a_key_depends_on(change: dict[str, Any], why: str) -> None:
    old, new = _manifest(), _manifest(**change)
    assert make_key(old) != make_key(new)
    assert compare(old, new).text() == why
    assert compare(json.loads(json.dumps(old)), new).text() == why


def test_what_a_key_does_not_depend_on() -> None:
    key = make_key(_manifest())
    assert len(key) == 64
    assert make_key(_manifest(binary="/elsewhere/js")) == key
    assert make_key(_manifest(inputs={"src/b": "file:2", "src/a": "file:1"})) == key
    assert (
        make_key(_manifest(step=Step(index=7, id="y", tool="js", args=("build",), outputs=("dist",), after=(3,))))
        == key
    )
    assert not compare(_manifest(), _manifest())


def test_arguments_do_not_run_together() -> None:
    one = Step(index=0, id="x", tool="js", args=("a b",))
    two = Step(index=0, id="x", tool="js", args=("a", "b"))
    assert make_key(_manifest(step=one)) != make_key(_manifest(step=two))


def test_values_of_the_environment_appear_nowhere() -> None:
    old, new = _manifest(env={"TOKEN": "hush-1"}), _manifest(env={"TOKEN": "hush-2"})
    assert "hush" not in json.dumps([old, new, compare(old, new).to_json()])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ({"A": "1"}, {"A": "2"}, "env A changed: 1 → 2"),
        ({"A": "1"}, {"A": ""}, "env A changed: 1 → (empty)"),
        ({}, {"A": "2"}, "env A added: 2"),
        ({"A": "1"}, {}, "env A removed: 1"),
        ({"TOKEN": "1"}, {"TOKEN": "2"}, "env TOKEN changed"),
        ({}, {"TOKEN": "2"}, "env TOKEN added"),
    ],
)
def test_values_that_stand_in_dx_toml_are_told(old: dict[str, str], new: dict[str, str], line: str) -> None:
    both = [_manifest(env=env, in_the_open=("A",)) for env in (old, new)]
    assert compare(*both).other == (line,)


def test_a_value_that_has_become_a_secret_is_not_told() -> None:
    open_, secret = _manifest(env={"A": "1"}, in_the_open=("A",)), _manifest(env={"A": "hush"})
    assert compare(open_, secret).other == compare(secret, open_).other == ("env A changed",)


def test_a_damaged_old_manifest_differs_in_what_it_lacks() -> None:
    assert compare({}, _manifest()).text() == (
        "this dxforge keeps other results; args changed: (none) → build; program js changed; env MODE added; "
        "binary_path of js added; outputs changed; 2 inputs added: src/a, src/b"
    )
    assert compare({"inputs": 3, "env": []}, _manifest())


def test_long_arguments_are_cut() -> None:
    new = _manifest(step=Step(index=0, id="x", tool="js", args=("y" * 500,), outputs=("dist",)))
    assert len(compare(_manifest(), new).text()) < 120


def test_odd_paths_have_a_key() -> None:
    assert make_key(_manifest(inputs={"src/\udcff": "file:1"})) != make_key(_manifest(inputs={"src/\ufffd": "file:1"}))
