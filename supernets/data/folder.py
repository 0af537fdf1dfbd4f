"""Image folders: DIR/train/CLASS/*.png with DIR/val and DIR/test, or DIR/CLASS/*.png alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search_spaces import Ints
from supernets.data.dataset import (
    SPLITS,
    DataError,
    Dataset,
    Listener,
    Split,
    channel_statistics,
    nearest_resolution,
)
from supernets.data.pictures import SUFFIXES, decode, headers
from supernets.data.splits import stratified

MAX_RESOLUTION = 64  # unless the user asks for more
_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Listing:
    """The image files of one split folder, class by class, and what else lies there."""

    classes: dict[str, list[Path]]
    others: list[Path]


def find_folder(folder: Path) -> Path | None:
    """`folder` if there are images in folders below it."""
    splits = _split_folders(folder)
    for place in splits.values() if splits else [folder]:
        if any(any(_images(below)) for below in _visible(place) if below.is_dir()):
            return folder
    return None


def image_folder(
    folder: Path,
    *,
    resolution: int | None = None,
    in_channels: int | None = None,
    listener: Listener | None = None,
) -> Dataset:
    """Read every image at `resolution`: the short side resized to it, the centre cut out.

    Without `resolution` it is the one of RESOLUTIONS next to the median short side, at most
    MAX_RESOLUTION; without `in_channels` images stay grey where all are. Missing splits are drawn
    from the training images, stratified by class, and `drawn` and `notes` say so.
    """
    listings = _listings(folder)
    names = _class_names(folder, listings)
    paths, labels, drawn = _fill_splits(listings, names)
    images = _decode(paths, resolution, in_channels, listener)
    train, validation, test = (Split(images[s], torch.from_numpy(labels[s])) for s in SPLITS)
    mean, std = channel_statistics(train.images)
    return Dataset(
        name=folder.resolve().name,
        format="image folder",
        train=train,
        validation=validation,
        test=test,
        class_names=tuple(names),
        mean=mean,
        std=std,
        flip=True,
        drawn=drawn,
        notes=_notes(listings, names),
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _images(folder: Path) -> Iterable[Path]:
    """Image files at any depth below `folder`, by their suffix."""
    for path in _visible(folder):
        if path.is_dir():
            yield from _images(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders of the splits that are there, by the split's name."""
    return {
        split: folder / name
        for split, names in _SPLIT_FOLDERS.items()
        for name in reversed(names)
        if (folder / name).is_dir()
    }


def _listings(folder: Path) -> dict[str, Listing]:
    """Files by split; a folder of classes alone is all training images."""
    splits = _split_folders(folder)
    if splits and "train" not in splits:
        raise DataError(
            f"{folder} has {' and '.join(p.name for p in splits.values())} but no train folder; "
            "training images belong in train/CLASS/"
        )
    return {split: _listing(place) for split, place in (splits or {"train": folder}).items()}


def _listing(folder: Path) -> Listing:
    """Images of every class folder; DataError where there are none."""
    classes = {p.name: list(_images(p)) for p in _visible(folder) if p.is_dir()}
    if not any(classes.values()):
        raise DataError(f"{folder} holds no images in class folders; fill or remove it")
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise DataError(
            f"class folder {folder / empty[0]} holds no images ({', '.join(SUFFIXES)}); "
            f"fill or remove it{_more(len(empty) - 1, 'empty class folder')}"
        )
    known = {path for paths in classes.values() for path in paths}
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p not in known]
    hidden = [p for p in files if any(s.startswith(".") for s in p.relative_to(folder).parts)]
    return Listing(classes, [p for p in files if p not in hidden])


def _more(n: int, what: str) -> str:
    return f" (and {n} more {what}{'s' * (n > 1)})" if n else ""


def _class_names(folder: Path, listings: dict[str, Listing]) -> list[str]:
    """Sorted names of the training classes; DataError where other splits have others."""
    names = sorted(listings["train"].classes)
    if len(names) < 2:
        raise DataError(
            f"{folder} holds one class ({names[0]!r}), at least two are needed, one folder each; "
            f"if {names[0]!r} is the data set itself, name that folder"
        )
    for split, found in listings.items():
        strange = sorted(set(found.classes) - set(names))
        if strange:
            raise DataError(
                f"{folder} has {split} images of class {strange[0]!r} but no training images of "
                f"it{_more(len(strange) - 1, 'such class')}; training has {', '.join(names)}"
            )
    return names


def _fill_splits(
    listings: dict[str, Listing], names: list[str]
) -> tuple[dict[str, list[Path]], dict[str, Ints], tuple[str, ...]]:
    """Paths and labels of all three splits in random order, and the names of those drawn here."""
    rng = np.random.default_rng(0)
    pairs = {
        split: [(path, names.index(name)) for name in found.classes for path in found.classes[name]]
        for split, found in listings.items()
    }
    drawn = tuple(split for split in SPLITS if split not in pairs)
    of_train = np.array([label for _, label in pairs["train"]])
    *held, kept = stratified(of_train, len(drawn), rng)
    chosen = {split: rng.permutation(len(found)) for split, found in pairs.items()}
    chosen |= {"train": kept, **dict(zip(drawn, held, strict=True))}
    picked = {s: [pairs.get(s, pairs["train"])[i] for i in chosen[s]] for s in SPLITS}
    paths = {s: [path for path, _ in picked[s]] for s in SPLITS}
    labels = {s: np.array([label for _, label in picked[s]], dtype=np.int64) for s in SPLITS}
    return paths, labels, drawn


def _decode(
    paths: dict[str, list[Path]],
    resolution: int | None,
    in_channels: int | None,
    listener: Listener | None,
) -> dict[str, Tensor]:
    """uint8 images (N, C, H, H) of every split."""
    together = [path for split in SPLITS for path in paths[split]]
    sides, grey = headers(together)
    resolution = resolution or nearest_resolution(float(np.median(sides)), MAX_RESOLUTION)
    images = decode(together, resolution, in_channels or (1 if grey else 3), listener)
    parts = images.split([len(paths[split]) for split in SPLITS])
    return dict(zip(SPLITS, parts, strict=True))


def _notes(listings: dict[str, Listing], names: list[str]) -> tuple[str, ...]:
    notes = []
    for split, found in listings.items():
        absent = sorted(set(names) - set(found.classes))
        if absent:
            notes.append(f"no {split} images of class {', '.join(absent)}")
    others = [path for found in listings.values() for path in found.others]
    if others:
        notes.append(f"left out {others[0]}, no image{_more(len(others) - 1, 'such file')}")
    return tuple(notes)
