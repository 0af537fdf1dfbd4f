"""Batch-norm statistics of subnets, measured on training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces import InputError, Subnet
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, Statistics
from supernets.layers import run
from supernets.supernet import Supernet, at_resolution

BATCH = 500  # images


class _Moments:
    """A norm by the batch's own statistics that sums them, weighted by the size of batches."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[Tensor, Tensor]] = {}

    def norm(self, layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
        normalised, mean, var = layer.measured(x, channels)
        old = self.sums.get(layer.key, (torch.zeros_like(mean), torch.zeros_like(var)))
        self.sums[layer.key] = (old[0] + len(x) * mean, old[1] + len(x) * var)
        return normalised

    def statistics(self, n_images: int) -> Statistics:
        return {key: (m / n_images, v / n_images) for key, (m, v) in self.sums.items()}


@torch.no_grad()
def calibrate(
    supernet: Supernet, subnet: Subnet, images: Tensor, *, batch_size: int = BATCH
) -> Statistics:
    """Mean and biased variance of every batch-norm layer that `subnet` uses, over `images`.

    `images` is (N, C, H, H), normalised as in training and not augmented; they are resized where
    the subnet has a resolution of its own. Statistics of batches are weighted by their size, as
    once-for-all does (Cai et al., 2020, arXiv:1908.09791).
    """
    if not len(images):
        raise InputError("batch norm is calibrated on one image or more, got none")
    moments, widest = _Moments(), supernet.widest(subnet)
    for batch in torch.split(images, batch_size):
        supernet(at_resolution(batch, supernet.space, widest), widest, norm=moments.norm)
    return _first_channels(supernet, subnet, moments.statistics(len(images)))


def _first_channels(supernet: Supernet, subnet: Subnet, found: Statistics) -> Statistics:
    """Those of `subnet` among the statistics of its widest."""
    if supernet.widest(subnet) == subnet:
        return found
    sizes = supernet.norm_channels(subnet)
    return {key: (found[key][0][:n], found[key][1][:n]) for key, n in sizes}


@torch.no_grad()
def calibrate_all(
    supernet: Supernet, subnets: Sequence[Subnet], images: Tensor, *, batch_size: int = BATCH
) -> Iterator[tuple[Subnet, Statistics]]:
    """Every one of `subnets` with what `calibrate` makes of it, in an order of its own.

    Subnets that are the same up to an exit follow each other and share what is before it: its
    features are kept for all images.
    """
    space = supernet.space
    exits = np.eye(space.n_exits + 1, dtype=bool)[:, None]
    asked: dict[Subnet, list[Subnet]] = {}
    for subnet in subnets:
        asked.setdefault(supernet.widest(subnet), []).append(subnet)
    begins = {
        subnet: [genes[space.used_genes(exit_)[0]].tolist() for exit_ in exits]
        for subnet, genes in zip(asked, space.genes(asked), strict=True)
    }
    done: list[tuple[list[int], list[Tensor], Statistics]] = []  # genes, features, of every exit
    for subnet in sorted(begins, key=begins.__getitem__):
        for k, trunk, head in supernet.program(subnet):
            if k < len(done) and done[k][0] == begins[subnet][k]:
                continue
            moments, features = _Moments(), list[Tensor]()
            del done[k:]
            for batch in done[-1][1] if done else torch.split(images, batch_size):
                x = batch if done else at_resolution(batch, space, subnet)
                features.append(run(trunk, x, moments.norm))
                run(head, features[-1], moments.norm)
            done.append((begins[subnet][k], features, moments.statistics(len(images))))
        whole = {key: found for _, _, part in done for key, found in part.items()}
        for narrow in asked[subnet]:
            yield narrow, _first_channels(supernet, narrow, whole)


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
