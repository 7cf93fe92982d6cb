"""What ``dx.toml`` says, decoded once. Pure data; ``load.py`` makes it, ``edit.py`` changes the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ReviewMode = Literal["modified", "always"]
OnYellow = Literal["ask", "keep", "accept", "fail"]
RestartPolicy = Literal["never", "on-failure", "always"]
OnOwnerExit = Literal["stop", "keep"]
DEFAULT_PACKAGES_DIR = "src/dx_packages"
DEFAULT_REMOTE = "file://.dx/remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class PyPISpec:
    """A package of the Python index. ``version`` is a PEP 440 specifier set ("" = any), ``project`` its name there."""

    name: str
    version: str = ""
    project: str = ""
    """The distribution's name on the index; ``name`` where empty."""
    with_dependencies: bool = False
    prereleases: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmSpec:
    """A package of the npm registry; ``version`` is a semver range ("" = any)."""

    name: str
    npm: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSpec:
    """A folder or archive; ``path`` as written, relative to the project's root."""

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSpec:
    """A git repository, by URL or path as written; ``rev`` is a commit, tag or branch ("" = the default branch)."""

    name: str
    git: str
    rev: str = ""
    subdir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSpec:
    """An archive at an address, with the sha256 (64 hex digits) it must have."""

    name: str
    url: str
    sha256: str


PackageSpec = PyPISpec | NpmSpec | PathSpec | GitSpec | UrlSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficConfig:
    """``[traffic]``: when to ask, and what a run without a person does with Yellow."""

    review: ReviewMode = "modified"
    on_yellow: OnYellow = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``[limits]``: what an archive may be at most before unpacking refuses it."""

    entries: int = 200_000
    total_bytes: int = 4 * 1024**3
    ratio: int = 200
    """Unpacked size over archive size, checked beyond the first 16 MiB."""
    path_bytes: int = 1024
    name_bytes: int = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """``[index]``: addresses that override the environment's; empty = the ordinary configuration.

    Not in the repr: an address that came from the environment may carry credentials.
    """

    pypi: str = field(default="", repr=False)
    npm: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """How to tell that a tool is healthy: exactly one of ``http``, ``tcp``, ``exec`` and ``log`` is set."""

    http: str = ""
    """An address that answers with a status below 400."""
    tcp: str = ""
    """``host:port`` that accepts a connection."""
    exec: tuple[str, ...] = ()
    """A program and its arguments; exit status 0 is healthy."""
    log: str = ""
    """Text that a line of the tool's output contains once it is ready.

    Where no line contains it as it is, it may also match one as a regular expression (Python's ``re``), if it is one.
    """
    interval_s: float = 1.0
    timeout_s: float = 5.0
    failures: int = 3
    """So many failures in a row make a healthy tool degraded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartConfig:
    """What happens when a tool exits by itself: at most ``max`` restarts in a row."""

    policy: RestartPolicy = "on-failure"
    max: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig:
    """How a tool is stopped: ``signal`` (POSIX name), then after ``grace_s`` it is killed."""

    signal: str = "SIGTERM"
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolConfig:
    """``[tools.<name>]``. ``binary_path`` and ``cwd`` as written, relative to the project's root ("" = the root)."""

    name: str
    binary_path: str
    args: tuple[str, ...] = ()
    """Of the long-running form only (contract)."""
    env: tuple[tuple[str, str], ...] = ()
    """Names and values, in the order of the file."""
    pass_env: tuple[str, ...] = ()
    """Names of variables that are taken over from dxforge's own environment, e.g. tokens; never written down."""
    cwd: str = ""
    priority: int = 0
    dependencies: tuple[str, ...] = ()
    """Names of tools. Not checked against ``[tools]``: tools are also registered from Python."""
    health: HealthConfig | None = None
    restart: RestartConfig = field(default_factory=RestartConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    watch: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    on_owner_exit: OnOwnerExit = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConfig:
    """One of ``[[build.steps]]``. ``inputs`` are globs, ``outputs`` paths inside the project, both with ``/``."""

    tool: str
    args: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """``[build]``: the tools that must be running, and the steps in order."""

    needs: tuple[str, ...] = ()
    steps: tuple[StepConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig:
    """``[remote]``: where snapshots and build results go; ``file``, ``s3`` or ``r2`` (contract)."""

    url: str = DEFAULT_REMOTE
    read: bool = True
    """Whether builds look there for what others built, and ``sync --pull`` works."""
    write: bool = True
    """Whether ``sync`` uploads. Where only a trusted machine should fill the cache, false here and true there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLimits:
    """``[snapshots]``: what goes into a snapshot at most, and how many are kept. A MB is a million bytes."""

    keep: int = 50
    """The newest so many stay."""
    keep_days: int = 30
    """None older than this stays, but for the newest."""
    max_file_mb: int = 100
    """A larger file is left out."""
    max_total_mb: int = 4000
    """Of a larger project, the largest files are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeConfig:
    """``[analyze]``: what ``analyze`` looks for beside imports and edits."""

    patterns: tuple[tuple[str, str], ...] = ()
    """Names and regular expressions (Python's, searched in each line), in the order of the file."""
    exclude: tuple[str, ...] = ()
    """Patterns of files and folders to leave out, as in ``.gitignore``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A project's whole configuration. ``root`` is absolute."""

    root: Path
    name: str
    packages_dir: str = DEFAULT_PACKAGES_DIR
    """Relative to ``root``, with ``/``."""
    packages: tuple[PackageSpec, ...] = ()
    """In the order of the file."""
    traffic: TrafficConfig = field(default_factory=TrafficConfig)
    limits: Limits = field(default_factory=Limits)
    index: IndexConfig = field(default_factory=IndexConfig)
    tools: tuple[ToolConfig, ...] = ()
    """In the order of the file."""
    build: BuildConfig = field(default_factory=BuildConfig)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    snapshots: SnapshotLimits = field(default_factory=SnapshotLimits)
    analyze: AnalyzeConfig = field(default_factory=AnalyzeConfig)

    @property
    def file(self) -> Path:
        """``dx.toml``."""
        return self.root / "dx.toml"

    @property
    def packages_path(self) -> Path:
        """The absolute folder that packages are injected into."""
        return self.root / self.packages_dir
