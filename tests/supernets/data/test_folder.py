"""Image folders: layouts, splits, resolutions, and what is said of damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import InputError
from supernets import DataError, Dataset, load_dataset
from supernets.data.folder import _SPLIT_NAMES
from tests.supernets.pictures import CLASSES, picture, write_classes

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")


def sizes(data: Dataset) -> list[int]:
    return [len(getattr(data, split)) for split in SPLITS]


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


# ---- folders as people have them -----------------------------------------------------------------


@given(
    names=st.tuples(*(st.sampled_from(n.split("|")) for n in _SPLIT_NAMES.values())),
    data=st.data(),
)
@settings(max_examples=10)
def test_splits_in_any_case_are_splits(names: tuple[str, ...], data: st.DataObject) -> None:
    upper = [data.draw(st.lists(st.booleans(), min_size=len(n), max_size=len(n))) for n in names]
    with TemporaryDirectory() as folder:
        for name, big, n in zip(names, upper, (5, 3, 2), strict=True):
            mixed = "".join(c.upper() if up else c for c, up in zip(name, big, strict=True))
            write_classes(Path(folder) / mixed, {"bars": n, "dots": n})
        found = load_dataset(Path(folder))
    assert (found.class_names, found.drawn, found.notes) == (("bars", "dots"), (), ())
    assert sizes(found) == [10, 6, 4]


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "Validation"):
        write_classes(tmp_path / name, {"bars": 3, "dots": 3})
    with pytest.raises(DataError, match="has Validation and val, both of them validation images"):
        load_dataset(tmp_path)


def test_a_class_with_the_name_of_a_split(tmp_path: Path) -> None:
    data = load_dataset(write_classes(tmp_path, {"valid": 5, "invalid": 5, "train": 5}))
    assert data.class_names == ("invalid", "train", "valid")
    assert data.notes == ()


def test_siblings_that_are_not_used_are_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", dict.fromkeys(CLASSES, 9))
    write_classes(tmp_path, {"test": 3, "more": 3})  # images without folders of classes
    (note,) = load_dataset(tmp_path).notes
    assert note.startswith(f"left out {tmp_path}/more, which is no split")
    assert "and 1 more such folder" in note


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".ipynb_checkpoints", "$RECYCLE.BIN"])
@pytest.mark.parametrize("where", [".", "train", "train/bars", "val"])
def test_folders_of_a_system_are_no_classes(tmp_path: Path, name: str, where: str) -> None:
    for split in ("train", "val"):
        write_classes(tmp_path / split, dict.fromkeys(CLASSES, 9))
    whole = load_dataset(tmp_path)
    write_classes(tmp_path / where / name, {"thumb.png": 2})
    (tmp_path / where / "Thumbs.db").touch()
    found = load_dataset(tmp_path)
    assert sizes(found) == sizes(whole)
    assert len(found.notes) == (not name.startswith("."))
    assert all(f"left out {tmp_path / where / name}, of a system" in n for n in found.notes)


@pytest.mark.parametrize(
    ("link", "to", "words"),
    [
        ("cat/up", "..", "cat/up is a link to a folder above it"),
        ("cat/up", ".", "cat/up is a link to a folder above it"),
        ("cat/up", "../..", "cat/up is a link out of"),
        ("cat/more", "../dog", r"cat/more is a link to .*|dog is read|is a link to"),
        ("kitten", "cat", "kitten is a link to .*cat: the images would count twice"),
        ("bird", "../elsewhere", "bird is a link out of"),
    ],
)
def test_links_that_bring_images_in_twice(tmp_path: Path, link: str, to: str, words: str) -> None:
    write_classes(tmp_path / "elsewhere", {"bars": 3})
    folder = write_classes(tmp_path / "pets", {"cat": 6, "dog": 6})
    (folder / link).symlink_to(to)
    with pytest.raises(DataError, match=words):
        load_dataset(folder)


def test_links_that_are_read_once_are_read(tmp_path: Path) -> None:
    """A link to an image, and a link to a folder that lies hidden in the tree."""
    folder = write_classes(tmp_path / "pets", {"cat": 6, ".store": 6})
    (folder / "dog").symlink_to(".store")
    outside = write_classes(tmp_path / "more", {"cat": 1})
    (folder / "cat" / "new.png").symlink_to(outside / "cat" / "0.png")
    data = load_dataset(folder)
    assert (data.class_names, sum(sizes(data))) == (("cat", "dog"), 13)
    root = tmp_path / "link"
    root.symlink_to(folder)
    assert sum(sizes(load_dataset(root))) == 13


def test_a_class_whose_images_all_fail_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path)
    for path in (tmp_path / "dots").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"^20 of 48 .*; no train image of class dots can be read"):
        load_dataset(tmp_path)


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
    (tmp_path / "stars" / "0.svg").touch()
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
    with pytest.raises(DataError, match=r"no folder .*nowhere; `data` must be the folder"):
        load_dataset(tmp_path / "nowhere")


def test_a_resolution_that_no_space_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`resolution` must be one of 8, 16, .*, got 30"):
        load_dataset(write_classes(tmp_path), resolution=30)


def test_the_picture_of_every_class_differs() -> None:
    means = [np.asarray(picture(kind, RNG)).mean() for kind in CLASSES]
    assert len({round(mean / 5) for mean in means}) == 3


@given(
    train=st.sampled_from(["Train", "TRAINING", "training_set", "train2017", "train-images"]),
    test=st.sampled_from(["Test", "testing", "test_set", "test2017", "testset", "Test Images"]),
    before=st.sampled_from(["", "seg_", "cifar-"]),
)
@settings(max_examples=6)
def test_splits_by_the_names_that_people_give_them(train: str, test: str, before: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_classes(folder / f"{before}{train}", {"bars": 6, "dots": 6})
        write_classes(folder / f"{before}{test}", {"bars": 2, "dots": 2})
        data = load_dataset(folder)
    assert data.class_names == ("bars", "dots")
    assert len(data.test) == 4
    assert data.drawn == ("validation",)


def test_classes_that_are_called_like_splits_stay_classes(tmp_path: Path) -> None:
    """Steam trains and freight trains: no folder of them is a split."""
    for name in ("steam-train", "freight-train"):
        write_classes(tmp_path / name, {"a": 4})
    assert load_dataset(tmp_path).class_names == ("freight-train", "steam-train")


def test_labels_in_a_file_are_not_read(tmp_path: Path) -> None:
    """As Hugging Face's `metadata.csv`, COCO and YOLO keep them."""
    write_classes(tmp_path, {"train": 6})
    with pytest.raises(DataError, match=r"labels in files .* are not read: one folder for each"):
        load_dataset(tmp_path)


def test_images_that_are_there_twice_are_said(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"bars": 4, "dots": 4})
    write_classes(tmp_path / "test", {"bars": 4, "dots": 4})
    (tmp_path / "test/bars/9.png").symlink_to("../../train/bars/0.png")
    shutil.copy(tmp_path / "train/dots/0.png", tmp_path / "train/bars/8.png")
    notes = load_dataset(tmp_path).notes
    assert "of the images to judge with" in notes[0]
    assert notes[1:] == ("1 image is in more than one class",)


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("train.X1", "val.X"), ("tr", "te")])
def test_classes_that_may_be_splits_are_said(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_classes(tmp_path / name, {"bars": 4, "dots": 4})
    note = load_dataset(tmp_path).notes[0]
    assert "hold the same folders (bars, dots): if they are splits, name them train, val" in note


def test_labels_in_files_are_not_read(tmp_path: Path) -> None:
    """YOLO's folders."""
    write_classes(tmp_path, {"images": 3})
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match=r"/labels holds no images .* \(metadata.csv, COCO, YOLO\)"):
        load_dataset(tmp_path)
