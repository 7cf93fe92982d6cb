"""Whatever is in dx.toml, in the environment or on the command line: an answer, never a traceback."""

from __future__ import annotations

import string
from pathlib import Path

import tomli_w
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from dxforge.config.edit import add_package, new_project, parse_requirement, remove_package
from dxforge.config.load import decode, load_config, load_environment
from dxforge.config.model import Config, GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.config.packages import name_fault, normal_name
from dxforge.errors import ConfigError, DxForgeError, ProjectError, UsageError

ROOT = Path("/srv/demo")
SECRET = "hunter2hunter2"


def answer(text: str) -> Config | DxForgeError:
    """What `decode` makes of ``text``; an error must be one line that can be printed."""
    try:
        return decode(text, root=ROOT, where="dx.toml")
    except ConfigError as error:
        message = str(error)
        message.encode()
        assert message.startswith("dx.toml") and message.isprintable() and len(message) < 1000, message
        return error


# -- anything at all

KEYS = """
    project packages traffic tools build remote limits index name packages_dir review on_yellow version project pypi
    npm path git rev subdir url sha256 with_dependencies prereleases binary_path args env cwd priority dependencies
    health http tcp exec log interval_s timeout_s failures restart policy max stop signal grace_s watch inputs outputs
    on_owner_exit needs steps tool entries total_bytes ratio path_bytes name_bytes
""".split()
WORDS = st.sampled_from([
    "", "*", ">=1", "^1.2", "1 || 2", "../x", ".", "/", "a" * 64, "0" * 64, "https://example.org/x.zip", "s3://bucket/x",
    "file://x", "ask", "always", "SIGTERM", "src/dx_packages", "CON", "host:80", "http://[",
    "https://h:x/", "~", "C:\\",
])  # fmt: skip
TEXTS = WORDS | st.text(max_size=12)
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=2**70)
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.times()
)
NAMES = st.sampled_from(KEYS) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, object]:
    """A ``dx.toml`` with the right keys in the right places, and now and then a wrong one."""
    package_keys = (
        st.sampled_from("version project pypi npm path git rev subdir url sha256 prereleases".split()) | NAMES
    )
    package = TEXTS | st.dictionaries(package_keys, SCALARS, max_size=3) | VALUES
    strings = st.lists(TEXTS, max_size=2)
    health = st.fixed_dictionaries({}, optional={
        "http": TEXTS, "tcp": TEXTS, "exec": strings, "log": TEXTS, "interval_s": SCALARS, "failures": SCALARS,
    })  # fmt: skip
    tool = st.fixed_dictionaries({"binary_path": TEXTS}, optional={
        "args": strings, "env": st.dictionaries(st.text(max_size=6), TEXTS, max_size=2), "cwd": TEXTS,
        "priority": SCALARS, "health": health, "restart": VALUES, "stop": VALUES, "outputs": strings,
        "on_owner_exit": TEXTS,
    })  # fmt: skip
    step = st.fixed_dictionaries({"tool": TEXTS}, optional={"args": strings, "inputs": strings, "outputs": strings})
    sections = st.fixed_dictionaries({}, optional={
        "project": st.fixed_dictionaries({}, optional={"name": TEXTS, "packages_dir": TEXTS}),
        "packages": st.dictionaries(TEXTS, package, max_size=4),
        "traffic": st.fixed_dictionaries({}, optional={"review": TEXTS, "on_yellow": TEXTS}),
        "tools": st.dictionaries(TEXTS, tool | VALUES, max_size=2),
        "build": st.fixed_dictionaries({}, optional={"needs": strings, "steps": st.lists(step | VALUES, max_size=2)}),
        "remote": st.fixed_dictionaries({"url": TEXTS}),
        "limits": st.fixed_dictionaries({}, optional={"ratio": SCALARS, "entries": SCALARS}),
        "index": st.fixed_dictionaries({}, optional={"pypi": TEXTS, "npm": TEXTS}),
    })  # fmt: skip
    return {**draw(sections), **draw(st.dictionaries(NAMES, VALUES, max_size=1))}


@given(st.text())
@example("\ufeff")
@example('"' * 7)
@example("a.b.c")
@example("a = 0x" + "f" * 100_000)
@example("[" * 20_000)
@example("a=" + "{a=" * 5000)
def test_any_text(text: str) -> None:
    assert isinstance(answer(text), Config | ConfigError)


@given(
    st.lists(
        st.sampled_from([*KEYS, *"[]{}=.,#\"'\n \\0", '"""', "'''", "[[", "]]", " = ", "true", "1979-05-27", "1e9"])
    )
)
def test_any_text_that_looks_like_toml(pieces: list[str]) -> None:
    assert isinstance(answer("".join(pieces)), Config | ConfigError)


@given(st.dictionaries(NAMES, VALUES, max_size=4) | nearly_right())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_toml(data: dict[str, object]) -> None:
    result = answer(tomli_w.dumps(data))
    if isinstance(result, Config):
        names = [normal_name(spec.name) for spec in result.packages]
        assert len(set(names)) == len(names)
        assert not any(name_fault(spec.name) for spec in result.packages)
        assert result.packages_path.is_relative_to(ROOT) and result.packages_path != ROOT
        assert ".." not in result.packages_dir.split("/")


@given(st.binary() | st.text().map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dx.toml").write_bytes(content)
    try:
        assert load_config(tmp_path).root == tmp_path
    except ConfigError as error:
        message = str(error)
        assert message.startswith(str(tmp_path / "dx.toml"))


VARIABLES = st.sampled_from([
    "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "npm_config_registry",
    "DXFORGE_CACHE_DIR", "DXFORGE_OFFLINE", "DXFORGE_LOCK_WAIT_S",
])  # fmt: skip


@given(st.dictionaries(VARIABLES, st.text() | st.floats().map(str)))
def test_any_environment(environ: dict[str, str]) -> None:
    try:
        environment = load_environment(environ)
    except ConfigError as error:
        key, hint = error.key, error.hint
        assert key in environ and hint
    else:
        assert environment.cache_dir.is_absolute()
        assert 0 <= environment.lock_wait_s <= 86_400


ADDRESSES = st.sampled_from([
    "https://u:{}@h/x", "ssh://git:{}@h/x", "https://{}@h/x", "s3://b?access_key={}", "x y://u:{}@h",
])  # fmt: skip
PLACES = st.sampled_from([
    "[packages]\na = {{ git = {} }}", "[packages]\n[packages.a]\nversion = {}", "[index]\npypi = {}",
    "[remote]\nurl = {}", "[tools.a]\nargs = [[], {}]", "[[build.steps]]\ntool = {}", "[project]\nname = {}",
    "unknown.key = {}",
])  # fmt: skip
TAILS = st.text(max_size=5).filter(lambda text: not any(char.isspace() for char in text))


@given(ADDRESSES, PLACES, TAILS)
def test_a_secret_is_refused_wherever_it_stands_and_never_repeated(address: str, place: str, tail: str) -> None:
    value = address.format(SECRET) + tail
    result = answer(place.format(tomli_w.dumps({"a": value}).removeprefix("a = ").rstrip("\n")))
    assert isinstance(result, ConfigError)
    assert SECRET not in str(result)


# -- packages, written and read

NAME_CHARS = string.ascii_letters + string.digits + "._-"
PACKAGE_NAMES = st.text(NAME_CHARS, min_size=1, max_size=12).filter(lambda name: not name_fault(name))
PROJECTS = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
SPECIFIERS = st.sampled_from(["", ">=1", ">=4.9,<5", "==1.0.*", "~=2.1", "!=3", "===x", ">= 1 , < 2"])
RANGES = st.sampled_from(["", "^4.17", "1.x || 2", ">=1.2 <2", "=1.2.3", "1 - 2"])
LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() and "://" not in text
)
# Beside the project: a path that leads to it would copy itself.
PATHS = LINES.filter(lambda text: ".." not in text).map(lambda text: "../p" + text)


@st.composite
def specs(draw: st.DrawFn) -> PackageSpec:
    name = draw(PACKAGE_NAMES)
    kind = draw(st.sampled_from(["pypi", "npm", "path", "git", "url"]))
    if kind == "npm":
        npm = draw(st.from_regex(r"(@[a-z0-9]{1,4}/)?[a-z0-9][a-z0-9._~-]{0,6}", fullmatch=True))
        return NpmSpec(name=name, npm=npm, version=draw(RANGES))
    if kind == "path":
        return PathSpec(name=name, path=draw(PATHS))
    if kind == "git":
        rev = draw(st.sampled_from(["", "v1.2", "feature/x", "0" * 40]))
        return GitSpec(name=name, git=draw(PATHS).strip(), rev=rev, subdir=draw(st.sampled_from(["", "src", "a/b"])))
    if kind == "url":
        sha256 = draw(st.text("0123456789abcdef", min_size=64, max_size=64))
        return UrlSpec(name=name, url=f"https://example.org/{draw(PROJECTS)}.zip", sha256=sha256)
    project = draw(PROJECTS)
    return PyPISpec(
        name=name,
        version=draw(SPECIFIERS),
        project="" if project == name else project,
        with_dependencies=draw(st.booleans()),
        prereleases=draw(st.booleans()),
    )


COMMENTS = st.sampled_from(["", "# a comment", "   # indented", "#", "# é € 𝄞", "\t", "#[packages]", '# b = "*"'])
ENTRIES = st.sampled_from([
    'x1 = "*"', 'x2   =   ">=1" # why', "x3={npm='x'}", '"x4" = { path = "../x" }',
    'x5.git = "../y"', "x6 = '''\n>=1'''",
])  # fmt: skip
SUBTABLES = st.sampled_from(
    ['[packages.y1]\nnpm = "x"', '  [packages.y2] # h\n  # in\n  path = "../x"', '["packages"."y3"]\n']
)
OTHERS = st.sampled_from(
    ['[traffic]\nreview="always"', '[tools.t]\nbinary_path = "t"', "[limits] # l\nratio = 3", "[build]"]
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A ``dx.toml`` as people write them: comments anywhere, tables in any order and shape."""

    def comments() -> list[str]:
        return draw(st.lists(COMMENTS, max_size=2))

    parts = comments()
    tables = draw(st.lists(OTHERS, unique=True, max_size=2)) + draw(st.lists(SUBTABLES, unique=True, max_size=2))
    if draw(st.booleans()):
        entries = [line for entry in draw(st.lists(ENTRIES, unique=True, max_size=3)) for line in [*comments(), entry]]
        tables.append("\n".join(["[packages] # p", *entries, *comments()]))
    for table in draw(st.permutations(tables)):
        parts += [table, *comments()]
    text = "\n".join(parts) + draw(st.sampled_from(["\n", ""]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def packages(text: str) -> list[PackageSpec]:
    return list(decode(text, root=ROOT, where="dx.toml").packages)


@given(documents(), specs())
@settings(max_examples=300)
def test_what_is_added_is_what_is_read_and_nothing_else_changes(text: str, spec: PackageSpec) -> None:
    before = packages(text)
    assume(normal_name(spec.name) not in {normal_name(known.name) for known in before})
    after = add_package(text, spec)
    assert [known for known in packages(after) if known.name != spec.name] == before
    assert next(known for known in packages(after) if known.name == spec.name) == spec
    assert add_package(after, spec) == after
    # The old text (with an end to its last line), cut once, with something put in between.
    closed = text if text.endswith("\n") or not text else text + ("\r\n" if "\r\n" in text else "\n")
    assert any(after.endswith(closed[i:]) and after.startswith(closed[:i]) for i in range(len(closed) + 1))
    removed = remove_package(after, spec.name)
    assert packages(removed) == before
    # What stays may be the [packages] that was needed.
    assert removed == closed or removed.strip() == closed.strip() + "[packages]" or removed.startswith(closed)


@given(documents(), specs(), st.data())
@settings(max_examples=300)
def test_replacing_and_removing_keep_every_other_line(text: str, spec: PackageSpec, data: st.DataObject) -> None:
    before = packages(text)
    assume(before)
    name = data.draw(st.sampled_from([known.name for known in before]))
    others = [known for known in before if known.name != name]
    removed = remove_package(text, name)
    assert packages(removed) == others
    fields = {key: getattr(spec, key) for key in type(spec).__slots__}
    replacement = type(spec)(**{**fields, "name": name})
    replaced = add_package(text, replacement)
    assert [known for known in packages(replaced) if known.name != name] == others
    assert replacement in packages(replaced)
    newline = "\r\n" if "\r\n" in text else "\n"
    for result in (removed, replaced):
        kept = result.split(newline)
        comments = [line for line in text.split(newline) if line.strip().startswith("#")]
        assert [line for line in kept if line.strip().startswith("#")] == comments
        assert [line for line in kept if line.startswith(("[traffic]", "review", "[limits]", "ratio", "[tools"))] == [
            line
            for line in text.split(newline)
            if line.startswith(("[traffic]", "review", "[limits]", "ratio", "[tools"))
        ]


@given(st.text())
def test_a_new_project_keeps_its_name_or_refuses_it(name: str) -> None:
    try:
        text = new_project(name)
    except ConfigError:
        return
    assert decode(text, root=ROOT, where="dx.toml").name == name


FORMS = st.sampled_from([
    "", "npm:", "git+", "git+https://", "./", "../", "https://example.org/", "file://", "a @ ", "@", "humanize",
    "git@h:", "[x]", ">=1", "==", "@v1", "#", "#sha256=", "&egg=", "subdirectory=", "0" * 64, ".git",
    ".tar.gz", "/", "\\", ":", "://", " ", ";",
])  # fmt: skip


@given(st.lists(FORMS | st.text(max_size=4), max_size=6).map("".join), st.none() | st.text(max_size=6))
@settings(max_examples=400)
def test_any_requirement_is_a_package_that_can_be_added_or_bad_usage(text: str, name: str | None) -> None:
    try:
        spec = parse_requirement(text, name=name)
    except UsageError as error:
        hint = error.hint
        str(error).encode()
        assert hint
        return
    written = add_package("", spec)
    try:
        assert packages(written) == [spec]
    except ConfigError as error:
        assert "copy itself" in error.what  # noqa: PT017 - the one thing that needs the project's folder


@given(st.text() | st.lists(COMMENTS | ENTRIES | SUBTABLES).map("\n".join), specs())
def test_editing_any_text_gives_a_text_or_an_error(text: str, spec: PackageSpec) -> None:
    for edit in (lambda: add_package(text, spec), lambda: remove_package(text, spec.name)):
        try:
            assert isinstance(edit(), str)
        except (ConfigError, ProjectError) as error:
            str(error).encode()
