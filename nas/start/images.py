"""Image files as pixels with numpy alone: .npy, .png, .ppm; where Pillow is, all that it reads."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.runtime import ManifestError
from nas.runtime.files import plain_size

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's colour types
MAX_PIXELS = 1 << 26
MAX_BYTES = 1 << 28
ADVICE = "convert it to .png (8 bits, not interlaced), .ppm or .npy, or install Pillow"


def read_image(path: str) -> np.ndarray:
    """The pixels (H, W, C) of one image, uint8; ManifestError says what to do with what is none."""
    try:
        plain_size(path, MAX_BYTES)
        pixels = np.load(path, allow_pickle=False) if path.endswith(".npy") else _decoded(path)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist") from None
    except Exception as fault:  # Pillow, numpy, zlib: a file can be wrong in any way
        reason = (str(fault).splitlines() or [type(fault).__name__])[0][:200]
        raise ManifestError(f"{path} is no image that can be read ({reason}); {ADVICE}") from None
    if not isinstance(pixels, np.ndarray):
        raise ManifestError(f"{path} holds several arrays, expected one")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or not pixels.size or pixels.shape[2] > 4:
        raise ManifestError(
            f"{path} holds {pixels.dtype} {pixels.shape}; expected uint8 (H, W, C), C from 1 to 4"
        )
    return np.asarray(pixels)


def fitted(pixels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`pixels` (H, W, C) as a network takes them, uint8 `shape` (C, H, W).

    As in training: the short side is resized (bilinear, antialiased), the centre is cut out. Colour
    becomes grey by ITU-R 601, grey becomes three equal channels, transparency is left out.
    """
    channels, height, width = shape
    image = pixels[:, :, : 1 if pixels.shape[2] < 3 else 3].astype(np.float32)
    if channels == 1 and image.shape[2] == 3:
        image = image @ np.array([[0.299], [0.587], [0.114]], np.float32)
    elif channels == 3 and image.shape[2] == 1:
        image = image.repeat(3, axis=2)
    scale = max(height / image.shape[0], width / image.shape[1])
    sides = [max(least, round(scale * n)) for n, least in zip(image.shape, (height, width))]
    image = np.einsum("ah,bw,hwc->cab", *map(_resizing, image.shape, sides), image, optimize=True)
    top, left = (sides[0] - height) // 2, (sides[1] - width) // 2
    image = image[:, top : top + height, left : left + width]
    whole: np.ndarray = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return whole


def _resizing(n: int, wanted: int) -> np.ndarray:
    """The matrix (wanted, n) of a triangle filter, wide enough not to alias."""
    scale = n / wanted
    at = (np.arange(wanted)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(n) + 0.5 - at) / max(scale, 1.0))
    matrix: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return matrix.astype(np.float32)


def _decoded(path: str) -> np.ndarray:
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] in (b"P5", b"P6"):
        return _ppm(data)
    pillow = _pillow()
    if pillow is not None:
        with pillow.open(path) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise ValueError(f"it has over {MAX_PIXELS >> 20} million pixels")
            if image.mode[0] in "IF":  # Pillow would cut their values off at 255
                raise ValueError("not 8 bits")
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    raise ValueError("neither PNG nor PPM")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image


def _ppm(data: bytes) -> np.ndarray:
    """Binary PGM and PPM of 8 bits without comments."""
    kind, width, height, most = data.split(None, 4)[:4]
    channels = 3 if kind == b"P6" else 1
    n = int(width) * int(height) * channels
    if int(most) != 255 or not 0 < n <= min(3 * MAX_PIXELS, len(data)):
        raise ValueError("not 255 levels, or cut off")
    # the pixels are the last bytes; the first of them may look like white space
    pixels = np.frombuffer(data, np.uint8, n, len(data) - n)
    return pixels.reshape(int(height), int(width), channels)


def _png(data: bytes) -> np.ndarray:
    """PNG of 8 bits, not interlaced (www.w3.org/TR/png, sections 9 and 11)."""
    at, packed, palette = 8, b"", np.zeros((256, 3), np.uint8)
    width, height, bits, colour, interlaced = struct.unpack(">IIBBxxB", data[16:29])
    if bits != 8 or interlaced or colour not in CHANNELS or width * height > MAX_PIXELS:
        raise ValueError("not 8 bits, or interlaced, or too large")
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            packed += body
        elif kind == b"PLTE":
            palette[: length // 3] = np.frombuffer(body, np.uint8).reshape(-1, 3)
        at += length + 12
    n = CHANNELS[colour]
    size = height * (1 + width * n)
    unpacked = zlib.decompressobj().decompress(packed, size + 1)  # no more than the header says
    lines = np.frombuffer(unpacked, np.uint8).reshape(height, 1 + width * n)
    pixels = np.zeros((height + 1, width * n), np.uint8)  # the line above the first is black
    for y in range(height):
        _unfilter(int(lines[y, 0]), lines[y, 1:], pixels[y], pixels[y + 1], n)
    image: np.ndarray = pixels[1:].reshape(height, width, n)
    return palette[image[:, :, 0]] if colour == 3 else image


def _unfilter(kind: int, line: np.ndarray, above: np.ndarray, out: np.ndarray, n: int) -> None:
    """One line of a PNG; `n` bytes a pixel."""
    if kind in (0, 2):
        out[:] = line if kind == 0 else line + above
    elif kind == 1:
        out[:] = line.reshape(-1, n).cumsum(axis=0, dtype=np.uint8).reshape(-1)
    else:
        up, found = above.tolist(), line.tolist()
        for i in range(len(found)):
            left, corner = (found[i - n], up[i - n]) if i >= n else (0, 0)
            guess = (left + up[i]) // 2 if kind == 3 else _paeth(left, up[i], corner)
            found[i] = (found[i] + guess) & 255
        out[:] = found


def _paeth(left: int, up: int, corner: int) -> int:
    """The neighbour that is nearest to left + up - corner."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
