"""Blocks and patterns at every ratio: one index beside the weights, whole units, nothing copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import UnitRatioSpace, get_space, resnet_cifar
from supernets import (
    ElasticConv2d,
    build_supernet,
    load_supernet,
    random_supernet,
    save_supernet,
    slices,
)
from supernets.pruning.blocks import covering_blocks
from supernets.pruning.masked_units import MaskedUnits
from supernets.unit_ratios import (
    PATTERNS,
    UnitConv2d,
    UnitSupernet,
    first_before_second,
    levels_at,
    pack_digits,
    unpack_digits,
)
from tests.supernets.tiny import images, supernet

SHARES = (1, 0.5, 0.2)


@settings(max_examples=20)
@given(st.integers(2, 20), st.integers(0, 40), st.integers(0, 2**31))
def test_numbers_come_back_and_take_no_more_than_a_whole_bit_each(base, n, seed) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).integers(0, base, n))
    packed = pack_digits(values, base)
    assert torch.equal(unpack_digits(packed, n, base), values)
    assert len(packed) <= -(-(base - 1).bit_length() * (n + 7) // 8)  # the last word is filled up


@pytest.mark.parametrize(("base", "digits", "bits"), [(2, 1, 1), (3, 5, 8), (5, 3, 7), (8, 1, 3)])
def test_words_are_as_short_as_they_can_be(base: int, digits: int, bits: int) -> None:
    assert len(pack_digits(torch.zeros(8 * digits), base)) == bits


def layer(seed: int, *, pattern: bool, kernel: int = 3, n_ratios: int = 3) -> UnitConv2d:
    """A convolution of 8 x 3 channels whose units were ranked by their weights."""
    torch.manual_seed(seed)
    conv = ElasticConv2d(3, 8, kernel)
    made = UnitConv2d(conv, 4, n_ratios, dense=True, pattern=pattern)
    made.choose_patterns()
    scores = first_before_second(made.worth(), made.n_kernels)
    made.set_levels(levels_at(scores, made.sizes, SHARES[:n_ratios]))
    return made


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([1, 3]))
def test_what_a_smaller_ratio_keeps_a_larger_one_keeps(seed, pattern, kernel) -> None:
    found = layer(seed, pattern=pattern, kernel=kernel)
    kept = [found.kept(k) != 0 for k in range(3)]
    assert kept[0].all()
    assert not (kept[2] & ~kept[1]).any()
    for k, share in enumerate(SHARES):
        assert 0 < kept[k].sum() <= max(share * kept[k].numel(), int(found.sizes.max()))
        starts, g = covering_blocks(kept[k].flatten(1).numpy(), 4)
        assert g == 4  # the kernel's blocks hold exactly what is kept
        assert int(starts.sum()) * 4 == int(kept[k].sum())


@settings(max_examples=8)
@given(st.integers(0, 2**31))
def test_a_kernel_keeps_all_taps_or_its_best_pattern_or_nothing(seed: int) -> None:
    """By brute force over the patterns, and the same for all rows of a unit."""
    found = layer(seed, pattern=True)
    weight = found.weight.detach().view(2, 4, 3, 9)
    for k in range(3):
        kept = (found.kept(k) != 0).view(2, 4, 3, 9)
        assert torch.equal(kept, kept[:, :1].expand_as(kept))
        for row in range(2):
            for c in range(3):
                taps = tuple(kept[row, 0, c].nonzero().flatten().tolist())
                worth = {
                    tuple(sorted((4, *p))): float(weight[row, :, c, [4, *p]].abs().sum())
                    for p in PATTERNS
                }
                assert taps in ((), tuple(range(9)), max(worth, key=lambda p: worth[p]))


def test_a_mask_of_units_has_a_gradient_for_each_of_them() -> None:
    for pattern in (False, True):
        found = layer(0, pattern=pattern)
        mask = torch.rand(found.n_units, requires_grad=True)
        found(torch.randn(2, 3, 5, 5), 3, 8, mask).square().sum().backward()
        assert mask.grad is not None
        assert (mask.grad != 0).all()


@pytest.mark.parametrize(("unit", "g"), [("block", 8), ("block", 4), ("pattern", 4)])
def test_the_file_is_as_large_as_the_formula_says_and_little_larger_than_dense(
    unit: str, g: int, tmp_path: Path
) -> None:
    shares = (1, 0.7, 0.5, 0.35, 0.2)
    ratios = tuple(round(1000 * share) for share in reversed(shares))
    net = random_supernet(UnitRatioSpace.of(resnet_cifar(), ratios, unit, g))
    assert isinstance(net, UnitSupernet)
    assert net.block_rows == g
    save_supernet(net, tmp_path / "ratios", half=True)
    data = (tmp_path / "ratios").read_bytes()
    assert len(data) == 8 + int.from_bytes(data[:8], "little") + net.tensor_bytes()
    dense = 2 * sum(x.numel() for x in random_supernet(resnet_cifar()).state_dict().values())
    assert net.tensor_bytes() <= 1.05 * dense
    assert len(data) <= (1.05 if (unit, g) != ("block", 4) else 1.06) * dense  # names: 0.8 %
    channels = sum(n.weight.numel() for k, n in net.norms() if not k.startswith("own."))
    shared = sum(p.numel() for n, p in net.named_parameters() if "norm" not in n and "own" not in n)
    index = sum(
        -(-7 * -(-part.n_units // 3) // 8) + -(-3 * part.n_kernels // 8)
        for part in net.unit_layers.values()
    )
    assert net.tensor_bytes() == 2 * (shared + 5 * 4 * channels) + index


def test_a_switch_copies_no_weight_and_comes_back_to_the_bit(tmp_path: Path) -> None:
    net = MaskedUnits(supernet(), SHARES, "block")
    wide = net.compact(net.counts()).eval()
    places = [p.data_ptr() for p in wide.parameters()]
    small, _, full = wide.with_own_norms()
    with torch.inference_mode():
        there = wide(images(4), full), wide(images(4), small)
        back = wide(images(4), full), wide(images(4), small)
        for one, other in zip(there, back, strict=True):
            torch.testing.assert_close(one, other, atol=0, rtol=0)
        assert [p.data_ptr() for p in wide.parameters()] == places
        save_supernet(wide, tmp_path / "weights.safetensors")
        found, about = load_supernet(tmp_path / "weights.safetensors")
        assert about["kind"] == "all-in-one"
        torch.testing.assert_close(found(images(4), small), there[1], atol=1e-5, rtol=1e-5)


def test_dense_weights_are_shared_and_pruned_ones_are_not() -> None:
    net = build_supernet(UnitRatioSpace.of(get_space("resnet-digits"), (200, 1000), "pattern"))
    small, full = net.with_own_norms()
    assert slices(net, full)
    with pytest.raises(ValueError, match="pruned in blocks have no slices"):
        slices(net, small)
