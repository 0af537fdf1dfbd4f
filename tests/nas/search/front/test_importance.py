"""Which genes decide the values of the trials."""

import numpy as np

from nas.search.front.importance import MIN_SUBNETS, importance
from tests.nas.synthetic import digits_space

SPACE = digits_space()


def test_the_gene_that_decides_comes_first_and_constant_objectives_are_left_out():
    genes = np.unique(SPACE.sample(4 * MIN_SUBNETS, np.random.default_rng(0)), axis=0)
    values = np.column_stack([SPACE.full(genes)[:, 0] + 1.0, np.ones(len(genes))])
    found = importance(SPACE, genes, values, ("latency_ms", "params"))
    assert list(found) == ["latency_ms"]
    assert next(iter(found["latency_ms"])) == SPACE.gene_names[0]
    assert importance(SPACE, genes[:3], values[:3], ("latency_ms", "params")) == {}
