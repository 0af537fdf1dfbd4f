"""Operators are counted twice: by arithmetic in the space, by hooks on a real network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import (
    ResNetSpace,
    get_space,
)
from supernets import extract
from supernets.catalog import build_supernet


def counted(net: nn.Module, image: Tensor) -> tuple[list[int], list[int]]:
    """MACs and weights of every convolution and linear layer that `net(image)` runs."""
    macs, params = [], []

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        params.append(layer.weight.numel())
        macs.append(params[-1] * output[0, 0].numel())

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        net(image)
    return macs, params


SIZES = [f"resnet-{side}x{side}x3-4" for side in (8, 16, 24, 28, 40, 48, 56, 64)]


@pytest.mark.parametrize("name", ["resnet-digits", "resnet-cifar", *SIZES])
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    heads=st.sets(st.integers(0, 3), min_size=1).map(sorted),
)
def test_a_resnet_program_costs_what_its_layers_cost(
    name: str, seed: int, heads: list[int]
) -> None:
    space = get_space(name)
    assert isinstance(space, ResNetSpace)
    genes = space.sample(1, np.random.default_rng(seed))
    on = np.isin(np.arange(space.n_exits + 1), heads)[None]
    operators = space.operators(genes, on)
    net = extract(build_supernet(space), space.subnet(genes), heads=heads)
    image = torch.zeros(1, space.in_channels, space.resolution, space.resolution)
    macs, params = counted(net, image)
    weighted = [kind != "pool" for kind in operators.kinds] & operators.present[0]
    assert sorted(operators.macs[0, weighted]) == sorted(macs)
    assert sorted(operators.params[0, weighted]) == sorted(params)
