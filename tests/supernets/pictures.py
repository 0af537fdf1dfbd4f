"""Image files that tests write: a tiny image folder, idx files, CIFAR records."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"bars": 24, "dots": 20, "rings": 4}  # images of each class; rings are rare


def picture(kind: str, rng: np.random.Generator, side: int = 16) -> Image.Image:
    """A colour picture whose class can be seen: bars, dots or rings on noise."""
    pixels = rng.integers(0, 60, (side, side, 3), dtype=np.uint8)
    bright = np.zeros((side, side), dtype=bool)
    if kind == "bars":
        bright[:, side // 4 : side // 2] = True
    elif kind == "dots":
        bright[side // 3 : side // 2, side // 3 : side // 2] = True
    else:
        bright[2:-2, 2:-2] = True
        bright[5:-5, 5:-5] = False
    pixels[bright] += 180
    return Image.fromarray(pixels)


def write_classes(folder: Path, classes: dict[str, int] = CLASSES, suffix: str = ".png") -> Path:
    """`folder`/CLASS/0.png and so on; folders of other names get other images."""
    rng = np.random.default_rng(list(folder.name.encode()))
    for kind, n in classes.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture(kind, rng).save(folder / kind / f"{i}{suffix}")
    return folder


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx file of a uint8 array."""
    header = (0x800 + array.ndim).to_bytes(4, "big")
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_idx(folder: Path, labels: list[int], *, side: int = 28, gz: bool = False) -> Path:
    """Training and test images with `labels` each; the image of label v has the value v + 1."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.array(labels, dtype=np.uint8)
    images = np.broadcast_to((values + 1)[:, None, None], (len(values), side, side))
    for split in ("train", "t10k"):
        for part, array in (("images-idx3", images), ("labels-idx1", values)):
            content = idx_bytes(array)
            path = folder / f"{split}-{part}-ubyte{'.gz' if gz else ''}"
            path.write_bytes(gzip.compress(content) if gz else content)
    return folder


def grey(path: Path, value: int, size: tuple[int, int] = (16, 16), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
