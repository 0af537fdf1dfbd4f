"""Image files to tensors with Pillow, in parallel: decoding releases the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from supernets.data.dataset import DataError, Listener

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_GREY = ("1", "L", "LA", "I", "F")  # modes of Pillow; 16-bit ones start with "I"
T = TypeVar("T")


def headers(paths: Sequence[Path]) -> tuple[list[int], bool]:
    """Short side of every image in pixels, and whether all images are grey."""
    found = list(_all(_header, paths))
    return [side for side, _ in found], all(grey for _, grey in found)


def decode(
    paths: Sequence[Path], resolution: int, channels: int, listener: Listener | None = None
) -> Tensor:
    """uint8 (N, channels, resolution, resolution): short side resized, centre cut out."""
    images = torch.empty(len(paths), channels, resolution, resolution, dtype=torch.uint8)
    read = partial(_pixels, resolution=resolution, channels=channels)
    for i, pixels in enumerate(_all(read, paths)):
        images[i] = pixels
        if listener is not None:
            listener(i + 1, len(paths))
    return images


def _all(read: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T]:
    """`read` of every path in order; DataError counts the files that cannot be read."""
    damaged = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, found in zip(paths, pool.map(partial(_try, read), paths), strict=True):
            if isinstance(found, Exception):
                damaged.append((path, found))
            else:
                yield found
    if damaged:
        path, error = damaged[0]
        reason = str(error).replace(str(path), "it").replace("'it'", "it")
        raise DataError(
            f"{len(damaged)} of {len(paths)} images cannot be read, the first is {path}: {reason}; "
            "replace or remove them"
        )


def _try(read: Callable[[Path], T], path: Path) -> T | Exception:
    """What `read` says of `path`, or why it failed."""
    from PIL import Image

    try:
        return read(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return error


def _header(path: Path) -> tuple[int, bool]:
    from PIL import Image

    with Image.open(path) as image:
        return min(image.size), image.mode.startswith(_GREY)


def _pixels(path: Path, *, resolution: int, channels: int) -> Tensor:
    """One image, (channels, resolution, resolution)."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft(None, (2 * resolution, 2 * resolution))  # JPEG decodes to about that size
        upright: Any = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
            upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
        upright = upright.convert("L" if channels == 1 else "RGB")
        square = ImageOps.fit(upright, (resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.array(square).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1)
