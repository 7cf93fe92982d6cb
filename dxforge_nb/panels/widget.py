"""The one widget class. It carries the front end's core and the kind of panel; everything else goes by messages."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import anywidget
from traitlets import Unicode

from dxforge_nb.panels.channel import Message

_log = logging.getLogger("dxforge")


class Panel(anywidget.AnyWidget):
    """A live panel.

    Args:
        kind: "status" or "review".
        project: the project's name, for the repr alone: what is in a trait is saved with the notebook.
        script: the front end's core.
        style: its style sheet.
    """

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)
    kind = Unicode().tag(sync=True)

    def __init__(self, kind: str, project: str, *, script: str, style: str) -> None:
        self._project = project
        self._pid = os.getpid()
        super().__init__(_esm=script, _css=style, kind=kind)

    def listen(self, receive: Callable[[object], None]) -> None:
        """Hand what pages send to ``receive``, in the thread that the kernel hears it in: it must not wait."""
        self.on_msg(lambda _widget, content, _buffers: receive(content))

    @property
    def alive(self) -> bool:
        """Whether a page can still reach it: nobody closed it."""
        return self.comm is not None and not getattr(self.comm, "_closed", False)

    def tell(self, message: Message) -> None:
        """Send a message to all pages. Any thread; what cannot be sent is lost, as the page's own connection is."""
        if self.alive and os.getpid() == self._pid:
            try:
                self.send(message)
            except (TypeError, ValueError):
                _log.exception("a message of the %s panel cannot be sent", self.kind)
            except Exception:  # noqa: BLE001 - while the kernel ends, its sockets are gone one after the other
                _log.debug("a message of the %s panel was lost", self.kind, exc_info=True)

    def view(self) -> dict[str, Any]:
        """The part of a display that makes a page show it."""
        bundle = self._repr_mimebundle_()
        return {} if bundle is None else {key: value for key, value in bundle[0].items() if key != "text/plain"}

    def __repr__(self) -> str:
        return f"<dxforge {self.kind} panel of {self._project}>"
