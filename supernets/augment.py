"""Images as training sees them: random crops, mirrors, squares cut out."""

from __future__ import annotations

import torch
from torch import Tensor

from supernets.data import Dataset

N_CALIBRATION = 2000  # as once-for-all (Cai et al., 2020)


def augment(
    images: Tensor,
    rng: torch.Generator,
    *,
    flip: bool,
    pad: int,
    cutout: int,
    fill: tuple[int, ...] | None = None,
    mirrored: Tensor | None = None,
) -> Tensor:
    """Random crop of the mirrored-border image, mirror, and a square of `fill`.

    `images` and the result are uint8 (N, C, H, H). `cutout` is the side of the square, 0 for none
    (DeVries and Taylor, 2017, arXiv:1708.04552); `fill` (C,) is its colour, black for None. Crops
    move by up to `pad` pixels and repeat what is at the border, as black ones would shift the
    batch-norm statistics against those of whole images. `mirrored` (N,) says which images are, None
    leaves it to chance.
    """
    n, channels, side, _ = images.shape
    if pad or flip:
        offset = torch.randint(-pad, pad + 1, (2, n, 1), generator=rng)
        rows, columns = _reflect(offset + torch.arange(side), side)
        if flip:
            chance = torch.rand(n, 1, generator=rng) < 0.5
            turned = chance if mirrored is None else mirrored[:, None]
            columns = torch.where(turned, columns.flip(1), columns)
        index = torch.arange(n)[:, None, None]
        images = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
        images = images.permute(0, 3, 1, 2)
    if cutout:
        centre = torch.randint(0, side, (2, n, 1), generator=rng)
        inside = (torch.arange(side) - centre + cutout // 2).ge(0)
        inside &= (torch.arange(side) - centre - (cutout + 1) // 2).lt(0)
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        colour = torch.tensor(fill or (0,) * channels, dtype=torch.uint8).view(1, -1, 1, 1)
        images = torch.where(hole, colour, images)
    return images


def _reflect(index: Tensor, side: int) -> Tensor:
    """Positions outside [0, side) mirrored back in; the border itself is not repeated."""
    index = index.abs()
    return torch.where(index < side, index, 2 * (side - 1) - index)


def train_transform(
    data: Dataset,
    images: Tensor,
    rng: torch.Generator,
    *,
    cutout: bool = True,
    mirrored: Tensor | None = None,
) -> Tensor:
    """`images` (uint8) of `data` as training sees them.

    Crops move by an eighth of the side and cutout squares, in the mean colour, have a quarter of
    it: 4 and 8 pixels on CIFAR, as is usual there.
    """
    side = images.shape[-1]
    fill = tuple(round(255 * m) for m in data.mean)
    square = side // 4 if cutout else 0
    return augment(
        *(images, rng),
        flip=data.flip,
        pad=side // 8,
        cutout=square,
        fill=fill,
        mirrored=mirrored,
    )


def calibration_images(data: Dataset) -> Tensor:
    """N_CALIBRATION normalised training images to measure batch-norm statistics on."""
    return data.normalise(data.train.images[:N_CALIBRATION])
