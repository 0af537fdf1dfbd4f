"""Plain copies of subnets, of every family of supernets."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces import Space, get_space
from supernets import PreparedSubnets, Supernet, cached_norm, calibrate, extract
from supernets.catalog import build_supernet
from supernets.static import StaticNet
from tests.supernets.tiny import SPACE, images, subnets, supernet

RESOLUTION = 64


def family(name: str) -> Space:
    space: Any = get_space(name)
    return replace(space, exits=(1, 2), n_classes=10, resolutions=(RESOLUTION,))


@lru_cache(maxsize=1)  # each weighs up to 200 MB
def trained(name: str) -> Supernet:
    """Random weights with statistics, scales and shifts that are not the trivial ones."""
    torch.manual_seed(0)
    net = build_supernet(family(name)).eval()
    for _, layer in net.norms():
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.bias, std=0.2)
        nn.init.normal_(layer.running_mean, std=0.1)
        nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return net


FAMILIES = ["ofa-mobilenetv3", "ofa-mobilenetv3-w1.2", "ofa-resnet50"]
PICTURES = torch.randn(2, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), heads=st.sets(st.integers(0, 2), min_size=1).map(sorted))
def test_every_family_extracts_what_it_computes(name: str, seed: int, heads: list[int]) -> None:
    net = trained(name)
    subnet = net.space.subnet(net.space.sample(1, np.random.default_rng(seed)))
    static = extract(net, subnet, heads=heads)
    assert static.head_ids == heads
    with torch.no_grad():
        wanted = net(PICTURES, subnet, heads=heads)
        scale = max(float(x.abs().max()) for x in wanted)
        torch.testing.assert_close(static(PICTURES), wanted, atol=1e-5 * scale, rtol=1e-4)
        folded = static.fold()(PICTURES)
        torch.testing.assert_close(folded, wanted, atol=1e-4 * scale, rtol=1e-3)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in static.modules())


def test_segments_hand_features_on() -> None:
    """Segment by segment, as an early-exit engine runs them."""
    net = extract(supernet(), subnets(1)[0])
    with torch.no_grad():
        x, answers = images(), []
        for segment in net.segments:
            x, logits = segment(x)
            answers.append(logits)
        torch.testing.assert_close(answers, net(images()), atol=0, rtol=0)


def test_a_copy_does_not_follow_the_shared_weights() -> None:
    shared, subnet = supernet(), subnets(1)[0]
    copy = extract(shared, subnet)
    with torch.no_grad():
        before = copy(images())
        for parameter in shared.parameters():
            parameter.zero_()
        torch.testing.assert_close(copy(images()), before, atol=0, rtol=0)


# ---- prepared subnets ----------------------------------------------------------------------------


def test_a_prepared_subnet_is_made_once_and_computes_the_same() -> None:
    net = supernet()
    prepare = PreparedSubnets(net)
    made = {subnet: calibrate(net, subnet, images()) for subnet in subnets(4)}
    for subnet, statistics in made.items():
        copy = prepare(subnet, statistics=statistics)
        assert prepare(subnet, statistics=statistics) is copy
        with torch.no_grad():
            wanted = net(images(), subnet, norm=cached_norm(statistics))
            torch.testing.assert_close(copy(images()), wanted, atol=1e-4, rtol=1e-4)
    assert prepare.n_bytes == sum(prepare(s, statistics=t).n_bytes for s, t in made.items())


def test_prepared_subnets_stay_within_their_bytes() -> None:
    net = supernet()
    sizes = [extract(net, s).fold().n_bytes for s in subnets(6)]
    prepare = PreparedSubnets(net, max_bytes=sum(sorted(sizes)[-2:]))
    first = prepare(subnets(6)[0])
    for subnet in subnets(6)[1:]:
        assert isinstance(prepare(subnet), StaticNet)
        assert prepare.n_bytes <= prepare.max_bytes
    assert prepare(subnets(6)[0]) is not first  # the least recently used one went
    assert PreparedSubnets(net, max_bytes=0)(subnets(1)[0]) is not None


def test_changed_weights_are_prepared_again() -> None:
    net, subnet = supernet(), subnets(1)[0]
    prepare = PreparedSubnets(net)
    before = prepare(subnet)
    with torch.no_grad():
        net.stem.weight.mul_(2.0)
    assert prepare(subnet) is not before
    with torch.no_grad():
        torch.testing.assert_close(
            prepare(subnet)(images()), net(images(), subnet), atol=1e-4, rtol=1e-4
        )


def test_heads_and_statistics_are_prepared_apart() -> None:
    net, subnet = supernet(), subnets(1)[0]
    prepare = PreparedSubnets(net)
    everything = prepare(subnet)
    assert prepare(subnet, heads=[3]) is not everything
    assert prepare(subnet, statistics=calibrate(net, subnet, images())) is not everything
    assert prepare(subnet) is everything
    assert len(prepare(subnet, heads=[3]).segments) == 1
    assert SPACE.n_exits == 3
