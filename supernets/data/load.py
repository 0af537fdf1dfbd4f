"""From a folder to a data set: the format is recognised by the files there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from search_spaces import RESOLUTIONS, InputError
from supernets.data.cifar import cifar10, cifar100, find_cifar10, find_cifar100
from supernets.data.dataset import DataError, Dataset, Listener, nearest_resolution
from supernets.data.digits import digits
from supernets.data.folder import find_folder, image_folder
from supernets.data.idx import find_idx, idx
from supernets.data.pictures import SUFFIXES

_FILES = {find_cifar10: cifar10, find_cifar100: cifar100, find_idx: idx}


def load_dataset(
    folder: Path | str | None,
    *,
    resolution: int | None = None,
    in_channels: int | None = None,
    flip: bool | None = None,
    listener: Listener | None = None,
) -> Dataset:
    """The images in `folder`; scikit-learn's digits for None or `digits`.

    `resolution` in pixels and `flip` (whether mirrored images are valid) are the data's own without
    them; `in_channels` makes the images of an image folder grey (1) or coloured (3). `listener`
    hears how many images of a folder are read. DataError says what is missing or damaged.
    """
    if resolution is not None and resolution not in RESOLUTIONS:
        raise InputError(
            f"`resolution` must be one of {', '.join(map(str, RESOLUTIONS))}, got {resolution}"
        )
    folder = None if folder is None else Path(folder)
    data = _read(folder, resolution, in_channels, listener)
    if data.n_classes < 2:
        raise DataError(f"{folder} holds one class, {data.class_names[0]}; two are needed")
    side = resolution or nearest_resolution(data.resolution)
    return replace(data.resized(side), flip=data.flip if flip is None else flip)


def _read(
    folder: Path | None, resolution: int | None, in_channels: int | None, listener: Listener | None
) -> Dataset:
    if folder is None or folder == Path("digits"):
        return digits()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; `data` must be the folder that holds the images")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; `data` must be the folder that holds the images")
    for find, read in _FILES.items():
        place = find(folder)
        if place is not None:
            return read(place)
    if find_folder(folder) is not None:
        return image_folder(
            folder, resolution=resolution, in_channels=in_channels, listener=listener
        )
    names = sorted(p.name for p in folder.iterdir())
    if any(Path(name).suffix.lower() in SUFFIXES for name in names):
        raise DataError(
            f"the images in {folder} have no class: put those of every class into a folder of its "
            f"own; if {folder.absolute().name!r} is one class, give the folder that holds it"
        )
    found = ", ".join(names[:4]) + ", ..." * (len(names) > 4)
    raise DataError(
        f"no images in {folder}: looked for image folders (train/CLASS/* or CLASS/* with files "
        f"{' '.join(SUFFIXES)}), "
        "CIFAR-10 (data_batch_1.bin), CIFAR-100 (train.bin) and MNIST "
        f"(train-images-idx3-ubyte[.gz]); found {found or 'nothing'}"
    )
