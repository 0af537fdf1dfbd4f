"""Groups side by side: what the operators of the first of them are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predictors import Operator, programs_of
from search_spaces import (
    GroupSpace,
    InputError,
    get_space,
    resnet_digits,
    space_from_dict,
)
from search_spaces.groups import SHAPES

ALL = {shape: GroupSpace.of(shape, 4) for shape in SHAPES}


@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_and_macs_are_proportional_to_the_groups(shape: str) -> None:
    """The first layer is split and a bias is not counted, so nothing is left over."""
    space = ALL[shape]
    heads = np.ones((1, space.n_exits + 1), dtype=bool)
    operators = space.operators(space.enumerate(), heads)
    for whole in (operators.macs.sum(axis=1), operators.params.sum(axis=1)):
        assert (4 * whole == np.arange(1, 5) * whole[-1]).all()


def test_one_group_of_the_alexnet_is_under_3_mmacs() -> None:
    operators = ALL["alexnet"].operators(ALL["alexnet"].smallest, np.ones((1, 1), dtype=bool))
    assert operators.macs.sum() < 3e6


def test_a_group_reads_its_own_part_of_the_input_alone() -> None:
    *_, conv, pool, linear = programs_of(
        ALL["alexnet"].operators(np.array([[3]]), np.ones((1, 1), dtype=bool))
    )[0]
    assert conv == Operator("conv", 144, 96, 3, 8, 8, groups=3)
    assert str(conv) == "conv-input:8x8x144-output:8x8x96-kernel:3-residual:0-groups:3"
    assert Operator.parse(str(conv)) == conv
    assert (pool.kind, linear.groups, linear.c_in) == ("pool", 1, 96)


@pytest.mark.parametrize(
    "space",
    [
        GroupSpace.of("alexnet", 4),
        GroupSpace.of("resnet", 2, 28, 1, 5),
        GroupSpace.of(get_space("resnet-cifar"), 4),
        GroupSpace.of(get_space("resnet-28x28x1-5"), 2),
        GroupSpace.of("alexnet", 4).first(2),
        GroupSpace.of(get_space("resnet-cifar"), 4).first(3),
    ],
    ids=lambda space: space.name,
)
def test_a_space_is_found_by_its_name(space: GroupSpace) -> None:
    assert get_space(space.name) == space
    assert space == space_from_dict(space.to_dict())
    assert str(space.subnet(space.largest)) == f"g{space.n_groups}"


def test_a_name_of_more_groups_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="alexnet-g4-32x32x3-10 has no 5 groups"):
        get_space("alexnet-g4-32x32x3-10-first5")
    with pytest.raises(InputError, match="unknown space 'nothing'"):
        get_space("nothing-g4")


def test_the_first_groups_are_a_network_of_their_own() -> None:
    space, (genes, heads) = ALL["resnet"], (np.array([[2]]), np.ones((1, 4), dtype=bool))
    first = space.first(2)
    wanted, found = space.operators(genes, heads), first.operators(first.largest, heads)
    for field in ("c_in", "c_out", "groups", "macs"):
        assert (getattr(wanted, field) == getattr(found, field)).all()
    assert first.first(4).widths == space.widths
    assert space.first(4) is space


def test_what_cannot_be_grouped_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="`groups` 3 does not divide the 32 channels of stem of"):
        GroupSpace.of("alexnet", 3)
    with pytest.raises(InputError, match=r"`groups` 5 does .* 16 channels of stem .*; 1, 2, 4, 8 "):
        GroupSpace.of(resnet_digits(), 5)
    with pytest.raises(InputError, match="`groups` must be at least 1, got 0"):
        GroupSpace.of("alexnet", 0)
    with pytest.raises(InputError, match="`shape` must be one of resnet, alexnet, got 'vgg'"):
        GroupSpace.of("vgg", 4)
    with pytest.raises(InputError, match="ofa-mobilenetv3 cannot be grouped; resnet and"):
        GroupSpace.of(get_space("ofa-mobilenetv3"), 4)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"groups": 2.0}, "`groups` must be a whole number, got 2.0"),
        ({"groups": True}, "`groups` must be a whole number, got True"),
        ({"groups": "4"}, "`groups` must be a whole number, got '4'"),
        ({"groups": None}, "`groups` must be a whole number, got None"),
        ({"in_channels": 0}, "`in_channels` must be at least 1, got 0"),
        ({"resolution": 32.0}, "`resolution` must be a whole number, got 32.0"),
        ({"n_classes": "10"}, "`n_classes` must be a whole number, got '10'"),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_no_number_of_anything_is_refused_by_name(
    shape: str, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        GroupSpace.of(shape, **{"groups": 4, **given})


def test_numbers_of_numpy_are_numbers() -> None:
    space = GroupSpace.of("resnet", np.int64(4))  # type: ignore[arg-type]
    assert space == ALL["resnet"]
    assert type(space.n_groups) is int


def test_a_resnet_stands_for_its_largest() -> None:
    space = GroupSpace.of(resnet_digits(), 4)
    assert isinstance(space, GroupSpace)
    assert space.layer_widths()["stages.3"] == 48
