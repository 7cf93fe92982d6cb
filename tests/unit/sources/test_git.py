"""Packages from real git repositories: on this machine, and over git's own HTTP protocol."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.errors import (
    DownloadError,
    IntegrityError,
    OfflineError,
    PackageNotFoundError,
    SourceError,
    UnsafeArchiveError,
)
from dxforge.sources.model import Layout
from dxforge.store.tree import EXECUTABLE, SYMLINK
from tests.support.archives import Exec, Link
from tests.support.git_repository import GitServer, Repository
from tests.support.sources import Given, contents_of, pins_of

pytestmark = pytest.mark.usefixtures("cache_dir")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two commits; the first is tagged v1."""
    made = Repository(tmp_path / "widgets.git")
    made.commit({"README": "one\n", "src/widgets/__init__.py": "A = 1\n"}, tag="v1")
    made.commit({"README": "two\n", "run.sh": Exec("#!/bin/sh\n"), "latest": Link("README")})
    return made


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A project beside the repository."""
    return Given(tmp_path / "project", 'widgets = { git = "../widgets.git" }\n')


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """Serves the folder that the repository lies in."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with GitServer(tmp_path) as running:
        yield running


def test_the_default_branch_as_committed(repository: Repository, given: Given) -> None:
    (repository.folder / "README").write_text("not committed\n")
    (repository.folder / "untracked").write_text("x")
    package = given.install()["widgets"]
    head = repository.git("rev-parse", "HEAD")
    assert (package.pin.commit, package.pin.version, package.pin.rev) == (head, head[:12], "")
    assert (package.pin.kind, package.pin.ref, package.pin.layout) == ("git", "../widgets.git", Layout.AS_IS)
    assert contents_of(package) == {
        "README": b"two\n",
        "latest": b"README",
        "run.sh": b"#!/bin/sh\n",
        "src/widgets/__init__.py": b"A = 1\n",
    }
    assert package.tree["run.sh"].mode == EXECUTABLE
    assert package.tree["latest"].mode == SYMLINK


def test_a_revision_is_a_tag_a_branch_or_a_commit(repository: Repository, given: Given) -> None:
    first, second = repository.git("rev-parse", "v1^{commit}"), repository.git("rev-parse", "HEAD")
    repository.git("branch", "feature/x", first)
    repository.git("tag", "light", second)
    for rev, commit, version in [
        ("v1", first, "v1"),
        ("light", second, "light"),
        ("main", second, second[:12]),
        ("feature/x", first, first[:12]),
        (first, first, first[:12]),
        (first[:7], first, first[:12]),
        (first[:7].upper(), first, first[:12]),
    ]:
        given.toml = f'widgets = {{ git = "../widgets.git", rev = "{rev}" }}\n'
        candidate = given.resolve()["widgets"]
        assert (candidate.commit, candidate.version, candidate.rev) == (commit, version, rev)


@pytest.mark.parametrize("rev", ["v2", "0000000", "abc", "HEAD~1", "main@{1}", "a..b", "refs/heads/x y", ":/one", "~"])
def test_a_revision_that_is_none_is_not_found(repository: Repository, given: Given, rev: str) -> None:
    given.toml = f'widgets = {{ git = "../widgets.git", rev = "{rev.replace(" ", "_")}" }}\n'
    with pytest.raises(PackageNotFoundError, match="no commit, tag or branch") as caught:
        given.resolve()
    assert caught.value.hint


def test_a_misspelt_revision_gets_a_hint(repository: Repository, given: Given) -> None:
    given.toml = 'widgets = { git = "../widgets.git", rev = "mian" }\n'
    with pytest.raises(PackageNotFoundError) as caught:
        given.resolve()
    assert caught.value.hint == "Did you mean main"


def test_a_folder_of_the_repository(repository: Repository, given: Given) -> None:
    given.toml = 'widgets = { git = "../widgets.git", subdir = "src" }\n'
    package = given.install()["widgets"]
    assert set(package.tree) == {"widgets/__init__.py"}
    assert package.pin.subdir == "src"
    for missing in ("nowhere", "README", "src/widgets/__init__.py/x"):
        given.toml = f'widgets = {{ git = "../widgets.git", subdir = "{missing}" }}\n'
        with pytest.raises(PackageNotFoundError, match="no folder"):
            given.resolve()


def test_the_same_commit_packs_to_the_same_bytes_anywhere(
    repository: Repository, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = given.install()["widgets"].pin
    shutil.copytree(repository.folder, tmp_path / "copy.git")
    monkeypatch.setenv("DXFORGE_CACHE_DIR", str(tmp_path / "another cache"))
    given.toml = 'widgets = { git = "../copy.git" }\n'
    assert given.install()["widgets"].pin.sha256 == first.sha256


def test_a_pin_holds_until_the_question_changes(repository: Repository, given: Given) -> None:
    pins = pins_of(given.install())
    new = repository.commit({"README": "three\n"})
    assert given.resolve(pins)["widgets"].pin() == pins["widgets"]
    assert given.resolve(pins, upgrade=["widgets"])["widgets"].commit == new
    given.toml = 'widgets = { git = "../widgets.git", rev = "main" }\n'
    assert given.resolve(pins)["widgets"].commit == new


def test_a_locked_commit_is_packed_again(repository: Repository, given: Given, cache_dir: Path) -> None:
    pins = pins_of(given.install())
    repository.commit({"README": "three\n"})
    shutil.rmtree(cache_dir)
    package = given.sources().recall(pins["widgets"])
    assert package.pin == pins["widgets"]
    assert contents_of(package)["README"] == b"two\n"


def test_a_locked_commit_that_is_gone_is_an_error(repository: Repository, given: Given, cache_dir: Path) -> None:
    pin = pins_of(given.install())["widgets"]
    shutil.rmtree(cache_dir)
    shutil.rmtree(repository.folder)
    with pytest.raises(PackageNotFoundError, match="no such repository"):
        given.sources().recall(pin)
    Repository(repository.folder).commit({"README": "another history\n"})
    with pytest.raises(SourceError, match=f"no commit {pin.commit} any more"):
        given.sources().recall(pin)


def test_a_lock_that_was_edited_is_found_out(repository: Repository, given: Given, cache_dir: Path) -> None:
    import dataclasses

    pin = pins_of(given.install())["widgets"]
    shutil.rmtree(cache_dir)
    forged = dataclasses.replace(pin, commit=repository.git("rev-parse", "v1^{commit}"))
    with pytest.raises(IntegrityError, match=pin.sha256):
        given.sources().recall(forged)


def test_submodules_stay_out_with_a_word(repository: Repository, given: Given, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.commit({"x": "x"})
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.folder), "vendor/other")
    repository.commit({})
    package = given.install()["widgets"]
    assert ".gitmodules" in package.tree
    assert not any(path.startswith("vendor") for path in package.tree)
    assert "vendor/other" in given.notices[0]


def test_pointers_of_large_files_stay_pointers(repository: Repository, given: Given) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    repository.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=repository.folder,
        input=pointer.encode(),
        capture_output=True,
        check=True,
    )
    repository.git("update-index", "--add", "--cacheinfo", f"100644,{blob.stdout.decode().strip()},x.bin")
    repository.git("commit", "--quiet", "--message", "pointer")
    assert contents_of(given.install()["widgets"])["x.bin"] == pointer.encode()


def test_a_tree_that_leads_out_is_refused(repository: Repository, given: Given) -> None:
    repository.commit({"link": Link("../../outside")})
    with pytest.raises(UnsafeArchiveError) as caught:
        given.install()
    assert caught.value.entry == "link"


def test_names_that_are_no_utf_8_survive(repository: Repository, given: Given) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    repository.commit({name: "x"})
    assert contents_of(given.install()["widgets"])[name] == b"x"


def test_no_repository_no_commit(given: Given, tmp_path: Path) -> None:
    with pytest.raises(PackageNotFoundError, match="no such repository"):
        given.resolve()
    (tmp_path / "widgets.git").mkdir()
    with pytest.raises(SourceError, match="no git repository"):
        given.resolve()
    shutil.rmtree(tmp_path / "widgets.git")
    empty = Repository(tmp_path / "widgets.git")
    with pytest.raises(PackageNotFoundError, match="no commit"):
        given.resolve()
    empty.commit({})
    with pytest.raises(SourceError, match="no file"):
        given.resolve()


def test_file_addresses_are_local(repository: Repository, given: Given) -> None:
    given.toml = f'widgets = {{ git = "{repository.folder.as_uri()}", rev = "v1" }}\n'
    assert given.resolve(offline=True)["widgets"].version == "v1"


# -- over HTTP --------------------------------------------------------------------------------------------------------


def served(given: Given, server: GitServer, rev: str = "") -> Given:
    """``given`` with the repository's address."""
    given.toml = f'widgets = {{ git = "{server.url}/widgets.git/.git", rev = "{rev}" }}\n'
    return given


def test_a_repository_elsewhere_is_mirrored_and_followed(
    repository: Repository, given: Given, server: GitServer, cache_dir: Path
) -> None:
    served(given, server)
    local = Given(given.root, 'widgets = { git = "../widgets.git" }\n').install()["widgets"].pin
    pins = pins_of(given.install())
    assert pins["widgets"].sha256 == local.sha256
    assert given.progress("download")
    server.requests.clear()
    assert pins_of(given.install(pins)) == pins
    assert server.requests == []
    new = repository.commit({"README": "three\n"}, tag="v3")
    assert given.resolve(pins, upgrade=["widgets"])["widgets"].commit == new
    assert given.resolve(offline=True)["widgets"].commit == new
    assert served(given, server, "v3").resolve()["widgets"].version == "v3"
    repository.git("tag", "--delete", "v3")
    with pytest.raises(PackageNotFoundError):
        given.resolve()
    assert len(list((cache_dir / "git").iterdir())) == 1


def test_a_rewritten_branch_is_followed(repository: Repository, given: Given, server: GitServer) -> None:
    served(given, server).resolve()
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    repository.git("branch", "--move", "--force", "main")
    new = repository.commit({"README": "anew\n"})
    assert given.resolve()["widgets"].commit == new


def test_a_commit_that_no_branch_leads_to_is_asked_for(repository: Repository, given: Given, server: GitServer) -> None:
    lost = repository.commit({"README": "lost\n"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert served(given, server, lost).resolve()["widgets"].commit == lost


def test_one_mirror_serves_two_packages_and_threads(repository: Repository, given: Given, server: GitServer) -> None:
    address = f"{server.url}/widgets.git/.git"
    given.toml = f'a = {{ git = "{address}" }}\nb = {{ git = "{address}", subdir = "src" }}\n'
    assert set(given.install()) == {"a", "b"}
    assert sum("info/refs" in path for path in server.requests) <= 2


def test_failures_that_pass_are_tried_again(
    repository: Repository, given: Given, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxforge.sources.remote_git._BACKOFF_S", 0.001)
    server.failing = 2
    assert served(given, server).resolve()["widgets"].commit
    server.failing = 99
    with pytest.raises(DownloadError, match="503") as caught:
        given.resolve()
    assert "--offline" in caught.value.hint


def test_credentials_come_from_netrc_and_are_never_seen(
    repository: Repository,
    given: Given,
    server: GitServer,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.credentials = "me:s3cr3t"
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(DownloadError) as caught:
        served(given, server).resolve()
    assert "netrc" in caught.value.hint
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cr3t\n")
    (tmp_path / "netrc").chmod(0o600)
    package = given.install()["widgets"]
    assert "s3cr3t" not in repr(package.pin) + repr(given.heard)
    for path in cache_dir.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()


def test_offline_without_a_mirror_says_what_to_do(repository: Repository, given: Given, server: GitServer) -> None:
    with pytest.raises(OfflineError, match="widgets"):
        served(given, server).resolve(offline=True)
    assert server.requests == []


def test_a_damaged_mirror_is_made_anew(
    repository: Repository, given: Given, server: GitServer, cache_dir: Path
) -> None:
    served(given, server).resolve()
    (mirror,) = (cache_dir / "git").iterdir()
    (mirror / "HEAD").unlink()
    assert given.resolve()["widgets"].commit


def test_many_at_once_share_a_mirror(repository: Repository, given: Given, server: GitServer) -> None:
    served(given, server)
    commits: list[str] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            commits.extend(given.sources().resolve({})["widgets"].commit for _ in range(3))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(3):
        repository.commit({"README": f"{number}\n"})
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(commits) == 18
