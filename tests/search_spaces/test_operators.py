"""Operators are counted twice: by arithmetic in the space, by hooks on a real network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import (
    NASBench201Space,
    ResNetSpace,
    encode,
    feature_blocks,
    feature_names,
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


def test_nasbench201_details_know_which_edges_are_alive() -> None:
    """Against every path from the input to the output, walked one by one."""
    space = NASBench201Space()
    genes = space.enumerate()[::7]
    names, X = feature_names(space), encode(space, genes, np.ones((1, 1), dtype=bool))
    column = dict(zip(names, X.T, strict=True))
    paths = [(3,), (0, 4), (1, 5), (0, 2, 5)]  # edges in the order of EDGES
    costs = {0: -np.inf, 1: 0, 2: 1, 3: 1, 4: 1}
    for i, cell in enumerate(genes.tolist()):
        alive = {e for path in paths if all(cell[e] for e in path) for e in path}
        assert column["path:edges"][i] == len(alive)
        assert column["n_written:nor_conv_3x3"][i] == cell.count(3)
        assert column["n_live:nor_conv_3x3"][i] == sum(cell[e] == 3 for e in alive)
        assert column["live:avg_pool_3x3_1_2"][i] == (2 in alive and cell[2] == 4)
        longest = max(sum(costs[cell[e]] for e in path) for path in paths)
        assert column["path:operators"][i] == max(longest, 0)
    blocks = feature_blocks(space)
    assert list(blocks) == ["written", "n_written", "live", "n_live", "path"]
    assert all(names[i].startswith(f"{group}:") for group, block in blocks.items() for i in block)
    assert feature_blocks(get_space("resnet-digits")) == {
        "all": tuple(range(len(feature_names(get_space("resnet-digits")))))
    }
