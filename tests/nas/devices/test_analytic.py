"""The model against plain loops and against published figures."""

import ast
import inspect
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.device_data import ANCHORS, DOUBTED, loudva, tx2_grid, tx2_vgg
from benchmarks.device_fit import model as at_full_power
from benchmarks.device_fit import single_stream, tx2_latencies
from benchmarks.device_model import ncnn, simulated_ms
from benchmarks.networks import NETWORKS
from nas.devices import AnalyticDevice, analytic, get_device, load_profile, profile_names
from nas.devices.tables import BYTES
from search_spaces import InputError, Operators, get_space
from search_spaces.operators import Slot

XAVIER = AnalyticDevice(load_profile("xavier-nx"))
SPACE = get_space("resnet-cifar")


def watts(device, operators):
    latency, energy = device.cost(operators)
    return energy / latency


def conv(c_in, c_out, side):
    return Operators.stack([Slot("conv", 0, c_in, c_out, 3, side, side)])


def loop_cost(device, operators, i, at):
    """latency_ms and watts of program i at one level, by plain loops over its operators."""
    profile, runtime = device.profile, device.runtime
    unit = getattr(profile, device.processor)
    f, batch, size = at.clock_mhz, device.batch, BYTES[device.precision]
    bw = profile.memory.gb_per_s[profile.emc_mhz.index(at.emc_mhz)] * 1e6
    speed = unit.peak[device.precision] * runtime.precision[device.precision]
    speed *= device.threads**runtime.parallel * f * 1e3
    work, computing, n, traffic = 0.0, 0.0, 0, 0.0
    for s in np.flatnonzero(operators.present[i]):
        kind, kernel = operators.kinds[s], operators.kernel[i, s]
        if kind == "conv":
            kind = {1: "pointwise", 3: "conv3x3"}.get(int(kernel), "conv")
        eta = getattr(runtime.efficiency, kind, 1.0)
        params, macs = int(operators.params[i, s]), int(operators.macs[i, s])
        moved = (batch * (int(operators.elements_moved[i, s]) - params) + params) * size
        over = max(0.0, 1 - unit.cache_kib * 1024 / moved)
        moved += over * runtime.reread_per_mac * macs * batch * size
        c, m = 2 * macs * batch / (speed * eta), moved / bw
        t = (c**runtime.p + m**runtime.p) ** (1 / runtime.p)
        work, computing, traffic = work + t, computing + t * (c / t) ** runtime.p, traffic + moved
        kernels = runtime.kernels_per_conv if operators.kinds[s] in ("conv", "depthwise") else 1
        results = operators.c_out[i, s] * operators.side_out[i, s] ** 2 * batch * size
        n, traffic = n + kernels, traffic + (kernels - 1) * 2 * results
        work += (kernels - 1) * 2 * results / bw
    running = work + n * runtime.start_us / 1e3 * runtime.start_mhz / f
    dispatch = 0.0
    if runtime.dispatch_mhz:
        dispatch = n * runtime.dispatch_us / 1e3 * runtime.dispatch_mhz / at.cpu_mhz
    t, power = max(running, dispatch) + runtime.transfer_us / 1e3, profile.power

    def switching(unit, mhz):
        v = 1 + unit.rise_per_ghz * max(0, mhz / 1e3 - unit.knee_ghz)
        return unit.k_w_per_ghz * mhz / 1e3 * v**2

    active = computing / t + power.wait_share * (running - computing) / t
    active += power.idle_share * (1 - running / t)
    cores = device.threads if device.processor == "cpu" else 1
    base = power.base_w - power.w_per_emc_ghz * (profile.emc_mhz[-1] - at.emc_mhz) / 1e3
    watts = base + cores * switching(unit, f) * active + power.w_per_gb_s * traffic / t / 1e6
    host = switching(profile.cpu, at.cpu_mhz) * dispatch / t if device.processor == "gpu" else 0
    return t, watts + host


@pytest.mark.parametrize(
    ("name", "options"),
    [("xavier-nx", {"batch": 3}), ("xavier-nx", {"backend": "pytorch"}), ("tx2", {}),
     ("xavier-nx", {"backend": "tensorflow", "power_mode": "MODE_10W_4CORE"}),
     ("nano", {"backend": "ncnn"})],
)  # fmt: skip
def test_cost_is_what_a_loop_over_programs_levels_and_operators_gives(name, options):
    device = get_device(name, **options)
    genes = SPACE.sample(4, np.random.default_rng(0))
    operators = SPACE.operators(genes, np.arange(4) <= np.arange(4)[:, None])
    latency, energy = device.cost(operators)
    for i in range(4):
        for at in device.levels:
            t, w = loop_cost(device, operators, i, at)
            assert latency[i, at.level] == pytest.approx(t)
            assert energy[i, at.level] == pytest.approx(t * w)


def test_one_large_convolution_by_hand():
    """Xavier NX, TensorRT fp16 at 1109.25 MHz: 256 to 256 channels, 3 x 3, 28 x 28."""
    flop = 2 * 256 * 256 * 9 * 28 * 28
    compute_ms = flop / (6144 * 0.24 * 1109.25e3)
    memory_ms = 2 * (2 * 256 * 28 * 28 + 256 * 256 * 9) / 44.78e6
    roof = (compute_ms**2.8 + memory_ms**2.8) ** (1 / 2.8)
    assert XAVIER.cost(conv(256, 256, 28))[0][0, -1] == pytest.approx(roof + 0.006 + 0.020)


def test_every_constant_of_the_model_comes_from_the_profile():
    """The code has no numbers but those of units, of a MAC (2 operations), of 3 x 3 windows."""
    tree = ast.parse(inspect.getsource(analytic))
    numbers = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    numbers = {n for n in numbers if isinstance(n, (int, float)) and not isinstance(n, bool)}
    assert numbers <= {0, 1, 2, 3, 1e3, 1e6, 1024}


@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda a: "-".join(map(str, a[:5])))
def test_published_latency_is_within_the_stated_uncertainty(anchor):
    device, mode, backend, precision, network, published, use = anchor
    ms = simulated_ms(device, mode, backend, precision, network)
    allowed = 1 + load_profile(device).backends[backend].uncertainty
    if use == DOUBTED or (network == "densenet121" and backend == "tensorrt"):
        allowed = 3  # what TensorRT 5 copied for its concatenations is not known
    assert 1 / allowed <= ms / published <= allowed


def test_published_latencies_of_ncnn_are_within_a_factor_of_1_4():
    rows = ncnn()
    assert sum(int(row["what"].split(", ")[1].split()[0]) for row in rows) == 95
    assert max(row["simulated"] for row in rows) < 1.4


DATA = Path(os.environ.get("NAS_HARDWARE", ""))  # the folder that `device_model.py --data` takes
published = pytest.mark.skipif(
    "NAS_HARDWARE" not in os.environ, reason="NAS_HARDWARE names no folder of published sweeps"
)


@published
@pytest.mark.parametrize("name", ["xavier-nx", "agx-xavier", "nano"])
def test_single_stream_sweeps_of_an_image_classifier(name):
    sweep = loudva(DATA, name)
    device = at_full_power(load_profile(name), "tensorflow")
    ms, w = single_stream(device, NETWORKS["inception_v3"](), sweep)
    assert np.mean(np.abs(ms / sweep.ms - 1)) < 0.03
    assert np.median(np.abs(w / sweep.watts - 1)[sweep.counted]) < 0.04
    gap = 0 if name == "agx-xavier" else sweep.gap_ms
    measured = (sweep.ms + gap) * sweep.watts
    assert measured[((ms + gap) * w).argmin()] / measured.min() < 1.05


@published
def test_sweeps_over_core_and_memory_clock_of_tx2():
    rows, profile = tx2_grid(DATA), load_profile("tx2")
    faults = np.abs(tx2_latencies(profile, rows) / rows["latency_ms"] - 1)
    assert (faults.groupby(rows["network"]).mean() < 0.03).all()
    sweep, _ = tx2_vgg(DATA)
    device, vgg = at_full_power(profile, "tensorrt"), NETWORKS["vgg19"]()
    ms, w = single_stream(device, vgg, sweep)
    assert np.median(np.abs(w / sweep.watts - 1)) < 0.04
    assert (ms * w).argmin() == (sweep.ms * sweep.watts).argmin()


@pytest.mark.parametrize("name", ["xavier-nx", "agx-xavier", "nano", "tx2"])  # published sweeps
def test_the_least_energy_of_a_network_that_computes_is_at_an_inner_clock(name):
    device = at_full_power(load_profile(name), "tensorrt")
    _, energy = device.cost(NETWORKS["vgg19"]())
    assert 0 < energy[0].argmin() < len(device.levels) - 1


def test_waiting_for_memory_draws_less_than_computing():
    """Same clock, same device: a layer with few bytes per MAC against one with many."""
    computes, waits = conv(512, 512, 28), conv(1, 512, 224)
    assert watts(XAVIER, waits)[0, -1] < watts(XAVIER, computes)[0, -1]


def test_idle_power_rises_with_the_clock_and_stays_below_running():
    idle = XAVIER.idle_w()
    assert (np.diff(idle) > 0).all()
    assert (idle < watts(XAVIER, conv(512, 512, 28))[0]).all()


def test_a_faster_host_helps_who_waits_for_it():
    slow, fast = (
        get_device("xavier-nx", backend="pytorch", power_mode=m).cost(NETWORKS["resnet18"]())
        for m in ("MODE_20W_6CORE", "MODE_20W_2CORE")
    )
    ratio = slow[0][0, -1] / fast[0][0, -1]
    assert ratio == pytest.approx(1907.2 / 1420.8, rel=0.02)  # 0.2 ms are no dispatch


def test_more_threads_are_faster_up_to_the_cores_of_the_mode():
    four = get_device("xavier-nx", backend="ncnn", power_mode="MODE_15W_4CORE")
    two = get_device("xavier-nx", backend="ncnn", power_mode="MODE_15W_2CORE")
    assert (four.threads, two.threads) == (4, 2)
    at_same_clock = [level.cpu_mhz for level in four.levels].index(1420.8)
    resnet = NETWORKS["resnet50"]()
    latency = [d.cost(resnet)[0][0, at_same_clock] for d in (two, four)]
    assert latency[0] / latency[1] == pytest.approx(2**0.661, rel=0.02)


def test_rows_say_how_uncertain_they_are():
    row = XAVIER.measure(SPACE, SPACE.subnet(SPACE.smallest), (0, 3))
    assert row["latency_uncertainty_rel"] == XAVIER.profile.backends["tensorrt"].uncertainty
    assert row["energy_uncertainty_rel"] == pytest.approx(np.hypot(0.35, 0.1))


def test_the_least_energy_of_the_largest_is_where_sweeps_have_it():
    heads = np.eye(SPACE.n_exits + 1, dtype=bool)[[-1]]
    _, energy = XAVIER.cost(SPACE.operators(SPACE.largest, heads))
    assert 750 <= XAVIER.levels[int(energy[0].argmin())].gpu_mhz <= 910


backends = st.sampled_from([(n, b) for n in profile_names() for b in load_profile(n).backends])
sizes = st.tuples(st.integers(4, 256), st.integers(4, 256), st.integers(4, 56))


@given(backends, sizes, st.integers(1, 64))
def test_more_work_in_the_same_kernel_is_never_faster(which, size, more):
    device = AnalyticDevice(load_profile(which[0]), backend=which[1])
    c_in, c_out, side = size
    small, large = device.cost(conv(c_in, c_out, side)), device.cost(conv(c_in, c_out + more, side))
    assert (small[0] <= large[0]).all()
    assert (small[1] <= large[1]).all()


@given(backends, sizes, st.integers(1, 8))
def test_a_larger_batch_never_costs_less(which, size, batch):
    profile = load_profile(which[0])
    one, many = (
        AnalyticDevice(profile, backend=which[1], batch=n).cost(conv(*size)) for n in (1, batch)
    )
    for alone, together in zip(one, many, strict=True):
        assert (alone * (1 - 1e-9) <= together).all()


@given(backends, sizes)
def test_a_faster_clock_is_never_slower(which, size):
    latency, _ = AnalyticDevice(load_profile(which[0]), backend=which[1]).cost(conv(*size))
    assert (np.diff(latency[0]) <= 1e-12).all()


@given(sizes)
def test_a_faster_memory_clock_is_never_slower(size):
    slow, fast = (
        get_device("xavier-nx", power_mode=mode).cost(conv(*size))[0]
        for mode in ("MODE_15W_4CORE", "MODE_20W_4CORE")  # 1600 and 1866 MHz
    )
    assert (fast <= slow).all()


@pytest.mark.parametrize("batch", [0, -2])
def test_a_batch_holds_an_image(batch):
    with pytest.raises(InputError, match=f"`batch` must be at least 1, got {batch}"):
        get_device("xavier-nx", batch=batch)


def test_a_program_or_a_level_that_is_not_there_is_refused():
    subnet = SPACE.subnet(SPACE.largest)
    for heads in ([], [9], [-1]):
        with pytest.raises(InputError, match=r"`heads` must be some of 0 to 3, got \["):
            XAVIER.measure(SPACE, subnet, heads)
    with pytest.raises(InputError, match="xavier-nx has levels 0 to 14, got `level` 15"):
        XAVIER.measure(SPACE, subnet, [3], 15)
    assert repr(XAVIER).startswith("AnalyticDevice(xavier-nx: tensorrt, ")
