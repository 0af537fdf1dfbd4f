"""Every ratio from one set of weights: own batch norm, nothing copied, one small file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces import get_space
from supernets import (
    ResNetSupernet,
    build_supernet,
    calibrate,
    extract,
    load_supernet,
    save_supernet,
    slices,
)
from supernets.all_in_one import AllInOneSupernet
from supernets.calibrate import store_statistics
from supernets.pruning.masked import MaskedSupernet
from tests.supernets.tiny import SPACE, images, supernet

SHARES = (1, 0.5, 0.2)


def all_in_one() -> AllInOneSupernet:
    """Ratios of a random network whose batch norms differ, with the statistics of the digits."""
    masked = MaskedSupernet(supernet(), SHARES)
    for _, twin in masked.twins():
        twin.weight.data *= torch.rand_like(twin.weight) + 0.5
    net = masked.compact(masked.counts()).eval()
    store_statistics(net, images())
    return net


NET = all_in_one()


def test_the_space_builds_it_and_a_checkpoint_says_its_kind(tmp_path: Path) -> None:
    assert isinstance(build_supernet(NET.space), AllInOneSupernet)
    save_supernet(NET, tmp_path / "weights.safetensors")
    found, metadata = load_supernet(tmp_path / "weights.safetensors")
    assert metadata["kind"] == "all-in-one"
    assert found.space.name == NET.space.name
    with torch.no_grad():
        for subnet in NET.with_own_norms():
            wanted = NET(images(), subnet)
            torch.testing.assert_close(found(images(), subnet), wanted, atol=1e-5, rtol=1e-5)


def test_every_ratio_has_batch_norm_of_its_own() -> None:
    used = []
    for subnet in NET.with_own_norms():
        keys = set(calibrate(NET, subnet, images(8)))
        assert all(keys.isdisjoint(other) for other in used)
        used.append(keys)
    assert set().union(*used) == {key for key, _ in NET.norms()}


def test_each_ratio_is_exact_without_calibration() -> None:
    for subnet in NET.with_own_norms():
        with torch.no_grad():
            wanted = extract(NET, subnet, statistics=calibrate(NET, subnet, images()))(images())
            torch.testing.assert_close(NET(images(), subnet), wanted, atol=1e-5, rtol=1e-5)


def test_a_switch_copies_nothing_and_comes_back_to_the_bit() -> None:
    net = ResNetSupernet(get_space("resnet-cifar")).eval()  # type: ignore[arg-type]
    masked = MaskedSupernet(net, SHARES)
    wide = masked.compact(masked.counts()).eval()
    places = [p.data_ptr() for p in wide.parameters()]
    x, (small, _, full) = torch.randn(1, 3, 32, 32), wide.with_own_norms()
    with torch.inference_mode():
        there = wide(x, full), wide(x, small)
        back = wide(x, full), wide(x, small)
    for one, other in zip(there, back, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert [p.data_ptr() for p in wide.parameters()] == places
    seconds = []
    for subnet in (small, full) * 20:
        start = time.perf_counter()
        wide.program(subnet)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3
    for _, trunk, head in wide.program(small):
        for layer in (*trunk, *head):
            sizes = getattr(layer, "sizes", ())
            assert not any(isinstance(size, torch.Tensor) for size in sizes)  # views, no indices


def test_the_file_is_as_large_as_the_formula_says_and_little_larger_than_dense(
    tmp_path: Path,
) -> None:
    dense = ResNetSupernet(get_space("resnet-cifar"))  # type: ignore[arg-type]
    masked = MaskedSupernet(dense, (1, 0.7, 0.5, 0.35, 0.2))
    net = masked.compact(masked.counts())
    sizes = []
    for name, saved in (("dense", dense), ("ratios", net)):
        save_supernet(saved, tmp_path / name, half=True)
        data = (tmp_path / name).read_bytes()
        sizes.append((len(data), 8 + int.from_bytes(data[:8], "little")))
    (dense_bytes, _), (n_bytes, header) = sizes
    assert n_bytes == header + net.tensor_bytes()
    assert n_bytes <= 1.05 * dense_bytes
    every_ratio = [sum(len(m) for m, _ in calibrate(net, s, torch.randn(2, 3, 32, 32)).values())
                   for s in net.with_own_norms()]  # fmt: skip
    shared = sum(p.numel() for n, p in dense.named_parameters() if "norm" not in n)
    assert net.tensor_bytes() == 2 * (shared + 4 * sum(every_ratio))


def test_slices_describe_every_ratio_so_that_an_export_shares_the_weights() -> None:
    for subnet in NET.with_own_norms():
        names = {part.tensor for segment in slices(NET, subnet) for part in segment}
        own = [name for name in names if name.startswith("own.")]
        assert bool(own) == (subnet["r"] != (1000,))
        assert names <= set(NET.state_dict())


@pytest.mark.parametrize("share", SHARES)
def test_ratios_are_shares_of_the_macs_of_the_plain_network(share: float) -> None:
    subnet = NET.by_ratio[round(1000 * share)]
    last = np.array([[False] * SPACE.n_exits + [True]])
    counted = NET.space.operators(NET.space.genes([subnet]), last).macs.sum()
    full = SPACE.operators(SPACE.largest, last).macs.sum()
    assert counted / full == pytest.approx(share, abs=0.005)
