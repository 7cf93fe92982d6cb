"""Which names an archive may use, on whatever file system they are written later. Pure.

A name is refused where any of the common systems would write somewhere else than it says: outside of the folder,
into another entry, into a device, a stream or a repository's ``.git``. Sources of the rules: git's ``read-cache.c``
(``verify_path``, ``is_ntfs_dotgit``) and ``utf8.c`` (``is_hfs_dotgit``); Microsoft, "Naming Files, Paths, and
Namespaces"; PEP 706.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-+.=@,]*[A-Za-z0-9_\-+=@,]|[A-Za-z0-9_]")
_DRIVE = re.compile(r"[A-Za-z]:")
_SHORT_GIT = re.compile(r"git~[0-9]+")
_RESERVED = frozenset((
    "con", "prn", "aux", "nul", "conin$", "conout$", "clock$",
    *(f"{device}{digit}" for device in ("com", "lpt") for digit in "123456789¹²³"),
))  # fmt: skip
# What HFS+ ignores when it compares names (git's utf8.c, next_hfs_char), plus the other zero-width ones of Unicode.
_IGNORED = dict.fromkeys((
    *(0x00AD, 0x034F, 0x061C, 0x180E, 0xFEFF),
    *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10),
))  # fmt: skip


def path_problem(name: str, *, path_bytes: int) -> str | None:
    """Why an entry must not be called ``name`` as a whole, as the rest of a sentence; None where it may.

    Args:
        name: the entry's name with ``/``, undecodable bytes as surrogates.
        path_bytes: the longest name allowed, in bytes.
    """
    if not name:
        return "has no name"
    if name.startswith("/"):
        return "is an absolute path"
    if "\\" in name:
        return "has a backslash, which is a separator on Windows"
    if _DRIVE.match(name):
        return "starts with a drive letter"
    if len(name) * 4 > path_bytes and len(_encoded(name)) > path_bytes:
        return f"has a name of more than {path_bytes} bytes"
    return None


def split(name: str) -> list[str]:
    """The components of ``name``; empty ones and "." do no harm and are dropped, as every unpacker does."""
    return [part for part in name.split("/") if part not in ("", ".")]


def component_problem(part: str, *, name_bytes: int) -> str | None:
    """Why no component of an entry's path may be ``part``; None where it may."""
    if part == "..":
        return "climbs out of its folder"
    if len(part) * 4 > name_bytes and len(_encoded(part)) > name_bytes:
        return f"has a component of more than {name_bytes} bytes"
    if _PLAIN.fullmatch(part) is None:
        problem = _unusual(part)
        if problem:
            return problem
    if part.partition(".")[0].rstrip(" ").lower() in _RESERVED:
        return "is a name that Windows reserves for a device"
    if _SHORT_GIT.fullmatch(part.lower()):
        return "is a short name of .git on Windows"
    return None


def _unusual(part: str) -> str | None:
    if any(unicodedata.category(char) == "Cc" for char in part):
        return "has a control character"
    if _is_git(part):
        return "is a .git, where a repository's hooks and settings live"
    if ":" in part:
        return "has a colon, which names a stream or a drive on Windows"
    if part[-1] in ". ":
        return "ends with a dot or a space, which Windows drops"
    stem = unicodedata.normalize("NFKC", part).translate(_IGNORED).partition(".")[0].rstrip(" ").lower()
    if stem in _RESERVED:
        return "is a name that Windows reserves for a device"
    if _SHORT_GIT.fullmatch(fold(part)):
        return "is a short name of .git on Windows"
    return None


def _is_git(part: str) -> bool:
    """``.git`` as HFS+ or NTFS would understand ``part`` (case, ignored code points, streams, trailing dots)."""
    stem = fold(part).partition(":")[0].rstrip(". ")
    return stem == ".git"


def fold(part: str) -> str:
    """What a component is to a file system that ignores case and normalises: equal here may be one file there."""
    if part.isascii():
        return part.lower()
    plain = unicodedata.normalize("NFKC", part.translate(_IGNORED))
    return unicodedata.normalize("NFKC", plain.casefold())


def shown(name: str) -> str:
    """``name`` for a message: one line, printable, not longer than a line can bear."""
    text = name.encode("unicode_escape").decode("ascii") if not name.isprintable() else name
    return text if len(text) <= 120 else f"{text[:80]}…{text[-30:]}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
