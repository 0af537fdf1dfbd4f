"""ImageNet's folders: labels by synset, the standard crop, splits that share no image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernets.data import DataError, imagenet, synsets

CLASSES = ("n02123045", "n01440764", "n02086240", "n03977966", "n07747607")
LABELS = {"n02123045": 281, "n01440764": 0, "n02086240": 155, "n03977966": 734, "n07747607": 950}
"""Tabby, tench, Shih-Tzu, police van, orange: as ILSVRC 2012 numbers them."""


def write_images(folder: Path, n: int) -> None:
    """`n` images of each of five classes, of uneven sizes; every image has its own colour."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
            pixels[:, :, 0] = number * n + i
            Image.fromarray(pixels).resize((400, 300)).save(folder / name / f"{i}.png")


def test_labels_are_those_of_the_synsets_and_splits_are_disjoint(tmp_path: Path) -> None:
    write_images(tmp_path / "val", n=2)
    data = imagenet(tmp_path, resolution=32)
    assert (data.n_classes, data.class_names[281]) == (1000, "n02123045")
    seen = set()
    for split in (data.test, data.validation):
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            colour = int(image[0, 16, 16])
            assert label == LABELS[CLASSES[colour // 2]]
            seen.add(colour)
    assert seen == set(range(10))
    assert "no train folder" in data.notes[0]


def test_images_are_cropped_as_the_published_accuracies_were_measured(tmp_path: Path) -> None:
    write_images(tmp_path, n=1)
    data = imagenet(tmp_path, resolution=224)
    with Image.open(tmp_path / CLASSES[0] / "0.png") as image:
        resized = image.resize((341, 256), Image.Resampling.BILINEAR)
    left, top = (341 - 224) // 2, (256 - 224) // 2
    wanted = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    both = [*zip(data.test.images, data.test.labels, strict=True)]
    both += zip(data.validation.images, data.validation.labels, strict=True)
    found = next(x for x, label in both if label == LABELS[CLASSES[0]]).permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - wanted).mean() < 2  # Pillow's and torch's rounding


def test_the_classes_are_a_thousand_in_the_order_of_their_labels() -> None:
    assert len(set(synsets())) == 1000
    assert {name: synsets().index(name) for name in CLASSES} == LABELS


def test_a_folder_without_classes_or_with_others_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "val", n=1)
    (tmp_path / "a" / "val" / "n02123045").rename(tmp_path / "a" / "val" / "tabby")
    with pytest.raises(DataError, match="'tabby', which is none of ImageNet's synsets"):
        imagenet(tmp_path / "a")
    (tmp_path / "flat").mkdir()
    with pytest.raises(DataError, match="no folders of classes"):
        imagenet(tmp_path / "flat")
    with pytest.raises(DataError, match="give `data`, the folder that holds ImageNet"):
        imagenet(None)
