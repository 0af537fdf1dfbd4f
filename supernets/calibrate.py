"""Batch-norm statistics of one subnet, measured on training images."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces import Subnet
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, Statistics
from supernets.supernet import Supernet, at_resolution


@torch.no_grad()
def calibrate(
    supernet: Supernet, subnet: Subnet, images: Tensor, *, batch_size: int = 500
) -> Statistics:
    """Mean and biased variance of every batch-norm layer that `subnet` uses, over `images`.

    `images` is (N, C, H, H), normalised as in training and not augmented; they are resized where
    the subnet has a resolution of its own. Statistics of batches are weighted by their size, as
    once-for-all does (Cai et al., 2020, arXiv:1908.09791).
    """
    sums: dict[str, tuple[Tensor, Tensor]] = {}

    def record(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
        normalised, mean, var = layer.measured(x, channels)
        old = sums.get(layer.key, (torch.zeros_like(mean), torch.zeros_like(var)))
        sums[layer.key] = (old[0] + len(x) * mean, old[1] + len(x) * var)
        return normalised

    for batch in torch.split(images, batch_size):
        supernet(at_resolution(batch, supernet.space, subnet), subnet, norm=record)
    return {key: (m / len(images), v / len(images)) for key, (m, v) in sums.items()}


def store_statistics(supernet: Supernet, images: Tensor, *, exits_only: bool = False) -> None:
    """Make those of the largest subnet the defaults of every layer, or of early exits.

    Subnets with batch norms of their own get theirs.
    """
    last = f"heads.{len(supernet.heads) - 1}."
    statistics: Statistics = {}
    for subnet in supernet.with_own_norms():
        statistics |= calibrate(supernet, subnet, images)
    for key, layer in supernet.norms():
        if exits_only and (key.startswith(last) or not key.startswith("heads.")):
            continue
        if key in statistics:
            mean, var = statistics[key]
            layer.running_mean[: len(mean)] = mean
            layer.running_var[: len(var)] = var
