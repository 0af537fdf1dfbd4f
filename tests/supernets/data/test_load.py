"""Reading images, and what augmentation may and may not do to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces import InputError
from supernets import DataError, Dataset, load_dataset
from supernets.data import Split

FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
N_PER_FILE = 4


def records(seed: int) -> bytes:
    """CIFAR-10's binary layout: a label byte, then 1024 red, 1024 green and 1024 blue ones."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (N_PER_FILE, 3073), dtype=np.uint8)
    raw[:, 0] %= 10
    return raw.tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 of four images per file, of which three are held out."""
    monkeypatch.setattr("supernets.data.cifar.N_VALIDATION", 3)
    for seed, name in enumerate(FILES):
        (tmp_path / name).write_bytes(records(seed))
    return tmp_path


def flat(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_cifar_is_read_as_written(folder: Path) -> None:
    data = load_dataset(folder)
    assert data.name == "cifar10"
    assert data.flip
    assert [len(s) for s in (data.train, data.validation, data.test)] == [17, 3, 4]
    raw = np.frombuffer(records(5), dtype=np.uint8).reshape(-1, 3073)
    np.testing.assert_array_equal(data.test.labels, raw[:, 0])
    np.testing.assert_array_equal(data.test.images[2, 1, 5], raw[2, 1 + 1024 + 5 * 32 :][:32])
    together = torch.cat([data.train.images, data.validation.images])
    assert flat(together) == {r[1:] for i in range(5) for r in chunks(records(i))}


def chunks(data: bytes) -> list[bytes]:
    return [data[i : i + 3073] for i in range(0, len(data), 3073)]


def test_the_folder_may_be_the_archives_parent(folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "up" / "cifar-10-batches-bin"
    below.mkdir(parents=True)
    for name in FILES:
        (folder / name).rename(below / name)
    assert len(load_dataset(below.parent).test) == N_PER_FILE


def test_the_held_out_images_are_always_the_same(folder: Path) -> None:
    a, b = load_dataset(folder), load_dataset(folder)
    torch.testing.assert_close(a.validation.images, b.validation.images)


def test_an_empty_folder_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no images in .*: looked for .*CIFAR-10 \(data_batch_1\.bin\)"
    ):
        load_dataset(tmp_path)


def test_a_folder_of_one_class_and_a_file_are_named(tmp_path: Path) -> None:
    cat = tmp_path / "cat"
    cat.mkdir()
    (cat / "1.JPEG").touch()
    with pytest.raises(DataError, match=r"have no class: .* if 'cat' is one class, give the"):
        load_dataset(cat)
    with pytest.raises(DataError, match=r"1\.JPEG is a file; `data` must be the folder"):
        load_dataset(cat / "1.JPEG")


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"incomplete: .*{name} is missing"):
        load_dataset(folder)


@pytest.mark.parametrize("kept", [0, 1, 3072, 3073 * 2 + 5])
def test_a_truncated_file_is_named(folder: Path, kept: int) -> None:
    (folder / FILES[2]).write_bytes(records(2)[:kept])
    with pytest.raises(DataError, match=rf"{FILES[2]} is truncated: {kept} bytes"):
        load_dataset(folder)


def test_a_label_out_of_range_is_named(folder: Path) -> None:
    (folder / FILES[5]).write_bytes(b"\x0b" + records(5)[1:])
    with pytest.raises(DataError, match=r"test_batch\.bin holds label 11, CIFAR-10 has 0 to 9"):
        load_dataset(folder)


def test_digits_are_three_disjoint_splits_of_all_classes() -> None:
    data = load_dataset(None)
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [1197, 300, 300]
    assert all(split.images.shape[1:] == (1, 8, 8) for split in splits)
    assert all(split.images.dtype == torch.uint8 for split in splits)
    assert all(set(split.labels.tolist()) == set(range(10)) for split in splits)
    assert not data.flip
    # scikit-learn's digits hold a few equal images; they are few enough to see that splits differ
    assert len(flat(torch.cat([s.images for s in splits]))) > 1790


def test_normalised_training_images_have_mean_zero_and_variance_one() -> None:
    data = load_dataset(None)
    x = data.normalise(data.train.images)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.mean().abs() < 0.01
    assert x.std() == pytest.approx(1, abs=0.01)


def test_a_dataset_is_frozen() -> None:
    data = load_dataset(None)
    assert isinstance(data, Dataset)
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]


# ---- CIFAR-100 -----------------------------------------------------------------------------------


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-100 of 200 training and 100 test images, every fine label as often."""
    monkeypatch.setattr("supernets.data.cifar.N_VALIDATION", 20)
    for name, n in (("train.bin", 200), ("test.bin", 100)):
        raw = np.random.default_rng(n).integers(0, 256, (n, 3074), dtype=np.uint8)
        raw[:, 1] = np.arange(n) % 100
        (tmp_path / name).write_bytes(raw.tobytes())
    return tmp_path


def test_cifar_100_has_its_fine_labels(cifar100: Path) -> None:
    data = load_dataset(cifar100)
    assert (data.name, data.n_classes, data.resolution) == ("cifar100", 100, 32)
    assert data.class_names[7] == "7"
    assert [len(s) for s in (data.train, data.validation, data.test)] == [180, 20, 100]
    raw = np.frombuffer((cifar100 / "test.bin").read_bytes(), dtype=np.uint8).reshape(-1, 3074)
    np.testing.assert_array_equal(data.test.labels, np.arange(100))
    np.testing.assert_array_equal(data.test.images[3, 0, 0], raw[3, 2:34])
    names = [f"class_{i}" for i in range(100)]
    (cifar100 / "fine_label_names.txt").write_text("\n".join(names))
    assert load_dataset(cifar100).class_names == tuple(names)


def test_a_damaged_cifar_100_is_named(cifar100: Path) -> None:
    raw = bytearray((cifar100 / "test.bin").read_bytes())
    raw[1] = 100
    (cifar100 / "test.bin").write_bytes(raw)
    with pytest.raises(DataError, match=r"test\.bin holds label 100, CIFAR-100 has 0 to 99"):
        load_dataset(cifar100)
    (cifar100 / "test.bin").unlink()
    with pytest.raises(DataError, match=r"CIFAR-100 is incomplete: .*test\.bin is missing"):
        load_dataset(cifar100)


def test_a_dataset_describes_what_deployment_needs() -> None:
    assert load_dataset(None, resolution=16, flip=True).describe() == {
        "name": "digits",
        "format": "scikit-learn's digits",
        "classes": list("0123456789"),
        "resolution": 16,
        "channels": 1,
        "mean": [0.305],
        "std": [0.376],
        "flip": True,
        "n_images": {"train": 1197, "validation": 300, "test": 300},
        "drawn": [],
    }


def test_pixels_that_are_no_bytes_are_refused() -> None:
    """Of pixels in [0, 1] normalising would make one grey, without a word."""
    data = load_dataset("digits")
    images, labels = data.test.images, data.test.labels
    with pytest.raises(InputError, match=r"pixels must be uint8, 0 to 255, .* got torch\.float32"):
        data.normalise(images / 255)
    for wrong in ((images / 255, labels), (images, labels.int())):
        with pytest.raises(InputError, match="images must be uint8 and labels int64, got"):
            Split(*wrong)
    for wrong in ((images[:, :, 1:], labels), (images[1:], labels), (images[0], labels)):
        with pytest.raises(InputError, match=r"images must be square, \(N, C, H, H\), and labels"):
            Split(*wrong)
    with pytest.raises(InputError, match="`split` must be one of train, validation, test, got 'v"):
        data.held_out("val")
    assert len(repr(data)) < 800
