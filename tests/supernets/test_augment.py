"""What augmentation may and may not do to images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from supernets.augment import augment


def changed(images: Tensor, seed: int = 0, **settings: object) -> Tensor:
    arguments = {"flip": False, "pad": 0, "cutout": 0} | settings
    return augment(images, torch.Generator().manual_seed(seed), **arguments)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Images without a zero, no two rows or columns alike."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, 256, (20, 3, 8, 8), dtype=torch.uint8, generator=generator)


def test_without_any_augmentation_images_stay(pixels: Tensor) -> None:
    torch.testing.assert_close(changed(pixels), pixels)


def test_a_mirrored_image_is_a_mirror_image(pixels: Tensor) -> None:
    flipped = changed(pixels, flip=True)
    mirrored = [torch.equal(x, y.flip(2)) for x, y in zip(flipped, pixels, strict=True)]
    same = [torch.equal(x, y) for x, y in zip(flipped, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


def test_which_images_are_mirrored_can_be_said(pixels: Tensor) -> None:
    turned = torch.arange(len(pixels)) % 3 == 0
    wanted = torch.where(turned[:, None, None, None], pixels.flip(3), pixels)
    assert torch.equal(changed(pixels, flip=True, mirrored=turned), wanted)


def test_a_crop_is_a_window_of_the_padded_image(pixels: Tensor) -> None:
    crops = changed(pixels, pad=2)
    padded = torch.nn.functional.pad(pixels.float(), (2,) * 4, mode="reflect").to(torch.uint8)
    offsets = set()
    for crop, image in zip(crops, padded, strict=True):
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if torch.equal(image[:, i : i + 8, j : j + 8], crop)
        ]
        assert len(found) == 1
        offsets.update(found)
    assert len(offsets) > 5


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(1, 5))
def test_a_cutout_is_one_square_that_the_border_may_cut(seed: int, side: int) -> None:
    images = torch.full((6, 2, 8, 8), 9, dtype=torch.uint8)
    for image in changed(images, seed, cutout=side):
        assert torch.equal(image[0], image[1])
        rows, columns = (image[0] == 0).any(dim=1), (image[0] == 0).any(dim=0)
        assert torch.equal(image[0] == 0, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            at = line.nonzero().flatten()
            assert 1 <= len(at) <= side
            assert len(at) == at[-1] - at[0] + 1
            assert len(at) == side or line[0] or line[-1]


@given(seed=st.integers(0, 2**32 - 1))
def test_a_seed_gives_one_augmentation(seed: int) -> None:
    images = torch.arange(2 * 64).reshape(2, 1, 8, 8).to(torch.uint8)
    a, b = (changed(images, seed, flip=True, pad=1, cutout=2) for _ in range(2))
    torch.testing.assert_close(a, b)
    assert a.dtype == torch.uint8
    assert a.shape == images.shape


def test_augmentation_leaves_its_input_alone(pixels: Tensor) -> None:
    before = pixels.clone()
    changed(pixels, flip=True, pad=2, cutout=3)
    torch.testing.assert_close(pixels, before)


def test_a_square_has_the_colour_asked_for(pixels: Tensor) -> None:
    cut = changed(pixels, cutout=4, fill=(7, 8, 9))
    hole = (cut != pixels).any(dim=1)
    assert hole.flatten(1).any(dim=1).all()
    for image, inside in zip(cut, hole, strict=True):
        assert {tuple(p) for p in image[:, inside].T.tolist()} == {(7, 8, 9)}
