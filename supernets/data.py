"""Images as tensors: CIFAR-10 in its binary layout, and scikit-learn's embedded digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search_spaces import InputError

N_VALIDATION = 5000
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_RECORD = 1 + 3 * 32 * 32  # one label byte, then R, G, B planes


class DataError(InputError):
    """A data folder does not hold what was expected; the message says what to do."""


@dataclass(frozen=True)
class Split:
    """uint8 images (N, C, H, H) and int64 labels (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test images with the constants that normalise them.

    The validation split serves every choice (predictors, thresholds, temperatures); the test split
    is for reports only.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool  # whether a mirrored image is a valid image

    def normalise(self, images: Tensor) -> Tensor:
        """float32 images of zero mean and unit variance, channels last in memory."""
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        x = (images.float() / 255 - mean) / std
        return x.contiguous(memory_format=torch.channels_last)


def load_dataset(folder: Path | None) -> Dataset:
    """CIFAR-10 from `folder`; the digits for None or `digits`. DataError says what is missing."""
    return digits() if folder in (None, Path("digits")) else cifar10(folder)


def cifar10(folder: Path) -> Dataset:
    """CIFAR-10 (Krizhevsky, 2009), binary version: five training files and one of test images."""
    root = next((p for p in (folder, folder / "cifar-10-batches-bin") if _has_cifar(p)), None)
    if root is None:
        raise DataError(
            f"no CIFAR-10 in {folder}: expected data_batch_1.bin to data_batch_5.bin and "
            "test_batch.bin (the 'binary version') there or in cifar-10-batches-bin below it"
        )
    parts = [_read_cifar(root / f"data_batch_{i}.bin") for i in range(1, 6)]
    images = torch.cat([p.images for p in parts])
    labels = torch.cat([p.labels for p in parts])
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    held, kept = order[:N_VALIDATION], order[N_VALIDATION:]
    return Dataset(
        name="cifar10",
        train=Split(images[kept], labels[kept]),
        validation=Split(images[held], labels[held]),
        test=_read_cifar(root / "test_batch.bin"),
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        flip=True,
    )


def _has_cifar(folder: Path) -> bool:
    return (folder / "data_batch_1.bin").is_file()


def _read_cifar(path: Path) -> Split:
    if not path.is_file():
        raise DataError(f"CIFAR-10 is incomplete: {path} is missing")
    raw = np.fromfile(path, dtype=np.uint8)
    if raw.size == 0 or raw.size % _RECORD:
        raise DataError(
            f"{path} is truncated: {raw.size} bytes are no multiple of {_RECORD}; fetch it again"
        )
    records = raw.reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"{path} holds label {records[:, 0].max()}, CIFAR-10 has 0 to 9")
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return Split(images, torch.from_numpy(records[:, 0].astype(np.int64)))


def digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8x8 pixels: 1,197 to train, 300 to choose, 300 to report."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy((bunch.images * 255 / 16).astype(np.uint8)[:, None])
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    train, validation, test = (Split(images[i], labels[i]) for i in order.split([1197, 300, 300]))
    return Dataset("digits", train, validation, test, mean=(0.305,), std=(0.376,), flip=False)
