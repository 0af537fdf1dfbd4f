"""One training step of a supernet: sandwich rule with in-place distillation.

The largest and the smallest subnet and some random ones share every step; the largest learns from
the labels and teaches the others with its detached logits (Yu and Huang, 2019, arXiv:1903.05134).
Early exits of every subnet learn the same way (BigNAS and HADAS train theirs afterwards).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import Subnet
from supernets.resnet import ResNetSupernet


def sandwich_step(
    supernet: ResNetSupernet,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    *,
    n_random: int = 1,
    exit_weight: float = 0.3,
    distil_weight: float = 0.5,
    bf16: bool = False,
) -> float:
    """Accumulate the gradients of one batch; returns the cross-entropy of the largest subnet.

    `images` (N, C, H, H) are normalised, `labels` (N,). `exit_weight` scales the loss of every
    early exit against 1 for the last; `distil_weight` is the share of the teacher in the exits of
    the largest subnet (its last exit has labels alone).
    """
    space = supernet.space

    def logits_of(subnet: Subnet) -> list[Tensor]:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            logits = supernet(images, subnet)
        return [x.float() for x in logits]

    logits = logits_of(space.subnet(space.largest))
    hard = F.cross_entropy(logits[-1], labels)
    teacher = logits[-1].detach().softmax(dim=1)
    loss = hard
    for early in logits[:-1]:
        taught = distil_weight * F.cross_entropy(early, teacher)
        loss = loss + exit_weight * (taught + (1 - distil_weight) * F.cross_entropy(early, labels))
    loss.backward()
    students = [space.smallest, *space.sample(n_random, rng)[:, None]]
    for genes in students:
        *early_logits, last = logits_of(space.subnet(genes))
        loss = F.cross_entropy(last, teacher)
        for early in early_logits:
            loss = loss + exit_weight * F.cross_entropy(early, teacher)
        loss.backward()
    return float(hard.detach())
