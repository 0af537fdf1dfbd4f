"""Plain networks: what folding leaves, what pooling to a side does, what they weigh."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from supernets.static import ConvNorm, GlobalMean, PoolTo, Residual, Segment, StaticNet


def conv_norm(c_in: int, c_out: int) -> ConvNorm:
    norm = nn.BatchNorm2d(c_out)
    nn.init.normal_(norm.weight)
    norm.running_mean = torch.randn(c_out)
    return ConvNorm(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), norm)


def net() -> StaticNet:
    block = Residual(nn.Sequential(conv_norm(4, 4), nn.ReLU()), nn.Sequential())
    trunk = nn.Sequential(conv_norm(3, 4), block)
    return StaticNet([Segment(trunk, nn.Sequential(GlobalMean(), nn.Linear(4, 2)))], [0]).eval()


def test_folding_leaves_no_batch_norm_and_the_same_answers() -> None:
    plain, x = net(), torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        before = plain(x)
        folded = plain.fold()
        torch.testing.assert_close(folded(x), before, atol=1e-5, rtol=1e-4)
    assert folded is plain
    assert not any(isinstance(m, nn.BatchNorm2d | ConvNorm) for m in plain.modules())


def test_a_network_weighs_its_weights_and_statistics() -> None:
    plain = net()
    weights, linear = 9 * (3 * 4 + 4 * 4), 4 * 2 + 2
    counters = 2 * 8  # batches tracked, int64
    assert plain.n_bytes == 4 * (weights + linear + 2 * 4 * 4) + counters
    assert plain.fold().n_bytes == 4 * (weights + linear + 2 * 4)


@pytest.mark.parametrize(("side", "pooled"), [(4, 4), (7, 7), (8, 4), (11, 5), (16, 4)])
def test_pooling_keeps_small_maps_and_brings_others_near_the_side(side: int, pooled: int) -> None:
    assert PoolTo(4)(torch.zeros(1, 2, side, side)).shape[-1] == pooled


def test_an_empty_shortcut_is_the_identity() -> None:
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(Residual(nn.Sequential(nn.ReLU()), nn.Sequential())(x), x.relu() + x)
