"""The model against plain loops and against published figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.device_model import ANCHORS, simulated
from nas.devices import AnalyticDevice, get_device, load_profile, profile_names
from nas.devices.profile import BYTES
from search_spaces import InputError, Operators, get_space
from search_spaces.operators import Slot

XAVIER = AnalyticDevice(load_profile("xavier-nx"))
SPACE = get_space("resnet-cifar")


def watts(device, operators):
    latency, energy = device.cost(operators)
    return energy / latency


def conv(c_in, c_out, side):
    return Operators.stack([Slot("conv", 0, c_in, c_out, 3, side, side)])


def test_cost_is_what_a_loop_over_programs_levels_and_operators_gives():
    device = get_device("xavier-nx", batch=3)
    profile, backend = device.profile, device.profile.backends["tensorrt"]
    genes = SPACE.sample(4, np.random.default_rng(0))
    heads = np.arange(4) <= np.arange(4)[:, None]
    operators = SPACE.operators(genes, heads)
    latency, energy = device.cost(operators)
    for i in range(4):
        for at in device.levels:
            f, work, computing, n, moved = at.gpu_mhz * 1e3, 0.0, 0.0, 0, 0.0
            for s in np.flatnonzero(operators.present[i]):
                params = int(operators.params[i, s])
                data = 3 * (int(operators.elements_moved[i, s]) - params) + params
                c = 6 * int(operators.macs[i, s]) / (profile.peak["fp16"] * backend.efficiency * f)
                m = data * BYTES["fp16"] / (32 * at.emc_mhz * 1e3 * profile.memory.usable)
                t = (c**backend.p + m**backend.p) ** (1 / backend.p)
                work, n, moved = work + t, n + 1, moved + data * BYTES["fp16"]
                computing += t * (c / t) ** backend.p
            start = n * backend.kernel_us / 1e3 * backend.reference_mhz / at.gpu_mhz
            t = max(work + start, n * backend.dispatch_us / 1e3) + backend.fixed_us / 1e3
            power, ghz = profile.power, at.gpu_mhz / 1e3
            v = 1 + power.rise_per_ghz * max(0, ghz - power.knee_ghz)
            active = computing / t + (1 - computing / t) * power.idle_share
            w = power.base_w + power.k_w_per_ghz * ghz * v**2 * active
            w += power.w_per_gb_s * moved / t / 1e6
            assert latency[i, at.level] == pytest.approx(t)
            assert energy[i, at.level] == pytest.approx(t * w)


@pytest.mark.parametrize(("device", "mode", "network", "precision", "published"), ANCHORS)
def test_published_latency_is_within_the_stated_uncertainty(
    device, mode, network, precision, published
):
    ms = simulated(device, mode, network, precision)[1][0, -1]
    assert abs(ms / published - 1) <= load_profile(device).uncertainty


def test_waiting_for_memory_draws_less_than_computing():
    """Same clock, same device: a layer with few bytes per MAC against one with many."""
    computes, waits = conv(512, 512, 28), conv(1, 512, 224)
    assert watts(XAVIER, waits)[0, -1] < watts(XAVIER, computes)[0, -1]


def test_the_least_energy_of_the_largest_is_where_sweeps_have_it():
    heads = np.eye(SPACE.n_exits + 1, dtype=bool)[[-1]]
    _, energy = XAVIER.cost(SPACE.operators(SPACE.largest, heads))
    assert 750 <= XAVIER.levels[int(energy[0].argmin())].gpu_mhz <= 910


@given(
    st.sampled_from(profile_names()),
    st.integers(4, 256), st.integers(4, 256), st.integers(4, 56), st.integers(1, 64),
)  # fmt: skip
def test_more_work_in_the_same_kernel_is_never_faster(name, c_in, c_out, side, more):
    device = AnalyticDevice(load_profile(name))
    small, large = device.cost(conv(c_in, c_out, side)), device.cost(conv(c_in, c_out + more, side))
    assert (small[0] <= large[0]).all()
    assert (small[1] <= large[1]).all()


@pytest.mark.parametrize("batch", [0, -2])
def test_a_batch_holds_an_image(batch):
    with pytest.raises(InputError, match=f"batch must be at least 1, got {batch}"):
        get_device("xavier-nx", batch=batch)
