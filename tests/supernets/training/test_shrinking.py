"""Progressive shrinking: dimensions open one after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import get_space
from supernets.training.shrinking import open_dimensions
from tests.supernets.tiny import SPACE


@given(seed=st.integers(0, 999), progress=st.floats(0, 1))
def test_dimensions_open_one_after_the_other(seed: int, progress: float) -> None:
    genes = SPACE.sample(20, np.random.default_rng(seed))
    opened = open_dimensions(SPACE, genes, progress)
    SPACE.check(opened)
    letters = [g.letter for g in SPACE.groups for _ in g.choices]
    n_open = min(int(4 * progress), 3)
    for letter in "dwe"[n_open:]:
        columns = [c == letter for c in letters]
        active = opened[:, columns] > 0
        largest = np.broadcast_to(SPACE.largest[:, columns], active.shape)
        np.testing.assert_array_equal(opened[:, columns][active], largest[active])
    if progress == 1:
        np.testing.assert_array_equal(opened, genes)


def test_a_space_of_one_dimension_opens_as_well() -> None:
    space = get_space("nasbench201")
    genes = space.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(open_dimensions(space, genes, 1.0), genes)
