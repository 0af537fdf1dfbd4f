"""Masks of blocks and patterns: ratios of MACs, nested, compact equals masked, training resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import InputError
from supernets import Dataset, extract, load_supernet
from supernets.data import Split
from supernets.pruning import RatioSettings, train_all_in_one
from supernets.pruning.masked_units import MaskedUnits
from supernets.training import TrainSettings
from tests.supernets.pruning.settled import settle
from tests.supernets.tiny import SPACE, digits, images, supernet

SHARES = (1, 0.5, 0.2)


@pytest.fixture(scope="module", params=["block", "pattern"])
def settled(request: pytest.FixtureRequest) -> MaskedUnits:
    return settle(MaskedUnits(supernet(), SHARES, request.param))


def test_the_compact_network_answers_as_the_masked_one(settled: MaskedUnits) -> None:
    net = settled.compact(settled.counts()).eval()
    for subnet in net.with_own_norms():
        with torch.no_grad():
            masked = settled(images(), settled.space.subnet([subnet["r"][0]]))
            torch.testing.assert_close(net(images(), subnet), masked, atol=1e-5, rtol=1e-5)
            plain = extract(net, subnet).fold()(images())
            torch.testing.assert_close(plain, masked, atol=1e-4, rtol=1e-4)


def test_ratios_are_shares_of_the_macs_of_the_compact_network(settled: MaskedUnits) -> None:
    """Counted in the weights that are not zero, and as the operators tell it."""
    net = settled.compact(settled.counts())
    heads = np.eye(4, dtype=bool)[3:]
    dense = SPACE.operators(SPACE.largest, heads)
    side = dense.side_out[0, list(net.space.unit_slots)] ** 2
    told = net.space.operators(net.space.enumerate()[::-1], heads).macs.sum(axis=1)
    for k, share in enumerate(SHARES):
        left = [int((part.kept(k) != 0).sum()) for part in net.unit_layers.values()]
        macs = float((np.array(left) * side).sum() + net.space.other_macs())
        assert macs / settled.full_macs == pytest.approx(share, abs=0.005)
        assert told[k] / settled.full_macs == pytest.approx(share, abs=0.015)  # whole percent


def test_the_layers_are_in_the_order_of_the_operators(settled: MaskedUnits) -> None:
    found = SPACE.operators(SPACE.largest, np.eye(4, dtype=bool)[3:])
    slots = list(settled.space.unit_slots)
    shapes = [part.weight.shape for part in settled.unit_layers.values()]
    told = zip(found.c_out[0, slots], found.c_in[0, slots], found.kernel[0, slots], strict=True)
    assert [(o, i, k, k) for o, i, k in told] == [tuple(shape) for shape in shapes]


def test_heads_are_whole_at_every_ratio(settled: MaskedUnits) -> None:
    net = settled.compact(settled.counts())
    small = extract(net, net.by_ratio[200])
    zeros = {
        name: float((m.weight == 0).float().mean())
        for name, m in small.named_modules()
        if isinstance(m, nn.Conv2d)
    }
    assert all(share == 0 for name, share in zeros.items() if ".head." in name)
    assert sum(share > 0.3 for share in zeros.values()) > 10


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (((1, 0.001), "block"), r"0\.001 is no more than the stem and the classifier take"),
        (((1, 0.5, 0.5), "block"), "`ratios` has 0.5 twice"),
        (((1, 0.5), "block", 3), "`g` must divide the channels of every layer, got 3"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, words) -> None:
    with pytest.raises(InputError, match=words):
        MaskedUnits(supernet(), *given)


def small_digits() -> Dataset:
    return replace(digits(), train=Split(digits().train.images[:64], digits().train.labels[:64]))


@pytest.mark.usefixtures("one_thread")
def test_a_stopped_run_ends_where_it_would_have(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=3, batch_size=64, lr=0.1, warmup_epochs=0.5, bf16=False)
    asked = RatioSettings((1, 0.3), unit="pattern", mask_share=0.6)
    for name, steps in (("whole", 9), ("cut", 1), ("cut", 9)):
        run = train_all_in_one(supernet(), small_digits(), settings, asked, tmp_path / name)
        for made, _ in enumerate(run):
            if made == steps:
                run.close()  # type: ignore[attr-defined]
                break
    nets = [load_supernet(tmp_path / name / "weights.safetensors") for name in ("whole", "cut")]
    (one, about), (other, _) = nets
    states = one.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert about["ratios"]["unit"] == "pattern"
    assert [row["reached"] for row in about["masks"]] == pytest.approx([1, 0.3], abs=0.005)
    assert about["masks"][1]["came_back"] + about["masks"][1]["went"] > 0
