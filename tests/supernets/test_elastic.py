"""Elastic layers and their plain twins compute the same at every size."""

from __future__ import annotations

import pytest
import torch

from supernets.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticPixelConv2d,
    batch_norm,
    cached_norm,
    running_norm,
)

SIZES = [(2, 3), (5, 8), (torch.tensor([4, 0]), torch.tensor([7, 1, 3]))]


@pytest.mark.parametrize(("c_in", "c_out"), SIZES)
def test_a_twin_computes_the_same(c_in: int | torch.Tensor, c_out: int | torch.Tensor) -> None:
    n = c_in if isinstance(c_in, int) else len(c_in)
    for layer in (ElasticConv2d(5, 8, 3, stride=2), ElasticConv2d(5, 8, 1)):
        x = torch.randn(2, n, 5, 5)
        torch.testing.assert_close(layer.static(c_in, c_out)(x), layer(x, c_in, c_out))
    x, pixel, linear = torch.randn(2, n), ElasticPixelConv2d(5, 8), ElasticLinear(5, 8)
    torch.testing.assert_close(pixel.static(c_in, c_out)(x), pixel(x, c_in, c_out))
    torch.testing.assert_close(linear.static(c_in)(x), linear(x, c_in))


@pytest.mark.parametrize("channels", [3, 8, torch.tensor([6, 2])])
def test_a_norm_decides_which_statistics_are_used(channels: int | torch.Tensor) -> None:
    layer = ElasticBatchNorm2d(8)
    layer.key = "layer"
    torch.nn.init.normal_(layer.running_mean)
    n = channels if isinstance(channels, int) else len(channels)
    x = torch.randn(4, n, 5, 5)
    var, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    own = cached_norm({"layer": (mean, var)})(layer, x, channels)
    torch.testing.assert_close(own, batch_norm(layer, x, channels))
    stored = running_norm(layer, x, channels)
    assert not torch.allclose(stored, own)
    torch.testing.assert_close(layer.static(channels, None).eval()(x), stored)
    torch.testing.assert_close(layer.static(channels, {"layer": (mean, var)}).eval()(x), own)
