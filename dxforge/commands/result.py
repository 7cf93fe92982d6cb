"""What a command hands back: frozen data that renders as text, JSON or HTML and knows its exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dxforge.commands.view import Block, Span, Table, Text, line

if TYPE_CHECKING:
    from dxforge.errors import DxForgeError

DONE, FAILED, MISUSED, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """Base of all results.

    ``program`` is what the user types before a command ("dxforge" or "%dx"). ``notices`` are lines that came up on
    the way, where the face cannot show them at once. ``live`` gives what a notebook shows beside text and HTML, a
    panel, or raises why it cannot.
    """

    program: str = "dxforge"
    verbose: bool = False
    notices: tuple[str, ...] = ()
    live: Callable[[], Mapping[str, Any]] | None = field(default=None, compare=False)

    @property
    def exit_code(self) -> int:
        """The contract's exit status."""
        return DONE

    @property
    def ok(self) -> bool:
        """As in JSON; where that says nothing, whether the exit status is 0."""
        return bool(self.to_json().get("ok", self.exit_code == DONE))

    @property
    def panel(self) -> str:
        """The kind of panel that shows this live, "status" or "review"; empty where none does."""
        return ""

    @property
    def panel_tells_all(self) -> bool:
        """Whether the panel shows what this says; else it goes below."""
        return True

    @property
    def shown_live(self) -> bool:
        """Whether a terminal has seen everything while it happened."""
        return False

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        raise NotImplementedError

    def summary(self) -> str:
        """One line without addresses, absolute paths or times, so that it compares equal from run to run."""
        raise NotImplementedError

    def view(self) -> Sequence[Block]:
        """What is shown."""
        raise NotImplementedError

    def folding_view(self) -> Sequence[Block]:
        """What is shown where parts can be folded away."""
        return self.view()

    def failure(self) -> DxForgeError | None:
        """The error that a notebook raises after showing this, where done is not good enough (``--strict``)."""
        return None

    def text(self) -> str:
        """The whole result as plain text."""
        from dxforge.commands.layout import plain

        return plain([*self.view(), *self.notice_blocks()])

    def notice_blocks(self) -> list[Block]:
        """The notices as lines."""
        return [Text(line(Span("note: ", "strong"), notice)) for notice in self.notices]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<dxforge {self.summary()}>"

    def _repr_html_(self) -> str:
        from dxforge.commands.html import html

        return html([*self.folding_view(), *self.notice_blocks()])

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        shown, panel = self, {}
        if self.live is not None:
            from dxforge.errors import DxForgeError

            try:
                panel = dict(self.live())
            except DxForgeError as error:
                note = f"no live panel: {error}".removesuffix(".")
                shown = replace(self, notices=(*self.notices, note))
        return {"text/plain": shown.text(), "text/html": shown._repr_html_(), **panel}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TextResult(Result):
    """Lines to read: help, the version. ``kind`` is their key in JSON."""

    kind: str
    content: str

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, self.kind: self.content}

    def summary(self) -> str:
        return self.kind

    def view(self) -> Sequence[Block]:
        return [Text(line(text)) for text in self.content.split("\n")]

    def _repr_html_(self) -> str:
        from html import escape

        from dxforge.commands.html import STYLE

        return f'{STYLE}\n<div class="dxforge"><pre>{escape(self.content)}</pre></div>'


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class InitResult(Result):
    """A fresh project. ``folder`` is relative to where the user stands, "." for right here."""

    name: str
    folder: str

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, "name": self.name, "folder": self.folder}

    def summary(self) -> str:
        return f"init: {self.name}"

    def view(self) -> Sequence[Block]:
        from dxforge.commands.view import Commands, Gap

        where = "" if self.folder == "." else f" in {self.folder}"
        go = f"-C {self.folder} " if where else ""
        return [
            Text(line("Made project ", Span(self.name, "strong"), where, " (dx.toml)")),
            Gap(),
            Commands(((f"{self.program} {go}add humanize", "a package of the Python index, as source you own"),)),
        ]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LogResult(Result):
    """The operations that ``undo`` knows, newest first."""

    operations: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, "operations": [dict(operation) for operation in self.operations]}

    def summary(self) -> str:
        return f"log: {plural(len(self.operations), 'operation')}"

    def view(self) -> Sequence[Block]:
        if not self.operations:
            return [Text(line("Nothing has been done in this project yet."))]
        rows = []
        for operation in self.operations:
            undone = operation["undone"]
            rows.append(
                (
                    line(Span(operation["id"], "strong")),
                    line(Span(shorter_time(operation["time"]), "dim")),
                    line(operation["command"]),
                    line(plural(operation["files"], "file")),
                    line(
                        Span(operation["summary"], "dim" if undone else ""), Span(" (undone)" if undone else "", "dim")
                    ),
                )
            )
        return [Table(tuple(rows), ("Id", "When (UTC)", "Command", "Files", "What"))]


def error_json(error: DxForgeError) -> dict[str, Any]:
    """An error in JSON: kind, what, where, hint, and the last output of a tool where it is about one."""
    fields: dict[str, Any] = {"kind": error.kind, "what": error.what, "where": error.where, "hint": error.hint}
    if lines := log_tail(error):
        fields["log_tail"] = list(lines)
    return fields


def log_tail(error: DxForgeError) -> tuple[str, ...]:
    """The last output of the tool that an error is about; empty where it is about none."""
    lines: tuple[str, ...] = getattr(error, "log_tail", ())
    return lines


def shorter_time(time: str) -> str:
    """ISO 8601 to the second, with a space: ``2026-11-23 12:16:07``."""
    return time[:19].replace("T", " ")


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
