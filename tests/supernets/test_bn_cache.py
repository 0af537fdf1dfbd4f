"""The cache of batch-norm statistics: small, exact enough, and never of other weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces import get_space
from supernets import (
    CheckpointError,
    ElasticBatchNorm2d,
    cached_norm,
    calibrate,
    random_supernet,
    read_bn_cache,
    write_bn_cache,
)
from supernets.bn_cache import norm_layers
from supernets.channels import Channels
from supernets.checkpoint import read_tensors, write_tensors
from tests.supernets.tiny import images, subnets, supernet

NET, SUBNETS = supernet(), subnets(5)
STATISTICS = {s: calibrate(NET, s, images()) for s in SUBNETS}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bn_cache(tmp_path / "bn.safetensors", NET, STATISTICS, "abc", n_images=48)
    return tmp_path / "bn.safetensors"


def test_a_cached_subnet_answers_as_the_calibrated_one(path: Path) -> None:
    cache = read_bn_cache(path, NET, "abc")
    assert list(cache) == sorted(map(str, SUBNETS))
    for subnet, statistics in STATISTICS.items():
        assert cache[str(subnet)].keys() == statistics.keys()
        with torch.no_grad():
            wanted = NET(images(), subnet, norm=cached_norm(statistics))
            found = NET(images(), subnet, norm=cached_norm(cache[str(subnet)]))
        for a, b in zip(found, wanted, strict=True):
            assert (a.softmax(1) - b.softmax(1)).abs().max() < 5e-3


def test_a_point_takes_a_few_kilobytes(path: Path) -> None:
    tensors, metadata = read_tensors(path, "nas.bn/1")
    assert metadata["n_images"] == 48
    for subnet, statistics in STATISTICS.items():
        n_channels = sum(len(mean) for mean, _ in statistics.values())
        assert tensors[str(subnet)].nbytes == 4 * n_channels < 10_000


def test_other_weights_are_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="statistics for the weights abc, those at hand are"):
        read_bn_cache(path, NET, "def")


def test_statistics_that_do_not_fit_are_refused(path: Path) -> None:
    tensors, metadata = read_tensors(path, "nas.bn/1")
    write_tensors(path, {str(SUBNETS[0]): tensors[str(SUBNETS[0])][:-2]}, metadata)
    with pytest.raises(CheckpointError, match="do not fit its layers"):
        read_bn_cache(path, NET, "abc")


def test_a_damaged_cache_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_bn_cache(path, NET, "abc")


@pytest.mark.parametrize("name", ["resnet-digits", "ofa-mobilenetv3", "ofa-resnet50"])
def test_layers_are_listed_in_the_order_in_which_they_run(name: str) -> None:
    """A forward pass calls the same batch norms with as many channels."""
    net = random_supernet(get_space(name))
    subnet = net.space.subnet(net.space.sample(1, np.random.default_rng(0)))
    called = {}

    def record(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
        called[layer.key] = x.shape[1]
        return x

    channels, side, _ = net.space.input_shape(subnet)
    with torch.no_grad():
        net(torch.zeros(1, channels, side, side), subnet, norm=record)
    assert list(norm_layers(net, subnet).items()) == list(called.items())
