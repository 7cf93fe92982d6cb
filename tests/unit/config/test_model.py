"""The data itself: frozen, and without addresses in its repr."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dxforge.config import model
from dxforge.config.model import Config, IndexConfig, PyPISpec


def test_all_of_it_is_frozen_slotted_and_keyword_only() -> None:
    classes = [value for value in vars(model).values() if dataclasses.is_dataclass(value)]
    assert len(classes) > 10
    for cls in classes:
        parameters = cls.__dataclass_params__
        assert parameters.frozen and "__slots__" in vars(cls), cls
        assert all(entry.kw_only for entry in dataclasses.fields(cls)), cls


def test_a_config_is_hashable_and_cannot_be_changed(tmp_path: Path) -> None:
    config = Config(root=tmp_path, name="demo", packages=(PyPISpec(name="a"),))
    assert hash(config) == hash(dataclasses.replace(config))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "other"  # type: ignore[misc]


def test_places_follow_from_the_root(tmp_path: Path) -> None:
    config = Config(root=tmp_path, name="demo", packages_dir="vendor/py")
    assert config.file == tmp_path / "dx.toml"
    assert config.packages_path == tmp_path / "vendor" / "py"


def test_index_addresses_are_not_printed() -> None:
    assert "example" not in repr(IndexConfig(pypi="https://u:p@example.org/simple", npm="https://example.org"))
