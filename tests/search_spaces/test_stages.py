"""Stages: sizes of blocks for a subnet and for a population, segments, what programs need."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import StagedSpace, get_space

NAMES = ["resnet-digits", "ofa-mobilenetv3-x1.3", "ofa-resnet50-x0.2"]
SPACES: list[StagedSpace] = []
for name in NAMES:
    found = get_space(name)
    assert isinstance(found, StagedSpace)
    SPACES.append(found)

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


@every_space
def test_a_subnet_and_a_population_have_the_same_sizes(space: StagedSpace) -> None:
    genes = space.sample(9, np.random.default_rng(0))
    values = space.by_letter(genes)
    for s in range(space.n_stages):
        whole = list(space.block_sizes(s, values))
        assert len(whole) == space.stage_slots[s]
        for i, subnet in enumerate(space.subnets(genes)):
            for row, columns in zip(space.block_sizes(s, subnet), whole, strict=True):
                kept, *sizes = (np.broadcast_to(column, 9)[i] for column in columns)
                assert bool(row[0]) == kept
                assert not kept or list(row[1:]) == sizes
            assert space.stage_width(s, subnet) == sizes[-1]


@every_space
def test_kept_blocks_are_as_many_as_the_depth_says(space: StagedSpace) -> None:
    for subnet in space.subnets(space.sample(9, np.random.default_rng(1))):
        for s, depth in enumerate(subnet["d"]):
            kept = [bool(row[0]) for row in space.block_sizes(s, subnet)]
            assert kept == [b < depth for b in range(space.stage_slots[s])]


@every_space
def test_segments_are_the_stages_between_exits(space: StagedSpace) -> None:
    stages = [s for k in range(space.n_exits + 1) for s in space.stages(k)]
    assert stages == list(range(space.n_stages))
    assert [list(space.stages(k))[-1] for k in range(space.n_exits)] == list(space.exits)
    assert all(s in space.stages(space.segment(s)) for s in stages)


@every_space
def test_genes_are_grouped_by_letter(space: StagedSpace) -> None:
    genes = space.sample(4, np.random.default_rng(2))
    values = space.by_letter(genes)
    for i, subnet in enumerate(space.subnets(genes)):
        assert {k: tuple(v[:, i]) for k, v in values.items()} == dict(subnet.groups)


@every_space
def test_first_slots_count_the_slots_before(space: StagedSpace) -> None:
    firsts = [space.first_slot(s) for s in range(space.n_stages)]
    assert np.diff([*firsts, sum(space.stage_slots)]).tolist() == list(space.stage_slots)


@every_space
def test_genes_have_a_stage_each(space: StagedSpace) -> None:
    assert len(space.gene_stages) == space.largest.shape[1]
    assert {*space.gene_stages.tolist(), -1} == {-1, *range(space.n_stages)}


@every_space
def test_no_block_is_larger_than_that_of_the_largest_subnet(space: StagedSpace) -> None:
    largest = space.subnet(space.largest)
    for s in range(space.n_stages):
        bounds = [sizes[1:] for sizes in space.block_sizes(s, largest)]
        for subnet in space.subnets(space.sample(20, np.random.default_rng(3))):
            for (kept, *sizes), bound in zip(space.block_sizes(s, subnet), bounds, strict=True):
                assert not kept or np.less_equal(sizes, bound).all()
