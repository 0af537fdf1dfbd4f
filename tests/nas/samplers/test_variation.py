"""Children come from their parents, and mutation is as frequent as asked."""

import numpy as np
import pytest
from optuna.distributions import IntDistribution

from nas.samplers.domain import ParameterDomain, SpaceDomain
from nas.samplers.variation import offspring
from search_spaces import get_space

N = 4000
DOMAIN = ParameterDomain({f"x{i}": IntDistribution(0, 9) for i in range(6)})
PARENTS = np.array([[1] * 6, [5] * 6])
PAIRS = np.tile([[0], [1]], N)


def children(seed=0, **options):
    return offspring(DOMAIN, PARENTS, PAIRS, np.random.default_rng(seed), **options)


def test_without_mutation_every_gene_is_a_parents_and_both_give_half():
    found = children(n_mutations=0)
    assert set(np.unique(found)) == {1, 5}
    np.testing.assert_allclose((found == 1).mean(axis=0), 0.5, atol=0.03)
    independent = (found[:, 0] == found[:, 1]).mean()
    assert independent == pytest.approx(0.5, abs=0.03)


def test_half_of_the_children_of_one_parent_are_its_copies():
    copies = (children(n_mutations=0, some_alone=True) == 5).all(axis=1).mean()
    assert copies == pytest.approx(0.5 + 0.5 / 2**6, abs=0.03)


@pytest.mark.parametrize("n_mutations", [1, 2])
def test_mutations_are_as_many_as_asked(n_mutations):
    neither = ~np.isin(children(n_mutations=n_mutations), [1, 5])
    assert neither.sum(axis=1).mean() == pytest.approx(0.8 * n_mutations, abs=0.06)
    np.testing.assert_allclose(neither.mean(axis=0), 0.8 * n_mutations / 6, atol=0.03)


def test_the_same_generator_gives_the_same_children():
    np.testing.assert_array_equal(children(seed=3), children(seed=3))
    assert (children(seed=3) != children(seed=4)).any()


@pytest.mark.parametrize("name", ["resnet-digits", "nasbench201"])
def test_children_of_a_space_are_its_subnets(name):
    space = get_space(name)
    rng = np.random.default_rng(0)
    parents = space.sample_spread(20, rng)
    before = parents.copy()
    found = offspring(SpaceDomain(space), parents, rng.integers(20, size=(2, 500)), rng)
    np.testing.assert_array_equal(found, space.canonical(found))
    space.check(found)
    np.testing.assert_array_equal(parents, before)  # not changed in place
