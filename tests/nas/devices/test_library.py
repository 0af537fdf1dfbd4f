"""Profiles by name: ours, those of a folder, any TOML file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.devices import load_profile, profile_names
from nas.devices.library import FOLDER, profile_paths
from search_spaces import InputError


def test_a_hash_inside_a_figure_cuts_nothing(tmp_path: Path) -> None:
    text = profile_paths()["nano"].read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith("description = "))
    path = tmp_path / "nano.toml"
    path.write_text(text.replace(line, 'description = "board # 3" # from the box'))
    profile = load_profile(str(path))
    assert profile.description == "board # 3"
    assert profile.comments["description"] == "from the box"


@pytest.mark.parametrize("name", profile_names())
def test_every_clock_has_a_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.source("cpu_mhz")
    assert profile.source("power.base_w")


def test_own_profiles_stand_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = profile_paths()["nano"].read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "nano"', 'name = "mine"'))
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert {"mine", "nano"} <= set(profile_names())
    assert load_profile("mine").name == "mine"


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InputError, match="is no readable TOML"):
        load_profile(tmp_path / "bad.toml")
