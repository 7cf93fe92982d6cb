"""Reading: ``dx.toml`` into a `Config`, and the environment, which is read nowhere else."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from dxforge.config.model import (
    DEFAULT_PACKAGES_DIR,
    AnalyzeConfig,
    Config,
    IndexConfig,
    Limits,
    OnYellow,
    PathSpec,
    ReviewMode,
    SnapshotLimits,
    TrafficConfig,
)
from dxforge.config.packages import check_inside, check_url, decode_packages, name_fault
from dxforge.config.secrets import Secret, refuse_secrets
from dxforge.config.table import MAX_TEXT_CHARS, At, Table, check_table, check_text, is_unicode, show
from dxforge.config.tools import decode_build, decode_remote, decode_tools
from dxforge.errors import ProjectError

FILE_NAME = "dx.toml"
MAX_FILE_BYTES = 1024 * 1024
MAX_KEY_PARTS = 64
_TOP_KEYS = ("project", "packages", "traffic", "tools", "build", "remote", "snapshots", "analyze", "limits", "index")
_REVIEW: tuple[ReviewMode, ...] = get_args(ReviewMode)
_ON_YELLOW: tuple[OnYellow, ...] = get_args(OnYellow)
# tomllib's time grows with the square of a dotted key's parts: 32 kB of `a.a.a.…` took 4 s. Possessive, hence linear.
_LONG_KEY = re.compile(
    rf"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}""", re.ASCII
)
_NAMED_INDEX = re.compile(r"[A-Za-z0-9._-]+=(?=[A-Za-z]+:)")
_NOT_OURS = frozenset({".dx", ".git"})


def find_root(start: Path) -> Path:
    """The nearest folder upward from ``start``, itself included, that has a ``dx.toml``; absolute.

    Raises:
        ProjectError: there is none, or a folder on the way cannot be looked into.
    """
    folder = Path(os.path.abspath(start))
    for candidate in (folder, *folder.parents):
        try:
            if (candidate / FILE_NAME).is_file():
                return candidate
        except OSError as error:
            raise ProjectError(
                f"cannot look for {FILE_NAME}: {error.strerror}",
                where=str(candidate),
                hint="Name the project's folder with -C, or change the permissions",
            ) from error
    raise ProjectError(
        f"there is no {FILE_NAME} here, nor in any folder above",
        where=str(folder),
        hint="Make a project with `dxforge init`, or name its folder with -C",
    )


def load_config(root: Path) -> Config:
    """Read ``dx.toml`` in ``root``.

    Raises:
        ProjectError: there is no such file.
        ConfigError: it cannot be read, or says something that dxforge cannot accept.
    """
    folder = Path(os.path.abspath(root))
    return decode(read_text(folder / FILE_NAME), root=folder, where=str(folder / FILE_NAME))


def read_text(file: Path) -> str:
    """The text of a ``dx.toml``, line ends as they are: what `decode` and ``edit`` take.

    Raises:
        ProjectError: there is no such file.
        ConfigError: it cannot be read, is larger than 1 MiB, or is not UTF-8.
    """
    at = At(where=str(file))
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ProjectError(
            f"there is no {FILE_NAME}", where=str(file.parent), hint="Make a project with `dxforge init`"
        ) from error
    except OSError as error:
        raise at.error(f"the file cannot be read: {error.strerror}", hint="Check its permissions") from error
    if len(content) > MAX_FILE_BYTES:
        raise at.error(f"the file has more than {MAX_FILE_BYTES} bytes", hint="Shorten it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise at.error(
            f"the file is not UTF-8 (at line {line}, byte {column} of the line)", hint="Save it as UTF-8"
        ) from error


def decode(text: str, *, root: Path, where: str) -> Config:
    """Decode the ``text`` of a ``dx.toml``. Pure: neither disk nor environment is looked at.

    Args:
        text: TOML; a byte order mark is skipped.
        root: the project's folder, absolute.
        where: how errors name the file.

    Raises:
        ConfigError: with the dotted key, and the nearest known key where one is unknown.
    """
    at = At(where=where)
    data = parse(text, where=where)
    refuse_secrets(data, at)
    table = Table(data, at, _TOP_KEYS)
    project = Table(table.value("project"), at / "project", ("name", "packages_dir"))
    config = Config(
        root=root,
        name=_project_name(project, root),
        packages_dir=_packages_dir(project),
        packages=decode_packages(table.value("packages"), at / "packages"),
        traffic=_traffic(table.value("traffic"), at / "traffic"),
        limits=_limits(table.value("limits"), at / "limits"),
        index=_index(table.value("index"), at / "index"),
        tools=decode_tools(table.value("tools"), at / "tools"),
        build=decode_build(table.value("build"), at / "build"),
        remote=decode_remote(table.value("remote"), at / "remote"),
        snapshots=_snapshots(table.value("snapshots"), at / "snapshots"),
        analyze=_analyze(table.value("analyze"), at / "analyze"),
    )
    for spec in config.packages:
        if isinstance(spec, PathSpec):
            _refuse_self_copy(spec, config, at / "packages" / spec.name / "path")
    return config


def parse(text: str, *, where: str) -> dict[str, object]:
    """``text`` as TOML, not yet decoded.

    Raises:
        ConfigError: no TOML, with line and column; or larger and deeper than a ``dx.toml`` can be.
    """
    at = At(where=where)
    if len(text) > MAX_FILE_BYTES:
        raise at.error(f"the file has more than {MAX_FILE_BYTES} characters", hint="Shorten it")
    if not is_unicode(text):
        raise at.error("the file is not valid Unicode", hint="Save it as UTF-8")
    long_key = _LONG_KEY.search(text)
    if long_key:
        line = text.count("\n", 0, long_key.start()) + 1
        raise at.error(f"a dotted name of more than {MAX_KEY_PARTS} parts (at line {line})", hint="Shorten it")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        # Its thousand frames say nothing.
        raise at.error("arrays or tables are nested too deeply", hint="Flatten them") from error.with_traceback(None)
    except tomllib.TOMLDecodeError as error:
        last_line = text.count("\n") + 1
        last_column = len(text) - text.rfind("\n")
        message = str(error).replace("(at end of document)", f"(at line {last_line}, column {last_column}: the end)")
        raise at.error(f"not valid TOML: {message}", hint="Correct it there; texts stand in quotes") from error
    except ValueError as error:
        # int() refuses more than 4300 digits.
        raise at.error("not valid TOML: a number has too many digits", hint="Shorten it") from error


def _project_name(project: Table, root: Path) -> str:
    # A folder's name need not be valid Unicode.
    folder = root.name.encode("utf-8", "replace").decode("utf-8")
    return project.text("name", folder or "project")


def _packages_dir(project: Table) -> str:
    at = project.at / "packages_dir"
    path = check_inside(project.text("packages_dir", DEFAULT_PACKAGES_DIR), at)
    if path == ".":
        raise at.error("packages need a folder of their own", hint=f"Write for example {show('src/dx_packages')}")
    parts = path.split("/")
    if parts[0].casefold() in {FILE_NAME, "dx.lock"} or _NOT_OURS.intersection(part.casefold() for part in parts):
        raise at.error(f"{show(path)} is not for packages", hint="Choose a folder of its own")
    for part in parts:
        if part.endswith((".", " ")) or any(char in '<>:"|?*' for char in part):
            raise at.error(f"{show(part)} cannot be a folder on Windows", hint="Choose another name")
        if name_fault(part) == "the name is reserved on Windows":
            raise at.error(f"{show(part)} is reserved on Windows", hint="Choose another name")
    return path


def _refuse_self_copy(spec: PathSpec, config: Config, at: At) -> None:
    source = Path(os.path.normpath(config.root / spec.path))
    target = config.packages_path
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise at.error(
            f"{show(spec.path)} and packages_dir lie in each other, so the package would copy itself",
            hint="Name a folder outside of packages_dir that does not hold it",
        )


def _traffic(value: object, at: At) -> TrafficConfig:
    table = Table(value, at, ("review", "on_yellow"))
    default = TrafficConfig()
    return TrafficConfig(
        review=table.choice("review", default.review, _REVIEW),
        on_yellow=table.choice("on_yellow", default.on_yellow, _ON_YELLOW),
    )


def _limits(value: object, at: At) -> Limits:
    table = Table(value, at, ("entries", "total_bytes", "ratio", "path_bytes", "name_bytes"))
    default = Limits()
    return Limits(
        entries=table.whole("entries", default.entries, low=1, high=100_000_000),
        total_bytes=table.whole("total_bytes", default.total_bytes, low=1, high=2**50),
        ratio=table.whole("ratio", default.ratio, low=1, high=1_000_000),
        path_bytes=table.whole("path_bytes", default.path_bytes, low=1, high=32_768),
        name_bytes=table.whole("name_bytes", default.name_bytes, low=1, high=1024),
    )


def _snapshots(value: object, at: At) -> SnapshotLimits:
    table = Table(value, at, ("keep", "keep_days", "max_file_mb", "max_total_mb"))
    default = SnapshotLimits()
    return SnapshotLimits(
        keep=table.whole("keep", default.keep, low=1, high=10_000),
        keep_days=table.whole("keep_days", default.keep_days, low=1, high=36_500),
        max_file_mb=table.whole("max_file_mb", default.max_file_mb, low=1, high=100_000),
        max_total_mb=table.whole("max_total_mb", default.max_total_mb, low=1, high=10_000_000),
    )


def _analyze(value: object, at: At) -> AnalyzeConfig:
    table = Table(value, at, ("patterns", "exclude"))
    patterns = []
    if "patterns" in table:
        for name, pattern in check_table(table.value("patterns"), at / "patterns").items():
            where = at / "patterns" / name
            text = check_text(pattern, where)
            try:
                re.compile(text)
            except (re.error, RecursionError, OverflowError) as error:
                hint = "Write a regular expression of Python's, best in single quotes"
                raise where.error(f"this is no regular expression: {error}", hint=hint) from error
            patterns.append((name, text))
    return AnalyzeConfig(patterns=tuple(patterns), exclude=table.texts("exclude"))


def _index(value: object, at: At) -> IndexConfig:
    table = Table(value, at, ("pypi", "npm"))

    def address(key: str) -> str:
        text = table.text(key, "", empty=True).strip()
        return check_url(text, at / key, schemes=("https", "http", "file")) if text else ""

    return IndexConfig(pypi=address("pypi"), npm=address("npm"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the environment says to dxforge, read once.

    The addresses may carry credentials, so they are not in the repr; empty = not set. ``cache_dir`` is absolute.
    ``ca_file`` holds the certificates to trust (empty: the HTTP library's own).
    """

    pypi: str = field(default="", repr=False)
    npm: str = field(default="", repr=False)
    cache_dir: Path
    offline: bool = False
    lock_wait_s: float = 30.0
    ca_file: str = ""
    background: bool = True
    """Whether install and build leave tasks to the background worker."""
    panels: bool | None = None
    """Whether notebooks show live panels; None: where somebody looks on."""

    def index(self, config: Config) -> IndexConfig:
        """The addresses in force: ``[index]`` of ``dx.toml``, else the environment's, else empty."""
        return IndexConfig(pypi=config.index.pypi or self.pypi, npm=config.index.npm or self.npm)


def load_environment(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read the environment.

    ``PIP_INDEX_URL``, ``UV_DEFAULT_INDEX``, ``UV_INDEX_URL`` (the first that is set) name the Python index,
    ``NPM_CONFIG_REGISTRY`` (in any case) npm's; ``DXFORGE_CACHE_DIR`` the cache (default: the user's, from
    platformdirs, which looks at the process's own environment); ``DXFORGE_OFFLINE`` is a switch;
    ``DXFORGE_LOCK_WAIT_S`` how many seconds a run waits for another one (default 30). ``PIP_CERT``,
    ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE`` (the first that is set) name the certificates to trust.
    ``DXFORGE_BACKGROUND`` is a switch, on unless set: off, nothing is done in the background that was not asked for.
    ``DXFORGE_PANELS`` is one, too: off, notebooks show results as text and HTML only; on, live panels always.

    Raises:
        ConfigError: a switch or a number that is none; names the variable.
    """
    pypi = _first_set(environ, "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    any_case = sorted(name for name in environ if name.upper() == "NPM_CONFIG_REGISTRY")
    return Environment(
        # uv lets an index have a name: `name=address`.
        pypi=_NAMED_INDEX.sub("", pypi, count=1) if _NAMED_INDEX.match(pypi) else pypi,
        npm=_first_set(environ, *any_case),
        cache_dir=_cache_dir(environ),
        offline=_switch(environ, "DXFORGE_OFFLINE"),
        lock_wait_s=_lock_wait_s(environ),
        ca_file=_first_set(environ, "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
        background=_switch(environ, "DXFORGE_BACKGROUND", default=True),
        panels=_switch(environ, "DXFORGE_PANELS") if _first_set(environ, "DXFORGE_PANELS") else None,
    )


def _first_set(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def _cache_dir(environ: Mapping[str, str]) -> Path:
    value = _first_set(environ, "DXFORGE_CACHE_DIR")
    if not value:
        from platformdirs import user_cache_path

        return user_cache_path("dxforge")
    if "\0" in value or len(value) > MAX_TEXT_CHARS:
        raise _variable("DXFORGE_CACHE_DIR").error("not a folder's path", hint="Set it to a folder, or unset it")
    return Path(os.path.abspath(os.path.expanduser(value)))


def _switch(environ: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in {"0", "false", "no", "off"}:
        return False
    if value in {"1", "true", "yes", "on"}:
        return True
    raise _variable(name).error(f"{show(value)} is neither on nor off", hint="Set it to 1 or 0")


def _lock_wait_s(environ: Mapping[str, str]) -> float:
    value = _first_set(environ, "DXFORGE_LOCK_WAIT_S")
    if not value:
        return 30.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86_400:
        raise _variable("DXFORGE_LOCK_WAIT_S").error(
            f"{show(value)} is not a number of seconds", hint="Set it to a number from 0 to 86400"
        )
    return seconds


def _variable(name: str) -> At:
    return At(where="environment", path=(name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Credentials for an object store, as the environment has them; empty where a variable is not set."""

    id: Secret = field(default_factory=Secret)
    secret: Secret = field(default_factory=Secret)
    session_token: Secret = field(default_factory=Secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEnvironment:
    """What the environment says about the remote, read once; empty or None = not set."""

    r2: AccessKey = field(default_factory=AccessKey)
    aws: AccessKey = field(default_factory=AccessKey)
    profile: str = ""
    """Of the AWS files; "default" where empty."""
    credentials_file: Path
    config_file: Path
    region: str = ""
    endpoint: str = ""
    """Where ``s3://`` addresses without an endpoint of their own go."""
    ca_file: str = ""
    read: bool | None = None
    """Overrides ``[remote] read`` on this machine."""
    write: bool | None = None
    """Overrides ``[remote] write`` on this machine."""


def load_remote_environment(environ: Mapping[str, str] = os.environ) -> RemoteEnvironment:
    """Read what the environment says about the remote.

    ``R2_ACCESS_KEY_ID`` and ``R2_SECRET_ACCESS_KEY``; the variables of the AWS tools: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_PROFILE``, ``AWS_SHARED_CREDENTIALS_FILE``,
    ``AWS_CONFIG_FILE``, ``AWS_REGION``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``,
    ``AWS_CA_BUNDLE``; and the switches ``DXFORGE_REMOTE_READ`` and ``DXFORGE_REMOTE_WRITE``.

    Raises:
        ConfigError: a switch that is none; names the variable.
    """

    def secret(name: str) -> Secret:
        return Secret(environ.get(name, "").strip())

    def file(name: str, default: str) -> Path:
        return Path(os.path.abspath(os.path.expanduser(_first_set(environ, name) or default)))

    def switch(name: str) -> bool | None:
        return _switch(environ, name) if environ.get(name, "").strip() else None

    return RemoteEnvironment(
        r2=AccessKey(id=secret("R2_ACCESS_KEY_ID"), secret=secret("R2_SECRET_ACCESS_KEY")),
        aws=AccessKey(
            id=secret("AWS_ACCESS_KEY_ID"),
            secret=secret("AWS_SECRET_ACCESS_KEY"),
            session_token=secret("AWS_SESSION_TOKEN"),
        ),
        profile=_first_set(environ, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        credentials_file=file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        config_file=file("AWS_CONFIG_FILE", "~/.aws/config"),
        region=_first_set(environ, "AWS_REGION", "AWS_DEFAULT_REGION"),
        endpoint=_first_set(environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        ca_file=_first_set(environ, "AWS_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
        read=switch("DXFORGE_REMOTE_READ"),
        write=switch("DXFORGE_REMOTE_WRITE"),
    )
