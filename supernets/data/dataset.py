"""Images as tensors: three splits, the names of their classes, how pixels are normalised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import RESOLUTIONS, InputError, Ints

SPLITS = ("train", "validation", "test")
Listener = Callable[[int, int], None]  # images read so far, images to read


class DataError(InputError):
    """A data folder does not hold what was expected; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """uint8 images (N, C, H, H) and int64 labels (N,); InputError for any others."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if (images.dtype, labels.dtype) != (torch.uint8, torch.int64):
            raise InputError(
                f"images must be uint8 and labels int64, got {images.dtype} and {labels.dtype}"
            )
        square = images.ndim == 4 and images.shape[2] == images.shape[3]
        if not square or labels.shape != images.shape[:1]:
            raise InputError(
                "images must be square, (N, C, H, H), and labels (N,), got "
                f"{tuple(images.shape)} and {tuple(labels.shape)}"
            )

    def __repr__(self) -> str:
        return f"Split({tuple(self.images.shape)})"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Ints) -> Split:
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training, validation and test images of the same classes, in random order.

    The validation split serves every choice (predictors, thresholds, temperatures); the test split
    is for reports only.
    """

    name: str
    format: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]  # of label 0, 1, ...
    mean: tuple[float, ...]  # one per channel, of pixels scaled to [0, 1]
    std: tuple[float, ...]
    flip: bool  # whether a mirrored image is a valid image
    drawn: tuple[str, ...] = ()  # splits that the files do not hold, drawn from the training images
    notes: tuple[str, ...] = ()  # what reading decided and the user should know

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        return self.train.images.shape[1]

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.train.images.shape[-1]

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 `images` (N, C, H, H) as float32 of mean 0, variance 1, channels last in memory."""
        if images.dtype != torch.uint8:
            raise InputError(
                f"pixels must be uint8, 0 to 255, to be normalised, got {images.dtype}"
            )
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        x = (images.float() / 255 - mean) / std
        return x.contiguous(memory_format=torch.channels_last)

    def held_out(self, split: str) -> Split:
        """The images of `split`; DataError where it has none, so that nothing can be judged."""
        if split not in SPLITS:
            raise InputError(f"`split` must be one of {', '.join(SPLITS)}, got {split!r}")
        found: Split = getattr(self, split)
        if not len(found):
            raise DataError(
                f"{self.name} has no {split} images: draw them from three images of a class or "
                f"more, or put them into {'val' if split == 'validation' else split}/CLASS/"
            )
        return found

    def counts(self, split: str) -> Ints:
        """Images of every class in `split`, (n_classes,)."""
        labels = getattr(self, split).labels.numpy()
        return np.bincount(labels, minlength=self.n_classes)

    def describe(self) -> dict[str, Any]:
        """What a checkpoint keeps of its images: enough to prepare others for the network."""
        return {
            "name": self.name,
            "format": self.format,
            "classes": list(self.class_names),
            "resolution": self.resolution,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            "flip": self.flip,
            "n_images": {split: len(getattr(self, split)) for split in SPLITS},
            "drawn": list(self.drawn),
        }

    def resized(self, resolution: int) -> Dataset:
        """The same images at `resolution` pixels (bilinear, antialiased)."""

        def at(split: Split) -> Split:
            if split.images.shape[-1] == resolution:
                return split
            size = (resolution, resolution)
            images = F.interpolate(split.images, size, mode="bilinear", antialias=True)
            return Split(images, split.labels)

        train, validation, test = at(self.train), at(self.validation), at(self.test)
        return replace(self, train=train, validation=validation, test=test)


def nearest_resolution(side: float, largest: int = max(RESOLUTIONS)) -> int:
    """The side up to `largest` that a space can take, next to `side`; the larger of two."""
    usable = [r for r in RESOLUTIONS if r <= largest]
    return min(usable, key=lambda r: (abs(r - side), -r))


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel of uint8 images, scaled to [0, 1].

    Counted in a histogram: exact, and without a copy in float. A constant channel has deviation 1.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for c in range(images.shape[1]):
        counts = torch.bincount(images[:, c].flatten(), minlength=256)
        share = counts.double() / counts.sum()
        mean = share @ levels
        std = (share @ (levels - mean) ** 2).sqrt()
        means.append(round(float(mean), 4))
        stds.append(round(float(std), 4) or 1.0)
    return tuple(means), tuple(stds)
