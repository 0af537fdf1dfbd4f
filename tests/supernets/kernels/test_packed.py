"""Packed weights: what cannot be packed, files that were cut or changed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from torch import nn

from search_spaces import InputError
from supernets.kernels import check_packable, pack, read_packed, write_packed
from supernets.kernels.packed import ARRAYS, check
from tests.supernets.kernels.blocks import pruned


@pytest.fixture
def packed():
    return pruned()[0].packed


def test_a_file_comes_back_as_it_was_written(packed, tmp_path) -> None:
    write_packed(tmp_path / "p.safetensors", {"a": packed, "b": packed}, {"net": "x"})
    layers, about = read_packed(tmp_path / "p.safetensors")
    assert about["net"] == "x"
    for read in layers.values():
        assert (read.shape, read.g) == (packed.shape, packed.g)
        assert all(np.array_equal(getattr(read, k), getattr(packed, k)) for k in ARRAYS)


def test_every_cut_and_changed_file_is_refused_in_one_line(packed, tmp_path) -> None:
    path = tmp_path / "p.safetensors"
    write_packed(path, {"a": packed}, {})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(60):
        at = int(rng.integers(len(whole)))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << i % 8]) + whole[at + 1 :]
        path.write_bytes(whole[:at] if i % 2 else flipped)
        with pytest.raises(InputError) as refused:
            read_packed(path)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("field", "damaged"),
    [
        ("columns", lambda a: a + 10),
        ("starts", lambda a: a[::-1]),
        ("starts", lambda a: a[:-1]),
        ("values", lambda a: a.astype(np.float64)),
        ("bias", lambda a: a[:-1]),
    ],
)
def test_blocks_outside_the_layer_are_refused(packed, field, damaged) -> None:
    wrong = dataclasses.replace(packed, **{field: damaged(getattr(packed, field))})
    with pytest.raises(InputError, match=r"conv1: blocks do not fit a layer of \(12, 10, 1, 1\)"):
        check("conv1", wrong)


def test_what_cannot_be_packed_is_refused_by_name() -> None:
    weight, starts = np.ones((8, 4, 1, 1)), np.zeros((5, 4), dtype=bool)
    with pytest.raises(InputError, match="conv1: `g` must be 1 to its 8 rows, got 9"):
        pack("conv1", weight, starts, 9)
    with pytest.raises(InputError, match=r"conv1: `starts` must be \(7, 4\), got \(5, 4\)"):
        pack("conv1", weight, starts, 2)
    with pytest.raises(InputError, match="conv1: weights or biases are not finite"):
        pack("conv1", weight * np.nan, starts, 4)
    wide = np.zeros((4, 65_536))
    with pytest.raises(InputError, match="conv1: 65536 columns; at most 65535 can be packed"):
        pack("conv1", wide, np.zeros((1, 65_536), dtype=bool), 4)
    with pytest.raises(InputError, match="conv1: 65536 columns"):  # before it is trained
        check_packable("conv1", nn.Conv2d(65_536, 1, 1))
