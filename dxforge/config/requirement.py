"""What stands behind ``dxforge add``: one word that names a package, where it comes from and which version."""

from __future__ import annotations

import re

from dxforge.config.model import PackageSpec
from dxforge.config.packages import decode_package, name_fault
from dxforge.config.secrets import has_credentials
from dxforge.config.table import At, show
from dxforge.errors import ConfigError, UsageError

MAX_CHARS = 4096
_FORMS = (
    "Write humanize>=4.9, npm:lodash-es@^4.17, ./folder, ../x.tar.gz, git+https://…@rev or https://…/x.tar.gz#sha256=…"
)
_PYPI = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")
_NAMED = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*)\s*@\s*(\S.*)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
_SCP = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ARCHIVE = re.compile(r"\.(?:whl|zip|tgz|tbz2?|txz|tar(?:\.(?:gz|bz2|xz|zst))?)\Z", re.IGNORECASE)
# `name-1.2…` of an sdist, a wheel or a release archive.
_VERSIONED = re.compile(r"(.+?)[-_]v?\d")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def parse_requirement(text: str, name: str | None = None) -> PackageSpec:
    """The package that ``text`` asks for.

    Forms: ``humanize``, ``humanize>=4.9,<5``; ``npm:lodash-es@^4.17``, ``npm:@scope/x``;
    ``git+URL@rev#subdirectory=src``
    (URL: an address, ``git@host:path`` or a path); ``./folder``, ``../x.tar.gz``, an absolute path;
    ``https://…/x.tar.gz#sha256=…``; and ``name @`` before all but the first. Relative paths are taken as written, that
    is from the project's root.

    Args:
        text: the requirement.
        name: the package's name in ``dx.toml``, and so its folder's. By default what the requirement suggests:
            ``lodash-es``, ``scope-x``, the repository's or the archive's name.

    Raises:
        UsageError: ``text`` cannot be understood, with the form that was probably meant; secrets are not repeated.
    """
    text = text.strip()
    if not text or len(text) > MAX_CHARS:
        raise UsageError("no package is named" if not text else "the package's name is too long", hint=_FORMS)
    if has_credentials(text):
        raise UsageError(
            "the address carries credentials",
            hint="Leave them out; secrets come from the environment, never from dx.toml",
        )
    named = _NAMED.fullmatch(text)
    if named and (_SCHEME.match(named[2]) or _is_path(named[2]) or named[2].startswith(("git+", "npm:"))):
        name, text = name or named[1], named[2]
    suggested, value = _read(text)
    chosen = name or suggested
    fault = name_fault(chosen)
    if fault:
        what = f"{show(chosen)} cannot be a package's folder: {fault}" if chosen else "no name follows from this"
        by_hand = f'Write it into dx.toml under another name: … = {{ project = "{chosen}" }}'
        hint = by_hand if isinstance(value, str) else "Give it a name of its own, as in `name @ …`"
        raise UsageError(what, where=show(text), hint=hint)
    if isinstance(value, str) and chosen != suggested:
        value = {"version": value, "project": suggested}
    try:
        return decode_package(chosen, value, At(where=show(text)))
    except ConfigError as error:
        raise UsageError(error.what, where=show(text), hint=error.hint) from error


def _read(text: str) -> tuple[str, str | dict[str, object]]:
    """The suggested name, and the value as it could stand in ``dx.toml``."""
    if text.startswith("npm:"):
        return _read_npm(text[4:].strip())
    if text.startswith("git+"):
        return _read_git(text[4:])
    scheme = _SCHEME.match(text)
    if scheme or _SCP.match(text):
        return _read_url(text, scheme[1].lower() if scheme else "ssh")
    if _is_path(text):
        return _read_path(text)
    return _read_pypi(text)


def _is_path(text: str) -> bool:
    return text in {".", ".."} or text.startswith(("./", "../", "/", ".\\", "..\\")) or bool(_DRIVE.match(text))


def _read_npm(text: str) -> tuple[str, dict[str, object]]:
    # The first character may be a scope's own @.
    cut = text.find("@", 1)
    npm, version = (text, "") if cut == -1 else (text[:cut].rstrip(), text[cut + 1 :].strip())
    if cut != -1 and not version:
        raise UsageError("no version follows the '@'", where=show(f"npm:{text}"), hint="Write npm:lodash-es@^4.17")
    # The scope stays in the name: @types/node and @babel/core say little without it.
    return _safe(npm.removeprefix("@").replace("/", "-")), {"npm": npm, "version": version}


def _read_git(text: str) -> tuple[str, dict[str, object]]:
    address, _, fragment = text.partition("#")
    options = _fragment(fragment, ("subdirectory", "egg"), text)
    scheme = _SCHEME.match(address) or _SCP.match(address)
    # An @ before the path belongs to the host: git@github.com. A revision may hold slashes: feature/x.
    start = scheme.end() if scheme else 0
    if scheme and scheme[0].endswith("://"):
        slash = address.find("/", start)
        start = len(address) if slash == -1 else slash
    path, at_sign, rev = address[start:].partition("@")
    if at_sign and not rev:
        raise UsageError("no revision follows the '@'", where=show(text), hint="Write git+https://…/x.git@v1.2")
    git = address[:start] + path
    last = re.split(r"[/\\:]", git.rstrip("/\\"))[-1].removesuffix(".git")
    value: dict[str, object] = {"git": git, "rev": rev, "subdir": options.get("subdirectory", "")}
    return options.get("egg", "") or _safe(last), value


def _read_url(text: str, scheme: str) -> tuple[str, dict[str, object]]:
    address, _, fragment = text.partition("#")
    path = address.partition("?")[0]
    if scheme in {"ssh", "git"} or path.endswith(".git"):
        raise UsageError("this looks like a git repository", where=show(text), hint=f"Write {show('git+' + text)}")
    options = _fragment(fragment, ("sha256", "egg"), text)
    if scheme == "file" and "sha256" not in options:
        raise UsageError(
            "a file here is named by its path", where=show(text), hint="Write ./x.tar.gz or /path/x.tar.gz"
        )
    if "sha256" not in options:
        raise UsageError(
            "an archive at an address needs its sha256", where=show(text), hint="Add #sha256= and 64 hexadecimal digits"
        )
    value: dict[str, object] = {"url": address, "sha256": options["sha256"]}
    return options.get("egg", "") or _archive_name(path.rstrip("/").rpartition("/")[2]), value


def _fragment(fragment: str, known: tuple[str, ...], text: str) -> dict[str, str]:
    options = {}
    for part in fragment.split("&") if fragment else []:
        key, equals, value = part.partition("=")
        if key not in known or not equals or not value:
            hint = f"After '#' there may be {' or '.join(f'{entry}=…' for entry in known)}"
            raise UsageError(f"{show(part)} is not known here", where=show(text), hint=hint)
        options[key] = value
    return options


def _read_path(text: str) -> tuple[str, dict[str, object]]:
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return ("" if last in {".", ".."} else _archive_name(last)), {"path": text}


def _read_pypi(text: str) -> tuple[str, str]:
    found = _PYPI.fullmatch(text)
    if found is None or found[2].startswith(("/", "\\")) or text.startswith("~"):
        hint = f"Write {show('npm:' + text)} for npm" if text.startswith("@") else _FORMS
        if found is not None or text.startswith("~"):
            hint = f"Write {show('./' + text)} for a folder" if found else "Write the path out, without '~'"
        raise UsageError("no package is named like this", where=show(text), hint=hint)
    project, version = found[1], found[2].strip()
    if project[-1] in "._-":
        raise UsageError(f"{show(project)} cannot be a project of the Python index", where=show(text), hint=_FORMS)
    if version.startswith("["):
        hint = f"Write {show(project)}; `with_dependencies = true` in dx.toml brings its dependencies"
        raise UsageError("extras are not taken as source", where=show(text), hint=hint)
    if ";" in version:
        hint = f"Write {show(project + version.partition(';')[0].rstrip())}"
        raise UsageError("environment markers have no meaning here", where=show(text), hint=hint)
    if version.startswith("@"):
        exact = version[1:].strip()
        hint = f"Write {show(f'{project}=={exact}')}, or {show(f'npm:{project}@{exact}')} for npm" if exact else _FORMS
        raise UsageError("'@' is npm's way to name a version", where=show(text), hint=hint)
    if _ARCHIVE.search(text):
        raise UsageError("this looks like an archive", where=show(text), hint=f"Write {show('./' + text)}")
    return project, version


def _archive_name(file_name: str) -> str:
    stem = _ARCHIVE.sub("", file_name)
    versioned = _VERSIONED.match(stem) if stem != file_name else None
    return _safe(versioned[1] if versioned else stem)


def _safe(name: str) -> str:
    return _UNSAFE.sub("-", name).strip(".-")
