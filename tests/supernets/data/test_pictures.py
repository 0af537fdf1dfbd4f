"""Pixels of image folders: formats, depths, sizes, colours, and memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from supernets import DataError, load_dataset
from supernets.data import SPLITS, pictures
from tests.supernets.pictures import grey, write_classes


@given(bits=st.integers(1, 16), data=st.data())
@settings(max_examples=25)
def test_16_bit_images_are_scaled_by_the_bits_they_use(bits: int, data: st.DataObject) -> None:
    top = 2**bits - 1
    values = data.draw(st.lists(st.integers(0, top), min_size=14, max_size=14))
    values += [0, top]
    with TemporaryDirectory() as folder:
        for kind in ("a", "b"):
            (Path(folder) / kind).mkdir()
            for i in range(3):
                pixels = np.repeat(np.array(values, dtype=np.uint16), 16).reshape(16, 16)
                Image.fromarray(pixels).save(Path(folder) / kind / f"{i}.png")
        found = load_dataset(Path(folder))
    scale = 255 if bits <= 8 else top
    wanted = sorted({value * 255 // scale for value in values})
    assert found.train.images.unique().tolist() == wanted
    remark = f"16-bit images use {bits} bits: 0 to {top} is scaled to 0 to 255"
    said = [note for note in found.notes if "16-bit" in note]
    assert said == ([remark] if 8 < bits < 16 else [])


def test_16_bit_colour_is_said_to_be_cut(tmp_path: Path) -> None:
    """Pillow reads the upper 8 bits of PNG's 16-bit colours."""
    row = b"\0" + b"\x12\x34" * 3 * 16
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            (tmp_path / kind / f"{i}.png").write_bytes(png(16, 16, 16, 2, row * 16))
    data = load_dataset(tmp_path)
    assert data.train.images.unique().tolist() == [0x12]
    assert data.notes[0] == "16-bit colour images are read by their upper 8 bits"


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(tmp_path / "a" / "f.tif")
    with pytest.raises(DataError, match=r"1 of 7 .*a/f\.tif: its pixels are floating-point"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("side", [9000, 13000, 23000])
def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path, side: int) -> None:
    """A PNG of 500 kB can have 500 million pixels."""
    write_classes(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "bomb.png").write_bytes(png(side, side, 8, 0, b""))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.png: (it has|Image size)"):
            load_dataset(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_more_images_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"48 images of 16x16 pixels need .*choose a smaller reso"):
        load_dataset(write_classes(tmp_path))


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG of `rows` as they are stored, each behind its filter's number."""

    def chunk(name: bytes, body: bytes) -> bytes:
        sum_ = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "suffix",
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".bmp",
        ".webp",
        ".PNG",
        ".ppm",
        ".pnm",
        ".tif",
        ".TIFF",
        ".gif",
    ],
)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    data = load_dataset(write_classes(tmp_path, {"bars": 3, "dots": 3}, suffix))
    assert sum(len(getattr(data, split)) for split in SPLITS) == 6
    assert data.channels == 3


def test_the_short_side_is_resized_and_the_centre_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((32, 64), dtype=np.uint8)
    wide[:, 16:48] = 200  # the centre
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(4):
            Image.fromarray(wide).save(tmp_path / kind / f"{i}.png")
    data = load_dataset(tmp_path, resolution=16)
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert data.train.images[..., 1:-1].min() == 200
    assert data.train.images.min() > 150  # the filter looks a little beyond the cut


@pytest.mark.parametrize(
    ("side", "found"), [(5, 8), (16, 16), (21, 24), (28, 28), (37, 40), (300, 64)]
)
def test_the_resolution_follows_the_median_short_side(
    tmp_path: Path, side: int, found: int
) -> None:
    for kind in ("a", "b"):
        grey(tmp_path / kind / "tiny.png", 9, (3, 3))
        for i in range(3):
            grey(tmp_path / kind / f"{i}.png", 9, (side, 2 * side))
    assert load_dataset(tmp_path).resolution == found
    assert load_dataset(tmp_path, resolution=96).resolution == 96


def test_grey_images_keep_one_channel_only_if_all_are_grey(tmp_path: Path) -> None:
    for kind, value in (("a", 40), ("b", 90)):
        for i in range(5):
            grey(tmp_path / kind / f"{i}.png", value)
    data = load_dataset(tmp_path)
    assert data.channels == 1
    assert data.mean == pytest.approx(((40 + 90) / 2 / 255,), abs=1e-3)
    assert load_dataset(tmp_path, in_channels=3).channels == 3
    grey(tmp_path / "a" / "colour.png", 40, mode="RGB")
    assert load_dataset(tmp_path).channels == 3


def test_16_bit_images_are_scaled_not_clipped(tmp_path: Path) -> None:
    for kind, value in (("a", 0x2020), ("b", 0x8080)):
        (tmp_path / kind).mkdir()
        for i in range(4):
            pixels = np.full((16, 16), value, dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
    data = load_dataset(tmp_path)
    assert set(data.train.images.unique().tolist()) == {0x20, 0x80}


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    upright = np.zeros((16, 16), dtype=np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            lying = Image.fromarray(np.rot90(upright).copy())
            lying.save(tmp_path / kind / f"{i}.png", exif=exif)
    torch.testing.assert_close(load_dataset(tmp_path).train.images[0, 0], torch.tensor(upright))


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    load_dataset(write_classes(tmp_path), listener=lambda done, total: heard.append((done, total)))
    assert heard == [(i, 48) for i in range(1, 49)]


def test_normalised_training_images_have_mean_zero_and_variance_one(tmp_path: Path) -> None:
    data = load_dataset(write_classes(tmp_path))
    x = data.normalise(data.train.images)
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    """Not even where no header was read before, as of ImageNet's images."""
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="is a pipe or a device, which is never waited for"):
        pictures.decode([tmp_path / "a.png"], 8, 3)
