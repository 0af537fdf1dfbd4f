"""Image folders: DIR/train/CLASS/*.png with DIR/val and DIR/test, or DIR/CLASS/*.png alone."""

from __future__ import annotations

import re
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
from supernets.data.pictures import SUFFIXES, DamagedError, decode, headers
from supernets.data.splits import stratified
from supernets.data.tree import Tree
from supernets.data.twins import twins

MAX_RESOLUTION = 64  # unless the user asks for more
_SPLIT_NAMES = {  # in any case
    "train": "train|training|trn",
    "validation": "val|valid|validation|dev",
    "test": "test|testing|tst",
}
_BEHIND = r"(?:[-_ ]?(?:set|split|images?|imgs?|data|\d+))*"  # `training_set`, `val2017`
_NO_CLASSES = ("images", "imgs", "labels", "annotations", "data", "jpegimages")
LABELS = "; labels in files (metadata.csv, COCO, YOLO) are not read: one folder for each class"


@dataclass(frozen=True)
class Listing:
    """The image files of one split folder, class by class, and what else lies there."""

    classes: dict[str, list[Path]]
    others: list[Path]


def find_folder(folder: Path) -> Path | None:
    """`folder` if there are images in folders below it."""
    tree = Tree(folder)
    places = _split_folders(tree).values() or [folder]
    if any(tree.has_images(below) for place in places for below in tree.folders(place)):
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
    tree = Tree(folder)
    listings = _listings(tree)
    names = _class_names(folder, listings)
    paths, labels, drawn = _fill_splits(listings, names)
    try:
        images, remarks = _decode(paths, resolution, in_channels, listener)
    except DamagedError as error:
        raise DataError(str(error) + _of_class(error.paths, listings)) from None
    splits = {split: Split(images[split], torch.from_numpy(labels[split])) for split in SPLITS}
    train, validation, test = (splits[split] for split in SPLITS)
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
        notes=(*_notes(tree, listings, names), *remarks, *twins(splits)),
    )


def _split_folders(tree: Tree) -> dict[str, Path]:
    """The folders of the splits that are there, by the split's name.

    A folder that holds images itself, in no folders of classes, is no split whatever its name:
    `valid` may be a class, and `test` may hold images that nobody labelled.
    """
    candidates = [
        path
        for path in tree.folders(tree.root)
        if not any(_is_image(below) for below in tree.visible(path))
    ]
    named = {path: _split_of(path.name) for path in candidates}
    if not any(named.values()):  # `seg_train` beside `seg_test`, where they are not one class each
        behind = {path: _split_of(re.sub(r"^[^-_ ]+[-_ ]", "", path.name)) for path in candidates}
        named = behind if len(set(filter(None, behind.values()))) > 1 else {}
    found: dict[str, Path] = {}
    for path, split in named.items():
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"{tree.root} has {found[split].name} and {path.name}, both of them {split} "
                "images; put them together"
            )
        found[split] = path
    return {split: found[split] for split in _SPLIT_NAMES if split in found}


def _split_of(name: str) -> str | None:
    """The split that a folder's name means."""
    for split, names in _SPLIT_NAMES.items():
        if re.fullmatch(f"({names}){_BEHIND}", name.lower()):
            return split
    return None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _listings(tree: Tree) -> dict[str, Listing]:
    """Files by split; a folder of classes alone is all training images."""
    splits = _split_folders(tree)
    if splits and "train" not in splits:
        raise DataError(
            f"{tree.root} has {' and '.join(p.name for p in splits.values())} but no train folder; "
            "training images belong in train/CLASS/"
        )
    tree.read.clear()
    return {s: _listing(tree, place) for s, place in (splits or {"train": tree.root}).items()}


def _listing(tree: Tree, folder: Path) -> Listing:
    """Images of every class folder; DataError where there are none."""
    found = {path.name: tree.files(path) for path in tree.folders(folder)}
    classes = {name: images for name, (images, _) in found.items()}
    if not any(classes.values()):
        raise DataError(
            f"{folder} holds no images in class folders ({', '.join(SUFFIXES)}); fill or remove it"
        )
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise DataError(
            f"class folder {folder / empty[0]} holds no images ({', '.join(SUFFIXES)}); "
            f"fill or remove it{_more(len(empty) - 1, 'empty class folder')}"
            + (LABELS if empty[0].lower() in _NO_CLASSES else "")
        )
    loose = [path for path in tree.visible(folder) if not path.is_dir()]
    return Listing(classes, [*loose, *(path for _, others in found.values() for path in others)])


def _of_class(damaged: list[Path], listings: dict[str, Listing]) -> str:
    """Words about the first class whose images all fail."""
    failed = set(damaged)
    for split, listing in listings.items():
        for name, paths in listing.classes.items():
            if failed.issuperset(paths):
                return f"; no {split} image of class {name} can be read"
    return ""


def _more(n: int, what: str) -> str:
    return f" (and {n} more {what}{'s' * (n > 1)})" if n else ""


def _class_names(folder: Path, listings: dict[str, Listing]) -> list[str]:
    """Sorted names of the training classes; DataError where other splits have others."""
    names = sorted(listings["train"].classes)
    if len(names) < 2:
        raise DataError(
            f"{folder} holds one class ({names[0]!r}), at least two are needed, one folder each; "
            f"if {names[0]!r} is the data set itself, name that folder"
            + (LABELS if names[0].lower() in _NO_CLASSES or _split_of(names[0]) else "")
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
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """uint8 images (N, C, H, H) of every split, and remarks on how they were read."""
    together = [path for split in SPLITS for path in paths[split]]
    found = headers(together)
    resolution = resolution or nearest_resolution(float(np.median(found.sides)), MAX_RESOLUTION)
    channels = in_channels or (1 if found.grey else 3)
    images = decode(together, resolution, channels, found.bits, listener)
    parts = images.split([len(paths[split]) for split in SPLITS])  # type: ignore[no-untyped-call]
    return dict(zip(SPLITS, parts, strict=True)), found.remarks


def _notes(tree: Tree, listings: dict[str, Listing], names: list[str]) -> tuple[str, ...]:
    notes = []
    unused = _unused(tree)
    if unused:
        notes.append(
            f"left out {unused[0]}, which is no split (train, val, test) with folders of classes"
            + _more(len(unused) - 1, "such folder")
        )
    if len(listings) == 1 and (below := _same_folders(listings["train"])):
        notes.append(
            f"the classes {', '.join(names)[:80]} hold the same folders ({', '.join(below)[:80]}): "
            "if they are splits, name them train, val and test"
        )
    for split, found in listings.items():
        absent = sorted(set(names) - set(found.classes))
        if absent:
            notes.append(f"no {split} images of class {', '.join(absent)}")
    others = [path for found in listings.values() for path in found.others]
    if others:
        notes.append(f"left out {others[0]}, no image{_more(len(others) - 1, 'such file')}")
    system = sorted(set(tree.system))
    if system:
        notes.append(f"left out {system[0]}, of a system{_more(len(system) - 1, 'such folder')}")
    return tuple(notes)


def _same_folders(listing: Listing) -> list[str]:
    """The names of two or more folders that every class holds its images in."""
    below = [
        {path.parent.name if path.parent.name != name else "" for path in paths}
        for name, paths in listing.classes.items()
    ]
    same = set.intersection(*below)
    return sorted(same) if len(same) > 1 and all(one == same for one in below) else []


def _unused(tree: Tree) -> list[Path]:
    """Folders beside the splits, and images that lie there, that no split takes."""
    splits = _split_folders(tree)
    beside = [path for path in tree.visible(tree.root) if path not in splits.values()]
    return [path for path in beside if path.is_dir() or _is_image(path)] if splits else []
