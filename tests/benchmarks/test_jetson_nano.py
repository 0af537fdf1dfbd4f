"""Networks of the Jetson Nano campaigns counted by hand, and against the source's own counts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.jetson_nano import fit_roofline, roofline
from benchmarks.nano_networks import operators, read_networks, take, work

PLAIN = {"layers": 2, "filters": 4, "kernels": "K3x3", "input_px": 5, "depthwise": 0}
MIXED = {"layers": 3, "filters": 2, "kernels": "K2x2_2_K5x5_1", "input_px": 10, "depthwise": 0}
DEPTHWISE = {"layers": 1, "filters": 6, "kernels": "K5x5", "input_px": 8, "depthwise": 1}
NETWORKS = operators(pd.DataFrame([PLAIN, MIXED, DEPTHWISE]))


def present(row: int, values: np.ndarray) -> list[int]:
    return values[row][NETWORKS.present[row]].tolist()


def test_sides_follow_the_padding_of_the_source() -> None:
    assert present(0, NETWORKS.side_out) == [5, 5, 1]  # 3 wide, padding 1
    # 10 + 4 - 2 + 1, then the first odd kernel makes the padding 1 for good
    assert present(1, NETWORKS.side_out) == [13, 11, 12, 1]
    assert present(2, NETWORKS.side_out) == [8, 8, 1]  # 5 wide, padding 2, then 1 x 1


def test_weights_are_counted_by_hand() -> None:
    assert present(0, NETWORKS.params) == [3 * 4 * 9, 4 * 4 * 9, 4 * 25 * 10]
    assert present(1, NETWORKS.params) == [3 * 2 * 4, 2 * 2 * 25, 2 * 2 * 4, 2 * 144 * 10]
    assert present(2, NETWORKS.params) == [3 * 25, 3 * 6, 6 * 64 * 10]


def test_amounts_of_work_are_counted_by_hand() -> None:
    amounts = work(NETWORKS)
    expected = np.zeros((3, 11))
    expected[0, 2] = (108 + 144) * 25
    expected[1, [1, 4]] = 24 * 169 + 16 * 144, 100 * 121
    expected[2, [0, 7]] = 18 * 64, 75 * 64
    # inputs, outputs and weights of convolutions, then of the linear layer, 4 bytes each
    expected[0, 8] = 4 * (3 * 25 + 4 * 25 + 108 + 2 * 4 * 25 + 144)
    expected[1, 8] = 4 * (300 + 2 * (2 * 169 + 2 * 121) + 2 * 144 + 24 + 100 + 16)
    expected[2, 8] = 4 * (3 * 3 * 64 + 6 * 64 + 75 + 18)
    expected[:, 9] = 4 * 11 * np.array([100, 288, 384]) + 4 * 10
    expected[:, :10] /= 1e6
    expected[:, 10] = 3, 4, 3
    np.testing.assert_allclose(amounts, expected, rtol=1e-12)


def test_some_networks_are_taken_whole() -> None:
    rows = np.array([True, False, True])
    taken = take(NETWORKS, rows)
    np.testing.assert_array_equal(taken.macs, NETWORKS.macs[rows])
    np.testing.assert_array_equal(taken.elements_moved, NETWORKS.elements_moved[rows])


def test_the_roofline_is_what_a_loop_over_layers_gives() -> None:
    theta = np.log([0.3, 40.0, 0.7, 0.02, 1.5])
    for row, cost in enumerate(roofline(theta, NETWORKS)):
        expected = 1.5
        for macs, moved in zip(
            present(row, NETWORKS.macs), present(row, NETWORKS.elements_moved), strict=True
        ):
            compute, memory = 0.3 * macs / 1e6, 40 * 4 * moved / 1e6
            expected += (compute**1.7 + memory**1.7) ** (1 / 1.7) + 0.02
        assert cost == pytest.approx(expected)


def test_the_roofline_is_found_again_from_its_costs() -> None:
    rng = np.random.default_rng(0)
    rows = {
        "layers": rng.integers(2, 9, 80),
        "filters": rng.integers(32, 513, 80),
        "kernels": rng.choice(["K1x1", "K3x3", "K5x5"], 80),
        "input_px": rng.integers(10, 100, 80),
        "depthwise": np.zeros(80, dtype=int),
    }
    networks = operators(pd.DataFrame(rows))
    cost = roofline(np.log([0.01, 0.2, 1.0, 0.05, 2.0]), networks)
    np.testing.assert_allclose(roofline(fit_roofline(networks, cost), networks), cost, rtol=0.02)


@pytest.mark.skipif("NAS_HARDWARE" not in os.environ, reason="NAS_HARDWARE names no tables")
def test_every_network_has_the_weights_and_macs_that_the_source_counted() -> None:
    networks = read_networks(Path(os.environ["NAS_HARDWARE"]) / "jetson_nano_cnn")
    ops, measured = networks.operators, networks.measured
    weights = ops.params + ops.c_out  # one bias per channel
    np.testing.assert_array_equal(weights.sum(axis=1), measured["params"])
    np.testing.assert_array_equal((weights * ops.side_out**2).sum(axis=1), measured["macs"])
    assert np.isfinite(networks.X).all()
