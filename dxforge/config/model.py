"""What ``dx.toml`` says, decoded once. Pure data; ``load.py`` makes it, ``edit.py`` changes the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ReviewMode = Literal["modified", "always"]
OnYellow = Literal["ask", "keep", "accept", "fail"]
DEFAULT_PACKAGES_DIR = "src/dx_packages"


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
    """``[index]``: addresses that override the environment's; empty = the ordinary configuration."""

    pypi: str = ""
    npm: str = ""


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

    @property
    def file(self) -> Path:
        """``dx.toml``."""
        return self.root / "dx.toml"

    @property
    def packages_path(self) -> Path:
        """The absolute folder that packages are injected into."""
        return self.root / self.packages_dir
