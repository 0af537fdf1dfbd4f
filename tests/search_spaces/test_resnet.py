"""The space for images of any size: its name, its shape, the way back from the name."""

from __future__ import annotations

import pytest

from search_spaces import (
    RESOLUTIONS,
    InputError,
    get_space,
    resnet_cifar,
    resnet_digits,
    resnet_for,
    space_from_dict,
)


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
