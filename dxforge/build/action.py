"""What a step's result depends on, its key, and how it differs from last time: pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dxforge.build.model import Changes, Step
from dxforge.build.toolbox import ToolFacts

FORMAT = 1
"""Part of every key: raised when a cached result of an older dxforge may no longer be right."""

_MAX_ARGS_CHARS = 80
_PROGRAM = {
    "program": "program {tool}",
    "interpreter": "the interpreter of {tool}",
    "packages": "what is installed beside {tool}",
}


def make_manifest(
    step: Step, facts: ToolFacts, *, program: Mapping[str, str], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """All that the result of ``step`` depends on, as JSON. Never PATH, HOME or a path of this machine.

    Args:
        step: the step.
        facts: of its tool.
        program: see `dxforge.build.program`.
        inputs: path -> what is there.
    """
    return {
        "format": FORMAT,
        "tool": step.tool,
        "args": list(step.args),
        "definition": dict(facts.definition),
        # Of others only digests: a value may be a secret, and the manifest is written down.
        "env": {
            name: f"={value}" if name in facts.in_the_open else _secret(name, value)
            for name, value in facts.environment.items()
        },
        "program": dict(program),
        "inputs": dict(inputs),
        "outputs": list(step.outputs),
    }


def _secret(name: str, value: str) -> str:
    return hashlib.sha256(f"{name}\0{value}".encode(errors="surrogateescape")).hexdigest()


def make_key(manifest: Mapping[str, Any]) -> str:
    """The action's key: sha256 over the manifest's one canonical form, 64 hex digits."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """How the manifest ``new`` differs from ``old``; a damaged old one differs in everything that it lacks."""
    before, after = _table(old, "inputs"), _table(new, "inputs")
    return Changes(
        added={path: after[path] for path in sorted(after.keys() - before.keys())},
        removed={path: before[path] for path in sorted(before.keys() - after.keys())},
        changed={
            path: (before[path], after[path])
            for path in sorted(after.keys() & before.keys())
            if before[path] != after[path]
        },
        other=tuple(_other(old, new)),
    )


def _other(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    tool = str(new["tool"])
    lines = []
    if old.get("format") != new["format"]:
        lines.append("this dxforge keeps other results")
    if old.get("args") != new["args"]:
        lines.append(f"args changed: {_args(old.get('args'))} → {_args(new['args'])}")
    programs = _table(old, "program"), _table(new, "program")
    lines += [f"{text.format(tool=tool)} changed" for what, text in _PROGRAM.items() if _differ(what, *programs)]
    before, after = _table(old, "env"), _table(new, "env")
    lines += [f"env {name} {how}{_values(name, before, after)}" for name, how in _differences(before, after)]
    lines += [
        f"{name} of {tool} {how}" for name, how in _differences(_table(old, "definition"), _table(new, "definition"))
    ]
    if old.get("outputs") != new["outputs"]:
        lines.append("outputs changed")
    return lines


def _values(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The values of a variable of the environment, where they are no secret."""
    values = [str(table[name]) for table in (old, new) if name in table]
    if not all(value.startswith("=") for value in values):
        return ""
    return ": " + " → ".join(_cut(value[1:]) or "(empty)" for value in values)


def _args(args: object) -> str:
    return _cut(" ".join(map(str, args)) if isinstance(args, list) and args else "(none)")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_ARGS_CHARS else text[: _MAX_ARGS_CHARS - 1] + "…"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = sorted(old.keys() | new.keys())
    words = {(True, True): "changed", (False, True): "added", (True, False): "removed"}
    return [(name, words[name in old, name in new]) for name in names if _differ(name, old, new)]


def _differ(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(old.get(name) != new.get(name))


def _table(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = manifest.get(name)
    return value if isinstance(value, dict) else {}
