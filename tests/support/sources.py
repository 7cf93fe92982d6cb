"""A project whose packages can be resolved and obtained, without the rest of dxforge."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from dxforge.config.load import decode, load_environment
from dxforge.events import Event, EventBus, Notice, Progress
from dxforge.sources.model import Candidate, Package, Pin
from dxforge.sources.registry import Sources
from dxforge.store.archives import ArchiveStore


class Given:
    """A project in ``root`` (made), its dx.toml as text in :attr:`toml`; the environment is the process's own."""

    def __init__(self, root: Path, toml: str = "") -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.toml = toml
        self.heard: list[Event] = []

    @property
    def notices(self) -> list[str]:
        """The text of every Notice so far."""
        return [event.text for event in self.heard if isinstance(event, Notice)]

    def progress(self, phase: str) -> list[Progress]:
        """Every Progress of ``phase`` so far."""
        return [event for event in self.heard if isinstance(event, Progress) and event.phase == phase]

    def sources(self, *, offline: bool = False) -> Sources:
        """New sources, as a new process would make them."""
        events = EventBus()
        events.subscribe(self.heard.append)
        text = self.toml if "[packages]" in self.toml else f"[packages]\n{self.toml}"
        config = decode(text, root=self.root, where="dx.toml")
        environment = load_environment()
        store = ArchiveStore(environment.cache_dir, config.limits, events)
        return Sources(config, environment, store, events, offline=offline)

    def resolve(
        self,
        pins: Mapping[str, Pin] | None = None,
        *,
        upgrade: Collection[str] = (),
        offline: bool = False,
        only: Collection[str] | None = None,
    ) -> dict[str, Candidate]:
        """What ``Sources.resolve`` says."""
        return self.sources(offline=offline).resolve(pins or {}, upgrade=upgrade, only=only)

    def install(
        self, pins: Mapping[str, Pin] | None = None, *, upgrade: Collection[str] = (), offline: bool = False
    ) -> dict[str, Package]:
        """Resolve and obtain."""
        sources = self.sources(offline=offline)
        return sources.obtain(sources.resolve(pins or {}, upgrade=upgrade))

    def versions(self, *, upgrade: Collection[str] = (), pins: Mapping[str, Pin] | None = None) -> dict[str, str]:
        """The version of each package, resolved."""
        return {name: candidate.version for name, candidate in self.resolve(pins, upgrade=upgrade).items()}


def pins_of(packages: Mapping[str, Package]) -> dict[str, Pin]:
    """What dx.lock would record."""
    return {name: package.pin for name, package in packages.items()}


def contents_of(package: Package) -> dict[str, bytes]:
    """Every file of a package."""
    return dict(package.read())
