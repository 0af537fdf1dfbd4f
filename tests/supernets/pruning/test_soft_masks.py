"""Soft masks: nested, zeros and ones, gradients that reach what is pruned."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from supernets.pruning.soft_masks import SoftMasks

GROUPS = {"a": 8, "b": 20}
SHARES = (1.0, 0.7, 0.35, 0.2)


def moved(seed: int) -> SoftMasks:
    """Masks after a training that went anywhere."""
    torch.manual_seed(seed)
    masks = SoftMasks(GROUPS, SHARES)
    for parameter in masks.parameters():
        parameter.data += torch.randn_like(parameter)
    return masks


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_what_a_smaller_ratio_keeps_a_larger_one_keeps(seed: int) -> None:
    masks = moved(seed)
    kept = [torch.cat(masks.masks(k)) > 0 for k in range(4)]
    assert kept[0].all()
    assert all(bool((large | ~small).all()) for large, small in pairwise(kept))
    for k in range(4):
        assert all(mask.sum() >= 1 for mask in masks.masks(k))  # no layer is removed
        assert set(torch.cat(masks.masks(k)).tolist()) <= {0.0, 1.0}


def test_the_first_masks_leave_about_the_root_of_a_share() -> None:
    masks = SoftMasks({"wide": 1000}, SHARES)
    left = [masks.masks(k)[0].mean().item() for k in range(4)]
    assert left == pytest.approx([s**0.5 for s in SHARES], abs=2e-3)


def test_a_pruned_channel_has_a_gradient_and_can_come_back() -> None:
    masks = SoftMasks(GROUPS, SHARES).train()
    masks.masks(2)
    pruned = int(masks.scores[1].argmin())
    assert masks.masks(2)[1][pruned] == 0
    for _ in range(400):
        masks.zero_grad()
        masks.masks(2)[1][pruned].mul(-1).backward()  # the loss falls where it is kept
        assert masks.scores[1].grad is not None
        assert masks.scores[1].grad[pruned] == -1
        masks.scores[1].data -= 2e-3 * masks.scores[1].grad
        if masks.masks(2)[1][pruned] == 1:
            break
    assert masks.flips[2].tolist() == [1, 0]
    assert masks.flips[3].tolist() == [0, 0]


def test_the_gradient_of_a_threshold_is_a_mean() -> None:
    masks = SoftMasks(GROUPS, (1.0, 0.25))
    masks.masks(1)[1].sum().backward()
    inside = float(((masks.scores[1] - 0.5).abs() < 0.5).float().mean())
    grad = masks.steps[0].grad
    assert grad is not None
    assert grad.tolist() == [0, pytest.approx(-inside, abs=0.06)]


def test_settled_masks_are_levels_in_the_order_of_the_scores() -> None:
    masks = moved(3)
    counts = torch.tensor([[8, 20], [5, 9], [5, 3], [1, 2]])
    masks.settle(counts)
    assert masks.levels.dtype == torch.uint8
    orders = masks.orders()
    for k, row in enumerate(counts.tolist()):
        for name, mask, n in zip(GROUPS, masks.masks(k), row, strict=True):
            assert mask.sum() == n
            assert mask[orders[name][:n]].all()


def test_channels_begin_in_the_order_of_their_worth() -> None:
    masks = SoftMasks(GROUPS, SHARES)
    worth = {name: torch.rand(n) for name, n in GROUPS.items()}
    masks.rank(worth)
    for name, order in masks.orders().items():
        assert order.tolist() == worth[name].argsort(descending=True).tolist()
