"""Operators are counted twice: by arithmetic in the space, by hooks on a real network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import NASBench201Space, ResNetSpace, get_space
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


def n_norm_params(space: NASBench201Space, n_edges: int) -> int:
    """Batch-norm scales and shifts, and the classifier's bias, which operators do not count."""
    cells = sum(2 * 5 * n_edges * width for width in (16, 32, 64))
    reductions = sum(2 * 2 * width for width in (32, 64))
    return 2 * 16 + cells + reductions + 2 * 64 + space.n_classes


@pytest.mark.parametrize(
    ("operation", "n_params", "mflops"), [(3, 1_531_546, 220.11969), (0, 73_306, 7.78305)]
)
def test_nasbench201_cells_have_their_published_size(
    operation: int, n_params: int, mflops: float
) -> None:
    """The benchmark's own figures for CIFAR-10, its largest and its smallest cell.

    Its FLOPs are multiply-accumulates and count the classifier's ten biases.
    """
    space = NASBench201Space()
    operators = space.operators(np.full((1, 6), operation), np.ones((1, 1), dtype=bool))
    n_edges = 6 if operation == 3 else 0
    assert operators.params.sum() + n_norm_params(space, n_edges) == n_params
    assert (operators.macs.sum() + space.n_classes) / 1e6 == pytest.approx(mflops, abs=1e-8)
