"""What each command does: the right call on the project, its outcome as a result. Nothing here prints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.commands.actions_history import HistoryActions
from dxforge.commands.actions_tools import ToolActions
from dxforge.commands.actions_work import WorkActions
from dxforge.commands.parsing import Call
from dxforge.commands.result import InitResult, LogResult, Result, TextResult
from dxforge.commands.session import Desk, Session
from dxforge.errors import ProjectError, UsageError

if TYPE_CHECKING:
    from dxforge.commands.reports import OperationResult
    from dxforge.config.model import Config, PackageSpec
    from dxforge.forge import DxForge
    from dxforge.traffic.manager import TrafficManager
    from dxforge.traffic.model import FileDiff, InstallReport

_SHOWN_DIFFS = 50
_RECENT_TASKS = 5
"""So many that are done are in the status, beside those that are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageActions(Desk):
    """What has to do with packages and the project itself; a method per action."""

    # -- without a project

    def help(self, *, content: str) -> Result:
        return TextResult(kind="help", content=content)

    def version(self) -> Result:
        from importlib.metadata import version

        return TextResult(kind="version", content=f"dxforge {version('dxforge')}")

    def init(self, *, folder: Path, name: str | None) -> Result:
        from dxforge.config.edit import new_project
        from dxforge.files import write_error, write_new

        root = self.session.cwd / (self.call.options.directory or "") / folder
        file = root / "dx.toml"
        name = name or _project_name(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            write_new(file, new_project(name).encode())
        except FileExistsError as error:
            hint = f"`{self.session.program} add NAME` adds packages to it"
            raise ProjectError("there is a project here already", where=str(file), hint=hint) from error
        except OSError as error:
            raise write_error(error, file, "the project cannot be made") from error
        shown = (self.call.options.directory or Path()) / folder
        return InitResult(name=name, folder=shown.as_posix())

    # -- packages

    def add(self, *, requirements: Sequence[str], name: str | None, offline: bool, on_yellow: Any) -> Result:
        from dxforge.config.edit import parse_requirement
        from dxforge.config.load import load_config

        manager = self._manager()
        declared = {spec.name: spec for spec in load_config(manager.root).packages}
        specs = []
        for requirement in requirements:
            spec = _from_root(parse_requirement(requirement, name=name), manager.root, self.session.cwd)
            specs.append(_as_declared(spec, declared.get(spec.name)))

        from dxforge import pipelines

        report = self._work(lambda forge: pipelines.add(forge, *specs, offline=offline, on_yellow=on_yellow))
        return self._operation("add", report)

    def remove(self, *, names: Sequence[str], on_yellow: Any) -> Result:
        from dxforge import pipelines

        report = self._work(lambda forge: pipelines.remove(forge, *names, on_yellow=on_yellow))
        return self._operation("remove", report)

    def install(
        self,
        *,
        names: Sequence[str],
        dry_run: bool,
        upgrade: bool,
        locked: bool,
        offline: bool,
        on_yellow: Any,
        strict: bool,
    ) -> Result:
        from dxforge import pipelines

        async def work(forge: DxForge) -> InstallReport:
            options = {"upgrade": upgrade, "locked": locked, "offline": offline, "on_yellow": on_yellow}
            if dry_run:
                return (await forge.traffic_manager.plan(names, **options)).report()
            return await pipelines.install(forge, names, **options)

        return self._operation("install", self._work(work), strict=strict)

    # -- decisions

    def review(self, *, paths: Sequence[str]) -> Result:
        from dxforge.commands.reports import ReviewResult
        from dxforge.commands.targets import pending_at

        manager = self._manager()
        pending = manager.pending()
        if paths and pending:
            pending = pending_at(paths, pending, root=manager.root, cwd=self.session.cwd)
        diffs: dict[str, FileDiff] = {}
        if self.call.options.verbose:  # not just so: what a notebook shows is saved with it
            diffs = {change.path: manager.diff(change.path) for change in pending[:_SHOWN_DIFFS]}
        return ReviewResult(pending=tuple(pending), diffs=diffs)

    def diff(self, *, path: str) -> Result:
        from dxforge.commands.reports import DiffResult
        from dxforge.commands.targets import one_file

        manager = self._manager()
        return DiffResult(diff=manager.diff(one_file(path, manager.pending(), root=manager.root, cwd=self.session.cwd)))

    def accept(self, *, paths: Sequence[str], every: bool, hunks: Sequence[str] | None) -> Result:
        return self._decision("accept", paths, hunks, every=every)

    def reject(self, *, paths: Sequence[str], every: bool, hunks: Sequence[str] | None) -> Result:
        return self._decision("reject", paths, hunks, every=every)

    def resolve(self, *, path: str, source: str) -> Result:
        from dxforge.commands.targets import one_file

        manager = self._manager()
        target = one_file(path, manager.pending(), root=manager.root, cwd=self.session.cwd)
        return self._operation("resolve", manager.resolve(target, self._content(source)))

    # -- history

    def undo(self, *, operation: str | None) -> Result:
        manager = self._manager()
        result = self._operation("undo", manager.undo(operation))
        last = manager.log()[0].summary if operation is None else f"went back to before operation {operation}"
        return dataclasses.replace(result, headline=f"{last[:1].upper()}{last[1:]}")

    def log(self, *, limit: int | None) -> Result:
        operations = self._manager().log()
        return LogResult(operations=tuple(dataclasses.asdict(operation) for operation in operations[:limit]))

    def status(self) -> Result:
        from dxforge.commands.reports import StatusResult
        from dxforge.config.load import load_config

        forge = self._look()
        config = load_config(forge.root)
        return StatusResult(
            project=config.name,
            packages=tuple(packages_of(config, forge.traffic_manager)),
            pending=tuple(forge.traffic_manager.pending()),
            tools=tuple(forge.orchestrator.infos()),
            tasks=tuple(forge.background_worker.tasks(recent=_RECENT_TASKS)),
        )

    def doctor(self) -> Result:
        from dxforge.commands.doctor import examine

        try:
            forge = self._look()
        except ProjectError:
            forge = None
        return examine(forge)

    # -- what they share

    def _manager(self) -> TrafficManager:
        return self._look().traffic_manager

    def _operation(self, command: str, report: InstallReport, *, strict: bool = False) -> OperationResult:
        from dxforge.commands.reports import OperationResult

        return OperationResult(command=command, report=report, strict=strict)

    def _decision(self, command: str, paths: Sequence[str], hunks: Sequence[str] | None, *, every: bool) -> Result:
        from dxforge.commands.targets import pending_at
        from dxforge.traffic.model import InstallReport

        manager = self._manager()
        chosen = manager.pending()
        if not every:
            chosen = pending_at(paths, chosen, root=manager.root, cwd=self.session.cwd)
        elif not chosen:
            return self._operation(command, InstallReport())
        decide = manager.accept if command == "accept" else manager.reject
        return self._operation(command, decide([change.path for change in chosen], hunks))

    def _content(self, source: str) -> bytes:
        if source == "-":
            if self.session.read_stdin is None:
                raise UsageError(
                    "there is no standard input here", where="--file -", hint="Write the content to a file and name it"
                )
            return self.session.read_stdin()
        from dxforge.files import write_error

        try:
            return (self.session.cwd / source).read_bytes()
        except OSError as error:
            raise write_error(error, source, "cannot be read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command(PackageActions, HistoryActions, ToolActions, WorkActions):
    """Every action."""


def execute(call: Call, session: Session) -> Result:
    """Do what was typed.

    Raises:
        DxForgeError: it could not be done.
    """
    action: Callable[..., Result] = getattr(_Command(call=call, session=session), call.action)
    result = action(**call.arguments)
    return dataclasses.replace(result, program=session.program, verbose=call.options.verbose)


def packages_of(config: Config, manager: TrafficManager) -> list[dict[str, Any]]:
    """The packages of ``status --json``: what is installed, then what is declared only (version None)."""
    packages = [package.to_json() for package in manager.packages()]
    installed = {package["name"] for package in packages}
    return packages + [_not_installed(spec) for spec in config.packages if spec.name not in installed]


def _project_name(root: Path) -> str:
    return root.resolve().name or "project"


def _from_root(spec: PackageSpec, root: Path, cwd: Path) -> PackageSpec:
    """``spec`` with a relative path as seen from the root, where it was typed as seen from ``cwd``."""
    from dxforge.config.model import GitSpec, PathSpec

    if isinstance(spec, PathSpec):
        return dataclasses.replace(spec, path=_path_from_root(spec.path, root, cwd))
    if isinstance(spec, GitSpec):
        return dataclasses.replace(spec, git=_path_from_root(spec.git, root, cwd))
    return spec


def _as_declared(spec: PackageSpec, declared: PackageSpec | None) -> PackageSpec:
    """What dx.toml says already, where ``spec`` names the same package and asks for no version of its own."""
    from dxforge.config.model import NpmSpec, PyPISpec

    same = type(spec) is type(declared) and isinstance(spec, PyPISpec | NpmSpec) and not spec.version
    return declared if same and declared is not None else spec


def _path_from_root(path: str, root: Path, cwd: Path) -> str:
    if os.path.isabs(path) or not (cwd / path).exists():
        return path
    seen = os.path.relpath(cwd / path, root).replace(os.sep, "/")
    return seen if seen.startswith("../") else f"./{seen}"


def _not_installed(spec: PackageSpec) -> dict[str, Any]:
    from dxforge.config.model import GitSpec, NpmSpec, PathSpec, PyPISpec

    kinds = {PyPISpec: "pypi", NpmSpec: "npm", PathSpec: "path", GitSpec: "git"}
    return {"name": spec.name, "version": None, "source": kinds.get(type(spec), "url"), "edited": 0, "pending": 0}
