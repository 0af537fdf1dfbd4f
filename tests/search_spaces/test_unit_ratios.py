"""Ratios of blocks and patterns: the name says all, operators have the density of every layer."""

from __future__ import annotations

import re

import numpy as np
import pytest

from search_spaces import InputError, UnitRatioSpace, get_space, resnet_digits, space_from_dict

BASE = resnet_digits()
N_LAYERS = 19
ROWS = (tuple(range(5, 5 + N_LAYERS)), (100,) * N_LAYERS)
SPACE = UnitRatioSpace.of(BASE, (200, 1000), "block", densities=ROWS)


def test_the_name_is_enough_to_build_the_space() -> None:
    assert SPACE.name.startswith("resnet-digits-ratios-block8-r200d5.6.7.8.")
    assert get_space(SPACE.name) == SPACE == space_from_dict(SPACE.to_dict())
    assert get_space(SPACE.name).measured_alone
    many = UnitRatioSpace.of(BASE, tuple(range(100, 900, 100)), "pattern")
    assert get_space(many.name) == many  # a name longer than that of a file may be
    with pytest.raises(InputError, match="unknown space"):
        get_space("nasbench201-ratios-block8-r1000d8")


def test_operators_have_the_density_of_their_layer_and_the_rest_is_dense() -> None:
    heads = np.ones((2, 4), dtype=bool)
    found = SPACE.operators(SPACE.enumerate(), heads)
    dense = BASE.operators(BASE.largest, heads[:1])
    assert found.density[0, list(SPACE.unit_slots)].tolist() == list(ROWS[0])
    others = [i for i in range(len(found.kinds)) if i not in SPACE.unit_slots]
    np.testing.assert_array_equal(found.density[0, others], dense.density[0, others])
    np.testing.assert_array_equal(found.macs[1], dense.macs[0])
    last = BASE.operators(BASE.largest, np.eye(4, dtype=bool)[3:]).macs.sum()
    assert SPACE.layer_macs().sum() + SPACE.other_macs() == last
    first = SPACE.operators(SPACE.enumerate(), np.eye(4, dtype=bool)[:1])
    assert first.present[0].sum() < found.present[0].sum()  # an early exit leaves later layers out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("rows", 8), "`unit` must be one of filter, block, pattern, got 'rows'"),
        (("block", 12), "`g` must divide the channels of every layer, got 12, and a layer of"),
        (("block", -1), "`g` must divide the channels of every layer, got -1"),
        (("block", 8, ((5,),)), "need densities of 19 layers each, got [1]"),
        (("block", 8, (ROWS[1], ROWS[0])), "densities must be percent and rise"),
    ],
)
def test_what_makes_no_space_is_refused(given, words) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        UnitRatioSpace.of(BASE, (200, 1000), *given)
