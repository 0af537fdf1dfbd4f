"""Image folders: layouts, splits, resolutions, and what is said of damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search_spaces import InputError
from supernets import DataError, Dataset, load_dataset
from tests.supernets.pictures import CLASSES, picture, write_classes

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")


def sizes(data: Dataset) -> list[int]:
    return [len(getattr(data, split)) for split in SPLITS]


def grey(path: Path, value: int, size: tuple[int, int] = (16, 16), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


# ---- layouts -------------------------------------------------------------------------------------


def test_classes_alone_are_split_by_class(tmp_path: Path) -> None:
    data = load_dataset(write_classes(tmp_path / "shapes"))
    assert (data.name, data.class_names) == ("shapes", ("bars", "dots", "rings"))
    assert (data.resolution, data.channels, data.flip) == (16, 3, True)
    assert data.drawn == ("validation", "test")
    assert [data.counts(split).tolist() for split in SPLITS] == [[20, 16, 2], [2, 2, 1], [2, 2, 1]]
    again = load_dataset(tmp_path / "shapes")
    torch.testing.assert_close(data.test.images, again.test.images)


@pytest.mark.parametrize(
    ("val", "test"), [("val", "test"), ("valid", "test"), ("validation", "testing")]
)
def test_split_folders_are_kept(tmp_path: Path, val: str, test: str) -> None:
    for name, n in (("train", 5), (val, 3), (test, 2)):
        write_classes(tmp_path / name, dict.fromkeys(CLASSES, n))
    data = load_dataset(tmp_path)
    assert sizes(data) == [15, 9, 6]
    assert data.drawn == ()
    # a picture of bars is bright where one of dots is dark
    for split in SPLITS:
        part = getattr(data, split)
        bars = part.images[:, 0, 0, 5] > 150
        torch.testing.assert_close(bars, part.labels == 0)


@pytest.mark.parametrize(
    ("there", "drawn", "expected"),
    [
        ("val", ("test",), [57, 9, 6]),
        ("test", ("validation",), [57, 6, 9]),
        ("", SPLITS[1:], [51, 6, 6]),
    ],
)
def test_a_missing_split_is_drawn_from_the_training_images(
    tmp_path: Path, there: str, drawn: tuple[str, ...], expected: list[int]
) -> None:
    write_classes(tmp_path / "train", dict.fromkeys(CLASSES, 21))
    if there:
        write_classes(tmp_path / there, dict.fromkeys(CLASSES, 3))
    data = load_dataset(tmp_path)
    assert data.drawn == drawn
    assert sizes(data) == expected


def test_the_first_training_images_are_of_all_classes(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        write_classes(tmp_path / name, dict.fromkeys(CLASSES, 20))
    assert set(load_dataset(tmp_path).train.labels[:15].tolist()) == {0, 1, 2}


def test_images_lie_at_any_depth_and_hidden_files_are_ignored(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "bars" / "more").mkdir()
    (tmp_path / "bars" / "0.png").rename(tmp_path / "bars" / "more" / "0.png")
    for hidden in (".DS_Store", "bars/.thumb.png", ".git/index"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_text("no image")
    data = load_dataset(tmp_path)
    assert sum(sizes(data)) == sum(CLASSES.values())
    assert data.notes == ()
    (tmp_path / "bars" / "labels.txt").touch()
    assert load_dataset(tmp_path).notes == (f"left out {tmp_path}/bars/labels.txt, no image",)


# ---- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".PNG"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    data = load_dataset(write_classes(tmp_path, {"bars": 3, "dots": 3}, suffix))
    assert sum(sizes(data)) == 6
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


# ---- errors --------------------------------------------------------------------------------------


def test_damaged_images_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path)
    damaged = tmp_path / "dots" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(
        DataError, match=r"^1 of 48 images cannot be read.*dots/3\.png: .*truncated"
    ):
        load_dataset(tmp_path)
    damaged.write_text("no image")
    (tmp_path / "bars" / "7.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"^2 of 48 images cannot be read.*cannot identify"
    ) as error:
        load_dataset(tmp_path)
    assert "\n" not in str(error.value)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "stars").mkdir()
    (tmp_path / "stars" / "0.gif").touch()
    with pytest.raises(DataError, match=r"class folder .*/stars holds no images \(\.png, "):
        load_dataset(tmp_path)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match=r"/val holds no images in class folders"):
        load_dataset(tmp_path)


def test_splits_without_training_images(tmp_path: Path) -> None:
    write_classes(tmp_path / "val")
    write_classes(tmp_path / "test")
    with pytest.raises(DataError, match="has val and test but no train folder"):
        load_dataset(tmp_path)


def test_a_class_that_is_never_trained_on(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"bars": 3, "dots": 3})
    write_classes(tmp_path / "val", {"bars": 3, "rings": 3})
    with pytest.raises(DataError, match=r"validation images of class 'rings' but no training"):
        load_dataset(tmp_path)
    write_classes(tmp_path / "train", {"rings": 3})
    assert load_dataset(tmp_path).notes == ("no validation images of class dots",)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    write_classes(tmp_path / "all" / "train")
    with pytest.raises(DataError, match=r"holds one class \('all'\).*if 'all' is the data set"):
        load_dataset(tmp_path)


def test_nothing_fits(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in .*looked for image folders.*MNIST.*notes"):
        load_dataset(tmp_path)
    with pytest.raises(DataError, match=r"no folder .*nowhere; --data names the folder"):
        load_dataset(tmp_path / "nowhere")


def test_a_resolution_that_no_space_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resolution must be one of 8, 16, .*, got 30"):
        load_dataset(write_classes(tmp_path), resolution=30)


def test_the_picture_of_every_class_differs() -> None:
    means = [np.asarray(picture(kind, RNG)).mean() for kind in CLASSES]
    assert len({round(mean / 5) for mean in means}) == 3
