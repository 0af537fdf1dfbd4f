"""Operating points: the product of configurations, processors and clocks, and its front."""

from __future__ import annotations

from itertools import product

import pytest

from nas.devices import AnalyticDevice, get_device, load_profile
from nas.operating import csv_of, dynamic_range, operating_points
from search_spaces import InputError, get_space

SPACE = get_space("alexnet-g4-32x32x3-10")
ERRORS = {"g1": 26.0, "g2": 22.0, "g3": 20.0, "g4": 19.0}
XU3 = load_profile("odroid-xu3")
POINTS = operating_points(XU3, SPACE, ERRORS)


def test_points_are_every_configuration_at_every_clock_of_both_clusters() -> None:
    a15 = product(ERRORS, ["A15"], range(1, 5), XU3.cpu_mhz)
    a7 = product(ERRORS, ["A7"], range(1, 5), XU3.clusters["little_a7_mhz"])
    assert {(p.subnet, p.processor, p.cores, p.clock_mhz) for p in POINTS} == {*a15, *a7}
    assert len(POINTS) == 4 * 4 * (19 + 13)
    assert {p.source for p in POINTS} == {"simulated"}


def test_the_front_is_what_no_point_beats() -> None:
    """Against the definition, point by point."""

    def beats(a, b):
        pairs = [(a.latency_ms, b.latency_ms), (a.energy_mj, b.energy_mj)]
        pairs.append((a.top1_error_pct, b.top1_error_pct))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    for point in POINTS:
        assert point.non_dominated is not any(beats(other, point) for other in POINTS)


def test_both_ranges_are_told_apart() -> None:
    found = dynamic_range(XU3, POINTS)
    times = [p.latency_ms for p in POINTS]
    front = [p.energy_mj for p in POINTS if p.non_dominated]
    assert found["all_points"]["time"] == pytest.approx(max(times) / min(times), abs=0.01)
    assert found["non_dominated"]["energy"] == pytest.approx(max(front) / min(front), abs=0.01)
    assert found["n_unwise"] + found["non_dominated"]["n_points"] == len(POINTS)
    assert found["all_points"]["time"] > 41.6 > found["non_dominated"]["time"] > 6
    assert found["all_points"]["energy"] > 10.6 > found["non_dominated"]["energy"] > 4
    assert csv_of({"odroid-xu3": POINTS}).count("\n") == len(POINTS) + 1


def test_a_slow_clock_below_the_knee_costs_more_energy() -> None:
    """So the range is not one of points that divide by the clock."""
    own = [p for p in POINTS if (p.processor, p.cores, p.subnet) == ("A7", 4, "g4")]
    assert own[0].energy_mj > 1.2 * min(p.energy_mj for p in own)
    slow, fast = own[0], own[-1]
    assert slow.latency_ms / fast.latency_ms < fast.clock_mhz / slow.clock_mhz


def test_power_is_that_of_the_rails() -> None:
    assert XU3.on_rails().power.base_w == pytest.approx(0.45)
    nano = load_profile("nano")
    assert nano.on_rails().power.base_w == nano.power.base_w
    assert get_device("odroid-xu3", backend="ncnn-a7").levels[-1].cpu_mhz == 1400


def test_one_core_takes_longer_and_less_power_than_four() -> None:
    one, four = (
        next(
            p
            for p in POINTS
            if (p.processor, p.cores, p.clock_mhz, p.subnet) == ("A15", n, 1000, "g4")
        )
        for n in (1, 4)
    )
    assert 2 < one.latency_ms / four.latency_ms < 4
    assert one.energy_mj / one.latency_ms < four.energy_mj / four.latency_ms
    with pytest.raises(InputError, match="`threads` of odroid-xu3 must be 1 to 4, got 5"):
        AnalyticDevice(XU3, threads=5)


def test_a_gpu_is_one_choice() -> None:
    found = operating_points(load_profile("nano"), SPACE, {"g4": 19.0})
    cores = {p.processor: {q.cores for q in found if q.processor == p.processor} for p in found}
    assert cores == {"GPU": {0}, "CPU": {1, 2, 3, 4}}


def test_a_processor_is_counted_once_whatever_runs_on_it() -> None:
    """tx2 has four backends of one GPU."""
    tx2 = load_profile("tx2")
    found = operating_points(tx2, SPACE, ERRORS)
    assert {p.processor for p in found} == {"GPU", "CPU"}
    alone = operating_points(tx2, SPACE, ERRORS, processors={"GPU": tx2.default_backend})
    assert {p.latency_ms for p in alone} == {p.latency_ms for p in found if p.processor == "GPU"}


def test_no_configuration_is_refused() -> None:
    with pytest.raises(InputError, match="`top1_error_pct` names no configuration"):
        operating_points(XU3, SPACE, {})
