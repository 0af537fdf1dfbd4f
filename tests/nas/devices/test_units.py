"""Every figure of a profile that has a unit says it."""

from __future__ import annotations

import pytest

from nas.devices import load_profile, profile_names
from nas.devices.units import unit


@pytest.mark.parametrize(
    ("figure", "wanted"),
    [
        ("gpu_mhz", "MHz"),
        ("gpu.k_w_per_ghz", "W/GHz"),
        ("memory.peak_gb_per_s", "GB/s"),
        ("power.w_per_gb_s", "W/(GB/s)"),
        ("power.base_w", "W"),
        ("gpu.peak", "1/clock"),
        ("backends.ncnn.p", ""),
    ],
)
def test_units(figure: str, wanted: str) -> None:
    assert unit(figure) == wanted


@pytest.mark.parametrize("name", profile_names())
def test_every_figure_named_by_a_quantity_has_a_unit(name: str) -> None:
    named = ("_mhz", "_ghz", "_ms", "_us", "_w", "_kib", "_s")
    assert all(unit(f) for f in load_profile(name).figures() if f.endswith(named))
