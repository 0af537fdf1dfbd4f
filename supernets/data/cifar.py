"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from search_spaces import read_text
from supernets.data.dataset import DataError, Dataset, Split

N_VALIDATION = 5000
MAX_BYTES = 1 << 28  # of one file; CIFAR-100's has 154 MB
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN, CIFAR100_STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_PIXELS = 3 * 32 * 32  # R, G, B planes


def find_cifar10(folder: Path) -> Path | None:
    """`folder` or the one below it that holds CIFAR-10."""
    return _holding(folder, "cifar-10-batches-bin", "data_batch_1.bin")


def find_cifar100(folder: Path) -> Path | None:
    """`folder` or the one below it that holds CIFAR-100."""
    return _holding(folder, "cifar-100-binary", "train.bin")


def _holding(folder: Path, below: str, file: str) -> Path | None:
    return next((p for p in (folder, folder / below) if (p / file).is_file()), None)


def cifar10(folder: Path) -> Dataset:
    """Five training files and one of test images; records of a label byte and the pixels."""
    parts = [_read(folder / f"data_batch_{i}.bin", "CIFAR-10", 1, 10) for i in range(1, 6)]
    train, validation = _hold_out(
        Split(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]))
    )
    return Dataset(
        name="cifar10",
        format="CIFAR-10 binary version",
        train=train,
        validation=validation,
        test=_read(folder / "test_batch.bin", "CIFAR-10", 1, 10),
        class_names=CIFAR10_CLASSES,
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        flip=True,
        drawn=("validation",),
    )


def cifar100(folder: Path) -> Dataset:
    """One training and one test file; records of a coarse label, a fine label and the pixels.

    Classes are the 100 fine ones, named by `fine_label_names.txt` where it is there.
    """
    train, validation = _hold_out(_read(folder / "train.bin", "CIFAR-100", 2, 100))
    names = folder / "fine_label_names.txt"
    known = read_text(names).split() if names.is_file() else []
    return Dataset(
        name="cifar100",
        format="CIFAR-100 binary version",
        train=train,
        validation=validation,
        test=_read(folder / "test.bin", "CIFAR-100", 2, 100),
        class_names=tuple(known) if len(known) == 100 else tuple(map(str, range(100))),
        mean=CIFAR100_MEAN,
        std=CIFAR100_STD,
        flip=True,
        drawn=("validation",),
    )


def _hold_out(split: Split) -> tuple[Split, Split]:
    """The images to train on and N_VALIDATION others, always the same."""
    order = np.random.default_rng(0).permutation(len(split))
    return split[order[N_VALIDATION:]], split[order[:N_VALIDATION]]


def _read(path: Path, name: str, n_labels: int, n_classes: int) -> Split:
    """Records of `n_labels` label bytes, the last of which counts, and the pixels."""
    if not path.is_file():
        raise DataError(f"{name} is incomplete: {path} is missing")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has {path.stat().st_size} bytes, {name} has less; fetch it again")
    raw = np.fromfile(path, dtype=np.uint8)
    size = n_labels + _PIXELS
    if raw.size == 0 or raw.size % size:
        raise DataError(
            f"{path} is truncated: {raw.size} bytes are no multiple of {size}; fetch it again"
        )
    records = raw.reshape(-1, size)
    labels = records[:, n_labels - 1]
    if labels.max() >= n_classes:
        raise DataError(f"{path} holds label {labels.max()}, {name} has 0 to {n_classes - 1}")
    images = torch.from_numpy(records[:, n_labels:].reshape(-1, 3, 32, 32).copy())
    return Split(images, torch.from_numpy(labels.astype(np.int64)))
