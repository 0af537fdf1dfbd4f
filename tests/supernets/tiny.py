"""A small supernet and small data for tests: the digits space, untrained but not at its start."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from search_spaces import ResNetSpace, Subnet, get_space
from supernets import Dataset, ResNetSupernet, load_dataset

_space = get_space("resnet-digits")
assert isinstance(_space, ResNetSpace)
SPACE = _space


@functools.cache
def digits() -> Dataset:
    return load_dataset(None)


def images(n: int = 48) -> Tensor:
    """The first normalised training digits, (n, 1, 8, 8)."""
    return digits().normalise(digits().train.images[:n])


def supernet(seed: int = 0) -> ResNetSupernet:
    """Random weights, and batch-norm scales and shifts that are not the trivial ones."""
    torch.manual_seed(seed)
    net = ResNetSupernet(SPACE).eval()
    for _, layer in net.norms():
        torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
        torch.nn.init.normal_(layer.bias, std=0.2)
    for head in net.heads:
        torch.nn.init.normal_(head.linear.weight, std=0.3)
    return net


def subnets(n: int, seed: int = 0) -> list[Subnet]:
    """Distinct ones: the largest, the smallest, others in between."""
    sampled = SPACE.sample_spread(8 * n, np.random.default_rng(seed))
    return list(dict.fromkeys(SPACE.subnets(sampled)))[:n]
