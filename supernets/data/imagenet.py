"""ImageNet's folders, classes matched by synset: DIR/val/n01440764/*.JPEG, with DIR/train or not.

A folder may hold some of the thousand classes; their order there says nothing. Images are prepared
as `ofa` and torchvision evaluate: the short side resized to RESOLUTION / 0.875, the centre cut out.
A fixed draw of them is read, since all would fill 7.5 GB. `imagenet_synsets.txt` lists the WordNet
numbers of ILSVRC 2012 in the order of its labels, which is that of the alphabet.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from supernets.data.dataset import DataError, Dataset, Listener, Split
from supernets.data.pictures import decode
from supernets.data.tree import Tree

NAME = "imagenet"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as `ofa` normalises
CROPPED = 0.875  # of the short side
N_HELD, N_TRAIN = 5000, 2000  # images of the validation and the test split; to calibrate with
LEAST = 4  # images, so that each split has two


@cache
def synsets() -> tuple[str, ...]:
    """The thousand classes in the order of their labels."""
    text = (files("supernets.data") / "imagenet_synsets.txt").read_text(encoding="ascii")
    return tuple(text.split())


def imagenet(
    folder: Path | None, *, resolution: int = 224, listener: Listener | None = None
) -> Dataset:
    """Images below `folder`: halves of `val` for validation and test, some of `train`.

    Without a `train` folder batch norm is calibrated on the validation half, whose labels it does
    not need. DataError: no class folders, or one that is no synset.
    """
    if folder is None or not folder.is_dir():
        raise DataError(f"no folder {folder}; give `data`, the folder that holds ImageNet's val")
    names = ("val", "validation", "ILSVRC2012_img_val")
    place = next((folder / name for name in names if (folder / name).is_dir()), folder)
    rng = np.random.default_rng(0)
    held = _draw(_listed(place), 2 * N_HELD, rng)
    if len(held) < LEAST:
        raise DataError(f"{place} holds {len(held)} images, at least {LEAST} are needed")
    middle = (len(held) + 1) // 2
    parts = {"test": held[:middle], "validation": held[middle:]}
    notes: tuple[str, ...] = ()
    if (folder / "train").is_dir():
        parts["train"] = _draw(_listed(folder / "train"), N_TRAIN, rng)
    else:
        notes = (f"{folder} has no train folder: batch norm is calibrated on validation images",)
    paths = [path for part in parts.values() for path, _ in part]
    images = _cropped(decode(paths, math.ceil(resolution / CROPPED), 3, 16, listener), resolution)
    read = dict(zip(parts, images.split([len(p) for p in parts.values()]), strict=True))  # type: ignore[no-untyped-call]
    splits = {
        split: Split(read[split], torch.tensor([label for _, label in part], dtype=torch.int64))
        for split, part in parts.items()
    }
    return Dataset(
        name=NAME,
        format=NAME,
        train=splits.get("train", splits["validation"]),
        validation=splits["validation"],
        test=splits["test"],
        class_names=synsets(),
        mean=MEAN,
        std=STD,
        flip=True,
        notes=notes,
    )


def _listed(place: Path) -> list[tuple[Path, int]]:
    """Every image below the class folders of `place`, with its label."""
    tree, label_of = Tree(place), {name: label for label, name in enumerate(synsets())}
    classes = tree.folders(place)
    if not classes:
        raise DataError(
            f"{place} has no folders of classes; put every image into one that is named by its "
            "synset, such as n01440764"
        )
    strange = [path.name for path in classes if path.name not in label_of]
    if strange:
        raise DataError(
            f"{place} has a class folder {strange[0]!r}, which is none of ImageNet's synsets "
            f"({len(strange)} such): classes are matched by names like n01440764, not by their "
            "order; rename them"
        )
    return [(path, label_of[place.name]) for place in classes for path in tree.files(place)[0]]


def _draw(
    listed: list[tuple[Path, int]], n: int, rng: np.random.Generator
) -> list[tuple[Path, int]]:
    """At most `n` of them in random order."""
    return [listed[i] for i in rng.permutation(len(listed))[:n]]


def _cropped(images: Tensor, side: int) -> Tensor:
    """The centre of square images."""
    start = (images.shape[-1] - side) // 2
    return images[:, :, start : start + side, start : start + side].contiguous()
