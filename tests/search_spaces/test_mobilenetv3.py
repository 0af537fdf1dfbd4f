"""MobileNetV3: genes of skipped blocks, sizes under those of the largest, configurations."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import InputError, MobileNetV3Space

SPACE = MobileNetV3Space()
ROWS = SPACE.sample(20, np.random.default_rng(0))


def test_no_block_is_larger_than_that_of_the_largest_subnet() -> None:
    largest = SPACE.subnet(SPACE.largest[0])
    for stage in range(SPACE.n_stages):
        bounds = [sizes[1:] for sizes in SPACE.block_sizes(stage, largest)]
        for subnet in SPACE.subnets(ROWS):
            blocks = list(SPACE.block_sizes(stage, subnet))
            assert sum(bool(kept) for kept, *_ in blocks) == subnet["d"][stage]
            for (kept, *sizes), bound in zip(blocks, bounds, strict=True):
                assert not kept or np.less_equal(sizes, bound).all()


def test_a_configuration_of_ofa_reads_back() -> None:
    for subnet in SPACE.subnets(ROWS):
        assert SPACE.from_ofa(SPACE.to_ofa(subnet)) == subnet


def test_genes_have_a_stage_each() -> None:
    assert len(SPACE.gene_stages) == SPACE.largest.shape[1]
    assert set(SPACE.gene_stages.tolist()) == {-1, *range(SPACE.n_stages)}


def test_an_exit_behind_the_last_stage_is_refused() -> None:
    assert SPACE.with_exits([1]).name == f"{SPACE.name}-x1"
    with pytest.raises(InputError, match="exits must rise and lie in 0"):
        SPACE.with_exits([SPACE.n_stages - 1])
