"""Features of programs: names, and equal rows for equal programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import InputError, Space, encode, feature_names, get_space
from tests.search_spaces.test_space import every_space, head_sets


@every_space
@given(data=st.data())
def test_features_have_names(space: Space, data: st.DataObject) -> None:
    heads = data.draw(head_sets(space))
    X = encode(space, space.sample(4, np.random.default_rng(0)), heads)
    names = feature_names(space)
    assert len(set(names)) == len(names)
    assert X.shape == (4, len(names))
    assert np.isfinite(X).all()


@every_space
@given(data=st.data())
def test_equal_programs_have_equal_features(space: Space, data: st.DataObject) -> None:
    """Genes behind the deepest exit of a program are not computed and must not be seen."""
    heads = data.draw(head_sets(space))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    genes = space.full(space.sample(6, rng))
    other = np.where(space.used_genes(heads), genes, space.full(space.sample(6, rng)))
    a, b = space.canonical(genes), space.canonical(other)
    np.testing.assert_array_equal(encode(space, a, heads), encode(space, b, heads))


@every_space
def test_features_of_rows_are_those_of_the_population(space: Space) -> None:
    rng = np.random.default_rng(0)
    genes, heads = space.sample(8, rng), rng.random((8, space.n_exits + 1)) < 0.5
    heads[:, -1] |= ~heads.any(axis=1)
    alone = [encode(space, genes[i : i + 1], heads[i : i + 1])[0] for i in range(8)]
    np.testing.assert_array_equal(encode(space, genes, heads), alone)


def test_a_row_that_is_no_program_is_refused() -> None:
    space = get_space("resnet-digits")
    heads = np.ones(space.n_exits + 1, dtype=bool)
    as_lists = encode(space, space.largest.tolist(), [heads.tolist()])
    np.testing.assert_array_equal(as_lists, encode(space, space.largest, heads))
    with pytest.raises(InputError, match=r"`genes` must be \(n, 16\), got \(16,\)"):
        encode(space, space.largest[0], heads)
    with pytest.raises(InputError, match=r"`heads` must be \(n, 4\) or a row, got \(1,\)"):
        encode(space, space.largest, heads[:1])
