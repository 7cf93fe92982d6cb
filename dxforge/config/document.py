"""Where a package stands in a tomlkit document, and how it is put there and taken out.

tomlkit parses and prints; the places are chosen here, because it counts the comment above a header to the table
before it: by itself it would add a key below that comment, and remove the comment together with the table.

``[packages]`` comes in four shapes, which may be mixed: a header with keys; headers of single packages
(``[packages.a]``); dotted keys (``packages.a = …``) at the top; an inline table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Item, Key, Table

    Body = list[tuple[Key | None, Item]]

Value = str | bool | Mapping[str, "Value"]
SECTION = "packages"


def quoted(text: str) -> str:
    """``text`` as a TOML string."""
    import tomlkit

    return tomlkit.string(text).as_string()


def literal(value: Value) -> str:
    """``value`` as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    return "{ " + ", ".join(f"{bare_or_quoted(key)} = {literal(entry)}" for key, entry in value.items()) + " }"


def bare_or_quoted(key: str) -> str:
    """``key`` as TOML spells it."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else quoted(key)


def put_package(document: TOMLDocument, name: str, value: Value, newline: str) -> bool:
    """Put ``name = value`` where ``name`` stands, else after the last package; False where there is no place yet."""
    from tomlkit.items import InlineTable, Table

    holders = _holders(document)
    for _, holder in holders:
        if isinstance(holder, InlineTable):
            holder[name] = _entry(name, value, newline)[1]
            return True
    tables = [(key, holder) for key, holder in holders if isinstance(holder, Table)]
    if _replace(document, tables, name, value, newline):
        return True
    for _, holder in tables:
        if not holder.is_super_table():
            _insert(holder.value.body, _entry(name, value, newline))
            return True
    dotted = [index for index, (key, _) in enumerate(document.body) if _is_section(key) and key.is_dotted()]
    if dotted:
        document.body.insert(dotted[-1] + 1, _entry(name, value, newline, inside=SECTION))
    return bool(dotted)


def drop_package(document: TOMLDocument, name: str) -> bool:
    """Take ``name`` out, leaving all comments and blank lines; False where it does not stand there."""
    from tomlkit.items import InlineTable, Table

    found = False
    for _, holder in _holders(document):
        if isinstance(holder, InlineTable):
            if name in holder:
                del holder[name]
                found = True
        elif isinstance(holder, Table):
            while (index := _find(holder.value.body, name)) is not None:
                _drop_entry(document, holder, index)
                found = True
    return found


def _is_section(key: Key | None) -> TypeGuard[Key]:
    return key is not None and key.key == SECTION


def _holders(document: TOMLDocument) -> list[tuple[Key, Item]]:
    return [(key, item) for key, item in document.body if _is_section(key)]


def _find(body: Body, name: str) -> int | None:
    return next((index for index, (key, _) in enumerate(body) if key is not None and key.key == name), None)


def _entry(name: str, value: Value, newline: str, *, inside: str = "") -> tuple[Key | None, Item]:
    import tomlkit

    prefix = f"{inside}." if inside else ""
    return tomlkit.parse(f"{prefix}{bare_or_quoted(name)} = {literal(value)}{newline}").body[0]


def _swap(body: Body, index: int, new: Item) -> None:
    """Put ``new`` in the place of the value at ``index``, with its key's spelling and its comment."""
    key, old = body[index]
    new.trivia.indent, new.trivia.trail = old.trivia.indent, old.trivia.trail
    new.trivia.comment_ws, new.trivia.comment = old.trivia.comment_ws, old.trivia.comment
    body[index] = (key, new)


def _insert(body: Body, entry: tuple[Key | None, Item]) -> None:
    """After the last key; where there is none, after the comments that follow the header without a blank line."""
    from tomlkit.items import Comment, Table

    # A `[packages.a]` below is an entry of this body too, and no key may follow it.
    own = [
        index
        for index, (key, item) in enumerate(body)
        if key is not None and (key.is_dotted() or not isinstance(item, Table))
    ]
    place = own[-1] + 1 if own else 0
    while not own and place < len(body) and isinstance(body[place][1], Comment):
        place += 1
    body.insert(place, entry)


def _replace(
    document: TOMLDocument, holders: Sequence[tuple[Key, Table]], name: str, value: Value, newline: str
) -> bool:
    """Give ``name`` the new ``value`` in the shape it has; False where it does not stand there."""
    from tomlkit.items import Table

    for section, holder in holders:
        body = holder.value.body
        index = _find(body, name)
        if index is None:
            continue
        key, item = body[index]
        if not isinstance(item, Table):
            _swap(body, index, _entry(name, value, newline)[1])
        elif key is not None and not key.is_dotted():
            _update(item.value.body, {"version": value} if isinstance(value, str) else value, newline)
        elif section.is_dotted():  # packages.a.npm = …
            place = _place(document, holder)
            drop_package(document, name)
            document.body.insert(place, _entry(name, value, newline, inside=SECTION))
        else:  # a.npm = … below [packages]; there may be more of them
            drop_package(document, name)
            body.insert(index, _entry(name, value, newline))
        return True
    return False


def _update(body: Body, value: Value, newline: str) -> None:
    """Make the keys of a ``[packages.a]`` those of ``value``, which is a table."""
    wanted = value if isinstance(value, Mapping) else {}
    body[:] = [(key, item) for key, item in body if key is None or key.key in wanted]
    for name, entry in wanted.items():
        new = _entry(name, entry, newline)
        index = _find(body, name)
        if index is None:
            _insert(body, new)
        else:
            _swap(body, index, new[1])


def _drop_entry(document: TOMLDocument, holder: Table, index: int) -> None:
    from tomlkit.items import Table

    body = holder.value.body
    left = _trivia(body[index][1])
    if not holder.is_super_table():
        body[index : index + 1] = left
        return
    # A table without a header of its own would print one as soon as a comment stood in it.
    above = body[index - 1][1] if index else None
    place = _place(document, holder)
    del body[index]
    if isinstance(above, Table):
        above.value.body.extend(left)
    else:
        document.body[place:place] = left
        place += len(left)
    if not body:
        del document.body[place]


def _place(document: TOMLDocument, holder: Table) -> int:
    return next(index for index, (_, item) in enumerate(document.body) if item is holder)


def _trivia(item: Item) -> Body:
    """The comments and blank lines inside ``item``."""
    from tomlkit.items import Table

    if not isinstance(item, Table):
        return []
    left: Body = []
    for key, entry in item.value.body:
        left.extend(_trivia(entry) if key is not None else [(None, entry)])
    return left
