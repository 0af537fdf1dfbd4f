"""Blocks: the exact ways against brute force and each other, BED against the optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces import Bools, Floats, InputError
from supernets.pruning import METHODS, block_mask, retained, select_blocks

EXACT, PLACING = ("exact", "programme"), ("exact", "programme", "bed", "aligned")


def best_by_trying_all(scores: Floats, g: int, n_blocks: int) -> float:
    """The most that `n_blocks` retain, over all sets of starts of every column."""
    rows, columns = scores.shape
    best = np.array([0.0] + [-np.inf] * n_blocks)  # by number of blocks, over the columns so far
    for c in range(columns):
        of = np.full(n_blocks + 1, -np.inf)
        for k in range(min(n_blocks, rows // g) + 1):
            for starts in itertools.combinations(range(rows - g + 1), k):
                if all(b - a >= g for a, b in itertools.pairwise(starts)):
                    of[k] = max(of[k], sum(scores[s : s + g, c].sum() for s in starts))
        joined = [max(best[m - k] + of[k] for k in range(m + 1)) for m in range(n_blocks + 1)]
        best = np.array(joined)
    return float(best[n_blocks])


def check_blocks(starts: Bools, g: int) -> None:
    """No overlap, and every block whole within its column."""
    assert block_mask(starts, g).sum() == g * starts.sum()


@st.composite
def problems(draw):
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    g = draw(st.integers(1, min(rows, 4)))
    cells = st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4, width=32))  # ties too
    values = draw(st.lists(cells, min_size=rows * columns, max_size=rows * columns))
    n_blocks = draw(st.integers(1, columns * (rows // g)))
    sparsity = max(0.0, 1 - (n_blocks + 1e-6) * g / (rows * columns))
    return np.array(values).reshape(rows, columns), g, sparsity, n_blocks


@settings(max_examples=200, deadline=None)
@given(problem=problems(), norm=st.sampled_from(["l1", "l2"]))
def test_exact_equals_brute_force(problem, norm) -> None:
    weight, g, sparsity, n_blocks = problem
    scores = np.abs(weight) if norm == "l1" else weight**2
    best = best_by_trying_all(scores, g, n_blocks)
    for method in METHODS:
        starts = select_blocks({"w": weight}, g, sparsity, method=method, norm=norm)["w"]
        check_blocks(starts, g)
        kept = scores[block_mask(starts, g)].sum()
        assert kept <= best + 1e-9 * (1 + best)
        assert starts.sum() == n_blocks or method in ("greedy", "aligned")
        if method in EXACT:
            assert kept == pytest.approx(best, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(8, 40), st.integers(1, 30)), min_size=1, max_size=3),
    g=st.integers(1, 8),
    sparsity=st.floats(0, 0.95),
    ties=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_exact_ways_agree_over_one_budget(shapes, g, sparsity, ties, seed) -> None:
    rng = np.random.default_rng(seed)
    weights = {
        str(i): rng.normal(size=shape).round(int(not ties) * 9) for i, shape in enumerate(shapes)
    }
    n_blocks = int(sum(w.size for w in weights.values()) * (1 - sparsity) / g + 1e-9)
    assume(n_blocks > 0)
    kept = []
    for method in EXACT:
        starts = select_blocks(weights, g, sparsity, method=method, one_budget=True)
        for of_layer in starts.values():
            check_blocks(of_layer, g)
        kept.append(sum(np.abs(w)[block_mask(starts[k], g)].sum() for k, w in weights.items()))
        fitting = sum(w.shape[1] * (len(w) // g) for w in weights.values())
        assert sum(int(s.sum()) for s in starts.values()) == min(n_blocks, fitting)
    assert kept[0] == pytest.approx(kept[1], rel=1e-9)


@pytest.mark.parametrize(("sparsity", "bound"), [(0.5, 0.995), (0.9, 0.999)])
@pytest.mark.parametrize(("side", "g"), [(64, 4), (64, 8), (130, 4), (256, 8)])
def test_bed_is_near_the_optimum_and_aligned_is_not(side, g, sparsity, bound) -> None:
    weight = {"w": np.random.default_rng(side).laplace(size=(side, side))}
    starts = {m: select_blocks(weight, g, sparsity, method=m)["w"] for m in METHODS}
    kept = {m: retained(weight["w"], block_mask(s, g)) for m, s in starts.items()}
    assert kept["exact"] == pytest.approx(kept["programme"], rel=1e-9)
    assert bound <= kept["bed"] / kept["exact"] <= 1 + 1e-12
    assert 0.85 < kept["aligned"] / kept["exact"] < 0.97
    n_blocks = int(side * side * (1 - sparsity) / g + 1e-9)
    assert {int(starts[m].sum()) for m in PLACING} == {n_blocks}
    unaligned = np.nonzero(starts["exact"])[0] % g != 0
    assert unaligned.mean() > 0.85 * (g - 1) / g  # any row but for the pull of a column's two ends
    assert not (np.nonzero(starts["aligned"])[0] % g).any()


def test_bed_at_a_higher_sparsity_keeps_a_part() -> None:
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(37, 20)).round(1), "b": rng.normal(size=(16, 9))}
    for one_budget in (False, True):
        larger = {k: np.ones(w.shape, dtype=bool) for k, w in weights.items()}
        for sparsity in np.linspace(0.05, 0.95, 19):
            found = select_blocks(weights, 4, sparsity, method="bed", one_budget=one_budget)
            masks = {k: block_mask(s, 4) for k, s in found.items()}
            assert all((larger[k] | ~masks[k]).all() for k in weights)
            larger = masks


def test_greedy_cannot_place_all_blocks() -> None:
    weight = {"w": np.random.default_rng(0).normal(size=(64, 64))}
    starts = {m: int(select_blocks(weight, 4, 0.05, method=m)["w"].sum()) for m in METHODS}
    assert starts["greedy"] < starts["bed"] == starts["exact"] == int(64 * 64 * 0.95 / 4)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_of_one_are_the_greatest_weights(method: str) -> None:
    weight = np.random.default_rng(0).normal(size=(12, 7))
    mask = block_mask(select_blocks({"w": weight}, 1, 0.75, method=method)["w"], 1)
    assert set(np.abs(weight)[mask]) == set(np.sort(np.abs(weight).ravel())[-21:])


@pytest.mark.parametrize("method", METHODS)
def test_a_convolution_has_a_column_for_every_input_and_tap(method: str) -> None:
    weight = np.random.default_rng(0).normal(size=(10, 3, 3, 3))
    starts = select_blocks({"conv": weight}, 4, 0.8, method=method)["conv"]
    flat = select_blocks({"conv": weight.reshape(10, 27)}, 4, 0.8, method=method)["conv"]
    assert starts.shape == (7, 27)
    np.testing.assert_array_equal(starts, flat)


@pytest.mark.parametrize("method", EXACT)
def test_equal_weights_are_filled_to_the_budget(method: str) -> None:
    for weight in (np.ones((9, 5)), np.zeros((9, 5))):
        starts = select_blocks({"w": weight}, 2, 0.65, method=method)["w"]
        check_blocks(starts, 2)
        assert starts.sum() == 7


@pytest.mark.parametrize(
    ("weight", "g", "sparsity", "options", "reason"),
    [
        (np.ones((4, 3)), 5, 0.5, {}, "stem: `g` must be 1 to its 4 rows, got 5"),
        (np.ones((4, 3)), 0, 0.5, {}, "stem: `g` must be 1"),
        (np.ones((4, 3)), 4, 0.9, {}, "stem: `sparsity` 0.9 leaves no block of `g` 4"),
        (np.ones((4, 3)), 4, 1.0, {}, "`sparsity` must be at least 0 and under 1, got 1.0"),
        (np.array([[np.nan], [np.inf]]), 1, 0.5, {}, "stem: 2 weights are not finite"),
        (np.ones(4), 1, 0.5, {}, r"stem: weights must be rows and columns, got shape \(4,\)"),
        (np.ones((4, 3)), 1, 0.5, {"method": "best"}, "`method` must be one of exact, prog"),
        (np.ones((4, 3)), 1, 0.5, {"norm": "l3"}, "`norm` must be l1 or l2, got 'l3'"),
    ],
)
def test_bad_input_is_refused_by_name(weight, g, sparsity, options, reason) -> None:
    with pytest.raises(InputError, match=reason):
        select_blocks({"stem": weight}, g, sparsity, **options)


def test_a_parameter_in_any_precision_is_pruned_as_its_numbers() -> None:
    weight = nn.Conv2d(4, 8, 3).weight
    for held in (weight, weight.bfloat16()):
        wanted = select_blocks({"a": held.detach().double().numpy()}, 2, 0.5)["a"]
        assert np.array_equal(select_blocks({"a": held}, 2, 0.5)["a"], wanted)
