"""Image files to tensors with Pillow, in parallel: decoding releases the interpreter's lock.

Sizes are checked before anything is decoded: a picture of half a megabyte can have half a thousand
million pixels.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from supernets.data.dataset import DataError, Listener

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jpe", ".jp2", ".tga", ".avif"),
)
MAX_PIXELS = 1 << 26  # of one image: 200 MB in colour
LARGE = 1 << 22  # pixels; such images are decoded one after the other
_GREY = ("1", "L", "LA", "I", "F")  # modes of Pillow; 16-bit ones start with "I"
_one_large = threading.Lock()
T = TypeVar("T")


class DamagedError(DataError):
    """Files that cannot be read: `paths`."""

    def __init__(self, message: str, paths: list[Path]) -> None:
        super().__init__(message)
        self.paths = paths


class Header(NamedTuple):
    """Of one image: its short side in pixels, whether it is grey, its largest value.

    `largest` is of images with more than 8 bits alone; `cut`: Pillow drops the lower 8 bits.
    """

    side: int
    grey: bool
    largest: int = 0
    cut: bool = False


class Headers(NamedTuple):
    """Of all images: short sides, whether all are grey, the bits that 16-bit ones use."""

    sides: list[int]
    grey: bool
    bits: int
    remarks: tuple[str, ...]


def headers(paths: Sequence[Path]) -> Headers:
    """What decides how images are read. DamagedError counts those that cannot be."""
    found = list(_all(_header, paths))
    bits = max(8, max(header.largest for header in found).bit_length())
    remarks = []
    if 8 < bits < 16:
        remarks.append(f"16-bit images use {bits} bits: 0 to {2**bits - 1} is scaled to 0 to 255")
    if any(header.cut for header in found):
        remarks.append("16-bit colour images are read by their upper 8 bits")
    grey = all(header.grey for header in found)
    return Headers([header.side for header in found], grey, bits, tuple(remarks))


def decode(
    paths: Sequence[Path],
    resolution: int,
    channels: int,
    bits: int = 16,
    listener: Listener | None = None,
) -> Tensor:
    """uint8 (N, channels, resolution, resolution): short side resized, centre cut out.

    `bits` are those that images of 16 bits use. DataError where all would not fit into memory.
    """
    needed, there = len(paths) * channels * resolution**2, _memory()
    if there is not None and needed > 0.8 * there:
        raise DataError(
            f"{len(paths):,} images of {resolution}x{resolution} pixels need "
            f"{needed / 1e9:.0f} GB, this machine has {there / 1e9:.0f} GB; choose a smaller "
            "resolution"
        )
    images = torch.empty(len(paths), channels, resolution, resolution, dtype=torch.uint8)
    read = partial(_pixels, resolution=resolution, channels=channels, bits=bits)
    for i, pixels in enumerate(_all(read, paths)):
        images[i] = pixels
        if listener is not None:
            listener(i + 1, len(paths))
    return images


def _memory() -> int | None:
    """Bytes of this machine's memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _all(read: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T]:
    """`read` of every path in order; DataError counts the files that cannot be read."""
    from PIL import Image

    damaged = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower
        for path, found in zip(paths, pool.map(partial(_try, read), paths), strict=True):
            if isinstance(found, Exception):
                damaged.append((path, found))
            else:
                yield found
    if damaged:
        path, error = damaged[0]
        reason = str(error).replace(str(path), "it").replace("'it'", "it")
        raise DamagedError(
            f"{len(damaged)} of {len(paths)} images cannot be read, the first is {path}: {reason}; "
            "replace or remove them",
            [path for path, _ in damaged],
        )


def _try(read: Callable[[Path], T], path: Path) -> T | Exception:
    """What `read` says of `path`, or why it failed."""
    from PIL import Image

    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is a pipe or a device, which is never waited for")
        return read(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return error


def _header(path: Path) -> Header:
    from PIL import Image

    with Image.open(path) as image:
        if image.format != "JPEG":  # which decodes to about the size that is asked for
            _check_size(image.size)
        side, grey = min(image.size), image.mode.startswith(_GREY)
        if image.mode == "F":
            raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
        if not image.mode.startswith("I"):
            return Header(side, grey, cut=any(";16" in str(tile) for tile in image.tile))
        with _room(image.size):
            extrema: Any = image.getextrema()  # of the one channel of such an image
        low, high = extrema
    if low < 0:
        raise ValueError(f"it has pixels below 0 ({low})")
    return Header(side, grey, int(high))


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"it has {size[0]} x {size[1]} pixels, over {MAX_PIXELS >> 20} million; make it smaller"
        )


def _room(size: tuple[int, int]) -> AbstractContextManager[Any]:
    """To be held while an image is decoded: there is room for one large one."""
    return _one_large if size[0] * size[1] > LARGE else nullcontext()


def _pixels(path: Path, *, resolution: int, channels: int, bits: int) -> Tensor:
    """One image, (channels, resolution, resolution)."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft(None, (2 * resolution, 2 * resolution))  # JPEG decodes to about that size
        _check_size(image.size)
        with _room(image.size):
            upright: Any = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # over 8 bits, which Pillow would clip at 255
                values = np.asarray(upright).astype(np.int64) * 255 // (2**bits - 1)
                upright = Image.fromarray(values.astype(np.uint8))
            upright = upright.convert("L" if channels == 1 else "RGB")
            square = ImageOps.fit(upright, (resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.array(square).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1)
