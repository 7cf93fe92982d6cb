"""Reading dx.toml and the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from dxforge.config.load import (
    MAX_FILE_BYTES,
    Environment,
    decode,
    find_root,
    load_config,
    load_environment,
    load_remote_environment,
    parse,
    read_text,
)
from dxforge.config.model import (
    BuildConfig,
    Config,
    GitSpec,
    HealthConfig,
    IndexConfig,
    Limits,
    NpmSpec,
    PathSpec,
    PyPISpec,
    RestartConfig,
    SnapshotLimits,
    StepConfig,
    StopConfig,
    ToolConfig,
    TrafficConfig,
    UrlSpec,
)
from dxforge.errors import ConfigError, ProjectError

SHA = "ab" * 32
# The contract's own example, with values in place of its dots.
CONTRACT = f"""
[project]
name = "demo"
packages_dir = "src/dx_packages"        # the default

[packages]
humanize = ">=4.9,<5"                          # PyPI, PEP 440
lodash   = {{ npm = "lodash-es", version = "^4.17" }}
theme    = {{ path = "../theme" }}                # a folder or an archive
widgets  = {{ git = "../widgets.git", rev = "v1.2", subdir = "src" }}
data     = {{ url = "https://example.org/x.tar.gz", sha256 = "{SHA}" }}

[traffic]
review = "modified"                            # or "always"
on_yellow = "ask"                              # ask | keep | accept | fail: what a headless run does

[tools.dx-style]
binary_path = "bin/style"
args = []
priority = 10
dependencies = []
health = {{ http = "http://127.0.0.1:8000/" }}   # or tcp, exec, log
restart = {{ policy = "on-failure", max = 5 }}
stop = {{ signal = "SIGTERM", grace_s = 5 }}

[build]
needs = ["dx-style", "dx-js-runtime"]
[[build.steps]]
tool = "dx-js-bundler"
args = ["build"]
inputs = ["src/**"]
outputs = ["dist"]

[remote]
url = "file://.dx/remote"
"""


def decoded(text: str, root: Path = Path("/srv/demo")) -> Config:
    return decode(text, root=root, where="dx.toml")


def refused(text: str, root: Path = Path("/srv/demo")) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decoded(text, root)
    assert str(caught.value).startswith("dx.toml")
    assert caught.value.hint
    return caught.value


# -- dx.toml


def test_the_example_of_the_contract() -> None:
    assert decoded(CONTRACT) == Config(
        root=Path("/srv/demo"),
        name="demo",
        packages=(
            PyPISpec(name="humanize", version=">=4.9,<5"),
            NpmSpec(name="lodash", npm="lodash-es", version="^4.17"),
            PathSpec(name="theme", path="../theme"),
            GitSpec(name="widgets", git="../widgets.git", rev="v1.2", subdir="src"),
            UrlSpec(name="data", url="https://example.org/x.tar.gz", sha256=SHA),
        ),
        traffic=TrafficConfig(review="modified", on_yellow="ask"),
        tools=(
            ToolConfig(
                name="dx-style",
                binary_path="bin/style",
                priority=10,
                health=HealthConfig(http="http://127.0.0.1:8000/"),
                restart=RestartConfig(policy="on-failure", max=5),
                stop=StopConfig(signal="SIGTERM", grace_s=5.0),
            ),
        ),
        build=BuildConfig(
            needs=("dx-style", "dx-js-runtime"),
            steps=(StepConfig(tool="dx-js-bundler", args=("build",), inputs=("src/**",), outputs=("dist",)),),
        ),
    )


def test_an_empty_file_is_a_project_named_like_its_folder() -> None:
    assert decoded("") == Config(root=Path("/srv/demo"), name="demo")
    assert decoded("", Path("/")).name == "project"
    assert decoded("", Path("/srv/caf\udce9")).name == "caf?"


def test_packages_keep_the_order_of_the_file() -> None:
    names = [spec.name for spec in decoded('[packages]\nz = "*"\na = "*"\nm = "*"').packages]
    assert names == ["z", "a", "m"]


def test_limits_and_index() -> None:
    config = decoded('[limits]\nentries = 5\nratio = 9\n[index]\npypi = "https://example.org/simple"\nnpm = ""')
    assert config.limits == Limits(entries=5, ratio=9)
    assert config.index == IndexConfig(pypi="https://example.org/simple")


def test_snapshots() -> None:
    assert decoded("").snapshots == SnapshotLimits(keep=50, keep_days=30, max_file_mb=100, max_total_mb=4000)
    text = "[snapshots]\nkeep = 1\nkeep_days = 2\nmax_file_mb = 3\nmax_total_mb = 4"
    assert decoded(text).snapshots == SnapshotLimits(keep=1, keep_days=2, max_file_mb=3, max_total_mb=4)


@pytest.mark.parametrize(("text", "path"), [("./vendor/py/", "vendor/py"), ("a", "a"), ("src//x", "src/x")])
def test_packages_dir_is_tidied(text: str, path: str) -> None:
    assert decoded(f'project.packages_dir = "{text}"').packages_dir == path


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "./", "..", "../x", "a/../../b", "/abs", "~/x", "C:/x", r"a\\b", ".dx", ".dx/x", ".DX/x", ".git",
        "a/.Git/b", "dx.toml", "dx.lock/x", "a./b", "a /b", "con", "a/NUL.txt", "a:b", "a*b", "a\\u0000b",
    ],
)  # fmt: skip
def test_packages_dir_stays_inside_and_out_of_the_way(path: str) -> None:
    assert refused(f'[project]\npackages_dir = "{path}"').key == "project.packages_dir"


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('[projekt]\nname = "x"', "projekt", 'The nearest known key is "project"'),
        ('name = "x"', "name", "Known here: project, packages"),
        ('[project]\nnam = "x"', "project.nam", 'The nearest known key is "name"'),
        ("[project]\nname = true", "project.name", "expected a text in quotes, found true or false"),
        ('[project]\nname = ""', "project.name", "the text is empty"),
        ('[traffic]\non_yelow = "ask"', "traffic.on_yelow", 'The nearest known key is "on_yellow"'),
        ('[traffic]\nreview = "alwys"', "traffic.review", 'is "always"'),
        ("[traffic]\non_yellow = 2026-01-01", "traffic.on_yellow", "found a date or time"),
        ("[limits]\nratio = true", "limits.ratio", "expected a whole number, found true or false"),
        ("[limits]\nentries = 0", "limits.entries", "out of range"),
        ("[snapshots]\nkeep = 0", "snapshots.keep", "out of range"),
        ("[snapshots]\nkeep_day = 1", "snapshots.keep_day", 'The nearest known key is "keep_days"'),
        ("[limits]\ntotal_bytes = 0x" + "f" * 9000, "limits.total_bytes", "out of range"),
        ('[index]\npypi = "ftp://example.org"', "index.pypi", "Write one that starts with https://"),
        ("packages = []", "packages", "expected a table, found an array"),
        ("[[packages]]", "packages", "expected a table, found an array"),
        ("[packages]\na = 1", "packages.a", "found a whole number"),
        ("[tools]\na = 1", "tools.a", "expected a table"),
        ('[build]\nned = ["x"]', "build.ned", 'The nearest known key is "needs"'),
        ('[remote]\nurll = "x"', "remote.urll", 'The nearest known key is "url"'),
    ],
)
def test_what_is_refused_names_key_and_way_out(text: str, key: str, message: str) -> None:
    error = refused(text)
    assert error.key == key
    assert message in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "(at line 1, column 5: the end)"),
        ('[project]\nname = "x', "(at line 2, column 10: the end)"),
        ("[project]\nname x", "(at line 2, column 6)"),
        ("[a]\n[a]", "line 2"),
        ("a = 1\na = 2", "line 2"),
        ("a = " + "9" * 5000, "too many digits"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "{b=" * 100_000, "nested too deeply"),
        ("#\n" + ".".join("a" * 16_000) + " = 1", "more than 64 parts (at line 2)"),
        ("[" + " . ".join(['"a.b"'] * 65) + "]", "more than 64 parts (at line 1)"),
        ("#" * (MAX_FILE_BYTES + 1), "more than 1048576 characters"),
        ('a = "\udc80"', "not valid Unicode"),
    ],
)
def test_what_is_no_toml(text: str, message: str) -> None:
    error = refused(text)
    assert error.key == ""
    assert message in str(error)
    assert len(str(error)) < 300


def test_dots_in_values_do_not_make_a_long_name() -> None:
    dots = "." * 200
    text = f'# {dots}\n[tools.a]\nbinary_path = "{"../" * 100}a"\nargs = ["{dots}", "{"1.2 " * 50}"]'
    assert parse(text, where="dx.toml")


def test_a_byte_order_mark_is_skipped() -> None:
    assert decoded('\ufeff[project]\nname = "x"').name == "x"


@pytest.mark.parametrize(
    "path", [".", "..", "../..", "/", "src", "src/dx_packages", "src/dx_packages/a", "/srv/demo/src"]
)
def test_a_path_package_must_not_copy_itself(path: str) -> None:
    error = refused(f'[packages]\na = {{ path = "{path}" }}')
    assert error.key == "packages.a.path"
    assert "copy itself" in error.what


@pytest.mark.parametrize("path", ["../theme", "lib", "src/lib", "src/dx_packages2", "/srv/demo2", "x.tar.gz"])
def test_other_path_packages_may_lie_anywhere(path: str) -> None:
    assert decoded(f'[packages]\na = {{ path = "{path}" }}').packages == (PathSpec(name="a", path=path),)


# -- files


def test_load_config_reads_the_file_and_names_it_in_errors(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_bytes(b'[project]\r\nname = "caf\xc3\xa9"\r\n')
    config = load_config(tmp_path)
    assert (config.name, config.root) == ("café", tmp_path)
    (tmp_path / "dx.toml").write_text("a = 1")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'dx.toml'}: a: unknown key")


def test_load_config_makes_the_root_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dx.toml").touch()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert load_config(Path("..")).root == tmp_path


def test_a_file_that_is_not_utf8_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_bytes(b'[project]\nname = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"not UTF-8 \(at line 2, byte 12 of the line\)"):
        load_config(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "dx.toml").open("wb") as file:
        file.truncate(10 * 1024**3)
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        load_config(tmp_path)


def test_no_file_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        load_config(tmp_path)
    assert "dxforge init" in caught.value.hint


def test_a_folder_called_dx_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_read_text_keeps_line_ends(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_bytes(b"# a\r\n# b\n")
    assert read_text(tmp_path / "dx.toml") == "# a\r\n# b\n"


def test_find_root_goes_upward_to_the_nearest(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / "dx.toml").touch()
    assert find_root(inner) == tmp_path
    (tmp_path / "a" / "b" / "dx.toml").touch()
    assert find_root(inner) == tmp_path / "a" / "b"
    assert find_root(tmp_path / "a" / "b") == tmp_path / "a" / "b"


def test_find_root_takes_a_relative_start_and_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dx.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_root(Path()) == tmp_path
    assert find_root(Path("not/there")) == tmp_path


def test_find_root_passes_a_folder_called_dx_toml(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").touch()
    (tmp_path / "a" / "dx.toml").mkdir(parents=True)
    assert find_root(tmp_path / "a") == tmp_path


def test_find_root_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        find_root(tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "dxforge init" in caught.value.hint


def test_find_root_answers_where_a_folder_cannot_even_be_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        find_root(tmp_path / ("x" * 300))
    assert caught.value.hint


# -- environment


def test_an_empty_environment_is_the_defaults() -> None:
    assert load_environment({}) == Environment(cache_dir=user_cache_path("dxforge"))
    assert load_environment({}).lock_wait_s == 30.0
    assert load_environment({}).cache_dir.is_absolute()


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXFORGE_LOCK_WAIT_S", "7")
    assert load_environment().lock_wait_s == 7.0


def test_the_first_python_index_that_is_set_counts() -> None:
    environ = {"UV_INDEX_URL": "https://c.test/"}
    assert load_environment(environ).pypi == "https://c.test/"
    environ["UV_DEFAULT_INDEX"] = " https://b.test/ "
    assert load_environment(environ).pypi == "https://b.test/"
    environ["PIP_INDEX_URL"] = "https://a.test/"
    assert load_environment(environ).pypi == "https://a.test/"
    environ["PIP_INDEX_URL"] = "  "
    assert load_environment(environ).pypi == "https://b.test/"


def test_the_name_that_uv_may_give_an_index_is_left_out() -> None:
    assert load_environment({"UV_DEFAULT_INDEX": "inner=https://a.test/x"}).pypi == "https://a.test/x"
    assert load_environment({"PIP_INDEX_URL": "https://a.test/?x=https://b"}).pypi == "https://a.test/?x=https://b"


@pytest.mark.parametrize("name", ["NPM_CONFIG_REGISTRY", "npm_config_registry", "Npm_Config_Registry"])
def test_the_npm_registry_in_any_case(name: str) -> None:
    assert load_environment({name: "https://a.test/"}).npm == "https://a.test/"


def test_dx_toml_overrides_the_environment() -> None:
    environment = load_environment({"PIP_INDEX_URL": "https://a.test/", "NPM_CONFIG_REGISTRY": "https://n.test/"})
    config = decoded('[index]\npypi = "https://own.test/"')
    assert environment.index(config) == IndexConfig(pypi="https://own.test/", npm="https://n.test/")


def test_credentials_in_the_environment_are_allowed_and_not_printed() -> None:
    environment = load_environment({"PIP_INDEX_URL": "https://u:hunter2@a.test/"})
    assert environment.pypi == "https://u:hunter2@a.test/"
    assert "hunter2" not in repr(environment)
    assert "hunter2" not in repr(environment.index(decoded("")))


def test_the_cache_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_environment({"DXFORGE_CACHE_DIR": str(tmp_path)}).cache_dir == tmp_path
    monkeypatch.chdir(tmp_path)
    assert load_environment({"DXFORGE_CACHE_DIR": "c/../d"}).cache_dir == tmp_path / "d"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_environment({"DXFORGE_CACHE_DIR": "~/e"}).cache_dir == tmp_path / "e"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("", False)])
def test_offline_is_a_switch(value: str, *, offline: bool) -> None:
    assert load_environment({"DXFORGE_OFFLINE": value}).offline is offline


def test_panels_are_left_open_unless_set() -> None:
    assert load_environment({}).panels is None
    assert load_environment({"DXFORGE_PANELS": " "}).panels is None
    assert load_environment({"DXFORGE_PANELS": "0"}).panels is False
    assert load_environment({"DXFORGE_PANELS": "on"}).panels is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DXFORGE_OFFLINE", "maybe"),
        ("DXFORGE_LOCK_WAIT_S", "soon"),
        ("DXFORGE_LOCK_WAIT_S", "-1"),
        ("DXFORGE_LOCK_WAIT_S", "nan"),
        ("DXFORGE_LOCK_WAIT_S", "inf"),
        ("DXFORGE_CACHE_DIR", "a\0b"),
    ],
)
def test_a_variable_that_means_nothing_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_environment({name: value})
    assert caught.value.key == name
    assert caught.value.hint


# -- import cost


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = "{'tomlkit', 'packaging', 'platformdirs', 'semantic_version', 'difflib', 'pygit2', 'requests'}"
    code = f"import sys, dxforge.config.load, dxforge.config.edit; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert done.stdout.strip() == "set()"


def test_what_the_environment_says_of_the_remote(tmp_path: Path) -> None:
    found = load_remote_environment(
        {
            "R2_ACCESS_KEY_ID": " r2-id ",
            "R2_SECRET_ACCESS_KEY": "r2-secret",
            "AWS_ACCESS_KEY_ID": "aws-id",
            "AWS_SECRET_ACCESS_KEY": "aws-secret",
            "AWS_SESSION_TOKEN": "aws-token",
            "AWS_PROFILE": "work",
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "c"),
            "AWS_CONFIG_FILE": str(tmp_path / "f"),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "https://b.example",
            "AWS_ENDPOINT_URL_S3": "https://a.example",
            "AWS_CA_BUNDLE": "/ca.pem",
            "DXFORGE_REMOTE_READ": "1",
            "DXFORGE_REMOTE_WRITE": "no",
        }
    )
    assert found.r2.id.reveal() == "r2-id"
    assert found.r2.secret.reveal() == "r2-secret"
    assert [part.reveal() for part in (found.aws.id, found.aws.secret, found.aws.session_token)] == [
        "aws-id",
        "aws-secret",
        "aws-token",
    ]
    assert (found.profile, found.region, found.endpoint, found.ca_file) == (
        "work",
        "eu-central-1",
        "https://a.example",
        "/ca.pem",
    )
    assert (found.credentials_file, found.config_file) == (tmp_path / "c", tmp_path / "f")
    assert (found.read, found.write) == (True, False)
    for word in ("secret", "r2-id", "aws-id", "token'"):
        assert word not in repr(found).replace("secret=", "").replace("Secret(", "")


def test_an_environment_that_says_nothing_of_the_remote() -> None:
    found = load_remote_environment({})
    assert not found.r2.id
    assert not found.aws.secret
    assert (found.read, found.write, found.profile) == (None, None, "")
    assert found.credentials_file == Path.home() / ".aws/credentials"
    with pytest.raises(ConfigError, match="DXFORGE_REMOTE_READ"):
        load_remote_environment({"DXFORGE_REMOTE_READ": "maybe"})
