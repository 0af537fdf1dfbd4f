"""Images to train on, and those of a board."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from nas.cli.govern_board import _read_images
from nas.start.images import read_image
from supernets import load_dataset
from tests.formats.kind import Format, data, rng
from tests.supernets.pictures import picture, write_classes, write_idx

BATCHES = " ".join([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"])


def pictures(path: Path) -> None:
    write_classes(path.parents[1], {"a": 3, "b": 3}, path.suffix)


def records(name: str, n_labels: int, n: int) -> Callable[[Path], object]:
    """CIFAR's binary files with `n` images each; the class of image i is i modulo 10."""

    def make(path: Path) -> None:
        one = [bytes([i % 10] * n_labels) + bytes(3072) for i in range(n)]
        for file in name.split():
            (path.parent / file).write_bytes(b"".join(one))
        names = "\n".join(f"class{i}" for i in range(100))
        (path.parent / "fine_label_names.txt").write_text(names)

    return make


def images_of(folder: Path) -> Any:
    read = load_dataset(folder)
    return len(read.train), read.class_names


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((4, 1, 8, 8), dtype=np.uint8))
    return file.getvalue()


def read_array(path: Path) -> Any:
    return int(_read_images(path).sum())


def picture_of_a_board(path: Path) -> None:
    picture("bars", rng(), side=8).save(path)


def read_picture(path: Path) -> Any:
    """With Pillow and without it."""
    found = read_image(str(path)).tolist()
    with patch("nas.start.images._pillow", lambda: None):
        assert read_image(str(path)).tolist() == found
    return found


FORMATS = {
    "image": Format("a/0.png", pictures, lambda p: images_of(p.parents[1]), 40),
    "photograph": Format("a/0.jpg", pictures, lambda p: images_of(p.parents[1]), 40),
    "idx labels": Format(
        "train-labels-idx1-ubyte",
        lambda p: write_idx(p.parent, [0, 1, 2, 0, 1, 2], side=8),
        lambda p: images_of(p.parent),
    ),
    "idx images": Format(
        "train-images-idx3-ubyte.gz",
        lambda p: write_idx(p.parent, [0, 1, 2, 0, 1, 2], side=8, gz=True),
        lambda p: images_of(p.parent),
    ),
    "CIFAR-10": Format(
        "data_batch_3.bin", records(BATCHES, 1, 1001), lambda p: images_of(p.parent), 3
    ),
    "CIFAR-100": Format(
        "train.bin", records("train.bin test.bin", 2, 5010), lambda p: images_of(p.parent), 3
    ),
    "CIFAR-100's names": Format(
        "fine_label_names.txt",
        records("train.bin test.bin", 2, 5010),
        lambda p: images_of(p.parent),
        3,
    ),
    "image on a board": Format("a.png", picture_of_a_board, read_picture, 100),
    "images of a board": Format("images.npy", data(array), read_array),
}
