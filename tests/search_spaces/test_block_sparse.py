"""The space of pruned stages: those of its base, and the density of every stage."""

from __future__ import annotations

import re

import numpy as np
import pytest

from search_spaces import (
    BlockSparseSpace,
    InputError,
    get_space,
    resnet_digits,
    space_from_dict,
)

BASE = resnet_digits()
SPACE = BlockSparseSpace.of(BASE, 4, (100, 30, 10))
EVERY = np.eye(4, dtype=bool)


def genes(*densities: int) -> np.ndarray:
    """The largest network with these densities of its stages."""
    return np.array([*SPACE.largest[0][:-4], *densities])[None]


def test_the_name_is_enough_to_build_the_space() -> None:
    assert SPACE.name == "resnet-digits-blocks4-10.30.100"
    assert get_space(SPACE.name) == space_from_dict(SPACE.to_dict()) == SPACE
    for name in ("nasbench201-blocks4-10.100", SPACE.name + "-blocks4-10.100"):
        with pytest.raises(InputError, match="unknown space"):
            get_space(name)


def test_every_stage_has_a_density_and_the_largest_is_dense() -> None:
    assert SPACE.named_choices() | {"density3": (10, 30, 100)} == SPACE.named_choices()
    assert str(SPACE.subnet(SPACE.largest)).endswith("-b100.100.100.100")
    assert SPACE.parse(str(SPACE.subnet(genes(10, 30, 100, 10))))["b"] == (10, 30, 100, 10)
    heads = np.array([[False, True, False, False]])
    assert SPACE.used_genes(heads)[0, -4:].tolist() == [True, True, False, False]


def test_operators_carry_the_density_of_their_stage() -> None:
    chosen, dense = genes(10, 100, 30, 10), BASE.largest
    for head in EVERY:
        sparse, whole = SPACE.operators(chosen, head[None]), BASE.operators(dense, head[None])
        conv = np.array([kind == "conv" for kind in sparse.kinds]) & (sparse.c_in[0] > 4)
        wanted = np.where(conv, np.array([10, 100, 30, 10])[list(sparse.stages)], 100)
        present = sparse.present[0]
        np.testing.assert_array_equal(sparse.density[0, present], wanted[present])
        kept = whole.params[0, present] * wanted[present] // 100
        np.testing.assert_array_equal(sparse.params[0, present], kept)
        np.testing.assert_array_equal(whole.c_out, sparse.c_out)


@pytest.mark.parametrize(
    ("g", "densities", "words"),
    [
        (0, (10,), "`g` must be 1 to 8, the channels of the narrowest stage, got 0"),
        (9, (10,), "`g` must be 1 to 8"),
        (4, (), "`densities` must be percent from 1 to 100, got []"),
        (4, (0, 100), "`densities` must be percent from 1 to 100, got [0, 100]"),
        (4, (10, 101), "got [10, 101]"),
    ],
)
def test_what_is_no_density_is_refused(g: int, densities: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        BlockSparseSpace.of(BASE, g, densities)
