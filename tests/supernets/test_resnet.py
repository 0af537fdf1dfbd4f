"""The elastic network: parity with static copies, no hidden state, shared weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Subnet
from supernets import cached_norm, calibrate, extract
from supernets.static import Residual
from tests.supernets.tiny import SPACE, images, subnets, supernet

SUPERNET, IMAGES = supernet(), images()
LARGEST, SMALLEST = subnets(2)

any_subnet = st.tuples(*map(st.sampled_from, SPACE.choices)).map(
    lambda row: SPACE.subnet(SPACE.canonical(row))
)
any_heads = st.sets(st.integers(0, SPACE.n_exits), min_size=1).map(sorted)


@given(subnet=any_subnet, heads=any_heads)
def test_extracted_subnet_computes_what_the_supernet_computes(
    subnet: Subnet, heads: list[int]
) -> None:
    statistics = calibrate(SUPERNET, subnet, IMAGES)
    net = extract(SUPERNET, subnet, heads=heads, statistics=statistics)
    with torch.no_grad():
        wanted = SUPERNET(IMAGES, subnet, heads=heads, norm=cached_norm(statistics))
        torch.testing.assert_close(net(IMAGES), wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net.fold()(IMAGES), wanted, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_without_statistics_the_copy_has_those_of_the_largest() -> None:
    with torch.no_grad():
        wanted = SUPERNET(IMAGES, SMALLEST)
        torch.testing.assert_close(extract(SUPERNET, SMALLEST)(IMAGES), wanted)


@given(subnet=any_subnet, heads=any_heads)
def test_heads_choose_among_the_logits_of_all_exits(subnet: Subnet, heads: list[int]) -> None:
    with torch.no_grad():
        everything, some = SUPERNET(IMAGES, subnet), SUPERNET(IMAGES, subnet, heads=heads)
    assert len(everything) == SPACE.n_exits + 1
    assert all(x.shape == (len(IMAGES), SPACE.n_classes) for x in everything)
    torch.testing.assert_close(some, [everything[k] for k in heads], atol=0, rtol=0)


@pytest.mark.parametrize("heads", [[0], [1, 2], [3]])
def test_the_trunk_stops_at_the_deepest_head(heads: list[int]) -> None:
    net = extract(SUPERNET, LARGEST, heads=heads)
    assert net.head_ids == heads
    assert len(net.segments) == len(heads)
    n_blocks = sum(isinstance(m, Residual) for m in net.modules())
    assert n_blocks == SPACE.slots * (heads[-1] + 1)


@pytest.mark.parametrize("training", [False, True])
def test_a_call_leaves_nothing_behind(training: bool) -> None:
    net = supernet().train(training)
    before = copy.deepcopy(net.state_dict())
    first = [net(IMAGES, subnet) for subnet in (LARGEST, SMALLEST)]
    again = [net(IMAGES, subnet) for subnet in (SMALLEST, LARGEST)][::-1]
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    torch.testing.assert_close(net.state_dict(), before, atol=0, rtol=0)


def test_training_mode_normalises_by_the_batch() -> None:
    net = supernet().train()
    halves = [net(part, SMALLEST)[-1] for part in IMAGES.split(24)]
    assert not torch.allclose(torch.cat(halves), net(IMAGES, SMALLEST)[-1], atol=1e-3)


def test_a_subnet_learns_only_in_its_slice_of_the_weights() -> None:
    net = supernet().train()
    sum(logits.square().sum() for logits in net(IMAGES, SMALLEST)).backward()
    static = extract(net, SMALLEST)
    pairs = [(net.stem, static.segments[0].trunk[0].conv)]
    for s, segment in enumerate(static.segments):
        blocks = [m for m in segment.trunk if isinstance(m, Residual)]
        assert all(p.grad is None for p in net.stages[s][len(blocks) :].parameters())
        for source, block in zip(net.stages[s], blocks, strict=False):
            pairs += [(source.conv1, block.body[0].conv), (source.conv2, block.body[2].conv)]
        pairs.append((net.heads[s].linear, segment.head[-1]))
    for layer, plain in pairs:
        inside = torch.zeros_like(layer.weight, dtype=torch.bool)
        inside[tuple(slice(n) for n in plain.weight.shape)] = True
        assert layer.weight.grad[inside].any()
        assert not layer.weight.grad[~inside].any()


def test_subnets_share_one_set_of_weights() -> None:
    net = supernet()
    before = net(IMAGES, SMALLEST)[-1]
    with torch.no_grad():
        net.stages[3][0].conv1.weight[0] += 1.0
    assert not torch.allclose(before, net(IMAGES, SMALLEST)[-1])
    largest = net(IMAGES, LARGEST)[-1]
    with torch.no_grad():
        net.stages[3][0].conv1.weight[-1] += 1.0
    assert not torch.allclose(largest, net(IMAGES, LARGEST)[-1])


def test_weights_are_sliced_from_the_first_channel() -> None:
    static = extract(SUPERNET, SMALLEST)
    weight = static.segments[1].trunk[0].body[0].conv.weight
    c_out, c_in = weight.shape[:2]
    np.testing.assert_array_equal(
        weight.detach(), SUPERNET.stages[1][0].conv1.weight.detach()[:c_out, :c_in]
    )
