"""Profiles that cannot work are refused; every figure says how well it stands."""

from pathlib import Path

import pytest

import nas.devices
from nas.devices import load_profile, profile_names
from search_spaces import InputError

PROFILES = Path(nas.devices.__file__).parent / "profiles"


@pytest.mark.parametrize("name", profile_names())
def test_the_status_of_a_figure_agrees_with_the_source_on_its_line(name):
    """What nobody looked up (MEM) or judged (ASSUMED) is never called published or derived."""
    profile, table, checked = load_profile(name), "", 0
    for line in (PROFILES / f"{name}.toml").read_text().splitlines():
        if line.startswith("["):
            table = line.strip("[]").split("]")[0] + "."
        key, _, source = line.partition(" # ")
        dotted = table + key.split(" = ")[0]
        if dotted in profile.provenance and ("MEM" in source or "ASSUMED" in source):
            assert profile.provenance[dotted] == "assumed", line
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fp32 = 768", "bf16 = 3072\nfp32 = 768", r"peak\.bf16"),
        ("gpu_max_mhz = 510", "gpu_max_mhz = 51", "10W_DESKTOP allows no gpu_mhz: 51 < 114.75"),
        ("MODE_15W_2CORE", "MODE_15W_4CORE", "modes must have different names"),
        ('"power.base_w" = "derived"\n', "", r"provenance must name every figure.*power\.base_w"),
        ('"power.base_w" = "derived"', '"power.base_w" = "guessed"', r"provenance\.power\.base_w"),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_work_is_refused(tmp_path, old, new, message):
    text = (PROFILES / "xavier-nx.toml").read_text()
    assert old in text
    own = tmp_path / "own.toml"
    own.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        load_profile(str(own))
    assert "\n" not in str(caught.value)
    assert "own.toml" in str(caught.value)
