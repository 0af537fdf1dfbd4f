"""What samplers choose from: a space's genes, or any study's parameters."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.samplers.domain import ParameterDomain, SpaceDomain
from search_spaces import get_space

PARAMETERS = ParameterDomain(
    {
        "kind": CategoricalDistribution(["a", "b", None]),
        "layers": IntDistribution(1, 9, step=2),
        "width": IntDistribution(8, 512, log=True),
    }
)
DOMAINS = {
    "parameters": PARAMETERS,
    "resnet-digits": SpaceDomain(get_space("resnet-digits")),
    "nasbench201": SpaceDomain(get_space("nasbench201")),
}

every_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)


def points(domain, n=200):
    return domain.spread(n, np.random.default_rng(0))


@every_domain
def test_points_are_canonical_and_among_the_choices(domain):
    genes = points(domain)
    np.testing.assert_array_equal(domain.canonical(genes), genes)
    full = domain.full(genes)
    for column, choices in zip(full.T, domain.choices, strict=True):
        assert set(column.tolist()) <= set(choices)
    np.testing.assert_array_equal(domain.canonical(full), genes)


@every_domain
def test_trials_hold_the_points_that_were_asked(domain):
    genes = points(domain)
    trials = [
        optuna.trial.create_trial(value=0.0, params=params, distributions=domain.distributions)
        for params in domain.params(genes)
    ]
    np.testing.assert_array_equal(domain.genes(trials), genes)
    assert domain.genes([]).shape == (0, len(domain.choices))


@every_domain
def test_features_are_scaled_and_every_block_is_of_them(domain):
    X = domain.features(points(domain, 2000))
    assert sorted(i for block in domain.blocks for i in block) == list(range(X.shape[1]))
    assert np.isfinite(X).all()
    assert (X.std(axis=0) < 2).all()
    different = np.unique(points(domain, 50), axis=0)
    assert len(np.unique(domain.features(different), axis=0)) == len(different)


def test_integers_lie_evenly_between_both_ends():
    genes = np.array([[0, 0, 0], [1, 4, 504]])
    X = PARAMETERS.features(genes)
    np.testing.assert_allclose(X[:, 3:], [[-1, -1], [1, 1]])
    middle = PARAMETERS.features(np.array([[0, 2, 56]]))[0, 3:]  # 5 of 1..9; 64 of 8..512, in log
    np.testing.assert_allclose(middle, [0, 0], atol=1e-12)
    assert PARAMETERS.params(genes) == [
        {"kind": "a", "layers": 1, "width": 8},
        {"kind": "b", "layers": 9, "width": 512},
    ]


def test_what_has_no_countable_choice_is_left_out():
    found = ParameterDomain.of(
        {
            "rate": FloatDistribution(0, 1),
            "layers": IntDistribution(1, 3),
            "fixed": IntDistribution(4, 4),
            "kind": CategoricalDistribution([True, False]),
        }
    )
    assert list(found.distributions) == ["kind", "layers"]
