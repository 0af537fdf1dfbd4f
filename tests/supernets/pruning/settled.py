"""Masks as a training leaves them, without the training."""

from __future__ import annotations

from typing import TypeVar

import torch

from supernets.calibrate import store_statistics
from supernets.pruning.masked import MaskedSupernet
from supernets.pruning.masked_units import MaskedUnits
from tests.supernets.tiny import images

Masked = TypeVar("Masked", MaskedSupernet, MaskedUnits)


def settle(masked: Masked) -> Masked:
    """Masks that were learned in some way and then settled, with statistics of their own."""
    torch.manual_seed(1)
    for parameter in masked.masks.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    masked.eval().masks.settle(torch.from_numpy(masked.counts()))
    store_statistics(masked, images())
    return masked
