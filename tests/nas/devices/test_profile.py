"""Profiles that cannot work are refused; every figure has a source and a status."""

import json
from pathlib import Path

import pytest

import nas.devices
from nas.devices import load_profile, profile_names
from search_spaces import InputError
from tests.nas.conftest import nas as run

PROFILES = Path(nas.devices.__file__).parent / "profiles"
every_profile = pytest.mark.parametrize("name", profile_names())


@every_profile
def test_every_figure_has_a_source_that_the_profile_explains(name):
    profile = load_profile(name)
    of_itself = ("same fit", "same two anchors", "highest clock", "CPU clock of the default mode")
    for figure in profile.figures():
        source = profile.source(figure)
        named = [key for key in profile.sources if key in words(source)]
        assert named or any(text in source for text in of_itself), f"{figure}: {source}"


@every_profile
def test_the_status_of_a_figure_agrees_with_its_source(name):
    """What nobody looked up (MEM) or judged (ASSUMED) is never called published or derived."""
    profile = load_profile(name)
    judged = [f for f in profile.figures() if {"MEM", "ASSUMED"} & set(words(profile.source(f)))]
    assert {profile.status(figure) for figure in judged} == {"assumed"}
    assert len(judged) >= 5


def words(text):
    return text.replace(":", " ").replace(",", " ").replace(";", " ").split()


@every_profile
def test_what_a_board_needs_is_plain_data(name):
    profile = load_profile(name)
    board = profile.board()
    assert json.loads(json.dumps(board)) == board
    assert set(board) == {"name", "sysfs", "rails", "thermal"}
    if profile.gpu is not None:
        assert all(path.startswith("/sys/") for path in board["sysfs"]["gpu_devfreq"])
        rails = [rail for of in board["rails"]["at"].values() for rail in of]
        assert set(board["rails"]["total"]) <= set(rails)


def test_paths_are_those_of_one_jetpack_or_of_all():
    orin = load_profile("orin-nano")
    five, six, every = orin.board(5), orin.board(6), orin.board()
    assert five["sysfs"]["gpu_devfreq"][0].endswith("17000000.ga10b")
    assert six["sysfs"]["gpu_devfreq"][0].endswith("17000000.gpu")
    assert every["sysfs"]["gpu_devfreq"] == [
        *five["sysfs"]["gpu_devfreq"], *six["sysfs"]["gpu_devfreq"]
    ]  # fmt: skip
    assert orin.board(7) == every


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fp32 = 768", "bf16 = 3072, fp32 = 768", r"gpu\.peak\.bf16"),
        ("gpu_max_mhz = 510", "gpu_max_mhz = 51", "10W_DESKTOP allows no gpu_mhz: 51 < 114.75"),
        ("MODE_15W_2CORE", "MODE_15W_4CORE", "modes must have different names"),
        ('    "power",\n', "", r"provenance must name every figure; add power\.idle_share"),
        ('    "power",\n', '    "colour",\n', "names what the profile does not hold: colour"),
        ('    "emc_mhz",\n', '    "emc_mhz",\n    "emc_mhz",\n', "provenance names emc_mhz twice"),
        ("assumed = [", "guessed = [", r"provenance\.guessed"),
        ("emc_mhz = [204, ", "emc_mhz = [", "gb_per_s needs one value for each of emc_mhz"),
        ("dispatch_mhz = 1420.8", "", "backends.tensorrt: dispatch_us needs dispatch_mhz"),
        ("base_w = 3.863", "", "power.base_w: is missing: add it"),
        ("base_w = 3.863", "base_w = 3.863\nbase = 1", "power.base: is no known key"),
        ("base_w = 3.863", "base_w = -1\nknee = 2", "power.base_w.*; power.knee: is no known"),
        ('precision = "fp16"', 'precision = "int4"', "default_precision: must be 'fp32', 'fp16'"),
        ("fp16 = 32 }", "fp32 = 32 }", "no readable TOML"),
        (", fp16 = 32 }", " }", "backends.ncnn: cpu.peak lacks fp16"),
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


def test_a_folder_of_your_own_adds_and_replaces_profiles(tmp_path, monkeypatch):
    text = (PROFILES / "nano.toml").read_text()
    (tmp_path / "my-board.toml").write_text(text.replace('"nano"', '"my-board"'))
    (tmp_path / "nano.toml").write_text(text.replace("Jetson Nano:", "My Nano:"))
    monkeypatch.setenv("NAS_DEVICES", str(tmp_path))
    assert "my-board" in profile_names()
    assert load_profile("my-board").name == "my-board"
    assert load_profile("nano").description.startswith("My Nano")
    assert "my-board" in run("devices").out
    (tmp_path / "other.toml").write_text(text)
    with pytest.raises(InputError, match=r"other.toml: has the name 'nano'; name it as the file"):
        load_profile("other")
    monkeypatch.setenv("NAS_DEVICES", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"NAS_DEVICES is .*none, which is no folder"):
        profile_names()


@every_profile
def test_the_screen_shows_every_figure_with_its_source(name):
    shown, profile = run("devices", name, "--sources").out, load_profile(name)
    for figure in profile.figures():
        assert figure in shown
    for key, text in profile.sources.items():
        assert f"{key}: {text}"[:60] in shown
    for rail in profile.rails.total if profile.rails else ():
        assert rail in shown


def test_json_holds_status_source_and_levels():
    described = json.loads(run("devices", "xavier-nx", "--json").out)
    assert described["status"]["gpu.knee_ghz"] == "derived"
    assert described["comments"]["gpu.knee_ghz"] == "same fit"
    assert described["sysfs"]["jp5"]["gpu_load"] == "/sys/devices/gpu.0/load"
    assert described["processor"] == "gpu"
