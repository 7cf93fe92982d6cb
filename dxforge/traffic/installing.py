"""Planning and carrying out what changes which packages there are: install, add, remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dxforge.errors import ChangedMeanwhileError, UsageError
from dxforge.traffic.ground import Ground, no_project
from dxforge.traffic.model import InstallReport
from dxforge.traffic.record import Write

if TYPE_CHECKING:
    from dxforge.config.model import Config, PackageSpec
    from dxforge.traffic.install import Options, Plan

_SHOWN_WITH_HUNKS = 200
"""Up to so many pending files, an install's report shows their hunks; beyond, only ``pending()`` does."""

Check = Callable[[], None]


class Installer:
    """Plans and applies installs of one project. Planning writes nothing; applying needs the project's lock.

    Args:
        ground: the project.
        now: the time for the log, ISO 8601.
    """

    def __init__(self, ground: Ground, now: Callable[[], str]) -> None:
        self._ground = ground
        self._now = now

    def plan(
        self,
        options: Options,
        *,
        command: str = "install",
        config: Config | None = None,
        config_write: Write | None = None,
        removing: bool = False,
        check: Check = lambda: None,
    ) -> Plan:
        """Plan for what ``dx.toml`` declares, or would with ``config`` (``config_write`` writes that)."""
        from dxforge.traffic.install import plan_install

        lock_text = self._ground.lock_text()
        workspace = self._ground.workspace(config=config, lock_text=lock_text, offline=options.offline)
        plan = plan_install(
            workspace,
            options,
            command=command,
            lock_text=lock_text,
            config_write=config_write,
            removing=removing,
            check=check,
        )
        planned = {look.name for look in plan.looks}
        if not any(package.pending for name, package in workspace.lock.packages.items() if name not in planned):
            return plan
        review = self._ground.review(workspace)
        waiting = [matter for matter in review.matters() if matter.name not in planned]
        return dataclasses.replace(plan, elsewhere=tuple(review.shown(waiting)))

    def plan_add(self, specs: Sequence[PackageSpec], options: Options, check: Check, command: str = "add") -> Plan:
        """Plan with more packages declared; makes ``dx.toml`` where there is none."""
        from dxforge.config.edit import add_package, new_project
        from dxforge.config.load import decode
        from dxforge.traffic.install import text_write

        before = self._ground.config_text()
        text = before if before is not None else new_project(self._ground.root.name)
        for spec in specs:
            text = add_package(text, spec, where=str(self._ground.root / "dx.toml"))
        config = decode(text, root=self._ground.root, where=str(self._ground.root / "dx.toml"))
        write = None if text == before else text_write(self._ground.root, "dx.toml", text)
        return self.plan(options, command=command, config=config, config_write=write, check=check)

    def plan_remove(self, names: Sequence[str], options: Options, check: Check) -> Plan:
        """Plan with packages taken out of ``dx.toml``."""
        from dxforge.config.edit import remove_package
        from dxforge.config.load import decode
        from dxforge.traffic.install import text_write

        before = self._ground.config_text()
        if before is None:
            raise no_project(self._ground.root)
        text = before
        for name in names:
            text = remove_package(text, name, where=str(self._ground.root / "dx.toml"))
        config = decode(text, root=self._ground.root, where=str(self._ground.root / "dx.toml"))
        write = text_write(self._ground.root, "dx.toml", text)
        return self.plan(options, command="remove", config=config, config_write=write, removing=True, check=check)

    def plan_package(self, name: str, version: str | None, options: Options, check: Check) -> Plan:
        """Plan for one package of the Python index, in an exact version or by a specifier; see the manager."""
        from dxforge.config.load import load_config
        from dxforge.config.model import PyPISpec

        config = load_config(self._ground.root) if self._ground.config_text() is not None else None
        declared = next((spec for spec in config.packages if spec.name == name), None) if config is not None else None
        if config is None or declared is None:
            return self.plan_add([PyPISpec(name=name, version=_specifier(version))], options, check, "install")
        if version is None:
            return self.plan(options, check=check)
        if not isinstance(declared, PyPISpec):
            raise UsageError(
                f"{name} does not come from the Python index, so a version cannot be chosen here",
                where=str(config.file),
                hint="Change its entry in dx.toml and install",
            )
        wanted = dataclasses.replace(declared, version=_specifier(version))
        if not _allows(declared.version, version):
            return self.plan_add([wanted], options, check, "install")
        packages = tuple(wanted if spec is declared else spec for spec in config.packages)
        return self.plan(options, config=dataclasses.replace(config, packages=packages), check=check)

    def apply(self, plan: Plan, check: Check) -> InstallReport:
        """Carry out ``plan``, unless the project has changed since."""
        if self._ground.lock_text() != plan.lock_before:
            raise ChangedMeanwhileError(
                "it changed after the plan was made",
                where=str(self._ground.root / "dx.lock"),
                hint="Run the command again",
            )
        check()
        journal = self._ground.journal()
        record = journal.run(plan.job(), now=self._now()) if plan.writes else None
        workspace = self._ground.workspace(lock_text=plan.lock_after, offline=plan.offline)
        with self._ground.after_commit():
            for look, package in zip(plan.looks, plan.packages, strict=True):
                if package.incoming is None:
                    workspace.indexes.put(look.name, None)
                    continue
                workspace.remember(look, package, package.incoming, staged_ns=journal.staged_ns)
            if record is not None:
                self._ground.keep_archives(workspace, journal, plan.lock_before)
        report = plan.report(operation=record.id if record is not None else None, dry_run=False)
        if workspace.lock.pending <= _SHOWN_WITH_HUNKS:
            with self._ground.after_commit():
                review = self._ground.review(workspace)
                report = dataclasses.replace(report, pending=review.shown(list(review.matters())))
        return dataclasses.replace(report, notes=self._ground.loaded(report.changes))


def _specifier(version: str | None) -> str:
    if version is None:
        return ""
    return version if version[:1] in "<>=!~" else f"=={version}"


def _allows(specifier: str, version: str) -> bool:
    """Whether ``version`` is an exact version that ``specifier`` allows."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
