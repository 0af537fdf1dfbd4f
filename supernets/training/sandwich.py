"""One training step of a supernet: sandwich rule with in-place distillation.

The largest and the smallest subnet and some random ones share every step; the largest learns from
the labels and teaches the others with its detached logits (Yu and Huang, 2019, arXiv:1903.05134).
Early exits of every subnet learn the same way (BigNAS and HADAS train theirs afterwards).
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import Genes, Space, Subnet
from supernets.supernet import Supernet, at_resolution
from supernets.training.losses import DIVERGENCES, kl_divergence
from supernets.training.settings import TrainSettings
from supernets.training.shrinking import open_dimensions
from supernets.training.small_images import side_share


def sandwich_step(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    settings: TrainSettings,
    progress: float = 0.0,
) -> float:
    """Accumulate the gradients of one batch; returns the cross-entropy of the first subnet.

    `images` (N, C, H, H) are normalised, `labels` (N,). `progress` in [0, 1] is the share of
    training that is done: dimensions, pixels and subnets may come in later.
    """
    first, *students = _drawn(supernet.space, rng, settings, progress)
    share = side_share(settings, progress)
    logits = _logits(supernet, images, first, settings, share)
    hard = F.cross_entropy(logits[-1], labels, label_smoothing=settings.smoothing)
    loss = hard + settings.exit_weight * _exits(logits, labels, settings)
    _backward(loss + supernet.penalty(first))
    teacher = logits[-1].detach().softmax(dim=1)
    teaches = settings.sandwich and settings.distil != "labels"
    for subnet in students:
        logits = _logits(supernet, images, subnet, settings, share)
        if teaches:
            learn = DIVERGENCES[settings.distil]
            last, exits = learn(logits[-1], teacher), sum(learn(x, teacher) for x in logits[:-1])
        else:
            last, exits = F.cross_entropy(logits[-1], labels), _exits(logits, labels, settings)
        _backward(last + settings.exit_weight * exits + supernet.penalty(subnet))
    return float(hard.detach())


def _drawn(
    space: Space, rng: np.random.Generator, settings: TrainSettings, progress: float
) -> list[Subnet]:
    """The subnets of one step, the teacher first; all of a space that has no more than that."""
    late = progress * settings.epochs >= settings.epochs - settings.late_epochs
    n = settings.n_random + late
    few = prod(len(choices) for choices in space.choices) <= n + 2
    genes: Genes = space.enumerate() if few else space.sample(n, rng)
    if settings.sandwich:
        genes = np.concatenate([space.largest, space.smallest, genes])
    if settings.progressive:
        genes = open_dimensions(space, genes, progress)
    distinct = dict.fromkeys(map(tuple, genes.tolist()))
    return [space.subnet(row) for row in distinct]


def _logits(
    supernet: Supernet, images: Tensor, subnet: Subnet, settings: TrainSettings, share: float
) -> list[Tensor]:
    images = at_resolution(images, supernet.space, subnet, share)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.bf16):
        return [x.float() for x in supernet(images, subnet)]


def _exits(logits: list[Tensor], labels: Tensor, settings: TrainSettings) -> Tensor:
    """Loss of the early exits of a subnet that learns from labels and from its own last exit."""
    share = settings.exit_distil
    own = logits[-1].detach().softmax(dim=1)
    losses = [
        share * kl_divergence(x, own) + (1 - share) * F.cross_entropy(x, labels)
        for x in logits[:-1]
    ]
    return torch.stack(losses).sum() if losses else logits[-1].new_zeros(())


def _backward(loss: Tensor) -> None:
    if loss.requires_grad:
        torch.autograd.backward(loss)
