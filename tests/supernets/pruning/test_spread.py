"""A sparsity over the layers: what stays in all, by the law, and what cannot be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import InputError
from supernets.pruning.masks import PruneSettings
from supernets.pruning.spread import SPREADS, layer_sparsities

SIDES = st.integers(1, 64)
SHAPES = st.lists(st.tuples(SIDES, SIDES, st.sampled_from([1, 3])), min_size=1, max_size=6)


@given(SHAPES, st.floats(0, 0.99), st.sampled_from(SPREADS))
def test_all_layers_together_have_the_sparsity(
    shapes: list[tuple[int, int, int]], sparsity: float, spread: str
) -> None:
    layers = {str(i): (a, b, k, k) for i, (a, b, k) in enumerate(shapes)}
    found = layer_sparsities(layers, sparsity, spread)
    kept = sum((1 - found[name]) * math.prod(shape) for name, shape in layers.items())
    assert kept == pytest.approx((1 - sparsity) * sum(map(math.prod, layers.values())))
    assert all(0 <= share < 1 for share in found.values())


def test_a_layer_keeps_the_sum_of_its_sides_over_their_product() -> None:
    found = layer_sparsities({"narrow": (8, 8, 1, 1), "wide": (64, 64, 1, 1)}, 0.9, "erk")
    narrow, wide = 1 - found["narrow"], 1 - found["wide"]
    assert narrow / wide == pytest.approx((18 / 64) / (130 / 4096))
    assert layer_sparsities({"a": (2, 1), "b": (64, 64)}, 0.5, "erk")["a"] == 0.0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="`sparsity` must be at least 0 and under 1, got 1"):
        layer_sparsities({"a": (8, 8)}, 1.0)
    with pytest.raises(InputError, match="`spread` must be one of even, erk, got 'wide'"):
        PruneSettings(spread="wide")
    with pytest.raises(InputError, match="`one_budget` finds the sparsity of every layer"):
        PruneSettings(one_budget=True, spread="erk")
