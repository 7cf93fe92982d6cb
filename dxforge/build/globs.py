"""Which files the inputs of all steps mean, asked of one walk: pure.

A glob is anchored at the project's root and written with ``/``. ``*`` and ``?`` stay within one name, ``[...]`` is one
character of a set (``[!...]``: of none), ``**`` any number of folders. One that matches a folder means everything below
it. A leading ``!`` takes out again; the last glob that matches decides.

Own code where pathspec would do, for two reasons: loading pathspec takes longer than a whole build in which there is
nothing to do, and the graph of steps has to know what *could* match below a path that does not exist yet. The tests
hold both against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

NEVER = frozenset((".dx", ".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints"))
"""State that no step reads: never an input."""
UNLESS_NAMED = frozenset(("node_modules", ".venv", "venv"))
"""Left out by a glob that does not spell the name."""

_WILD = re.compile(r"[*?\[]")
_SET = re.compile(r"\[([!^]?)(\]?[^\]]*)\]")

ANY = re.compile(".*", re.DOTALL)
Part = str | re.Pattern[str] | None
"""One part of a glob: a name, what a name must match (ANY: whatever it is), or any number of folders (None)."""
_Position = tuple[int, int]
"""A glob (by number), and how many of its parts are behind us; all of them: it matched here or above."""


class GlobError(ValueError):
    """A glob that cannot mean anything inside the project; the text says why."""


def split(glob: str) -> tuple[bool, tuple[Part, ...]]:
    """A glob as (whether it takes out, parts).

    Raises:
        GlobError: empty, absolute, leading out, or written with ``\\``.
    """
    negative = glob.startswith("!")
    text = glob[1:] if negative else glob
    if "\\" in text:
        raise GlobError("a glob is written with '/', and a special character as a set such as '[*]'")
    if text.startswith(("/", "~")):
        raise GlobError("a glob is relative to the project's folder")
    names = [name for name in text.split("/") if name not in {"", "."}]
    if ".." in names:
        raise GlobError("a glob may not lead out with '..'")
    if not names and "." not in text:
        raise GlobError("an empty glob means nothing")
    parts: list[Part] = []
    for name in names or ["**"]:
        if name == "**":
            if not parts or parts[-1] is not None:
                parts.append(None)
        elif name == "*":
            parts.append(ANY)
        else:
            parts.append(re.compile(_expression(name), re.DOTALL) if _WILD.search(name) else name)
    if parts[-1] is None:
        # What is inside, not the folder itself; and what matches a folder means everything below it anyway.
        parts.append(ANY)
    return negative, tuple(parts)


def _expression(name: str) -> str:
    expression, position = "", 0
    while position < len(name):
        char = name[position]
        found = _SET.match(name, position) if char == "[" else None
        if found is not None and found[2]:
            inside = re.sub(r"([\[&~|])", r"\\\1", found[2].replace("]", "\\]"))
            expression += f"[{'^' if found[1] else ''}{inside}]"
            position = found.end()
            continue
        expression += {"*": ".*", "?": "."}.get(char, re.escape(char))
        position += 1
    return expression


class State:
    """What is known of all globs at one path; `enter` leads to the paths below.

    ``owners`` are those whose inputs the path is, ``possible`` those that may have inputs at it or below it, and
    ``matched`` the globs (by number) that match it.
    """

    __slots__ = ("_elsewhere", "_globs", "_literal", "_uniform", "_wild", "items", "matched", "owners", "possible")

    def __init__(self, globs: Globs, items: frozenset[_Position]) -> None:
        self._globs = globs
        self.items = items
        self._literal: dict[str, list[_Position]] = {}
        self._wild: list[tuple[Callable[[str], object], _Position]] = []
        elsewhere = set()  # where any other name leads
        for number, position in items:
            parts = globs.parts[number]
            part = parts[position] if position < len(parts) else None
            if part is None:
                elsewhere.add((number, position))
            elif part is ANY:
                elsewhere.add((number, position + 1))
            elif isinstance(part, str):
                self._literal.setdefault(part, []).append((number, position + 1))
            else:
                self._wild.append((part.fullmatch, (number, position + 1)))
        self._elsewhere = frozenset(elsewhere)
        self._uniform: State | None = None
        self.matched = [number for number, position in items if position == len(globs.parts[number])]
        self.owners, self.possible = globs.verdict(items)

    @property
    def names(self) -> Iterable[str] | None:
        """The only names that anything can come of here; None: any name."""
        return None if self._wild or self._elsewhere else self._literal

    @property
    def uniform(self) -> State | None:
        """The state at every file in this folder, where its name does not matter."""
        if self._wild or self._literal:
            return None
        if self._uniform is None:
            self._uniform = self._globs.state(self._elsewhere)
        return self._uniform

    def enter(self, name: str) -> State:
        """The state at ``name`` in this folder."""
        moved = {*self._literal.get(name, ())}
        moved.update(position for matches, position in self._wild if matches(name))
        return self._globs.state(self._elsewhere | moved)

    def enter_folder(self, name: str) -> State:
        """The state at the folder ``name``, which may be one that is left out unless it is named."""
        state = self.enter(name)
        if name not in UNLESS_NAMED:
            return state
        parts = self._globs.parts
        return self._globs.state(frozenset(item for item in state.items if name in parts[item[0]]))


class Globs:
    """The globs of several owners (numbered from 0), to be walked through together.

    Args:
        owned: the globs of each owner.
        without: per owner, paths (no globs) that are left out whatever matches them; they and what is below.

    Raises:
        GlobError: see `split`.
    """

    def __init__(self, owned: Sequence[Sequence[str]], *, without: Sequence[Sequence[str]] = ()) -> None:
        self.parts: list[tuple[Part, ...]] = []
        self.texts: list[tuple[int, str] | None] = []
        """Per glob its owner and its text; None where it takes out."""
        self._owner: list[int] = []
        self._positive: list[bool] = []
        for owner, globs in enumerate(owned):
            for glob in globs:
                negative, parts = split(glob)
                self._add(owner, parts, positive=not negative, text=glob)
            if globs and without:
                for path in without[owner]:
                    self._add(owner, tuple(path.split("/")), positive=False)
        self._states: dict[frozenset[_Position], State] = {}
        self.start = self.state(frozenset((number, 0) for number in range(len(self.parts))))

    def _add(self, owner: int, parts: tuple[Part, ...], *, positive: bool, text: str = "") -> None:
        self.parts.append(parts)
        self.texts.append((owner, text) if positive else None)
        self._owner.append(owner)
        self._positive.append(positive)

    def state(self, items: frozenset[_Position]) -> State:
        """The one state of these positions."""
        known = self._states.get(items)
        if known is None:
            # ``**`` also stands for no folder at all.
            full = items | {
                (number, position + 1)
                for number, position in items
                if position < len(self.parts[number]) and self.parts[number][position] is None
            }
            known = self._states.get(full) or State(self, full)
            self._states[items] = self._states[full] = known
        return known

    def verdict(self, items: frozenset[_Position]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The owners whose input a path in this state is, and those that may have inputs at it or below."""
        last: dict[int, int] = {}
        for number, position in items:
            if position == len(self.parts[number]):
                owner = self._owner[number]
                last[owner] = max(last.get(owner, -1), number)
        owners = tuple(sorted(owner for owner, number in last.items() if self._positive[number]))
        # What took all of it out counts, unless a later glob may bring something back.
        possible = {*owners} | {
            self._owner[number]
            for number, position in items
            if position < len(self.parts[number])
            and self._positive[number]
            and number > last.get(self._owner[number], -1)
        }
        return owners, tuple(sorted(possible))

    def at(self, path: str) -> State | None:
        """The state at the folder ``path`` ("": the root); None where nothing can be an input."""
        state = self.start
        for name in path.split("/") if path else ():
            if name in NEVER:
                return None
            state = state.enter_folder(name)
        return state

    def owners(self, path: str) -> tuple[int, ...]:
        """Those whose input the file ``path`` is."""
        folder, _, name = path.rpartition("/")
        state = self.at(folder)
        if state is None or name in NEVER or name.endswith(".pyc"):
            return ()
        return state.enter(name).owners

    def possible(self, path: str) -> tuple[int, ...]:
        """Those that may have inputs at or below ``path``, which need not exist."""
        state = self.at(path)
        return state.possible if state is not None else ()
