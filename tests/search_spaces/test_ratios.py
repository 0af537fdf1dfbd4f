"""The space of ratios: its name says all of it, its operators are those of the channels kept."""

from __future__ import annotations

import re

import numpy as np
import pytest

from search_spaces import (
    InputError,
    RatioSpace,
    ResNetSpace,
    get_space,
    resnet_digits,
    space_from_dict,
)

BASE = resnet_digits()
SPACE = RatioSpace(BASE, (250, 1000), ((4, 8, 9, 20), (8, 16, 32, 48)), ((4,) * 8, (12,) * 8))


def test_the_name_is_enough_to_build_the_space() -> None:
    assert SPACE.name.startswith("resnet-digits-ratios-r250w4.8.9.20m4.4.4.4.4.4.4.4-r1000w8.16.")
    assert get_space(SPACE.name) == SPACE
    assert space_from_dict(SPACE.to_dict()) == SPACE
    with pytest.raises(InputError, match="unknown space"):
        get_space("nasbench201-ratios-r1000w8m8")


def test_the_only_gene_is_the_ratio() -> None:
    assert SPACE.named_choices() == {"ratio0": (250, 1000)}
    assert [str(s) for s in SPACE.subnets(SPACE.enumerate())] == ["r250", "r1000"]
    assert SPACE.parse("r250")["r"] == (250,)
    with pytest.raises(InputError, match=re.escape("ratio of " + SPACE.name)):
        SPACE.parse("r300")


def test_operators_have_the_channels_kept_and_exits_stay_whole() -> None:
    heads = np.eye(4, dtype=bool)
    for ratio, mids, widths in ((250, 4, (4, 8, 9, 20)), (1000, 12, (8, 16, 32, 48))):
        genes = np.full((4, 1), ratio)
        found = SPACE.operators(genes, heads)
        used = set(found.c_out[3][found.present[3]].tolist())
        assert used == {mids, *widths, 10}
        assert {16, 24} & set(found.c_out[:3].ravel().tolist())  # inside the early heads
        assert found.macs[3].sum() == BASE.macs(widths, (mids,) * 8)


def test_the_full_network_is_the_largest_of_its_base() -> None:
    space = RatioSpace.evenly_pruned(BASE, 20)
    genes, last = space.enumerate(), np.array([[False, False, False, True]])
    macs = space.operators(genes, last).macs.sum(axis=1)
    assert macs[-1] == BASE.operators(BASE.largest, last).macs.sum()
    assert np.rint(1000 * macs / macs[-1]).tolist() == list(space.ratios)
    assert space.ratios[0] <= 15


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [("resnet-cifar", 104, (12, 13)), ("resnet-digits", 75, (12, 13))],
)
def test_a_base_without_narrow_layers_has_ratios_from_a_hundredth(name, n, least) -> None:
    space = RatioSpace.evenly_pruned(get_space(name))  # type: ignore[arg-type]
    assert len(space.ratios) == n
    assert space.ratios[:2] == least


def test_a_strided_first_stage_projects() -> None:
    base = get_space("resnet-64x64x3-10")
    assert isinstance(base, ResNetSpace)
    space = RatioSpace.evenly_pruned(base, 3)
    row = space.widths[-1], space.mids[-1]
    last = np.array([[False, False, False, True]])
    assert space.operators(space.largest, last).macs.sum() == base.macs(*row)


@pytest.mark.parametrize(
    ("ratios", "widths"),
    [
        ((1000, 250), ((4, 8, 9, 20), (8, 16, 32, 48))),
        ((250, 250), ((4, 8, 9, 20), (8, 16, 32, 48))),
        ((250, 1000), ((4, 8, 9, 20), (8, 16, 8, 48))),
        ((250, 1000), ((0, 8, 9, 20), (8, 16, 32, 48))),
    ],
)
def test_ratios_that_are_not_nested_are_refused(
    ratios: tuple[int, ...], widths: tuple[tuple[int, ...], ...]
) -> None:
    with pytest.raises(InputError, match="ratios must rise and their channels with them"):
        RatioSpace(BASE, ratios, widths, ((4,) * 8, (12,) * 8))


def test_a_ratio_above_1_is_refused() -> None:
    name = SPACE.name.replace("r1000w", "r1500w")
    with pytest.raises(InputError, match="ratios are thousandths, 1000 at most, got 1500"):
        get_space(name)


def test_another_number_of_stages_is_refused() -> None:
    with pytest.raises(InputError, match="ratios of resnet-digits need 4 stage widths each"):
        RatioSpace(BASE, (1000,), ((4, 8, 9),), ((4,) * 8,))
