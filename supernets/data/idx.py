"""MNIST, Fashion-MNIST and others in the idx format (LeCun et al., 1998), gzipped or not.

A file is a big-endian magic number (0x800 for bytes plus the number of dimensions), the size of
every dimension, and the bytes: (N, H, W) images of one channel, (N,) labels.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search_spaces import Ints
from supernets.data.dataset import DataError, Dataset, Split, channel_statistics
from supernets.data.digits import DIGITS
from supernets.data.splits import stratified

PIECE = 1 << 20  # bytes that are unpacked at once
PACKED = 1100  # gzip makes no file smaller than by this
MAX_BYTES = 1 << 30  # of one file, unpacked; the largest of the known sets has 638 MB
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
# The first training labels tell the sets apart: their files have the same names and sizes.
_KNOWN = {
    (5, 0, 4, 1, 9, 2, 1, 3, 1, 4): ("mnist", DIGITS, False),
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5): ("fashion-mnist", FASHION_CLASSES, True),
}


def find_idx(folder: Path) -> Path | None:
    """`folder`, or `raw` somewhere below it as torchvision leaves it, that holds idx files."""
    for place in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
        if _find(place, "train-images", 3) is not None:
            return place
    return None


def idx(folder: Path) -> Dataset:
    """Training and test images of idx files; the validation images are drawn, stratified.

    Classes are the label values that occur. Sets that are not known are not mirrored in training.
    """
    images, values = _read_pair(folder, "train")
    test_images, test_values = _read_pair(folder, "t10k")
    classes, labels = np.unique(values, return_inverse=True)
    strange = np.setdiff1d(test_values, classes)
    if len(strange):
        raise DataError(
            f"{folder} has test images with label {strange[0]}, training images have labels "
            f"{', '.join(map(str, classes))}"
        )
    outer = folder.resolve().parent if folder.name == "raw" else folder.resolve()
    unknown = (outer.name, tuple(map(str, range(256))), False)
    name, names, flip = _KNOWN.get(tuple(values[:10].tolist()), unknown)
    all_train = Split(torch.from_numpy(images[:, None]), torch.from_numpy(labels))
    held, kept = stratified(labels, 1, np.random.default_rng(0))
    train = all_train[kept]
    mean, std = channel_statistics(train.images)
    test_labels = torch.from_numpy(np.searchsorted(classes, test_values))
    return Dataset(
        name=name,
        format="idx files",
        train=train,
        validation=all_train[held],
        test=Split(torch.from_numpy(test_images[:, None]), test_labels),
        class_names=tuple(names[c] if c < len(names) else str(c) for c in classes.tolist()),
        mean=mean,
        std=std,
        flip=flip,
        drawn=("validation",),
    )


def _find(folder: Path, part: str, n_dims: int) -> Path | None:
    """The file of `part`, with the dash or the dot that archives write before `idx`."""
    names = [f"{part}{mark}idx{n_dims}-ubyte{gz}" for mark in "-." for gz in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_pair(folder: Path, split: str) -> tuple[NDArray[np.uint8], Ints]:
    """Square images (N, H, H) and labels (N,) of `split`."""
    found = []
    for part, n_dims in ((f"{split}-images", 3), (f"{split}-labels", 1)):
        path = _find(folder, part, n_dims)
        if path is None:
            missing = folder / f"{part}-idx{n_dims}-ubyte"
            raise DataError(f"idx files are incomplete: {missing}[.gz] is missing")
        found.append(_read(path, n_dims))
    images, labels = found
    if len(images) != len(labels):
        raise DataError(
            f"{folder} has {len(images)} {split} images and {len(labels)} labels; fetch both again"
        )
    if len(images) == 0 or images.shape[1] != images.shape[2]:
        raise DataError(
            f"{folder} has {split} images of shape {images.shape}; square ones are needed"
        )
    return images, labels.astype(np.int64)


def _read(path: Path, n_dims: int) -> NDArray[np.uint8]:
    """The array of one idx file."""
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            shape = _shape(path, file.read(4 + 4 * n_dims), n_dims)
            most = PACKED * path.stat().st_size if zipped else path.stat().st_size
            if math.prod(shape) > most:
                raise EOFError(f"its header asks for {math.prod(shape)} bytes")
            array = np.empty(math.prod(shape), np.uint8)
            n_read = _fill(file, array)
            more = bool(file.read(1))  # what else a file holds is not unpacked
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged: {error}; fetch it again") from None
    if n_read != array.size or more:
        raise DataError(
            f"{path} is truncated or damaged: {'more' if more else n_read} bytes, its header asks "
            f"for {array.size}; fetch it again"
        )
    return array.reshape(shape)


def _fill(file: Any, array: NDArray[np.uint8]) -> int:
    """Read into `array` until it is full or the file ends; returns the bytes read."""
    view, n_read = array.data, 0
    while n_read < array.size and (n := file.readinto(view[n_read : n_read + PIECE])):
        n_read += n
    return n_read


def _shape(path: Path, header: bytes, n_dims: int) -> tuple[int, ...]:
    """Sizes of the dimensions, before anything of that size is read."""
    if len(header) < 4 + 4 * n_dims:
        raise DataError(f"{path} is truncated or damaged: {len(header)} bytes; fetch it again")
    magic = int.from_bytes(header[:4], "big")
    if magic != 0x800 + n_dims:
        raise DataError(
            f"{path} is no idx file of bytes in {n_dims} dimensions: its magic number is {magic}, "
            f"not {0x800 + n_dims}"
        )
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, 4 + 4 * n_dims, 4))
    if math.prod(shape) > MAX_BYTES:
        raise DataError(
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes, over "
            f"{MAX_BYTES >> 20} MiB; split it into image folders"
        )
    return shape
