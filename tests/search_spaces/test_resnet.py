"""The elastic ResNet's spaces: for images of any size, and what the CIFAR space was made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_spaces import (
    RESOLUTIONS,
    InputError,
    ResNetSpace,
    get_space,
    resnet_cifar,
    resnet_digits,
    resnet_for,
    space_from_dict,
)
from tests.search_spaces.test_space import CIFAR, mmacs


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_early_heads_pool_evenly(resolution: int) -> None:
    space = resnet_for(resolution, 3, 7)
    for stage in range(space.n_exits):
        side, pooled = space.sides[stage], min(space.sides[stage], space.head_side)
        assert side % pooled == 0
        assert 3 <= pooled <= 8
    assert space.sides[-1] <= 5 or resolution > 64


@pytest.mark.parametrize("images", [(32, 3, 100), (8, 1, 3), (28, 1, 10), (64, 3, 2)])
def test_a_space_is_found_by_its_name(images: tuple[int, int, int]) -> None:
    space = resnet_for(*images)
    assert space.name == "resnet-{0}x{0}x{1}-{2}".format(*images)
    assert get_space(space.name) == space_from_dict(space.to_dict()) == space


def test_the_named_spaces_stay_what_they_are() -> None:
    assert resnet_for(32, 3, 10) == resnet_cifar()
    assert resnet_for(8, 1, 10) == resnet_digits()


def test_other_resolutions_are_refused() -> None:
    with pytest.raises(InputError, match=r"no space for 30x30 images; resolutions are 8, 16, 24"):
        resnet_for(30, 3, 10)
    with pytest.raises(InputError, match="unknown space 'resnet-28x32x1-10'"):
        get_space("resnet-28x32x1-10")
    with pytest.raises(InputError, match="at least one class, got 0"):
        resnet_for(32, 3, 0)


# ---- the CIFAR space ----------------------------------------------------------------------------


def n_canonical(space: ResNetSpace) -> int:
    """Subnets of the space: stages are independent, and skipped blocks have no choice."""
    blocks = sum(len(space.expands) ** depth for depth in space.depths)
    return int(np.prod([len(widths) * blocks for widths in space.widths]))


def n_networks(space: ResNetSpace) -> int:
    """Subnets that differ as networks: expand ratios with the same inner width count once."""
    per_stage = [
        sum(
            len({int(space.mid_width(width, e)) for e in space.expands}) ** depth
            for width in widths
            for depth in space.depths
        )
        for widths in space.widths
    ]
    return int(np.prod(per_stage))


def test_the_cifar_space_has_millions_of_networks() -> None:
    cut = replace(CIFAR, widths=tuple(widths[:2] for widths in CIFAR.widths[:2]), strides=(1, 2))
    everything = cut.enumerate()
    assert len(everything) == n_canonical(cut)
    operators = cut.operators(everything, np.ones((1, cut.n_exits + 1), dtype=bool))
    shapes = np.concatenate([operators.c_in, operators.c_out], axis=1)
    assert len(np.unique(shapes, axis=0)) == n_networks(cut)
    assert n_canonical(CIFAR) == 3_981_312
    assert n_networks(CIFAR) == 3_317_760


def test_the_cifar_space_spans_a_factor_of_twenty() -> None:
    every_head = np.ones((1, CIFAR.n_exits + 1), dtype=bool)
    largest = CIFAR.operators(CIFAR.largest, every_head).macs.sum() / 1e6
    assert 60 <= mmacs(CIFAR, CIFAR.largest)[0] <= largest <= 110
    assert mmacs(CIFAR, CIFAR.smallest) <= 0.05 * mmacs(CIFAR, CIFAR.largest)
    assert CIFAR.n_exits >= 3


def test_early_heads_cost_little() -> None:
    every_head = np.ones((1, CIFAR.n_exits + 1), dtype=bool)
    heads = CIFAR.operators(CIFAR.largest, every_head).macs.sum() / 1e6 - mmacs(
        CIFAR, CIFAR.largest
    )
    assert heads[0] < 0.06 * mmacs(CIFAR, CIFAR.largest)[0]
