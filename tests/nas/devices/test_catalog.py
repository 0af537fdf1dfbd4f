"""Profiles, levels, the analytic model's physics, this machine as a device."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas.devices
from nas.devices import AnalyticDevice, HostDevice, get_device, load_profile, profile_names
from search_spaces import InputError, NASBench201Space, get_space
from tests.nas.conftest import nas as run

PROFILES = Path(nas.devices.__file__).parent / "profiles"
SPACE = get_space("resnet-cifar")
FINAL = np.eye(SPACE.n_exits + 1, dtype=bool)[[-1]]
XAVIER = AnalyticDevice(load_profile("xavier-nx"))

every_profile = pytest.mark.parametrize("name", profile_names())


def operators(genes):
    return SPACE.operators(genes, np.repeat(FINAL, len(genes), axis=0))


@every_profile
def test_levels_rise_and_stay_within_every_mode(name):
    profile = load_profile(name)
    for mode in profile.modes:
        levels = profile.levels(mode.name)
        clocks = [level.clock_mhz for level in levels]
        assert clocks == sorted(clocks)
        assert [level.level for level in levels] == list(range(len(levels)))
        for level in levels:
            for clock, cap in (
                (level.gpu_mhz, mode.gpu_max_mhz),
                (level.cpu_mhz, mode.cpu_max_mhz),
                (level.emc_mhz, mode.emc_max_mhz),
            ):
                assert clock is None or cap is None or clock <= cap


def test_the_default_of_xavier_nx_is_what_the_stock_file_says():
    levels = load_profile("xavier-nx").levels()
    assert len(levels) == 15
    assert {(level.cpu_mhz, level.emc_mhz) for level in levels} == {(1420.8, 1866.0)}
    assert levels[-1].gpu_mhz == 1109.25
    assert len(load_profile("xavier-nx").levels("MODE_10W_DESKTOP")) == 5


@every_profile
def test_a_faster_clock_is_never_slower(name):
    device = AnalyticDevice(load_profile(name))
    latency, energy = device.cost(operators(SPACE.sample(20, np.random.default_rng(0))))
    assert (np.diff(latency, axis=1) <= 0).all()
    assert (latency > 0).all()
    assert (energy > 0).all()


def test_the_energy_of_the_largest_subnet_is_lowest_at_an_inner_level():
    _, energy = XAVIER.cost(operators(SPACE.largest))
    assert 0 < energy[0].argmin() < len(XAVIER.levels) - 1
    assert energy[0, -1] / energy[0].min() > 1.03


def test_the_smallest_subnet_is_bound_by_kernel_starts_and_draws_less():
    both = operators(np.concatenate([SPACE.largest, SPACE.smallest]))
    share = XAVIER.launch_share(both)
    assert (share[1] > 0.7).all()
    assert (share[0] < share[1]).all()
    latency, energy = XAVIER.cost(both)
    assert (energy[1] / latency[1] < energy[0] / latency[0]).all()


@given(st.integers(0, 1000), st.integers(0, SPACE.n_exits))
def test_a_deeper_program_costs_more(seed, k):
    genes = SPACE.sample(1, np.random.default_rng(seed))
    heads = np.zeros((2, SPACE.n_exits + 1), dtype=bool)
    heads[0, : k + 1] = True
    heads[1] = True
    latency, _ = XAVIER.cost(SPACE.operators(np.repeat(genes, 2, axis=0), heads))
    assert (latency[0] <= latency[1]).all()


def test_batches_of_programs_cost_what_each_costs_alone():
    genes = SPACE.sample(7, np.random.default_rng(2))
    latency, energy = XAVIER.cost(operators(genes))
    for i in range(len(genes)):
        alone = XAVIER.cost(operators(genes[i : i + 1]))
        np.testing.assert_allclose(latency[i], alone[0][0])
        np.testing.assert_allclose(energy[i], alone[1][0])


def test_precision_batch_backend_and_memory_clock_matter():
    largest = operators(SPACE.largest)
    base = XAVIER.cost(largest)[0][0, -1]
    for changed, slower in (
        ({"precision": "fp32"}, True),
        ({"precision": "int8"}, False),
        ({"batch": 8}, True),
        ({"backend": "pytorch"}, True),
        ({"power_mode": "MODE_15W_6CORE"}, True),
    ):
        device = get_device("xavier-nx", **changed)
        assert (device.cost(largest)[0][0, -1] > base) == slower


def test_a_simulated_row_says_so():
    row = XAVIER.measure(SPACE, SPACE.subnet(SPACE.smallest), (0, 3), 7)
    assert row["source"] == "simulated"
    assert (row["heads"], row["level"], row["gpu_mhz"]) == ("0+3", 7, 752.25)
    assert row["power_w"] == pytest.approx(row["energy_mj"] / row["latency_ms"])


def test_this_machine_really_runs_programs():
    space = get_space("resnet-digits")
    device = HostDevice(seconds=0.02)
    smallest = device.measure(space, space.subnet(space.smallest), (0,))
    largest = device.measure(space, space.subnet(space.largest), (0, 1, 2, 3))
    assert smallest["source"] == "measured"
    assert 0 < smallest["latency_ms"] < largest["latency_ms"]
    assert largest["latency_ms"] <= largest["latency_p95_ms"]
    assert 0 < device.decision_ms < 5
    with pytest.raises(InputError, match="nasbench201 has no supernet"):
        device.measure(NASBench201Space(), None, (0,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xavier-xn",), "unknown device 'xavier-xn'; did you mean .*xavier-nx"),
        (("missing.toml",), "device profile missing.toml does not exist"),
        (
            ("xavier-nx", "tflite"),
            "unknown backend 'tflite'; the device has tensorrt, tensorflow, pytorch",
        ),
        (("tx2", None, "int8"), "unknown precision 'int8'; the device has fp32, fp16"),
        (("nano", "ncnn", "fp16"), "unknown precision 'fp16'; the device has fp32"),
        (("nano", None, None, "TURBO"), "nano has no power mode 'TURBO'; it has MAXN, 5W"),
        (("host", "tflite"), "unknown backend .tflite.; host has pytorch, pytorch-compiled"),
        (("host", None, "int4"), "unknown precision .int4.; pytorch has fp32, fp16"),
        (("host", None, None, "MAXN"), "host is measured as it is, asked power mode .MAXN."),
    ],
)
def test_what_a_device_does_not_have(arguments, message):
    names = ("name", "backend", "precision", "power_mode")
    given_ = dict(zip(names, arguments, strict=False))
    with pytest.raises(InputError, match=message):
        get_device(given_.pop("name"), **given_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("base_w = ", "base_w = -"), "power.base_w"),
        (lambda text: text.replace("[memory]", "[memory]\ncolour = 1"), "memory.colour"),
        (lambda text: text.replace("114.75, 204,", "204, 114.75,"), "gpu_mhz must rise"),
        (
            lambda text: text.replace('"fp16"', '"fp8"', 1),
            "default_precision: must be",
        ),
        (lambda text: text + "\n][", "no readable TOML"),
    ],
)
def test_a_profile_of_your_own_is_checked(tmp_path, change, message):
    text = (PROFILES / "xavier-nx.toml").read_text()
    own = tmp_path / "xavier-nx.toml"
    own.write_text(text)
    assert load_profile(str(own)) == load_profile("xavier-nx")
    own.write_text(change(text))
    with pytest.raises(InputError, match=message) as caught:
        load_profile(str(own))
    assert "\n" not in str(caught.value)


def test_devices_on_the_screen_and_as_json():
    shown = run("devices")
    assert shown.code == 0
    for name in profile_names():
        assert name in shown.out
    described = json.loads(run("devices", "xavier-nx", "--json").out)
    raw = tomllib.loads((PROFILES / "xavier-nx.toml").read_text())
    assert described["power"] == raw["power"]
    assert len(described["levels"]["MODE_20W_6CORE"]) == 15
    assert "MODE_10W_DESKTOP" in run("devices", "xavier-nx").out
