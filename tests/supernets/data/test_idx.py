"""MNIST's file format, gzipped or not, whole or damaged."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from supernets import DataError, load_dataset
from tests.supernets.pictures import idx_bytes, write_idx

MNIST = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 6, 7, 8, *range(10), *range(10)]
FASHION = [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 1, 4, 6, 8, *range(10), *range(10)]


@pytest.mark.parametrize("gz", [False, True])
def test_idx_files_are_read_as_written(tmp_path: Path, gz: bool) -> None:
    data = load_dataset(write_idx(tmp_path, MNIST, gz=gz))
    assert (data.name, data.resolution, data.channels, data.flip) == ("mnist", 28, 1, False)
    assert data.class_names == tuple("0123456789")
    assert data.test.labels.tolist() == MNIST
    for split in (data.train, data.validation, data.test):
        torch.testing.assert_close(split.images[:, 0, 3, 4].long(), split.labels + 1)
    assert len(data.train) + len(data.validation) == len(MNIST)
    assert data.drawn == ("validation",)


def test_fashion_mnist_is_told_from_mnist_by_its_labels(tmp_path: Path) -> None:
    data = load_dataset(write_idx(tmp_path, FASHION))
    assert (data.name, data.class_names[9], data.flip) == ("fashion-mnist", "Ankle boot", True)


def test_other_sets_have_the_labels_that_occur(tmp_path: Path) -> None:
    letters = write_idx(tmp_path / "letters" / "EMNIST" / "raw", [3, 1, 2, 3, 1, 2, 3, 1], side=20)
    data = load_dataset(letters.parents[1])
    assert (data.name, data.class_names, data.flip) == ("EMNIST", ("1", "2", "3"), False)
    assert data.test.labels.tolist() == [2, 0, 1, 2, 0, 1, 2, 0]
    assert data.resolution == 24  # no space takes 20 pixels


def test_the_constants_are_those_of_the_training_images(tmp_path: Path) -> None:
    data = load_dataset(write_idx(tmp_path, MNIST))
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx((float(pixels.mean()),), abs=1e-4)
    assert data.std == pytest.approx((float(pixels.std(correction=0)),), abs=1e-4)


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("kept", [0, 3, 10, 300])
def test_a_truncated_file_is_named(tmp_path: Path, gz: bool, kept: int) -> None:
    write_idx(tmp_path, [0, 1, 2] * 3, gz=gz)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if gz else ''}"
    path.write_bytes(path.read_bytes()[: min(kept, path.stat().st_size - 9)])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte(\.gz)? is (truncated|no idx)"):
        load_dataset(tmp_path)


def test_a_wrong_magic_number_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path, MNIST)
    labels = (tmp_path / "train-labels-idx1-ubyte").read_bytes()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match=r"no idx file of bytes in 3 dimensions.* 2049, not 2051"):
        load_dataset(tmp_path)


def test_counts_that_differ_are_named(tmp_path: Path) -> None:
    write_idx(tmp_path, MNIST)
    labels = idx_bytes(np.array(MNIST[:-2], dtype=np.uint8))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match=r"has 33 train images and 31 labels"):
        load_dataset(tmp_path)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path, MNIST)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"incomplete: .*t10k-images-idx3-ubyte\[\.gz\] is missing"):
        load_dataset(tmp_path)


def test_a_test_label_that_was_never_trained_on(tmp_path: Path) -> None:
    write_idx(tmp_path, [0, 1, 2, 0, 1, 2])
    strange = idx_bytes(np.array([0, 1, 2, 0, 1, 7], dtype=np.uint8))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(strange)
    with pytest.raises(DataError, match=r"test images with label 7, .* labels 0, 1, 2"):
        load_dataset(tmp_path)


def test_images_that_are_not_square(tmp_path: Path) -> None:
    write_idx(tmp_path, [0, 1])
    wide = idx_bytes(np.zeros((2, 8, 9), dtype=np.uint8))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(wide)
    with pytest.raises(DataError, match=r"train images of shape \(2, 8, 9\); square ones"):
        load_dataset(tmp_path)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds one class, 4"):
        load_dataset(write_idx(tmp_path, [4, 4, 4]))


def test_a_file_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    """1 MB of a gzip file can hold 1 GB."""
    write_idx(tmp_path, MNIST, gz=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx_bytes(np.zeros((4, 28, 28), dtype=np.uint8)))
        for _ in range(100):
            file.write(bytes(1 << 20))
    with memory_below(20e6), pytest.raises(DataError, match="damaged: more bytes, its header asks"):
        load_dataset(tmp_path)


def test_a_size_that_no_set_has_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_idx(tmp_path, MNIST)
    header = (0x803).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (2**31, 28, 28))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(1000))
    with (
        memory_below(20e6),
        pytest.raises(DataError, match=r"2147483648 x 28 x 28 bytes, over 1024"),
    ):
        load_dataset(tmp_path)


@contextmanager
def memory_below(limit: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
