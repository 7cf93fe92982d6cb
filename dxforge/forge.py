"""``DxForge``: builds the parts of a project's forge, opens and closes them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dxforge import pipelines
from dxforge.events import EventBus
from dxforge.traffic.manager import TrafficManager

if TYPE_CHECKING:
    from dxforge.traffic.model import InstallReport


class DxForge:
    """A project's forge, to be used as ``async with DxForge(root) as forge:``.

    Args:
        root: the project's folder.

    Attributes:
        traffic_manager: packages, the traffic light and review.
        events: what happens, for progress bars and panels to listen to.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self.events = EventBus()
        self.traffic_manager = TrafficManager(self.root, events=self.events)

    @classmethod
    async def new(cls, root: Path | str) -> Self:
        """Make and open a forge by hand; :meth:`close` it in the end."""
        forge = cls(root)
        await forge.open()
        return forge

    async def open(self) -> None:
        """Take back what a killed process may have left half-done; a project that someone works on is left alone."""
        await self.traffic_manager.recover()

    async def close(self) -> None:
        """Let go of everything; may be called more than once."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run_pipeline(self, command: str) -> InstallReport | pipelines.UnknownPipeline:
        """Run ``"install"``.

        An unknown command changes nothing, logs a warning that names the known ones and the nearest match, and returns
        a report whose ``ok`` is False.

        Raises:
            DxForgeError: what the pipeline raises; the project is then as it was before.
        """
        return await pipelines.run(self, command)
