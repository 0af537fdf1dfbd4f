"""Batch-norm statistics of subnets."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from search_spaces import Subnet
from supernets import cached_norm, calibrate, calibrate_all
from supernets.calibrate import store_statistics
from supernets.elastic import batch_norm
from supernets.layers import run
from tests.supernets.tiny import images, subnets, supernet

SUPERNET, IMAGES = supernet(), images(50)


@pytest.mark.parametrize("subnet", subnets(4), ids=lambda subnet: subnet.key)
def test_one_batch_gives_the_statistics_of_that_batch(subnet: Subnet) -> None:
    statistics = calibrate(SUPERNET, subnet, IMAGES, batch_size=len(IMAGES))
    with torch.no_grad():
        wanted = SUPERNET(IMAGES, subnet, norm=batch_norm)
        found = SUPERNET(IMAGES, subnet, norm=cached_norm(statistics))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_batches_are_weighted_by_their_size() -> None:
    """32 and 18 images: in the stem, before any norm, the mean is that of all 50."""
    largest = subnets(1)[0]
    mean, var = calibrate(SUPERNET, largest, IMAGES, batch_size=32)["stem_norm"]
    with torch.no_grad():
        x = SUPERNET.stem(IMAGES, 1, len(mean))
    parts = [(len(p) / 50, p.var(dim=(0, 2, 3), correction=0)) for p in x.split(32)]
    torch.testing.assert_close(mean, x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(var, sum(share * part for share, part in parts))


def test_the_layers_of_the_subnet_are_measured_at_its_width() -> None:
    smallest = subnets(2)[1]
    statistics = calibrate(SUPERNET, smallest, IMAGES)
    used = {f"stages.{s}.0.norm{i}" for s in range(4) for i in (1, 2)}
    assert used <= set(statistics)
    assert not any(key.startswith("stages.0.1.") for key in statistics)
    for s, width in enumerate(smallest["w"]):
        assert statistics[f"stages.{s}.0.norm2"][0].shape == (width,)


def test_calibrating_changes_no_weight_and_needs_no_mode() -> None:
    net = supernet().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    in_training = calibrate(net, subnets(1)[0], IMAGES)
    torch.testing.assert_close(calibrate(net.eval(), subnets(1)[0], IMAGES), in_training)
    torch.testing.assert_close(dict(net.state_dict()), before, atol=0, rtol=0)


def test_the_statistics_of_the_largest_become_the_defaults() -> None:
    net, largest = supernet(), subnets(1)[0]
    store_statistics(net, IMAGES)
    norm = cached_norm(calibrate(net, largest, IMAGES))
    with torch.no_grad():
        torch.testing.assert_close(net(IMAGES, largest), net(IMAGES, largest, norm=norm))


def test_many_subnets_share_what_they_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets what it gets alone, though fewer segments are run."""
    wanted = {subnet: calibrate(SUPERNET, subnet, IMAGES) for subnet in subnets(6)}
    space, last = SUPERNET.space, SUPERNET.space.genes(subnets(1))[0]
    width = space.gene_names.index("width3")
    last[width] = min(space.choices[width])
    twin = space.subnet(last)
    wanted[twin] = calibrate(SUPERNET, twin, IMAGES)
    runs: list[object] = []

    def counted(*args: Any) -> Any:
        runs.append(args)
        return run(*args)

    monkeypatch.setattr(sys.modules["supernets.calibrate"], "run", counted)
    found = dict(calibrate_all(SUPERNET, list(wanted), IMAGES))
    assert found.keys() == wanted.keys()
    for subnet, statistics in wanted.items():
        torch.testing.assert_close(found[subnet], statistics, atol=0, rtol=0)
    assert len(runs) <= 2 * ((space.n_exits + 1) * len(wanted) - space.n_exits)  # trunk and head
