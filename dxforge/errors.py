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
    │   ├── StaleDecisionError      something is no longer as it was when the user decided
    │   └── UndecidedError          on_yellow = "fail", and something is pending
    ├── UndoError                   nothing to undo, or a later edit is in the way
    ├── SnapshotError               the project's past states
    │   ├── SnapshotNotFoundError   no such snapshot, or more than one
    │   ├── SnapshotDamagedError    a part of the store is missing or damaged
    │   └── RollbackBlockedError    something that no snapshot holds stands in the way
    ├── ToolError                   a tool of the project
    │   ├── UnknownToolError        no tool of that name
    │   ├── ToolDefinitionError     registered twice, unknown dependency, cycle, no such binary
    │   ├── ToolStartError          it could not be started, or did not become ready
    │   │   └── PortTakenError      another process has its port
    │   ├── ToolStopError           something of it is still there after it was killed
    │   └── ToolTimeoutError        it was executed and did not end in time
    ├── WatchError                  files cannot be watched (any longer)
    ├── TaskError                   a background task
    │   ├── UnknownTaskError        no such task, or nothing that can be done about it as it stands
    │   ├── TaskFailedError         it failed, retries included
    │   ├── TaskCancelledError      it was cancelled
    │   ├── TaskHandedOverError     the worker was closed first; the task waits in the journal
    │   ├── TaskTimeoutError        it was waited for, and is not done yet
    │   └── WorkerClosedError       the worker takes no more tasks
    ├── RemoteError                 the remote that dx.toml's [remote] names
    │   ├── RemoteCredentialsError  no credentials for it, or wrong ones
    │   ├── RemoteDeniedError       the credentials, or dx.toml, do not allow this
    │   ├── RemoteMissingError      no such bucket or folder
    │   ├── RemoteUnreachableError  no network, a wrong endpoint, or a server that stays busy; worth trying later
    │   └── RemoteContentError      what lies there is not what dxforge wrote
    │       └── RemoteNewerError    ... or a newer dxforge wrote it
    └── BuildError                  the build
        ├── BuildPlanError          steps that cannot be a graph: overlapping outputs, a cycle
        ├── BuildPendingError       a step reads files that await a decision
        └── BuildFailedError        a step failed

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


class StaleDecisionError(ReviewError):
    """Something is no longer as it was when the user decided; nothing was done.

    ``files`` are the paths in question, each with what has changed about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "", files: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.files = files


class UndecidedError(ReviewError):
    """``on_yellow = "fail"``: a change needs a decision, so nothing was installed."""


class UndoError(DxForgeError):
    """There is nothing to undo, or a later edit stands in the way."""


class SnapshotError(DxForgeError):
    """Something about the snapshots in ``.dx/snapshots.git``."""


class SnapshotNotFoundError(SnapshotError):
    """No snapshot has that id, or more than one begins so."""


class SnapshotDamagedError(SnapshotError):
    """A part of the store is missing or damaged; ``oid`` is git's id of it, where one is known."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", oid: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.oid = oid


class RollbackBlockedError(SnapshotError):
    """Something that no snapshot holds stands where the rollback would write; ``paths`` are those things."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.paths = paths


class ToolError(DxForgeError):
    """Something about one tool; ``tool`` is its name."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", tool: str = "") -> None:
        super().__init__(what, where=where or (f"tool {tool}" if tool else ""), hint=hint)
        self.tool = tool


class UnknownToolError(ToolError):
    """No tool of that name is registered or in ``dx.toml``."""


class ToolDefinitionError(ToolError):
    """A definition that cannot be: duplicate name, unknown dependency, cycle, missing or non-executable binary."""


class ToolStartError(ToolError):
    """A tool could not be started, or did not become ready.

    ``log_tail`` are its last lines of output, ``exit_code`` its exit status (-N: signal N; None: it did not exit).
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        tool: str = "",
        log_tail: tuple[str, ...] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint, tool=tool)
        self.log_tail = log_tail
        self.exit_code = exit_code

    def __str__(self) -> str:
        text = super().__str__()
        return (
            "\n".join([text, "Its last output:", *(f"    {line}" for line in self.log_tail)]) if self.log_tail else text
        )


class PortTakenError(ToolStartError):
    """The port that the tool is to listen on is taken; ``pid`` holds it, where that can be known."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", tool: str = "", pid: int | None = None) -> None:
        super().__init__(what, where=where, hint=hint, tool=tool)
        self.pid = pid


class ToolStopError(ToolError):
    """A process of the tool is still there after it was killed; ``pids`` are those left."""

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", tool: str = "", pids: tuple[int, ...] = ()
    ) -> None:
        super().__init__(what, where=where, hint=hint, tool=tool)
        self.pids = pids


class ToolTimeoutError(ToolError):
    """A tool was executed and did not end in time; it was killed. ``log_tail`` are its last lines of output."""

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", tool: str = "", log_tail: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, where=where, hint=hint, tool=tool)
        self.log_tail = log_tail


class WatchError(DxForgeError):
    """Files cannot be watched, or no longer: the folder is gone."""


class TaskError(DxForgeError):
    """Something about one background task, or about the worker; ``task`` says which, as the user reads it."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", task: str = "") -> None:
        super().__init__(what, where=where or task, hint=hint)
        self.task = task


class UnknownTaskError(TaskError):
    """There is no task of that number, or it is in no state in which that could be done."""


class TaskFailedError(TaskError):
    """A task failed, after ``attempts`` runs; the original error is the cause where it ran in this process."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", task: str = "", attempts: int = 1) -> None:
        super().__init__(what, where=where, hint=hint, task=task)
        self.attempts = attempts


class TaskCancelledError(TaskError):
    """A task was cancelled; also what ``TaskContext.check()`` raises in a task that is to stop."""


class TaskHandedOverError(TaskError):
    """The worker was closed before the task was done; it waits in the journal for the next worker."""


class TaskTimeoutError(TaskError):
    """A task was waited for and is not done yet; it goes on."""


class WorkerClosedError(TaskError):
    """The worker is closed, or cannot work in this process, and takes no more tasks."""


class BuildError(DxForgeError):
    """The build could not be planned, or did not succeed."""


class BuildPlanError(BuildError):
    """The steps cannot be a graph: overlapping outputs, a cycle, an unknown tool."""


class BuildPendingError(BuildError):
    """A step reads files of a package that await a decision; ``paths`` are those."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.paths = paths


class BuildFailedError(BuildError):
    """A step failed; the report has its output."""


class RemoteError(DxForgeError):
    """The remote cannot be used. ``temporary``: the same may work later, without anyone changing anything."""

    temporary = False


class RemoteCredentialsError(RemoteError):
    """There are no credentials for the remote, or it does not know them."""


class RemoteDeniedError(RemoteError):
    """The credentials do not allow this (they may be read-only), or ``dx.toml`` says not to."""


class RemoteMissingError(RemoteError):
    """There is no such bucket, or no such folder to put the remote into."""


class RemoteUnreachableError(RemoteError):
    """The remote did not answer, or stayed busy, after retries."""

    temporary = True


class RemoteContentError(RemoteError):
    """What lies in the remote cannot be read: damaged, of a newer dxforge, or not from dxforge at all."""


class RemoteNewerError(RemoteContentError):
    """What lies in the remote was written by a newer dxforge."""
