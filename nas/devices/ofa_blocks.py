"""The blocks that once-for-all's latency tables list, cut out of a subnet with its weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from supernets import Segment, StaticNet


@torch.inference_mode()
def block_network(net: StaticNet, x: Tensor, index: int) -> tuple[nn.Module, Tensor]:
    """The network behind entry `index` of `ofa_keys`, and its input where `net` gets the image `x`.

    `net` is a folded subnet of `MobileNetV3Space` without early exits: stem with its activation,
    blocks, then a head of six layers.
    """
    segment = cast(Segment, net.segments[0])
    trunk, head = cast(nn.Sequential, segment.trunk), cast(nn.Sequential, segment.head)
    parts = [trunk[:2], *(nn.Sequential(block) for block in list(trunk.children())[2:])]
    parts += [head[:2], head[2:3], head[3:5], head[5:]]  # Conv_1, AvgPool2D, Conv_2, Logits
    for part in parts[:index]:
        x = part(x)
    return parts[index], x
