"""Blocks of all convolutions of a network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from search_spaces import Bools, InputError
from supernets.pruning.blocks import block_mask, select_blocks


def prunable(net: nn.Module, g: int) -> dict[str, nn.Conv2d]:
    """Convolutions with one group and at least `g` rows, but those that read the image itself."""
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.out_channels >= g
        and module.in_channels > 4
    }


def named_convolutions(net: nn.Module, names: Iterable[str]) -> dict[str, nn.Conv2d]:
    """The convolutions `names`; InputError says which cannot be pruned in blocks."""
    found = {}
    for name in names:
        module = dict(net.named_modules()).get(name)
        if not isinstance(module, nn.Conv2d):
            raise InputError(f"{name}: no convolution of {type(net).__name__}")
        if module.groups != 1:
            raise InputError(f"{name}: {module.groups} groups; blocks need a convolution of one")
        found[name] = module
    return found


def select_network(
    convolutions: dict[str, nn.Conv2d],
    g: int,
    sparsity: float,
    *,
    method: str = "exact",
    norm: str = "l1",
    one_budget: bool = False,
) -> dict[str, Bools]:
    """Where the blocks of every convolution start, by name; see `select_blocks`."""
    weights = {name: conv.weight.detach().float().numpy() for name, conv in convolutions.items()}
    return select_blocks(weights, g, sparsity, method=method, norm=norm, one_budget=one_budget)


def weight_mask(starts: Bools, g: int, like: Tensor) -> Tensor:
    """Ones where blocks are and zeros elsewhere, in the shape and type of the weight `like`."""
    return torch.from_numpy(block_mask(starts, g).reshape(like.shape)).to(like)
