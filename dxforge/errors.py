"""The whole error tree.

    DxForgeError
    ├── UsageError                  a command or call that cannot mean anything
    ├── ConfigError                 dx.toml: unknown key, wrong type, bad version
    ├── LockfileError               dx.lock: unreadable, or --locked would change it
    ├── ProjectError                no dx.toml here, or one already
    │   └── ProjectBusyError        another process holds the project's lock
    ├── SourceError                 a package cannot be had
    │   ├── PackageNotFoundError    the source has no such package
    │   ├── NoMatchingVersionError  ... no version that satisfies dx.toml
    │   ├── CompiledOnlyError       ... only compiled wheels
    │   ├── ResolutionError         dependencies contradict each other
    │   ├── DownloadError           the network, or the server behind it
    │   ├── OfflineError            --offline, and not in the cache
    │   └── IntegrityError          the bytes are not the ones that were promised
    ├── ArchiveError                an archive cannot be read
    │   └── UnsafeArchiveError      an archive that must not be unpacked
    ├── ApplyError                  the plan could not be carried out; the project is as before
    │   ├── ChangedMeanwhileError   a file changed between plan and write
    │   └── WriteError              permission, full disk, read-only file
    ├── ReviewError                 a decision that cannot be taken
    │   ├── NotPendingError         nothing pending there
    │   ├── StaleHunkError          that hunk is no longer there
    │   └── UndecidedError          on_yellow = "fail", and something is pending
    └── UndoError                   nothing to undo, or a later edit is in the way

Errors carry fields and never print. Foreign errors (OSError, requests, pygit2, ...) are wrapped where they
enter, with the original as ``__cause__``.
"""

from __future__ import annotations


class DxForgeError(Exception):
    """Base of every error that dxforge raises on purpose.

    Args:
        what: what happened, one sentence without a full stop.
        where: the file, key, package or address it happened at; empty when ``what`` says it all.
        hint: what the user can do next, one sentence without a full stop.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.hint}." if self.hint else text

    @property
    def kind(self) -> str:
        """The class name, for JSON and logs."""
        return type(self).__name__


class UsageError(DxForgeError):
    """A command or call that cannot mean anything; exit status 2."""


class ConfigError(DxForgeError):
    """``dx.toml`` says something that dxforge cannot accept.

    ``key`` is the dotted path of the offending key, or empty when the whole file is at fault.
    """

    def __init__(self, what: str, *, where: str = "", key: str = "", hint: str = "") -> None:
        super().__init__(what, where=f"{where}: {key}" if where and key else where or key, hint=hint)
        self.key = key


class LockfileError(DxForgeError):
    """``dx.lock`` cannot be read, or may not be changed."""


class ProjectError(DxForgeError):
    """There is no project here, or there is one already."""


class ProjectBusyError(ProjectError):
    """Another process holds the project's lock; ``pid`` is its process id, where known."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", pid: int | None = None) -> None:
        super().__init__(what, where=where, hint=hint)
        self.pid = pid


class SourceError(DxForgeError):
    """A package cannot be had from its source."""


class PackageNotFoundError(SourceError):
    """The source has no such package, revision, folder or file."""


class NoMatchingVersionError(SourceError):
    """The source has the package, but no version that satisfies ``dx.toml``."""


class CompiledOnlyError(SourceError):
    """The version exists only as compiled wheels: there is no source to own."""


class ResolutionError(SourceError):
    """The dependencies of packages contradict each other."""


class DownloadError(SourceError):
    """The network, or the server behind it, failed after retries."""


class OfflineError(SourceError):
    """``--offline`` was asked for and the cache does not have it."""


class IntegrityError(SourceError):
    """The bytes that arrived are not the ones that index or lock promised."""


class ArchiveError(DxForgeError):
    """An archive cannot be read."""


class UnsafeArchiveError(ArchiveError):
    """An archive that must not be unpacked; ``entry`` is the name of the offending entry."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", entry: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.entry = entry


class ApplyError(DxForgeError):
    """The plan could not be carried out; the project is as it was before."""


class ChangedMeanwhileError(ApplyError):
    """A file changed between plan and write."""


class WriteError(ApplyError):
    """The file system refused: permission denied, disk full, read-only."""


class ReviewError(DxForgeError):
    """A decision that cannot be taken."""


class NotPendingError(ReviewError):
    """Nothing is pending at that path."""


class StaleHunkError(ReviewError):
    """That hunk is no longer there; ``hunks`` are the ids that are."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", hunks: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.hunks = hunks


class UndecidedError(ReviewError):
    """``on_yellow = "fail"``: a change needs a decision, so nothing was installed."""


class UndoError(DxForgeError):
    """There is nothing to undo, or a later edit stands in the way."""
