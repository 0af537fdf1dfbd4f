"""Images as a network takes them, read with numpy alone; Pillow and torch are what they equal."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.runtime import ManifestError
from nas.start.images import fitted, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)


@pytest.fixture
def _no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)


def png(filters: list[int]) -> bytes:
    """`PIXELS` with a given filter for each line, written as the standard says."""
    lines, above = b"", np.zeros(17 * 3, int)
    for kind, row in zip(filters, PIXELS.reshape(13, -1).astype(int), strict=True):
        left, corner = (np.concatenate([np.zeros(3, int), line[:-3]]) for line in (row, above))
        guess = left + above - corner
        near = np.abs(np.stack([left, above, corner]) - guess).argmin(axis=0)
        paeth = np.choose(near, [left, above, corner])
        taken = [0, left, above, (left + above) // 2, paeth][kind]
        lines += bytes([kind]) + ((row - taken) % 256).astype(np.uint8).tobytes()
        above = row
    found = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 17, 13, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + body))
        found += struct.pack(">I", len(body)) + kind + body + check
    return found


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, None], ids=str)
def test_every_filter_of_png_is_undone(
    tmp_path: Path, kind: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = [kind] * 13 if kind is not None else [y % 5 for y in range(13)]
    data = png(filters)
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(Image.open(io.BytesIO(data)), PIXELS)  # the test's own writer
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png")), PIXELS)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA"])
def test_what_pillow_writes_is_read_without_it(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    kinds = ["png", "ppm"] if mode in ("RGB", "L") else ["png"]
    wanted = np.asarray(image.convert("RGB" if mode == "P" else mode)).reshape(13, 17, -1)
    for kind in kinds:
        image.save(tmp_path / f"a.{kind}")
    monkeypatch.setitem(sys.modules, "PIL", None)
    for kind in kinds:
        np.testing.assert_array_equal(read_image(str(tmp_path / f"a.{kind}")), wanted)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 20, 20), (1, 8, 8), (3, 13, 17)])
def test_images_are_resized_as_in_training(shape: tuple[int, int, int]) -> None:
    found = fitted(PIXELS, shape)
    side = shape[1]
    sides = (max(side, round(13 * side / 13)), max(shape[2], round(17 * side / 13)))
    x = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float()
    if shape[0] == 1:
        x = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    wanted = torch.nn.functional.interpolate(x, sides, mode="bilinear", antialias=True)[0]
    left = (sides[1] - shape[2]) // 2
    wanted = wanted[:, : shape[1], left : left + shape[2]]
    assert found.shape == shape
    assert np.abs(found - wanted.numpy()).max() <= 0.51
    assert fitted(PIXELS[:, :, :1], (3, 5, 5)).shape == (3, 5, 5)


@pytest.mark.usefixtures("_no_pillow")
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", None, "does not exist"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "neither PNG nor PPM.*or install Pillow"),
        ("a.png", png([0] * 13)[:60], "no image that can be read"),
        ("a.ppm", b"P6 9 9 255\n", "no image that can be read"),
        ("a.npy", b"\x93NUMPY", "no image that can be read"),
    ],
)
def test_what_is_no_image_is_one_line(
    tmp_path: Path, name: str, data: bytes | None, words: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match=words) as caught:
        read_image(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_array_is_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.npy")), PIXELS)
    np.save(tmp_path / "b.npy", PIXELS.astype(float))
    with pytest.raises(ManifestError, match=r"holds float64 \(13, 17, 3\); expected uint8"):
        read_image(str(tmp_path / "b.npy"))
    np.save(tmp_path / "c.npy", PIXELS.transpose(2, 0, 1))  # channels first: other pixels
    with pytest.raises(ManifestError, match=r"holds uint8 \(3, 13, 17\); expected uint8 \(H, W"):
        read_image(str(tmp_path / "c.npy"))


def test_sixteen_bits_are_not_cut_off_at_255(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    with pytest.raises(ManifestError, match="not 8 bits"):
        read_image(str(tmp_path / "a.png"))
