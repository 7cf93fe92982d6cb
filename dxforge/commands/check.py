"""One finding of ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding; ``hint`` says what to do about it, where something is to be done."""

    name: str
    state: State
    detail: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "hint": self.hint}
