"""The inverted residual block: kernels from larger kernels, its shortcut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from supernets.elastic import batch_norm
from supernets.layers import RELU, run
from supernets.mbconv import ElasticDepthwiseConv2d, ElasticMBConv


def test_a_small_kernel_is_the_centre_of_the_large_one_at_the_start() -> None:
    layer = ElasticDepthwiseConv2d(8, (3, 5, 7))
    for kernel in (3, 5, 7):
        crop = slice((7 - kernel) // 2, (7 + kernel) // 2)
        torch.testing.assert_close(layer.filters(4, kernel), layer.weight[:4, :, crop, crop])


def test_three_is_made_from_seven_through_five() -> None:
    layer = ElasticDepthwiseConv2d(8, (3, 5, 7))
    with torch.no_grad():
        for matrix in layer.transforms.values():
            matrix.copy_(torch.randn_like(matrix))
        five = layer.weight[:, 0, 1:6, 1:6].flatten(1) @ layer.transforms["7to5"].T
        centre = five.view(8, 5, 5)[:, 1:4, 1:4].flatten(1)
        three = (centre @ layer.transforms["5to3"].T).view(8, 1, 3, 3)
        torch.testing.assert_close(layer.filters(8, 5), five.view(8, 1, 5, 5))
        torch.testing.assert_close(layer.filters(8, 3), three)


def test_another_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`kernel` must be one of \(7, 5, 3\), got 4"):
        ElasticDepthwiseConv2d(8, (3, 5, 7))(torch.zeros(1, 8, 4, 4), 8, 4)


def test_the_shortcut_is_there_where_shapes_agree() -> None:
    for c_out, stride, shortcut in ((8, 1, True), (8, 2, False), (16, 1, False)):
        block = ElasticMBConv(8, 16, c_out, kernels=(3,), stride=stride, activation=RELU)
        nn.init.zeros_(block.project.weight)
        x = torch.randn(2, 8, 6, 6)
        y = run(block.layers(8, 3, 16), x, batch_norm)
        assert torch.equal(y, x) if shortcut else not y.any()
