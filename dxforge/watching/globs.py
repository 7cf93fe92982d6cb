"""Which files a list of globs means."""

from __future__ import annotations

from collections.abc import Sequence

_WILD = frozenset("*?[")


class Globs:
    """Which files a list of globs means; paths are from the project's root, with ``/``.

    ``*`` and ``?`` stay within one name, ``**`` is any number of folders, ``[...]`` one character of a set. A glob that
    names a folder means everything below it. A leading ``!`` takes out again; the last glob that matches decides.

    Args:
        lists: lists of globs as in ``dx.toml``; what any of them means is meant.
        leave_out: files and folders (paths, no globs) that are not meant although a glob matches them.
    """

    def __init__(self, *lists: Sequence[str], leave_out: Sequence[str] = ()) -> None:
        from pathspec import PathSpec
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        clean = [
            [("!" if glob.startswith("!") else "", _clean(glob.removeprefix("!"))) for glob in globs] for globs in lists
        ]
        # Anchored, a pattern of git's means just what is promised above. Among several, git itself prefers one for the
        # file to a later one for its folder; a plain PathSpec takes the last.
        self._specs = [
            PathSpec.from_lines(GitIgnoreSpecPattern, (f"{sign}/{glob or '**'}" for sign, glob in globs))
            for globs in clean
        ]
        self._leave_out = tuple(f"{_clean(path)}/" for path in leave_out)
        self.bases = frozenset(_literal(glob) for globs in clean for sign, glob in globs if not sign)
        """What each glob spells before its first wildcard: the folder that it starts from, or the path that it is."""

    def match(self, path: str) -> bool:
        """Whether the file at ``path`` is meant."""
        return not f"{path}/".startswith(self._leave_out) and any(spec.match_file(path) for spec in self._specs)


def _clean(path: str) -> str:
    path = path.removeprefix("./").rstrip("/")
    return "" if path == "." else path


def _literal(glob: str) -> str:
    parts = glob.split("/")
    count = next((index for index, part in enumerate(parts) if _WILD & set(part)), len(parts))
    return "/".join(parts[:count])
