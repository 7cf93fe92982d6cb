"""The reference of ``dx.toml``, from the classes that it is decoded into."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import typing
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from dxforge.config import model

SECTIONS: tuple[tuple[str, str, type[Any], tuple[str, ...]], ...] = (
    ("project", "The project.", model.Config, ("name", "packages_dir")),
    ("packages.NAME", 'A package of the Python index. `NAME = ">=1,<2"` is short for this.', model.PyPISpec, ()),
    ("packages.NAME (npm)", "A package of the npm registry.", model.NpmSpec, ()),
    ("packages.NAME (path)", "A folder or archive.", model.PathSpec, ()),
    ("packages.NAME (git)", "A git repository.", model.GitSpec, ()),
    ("packages.NAME (url)", "An archive at an address.", model.UrlSpec, ()),
    ("traffic", "", model.TrafficConfig, ()),
    ("tools.NAME", "", model.ToolConfig, ()),
    ("tools.NAME.health", "", model.HealthConfig, ()),
    ("tools.NAME.restart", "", model.RestartConfig, ()),
    ("tools.NAME.stop", "", model.StopConfig, ()),
    ("build", "", model.BuildConfig, ()),
    ("build.steps", "", model.StepConfig, ()),
    ("remote", "", model.RemoteConfig, ()),
    ("snapshots", "", model.SnapshotLimits, ()),
    ("analyze", "", model.AnalyzeConfig, ()),
    ("limits", "", model.Limits, ()),
    ("index", "", model.IndexConfig, ()),
)
"""Table, an introduction in place of the class's docstring, the class, and its fields where not all are keys."""

NOTES = {
    "project.name": "The project's name; the folder's where it is not given.",
    "project.packages_dir": "The folder that packages go into.",
    "packages.NAME.project": "The distribution's name on the index, where it is not NAME.",
    "packages.NAME.version": "PEP 440 specifiers, for example `>=4.9,<5`; any version where empty.",
    "packages.NAME.with_dependencies": "Whether its own dependencies are installed too; else pip does that.",
    "packages.NAME.prereleases": "Whether pre-releases count.",
    "packages.NAME (npm).npm": "The name in the registry.",
    "packages.NAME (npm).version": "A range of semantic versions, for example `^4.17`.",
    "packages.NAME (path).path": "The folder or archive, from the project's root.",
    "packages.NAME (git).git": "The repository's address, or its path from the project's root.",
    "packages.NAME (git).rev": "A commit, tag or branch; the default branch where empty.",
    "packages.NAME (git).subdir": "The folder in the repository that is the package.",
    "packages.NAME (url).url": "The archive's address.",
    "packages.NAME (url).sha256": "The 64 hex digits that its content must have.",
    "traffic.review": "`modified`: files that you did not change are updated. `always`: every update is a proposal.",
    "traffic.on_yellow": (
        "What a run without a person does with Yellow: `ask` leaves it pending, `keep` keeps yours, `accept` takes the "
        "merge, `fail` installs nothing."
    ),
    "tools.NAME.binary_path": "The program: a path, or a name, looked up in `.venv`, `node_modules/.bin` and PATH.",
    "tools.NAME.cwd": "The folder that it runs in; the project's root where empty.",
    "tools.NAME.priority": "Of tools that could start at the same time, the one with the lower figure starts first.",
    "tools.NAME.health": "How to tell that it is ready: see below. Without one, it is, once it has lived for a moment.",
    "tools.NAME.restart": "What happens when it ends by itself: see below.",
    "tools.NAME.stop": "How it is stopped: see below.",
    "tools.NAME.watch": "Globs; `dxforge watch` restarts it when such a file changes.",
    "tools.NAME.inputs": "Globs of the files that its steps read, for steps that name none.",
    "tools.NAME.outputs": "Files and folders that its steps write, for steps that name none.",
    "tools.NAME.on_owner_exit": "`keep` leaves it running when the kernel or session that started it ends.",
    "tools.NAME.health.interval_s": "Seconds between two checks.",
    "tools.NAME.health.timeout_s": "Seconds that one check may take.",
    "tools.NAME.restart.policy": "When it is started again.",
    "tools.NAME.restart.max": "So many restarts in a row; then it is Degraded.",
    "tools.NAME.stop.signal": "The signal that asks it to end.",
    "tools.NAME.stop.grace_s": "Seconds that it has to end; then it is killed, with all that it started.",
    "build.needs": "Tools that must be running.",
    "build.steps": "The steps: `[[build.steps]]`, see below.",
    "build.steps.tool": "The tool whose program is run.",
    "build.steps.args": "Its arguments.",
    "build.steps.inputs": "Globs of the files that it reads. A step without any runs every time.",
    "build.steps.outputs": "The files and folders that it writes. They are replaced as a whole.",
    "remote.url": "`file://FOLDER`, `s3://BUCKET/PREFIX?endpoint=…` or `r2://ACCOUNT/BUCKET/PREFIX`.",
    "limits.entries": "Files in an archive.",
    "limits.total_bytes": "Bytes of all of them.",
    "limits.path_bytes": "Bytes of a path.",
    "limits.name_bytes": "Bytes of one name in a path.",
    "index.pypi": "The Python index, in place of pip's configuration.",
    "index.npm": "The registry, in place of npm's configuration.",
}
"""What the model's own docstrings leave to the reader of the code."""


def documented() -> Iterator[tuple[str, dataclasses.Field[Any], str]]:
    """Every key with its dotted path, its field and what is said about it."""
    for table, _, kind, only in SECTIONS:
        own = _docstrings(kind)
        for field in dataclasses.fields(kind):
            if (only and field.name not in only) or (not only and field.name == "name"):
                continue
            path = f"{table}.{field.name}"
            yield path, field, NOTES.get(path) or own.get(field.name, "")


def markdown() -> str:
    """All tables."""
    lines: list[str] = []
    keys = list(documented())
    for table, text, kind, _ in SECTIONS:
        name, _, source = table.partition(" ")
        shown = f"[[{name}]]" if name == "build.steps" else f"[{name}]"
        lines += [f"## `{shown}`{f' {source}' if source else ''}", "", text or _first(kind), ""]
        lines += ["| key | type | default | |", "|---|---|---|---|"]
        hints = typing.get_type_hints(kind)
        for path, field, said in keys:
            if path.rpartition(".")[0] == table:
                row = (f"`{field.name}`", _type(hints[field.name]), _default(path, field), said)
                lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
        lines.append("")
    return "\n".join(lines)


def _first(kind: type[Any]) -> str:
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n", 1)[0].split()).replace("``", "`")
    # The heading has just said which table this is.
    head, found, rest = text.partition(": ")
    return rest[:1].upper() + rest[1:] if found and head.startswith("`[") else text


def _docstrings(kind: type[Any]) -> dict[str, str]:
    """Texts below fields, which Python itself forgets."""
    body = next(node for node in ast.walk(ast.parse(inspect.getsource(kind))) if isinstance(node, ast.ClassDef)).body
    found = {}
    for before, after in itertools.pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            found[before.target.id] = " ".join(str(ast.literal_eval(after.value)).split()).replace("``", "`")
    return found


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if isinstance(hint, UnionType):
        return _type(get_args(hint)[0])
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if get_origin(inner) is tuple:
            return "table of texts"
        return "list of texts" if inner is str else "array of tables"
    plain = {str: "text", int: "whole number", float: "seconds", bool: "true or false"}
    return plain.get(hint, "table")


def _default(path: str, field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        # The model has a project's name always; a dx.toml need not.
        optional = field.default_factory is not dataclasses.MISSING or path == "project.name"
        return "" if optional else "required"
    if field.default in ((), "", None):
        return ""
    return f"`{json.dumps(field.default)}`"
