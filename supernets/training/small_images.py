"""Smaller images at first: what training learns early needs few pixels."""

from __future__ import annotations

import torch

from search_spaces import InputError
from supernets.data import Dataset
from supernets.supernet import Supernet, at_resolution
from supernets.training.settings import TrainSettings

SHARE = 0.75  # of the side: 24 of 32 pixels, 0.56 of the work


def side_share(settings: TrainSettings, progress: float) -> float:
    """Share of the side of their images that subnets see; `progress` in [0, 1] is what is done.

    SHARE in the first `small_epochs`, then all of it (progressive resizing; Tan and Le, 2021,
    arXiv:2104.00298, section 4).
    """
    return SHARE if progress * settings.epochs < settings.small_epochs else 1.0


@torch.no_grad()
def check_small_images(supernet: Supernet, data: Dataset, device: str) -> None:
    """InputError: the network does not run on images of SHARE of their side."""
    subnet = supernet.space.subnet(supernet.space.largest)
    images = data.normalise(data.train.images[:2]).to(device)
    images = at_resolution(images, supernet.space, subnet, SHARE)
    try:
        supernet(images, subnet)
    except (RuntimeError, ValueError):  # a layer of a fixed size, or a map with no pixel left
        raise InputError(
            f"`small_epochs` trains on images of {images.shape[-1]} pixels first, on which "
            f"{supernet.space.name} does not run; leave it at 0"
        ) from None
