"""The elastic MobileNetV3 and ResNet50: what they compute, what they cost, what they share."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import InputError, OnceForAllSpace, Subnet, get_space
from supernets import cached_norm, calibrate, exit_logits, extract
from supernets.calibrate import store_statistics
from supernets.elastic import ElasticConv2d, ElasticLinear
from supernets.mbconv import ElasticDepthwiseConv2d, ElasticSqueezeExcite
from tests.supernets.once_for_all import MOBILE, RESNET, supernet

SPACES = {space.kind: space for space in (MOBILE, RESNET)}
NETS = {space.kind: supernet(space) for space in (MOBILE, RESNET)}

every_kind = pytest.mark.parametrize("kind", list(SPACES))
any_heads = st.sets(st.integers(0, 2), min_size=1).map(sorted)
seeds = st.integers(0, 2**32 - 1)


def sampled(space: OnceForAllSpace, seed: int) -> Subnet:
    return space.subnet(space.sample_spread(3, np.random.default_rng(seed))[2])


def images(subnet: Subnet, n: int = 2) -> Tensor:
    side = subnet["r"][0]
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def counted(net: nn.Module, subnet: Subnet, heads: list[int]) -> list[int]:
    """Multiply-accumulates of every weighted layer that runs, from the tensors it saw."""
    macs: list[int] = []

    def count(layer: nn.Module, args: tuple, output: Tensor) -> None:
        c_in, n_outputs = args[0].shape[1], output[0].numel()
        if isinstance(layer, ElasticSqueezeExcite):
            macs.extend([c_in * args[2]] * 2)
        elif isinstance(layer, ElasticDepthwiseConv2d):
            macs.append(n_outputs * args[2] ** 2)
        elif isinstance(layer, ElasticConv2d):
            macs.append(n_outputs * c_in * layer.weight.shape[2] ** 2)
        else:
            macs.append(n_outputs * c_in)

    kinds = ElasticConv2d | ElasticDepthwiseConv2d | ElasticLinear | ElasticSqueezeExcite
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    with torch.inference_mode():
        net(images(subnet, 1), subnet, heads=heads)
    for hook in hooks:
        hook.remove()
    return macs


@every_kind
@settings(max_examples=15)
@given(seed=seeds, heads=any_heads)
def test_a_program_costs_what_its_layers_cost(kind: str, seed: int, heads: list[int]) -> None:
    space, net = SPACES[kind], NETS[kind]
    subnet = sampled(space, seed)
    on = np.isin(np.arange(3), heads)[None]
    operators = space.operators(space.genes([subnet]), on)
    weighted = [k not in ("pool", "scale") for k in operators.kinds] & operators.present[0]
    assert sorted(operators.macs[0, weighted]) == sorted(counted(net, subnet, heads))


@every_kind
@settings(max_examples=10)
@given(seed=seeds, heads=any_heads)
def test_heads_choose_among_the_logits_of_all_exits(kind: str, seed: int, heads: list[int]) -> None:
    subnet, net = sampled(SPACES[kind], seed), NETS[kind]
    with torch.no_grad():
        everything = net(images(subnet), subnet)
        some = net(images(subnet), subnet, heads=heads)
    assert [x.shape for x in everything] == [(2, 10)] * 3
    torch.testing.assert_close(some, [everything[k] for k in heads], atol=0, rtol=0)


@every_kind
def test_every_gene_that_counts_changes_the_answer(kind: str) -> None:
    """All but the resolution, which is the caller's to obey."""
    space, net = SPACES[kind], NETS[kind]
    genes = space.largest
    x = images(space.subnet(genes))
    with torch.no_grad():
        wanted = net(x, space.subnet(genes))[-1]
        for i, choices in enumerate(space.choices[:-1]):
            other = genes.copy()
            other[0, i] = min(choices)
            same = torch.equal(net(x, space.subnet(other))[-1], wanted)
            assert same == (len(choices) == 1), space.gene_names[i]


@every_kind
@pytest.mark.parametrize("training", [False, True])
def test_a_call_leaves_nothing_behind(kind: str, training: bool) -> None:
    net = copy.deepcopy(NETS[kind]).train(training)
    a, b = (sampled(SPACES[kind], seed) for seed in (0, 1))
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        first = [net(images(a), a), net(images(b), b)]
        again = [net(images(b), b), net(images(a), a)][::-1]
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    torch.testing.assert_close(net.state_dict(), before, atol=0, rtol=0)


@every_kind
def test_calibration_measures_the_layers_of_the_subnet(kind: str) -> None:
    space, net = SPACES[kind], NETS[kind]
    subnet = space.subnet(space.smallest)
    x = images(subnet, 8)
    statistics = calibrate(net, subnet, x, batch_size=8)
    keys = dict(net.norms())
    assert set(statistics) < set(keys)
    with torch.no_grad():
        found = net(x, subnet, norm=cached_norm(statistics))
        batch = copy.deepcopy(net).train()(x, subnet)
    torch.testing.assert_close(found, batch, atol=1e-4, rtol=1e-4)


@every_kind
@settings(max_examples=10)
@given(seed=seeds, heads=any_heads)
def test_extracted_subnet_computes_and_costs_what_the_supernet_does(
    kind: str, seed: int, heads: list[int]
) -> None:
    """At every resolution, with calibrated statistics and learned kernel transforms; folded too."""
    space, net = SPACES[kind], NETS[kind]
    subnet = sampled(space, seed)
    x = images(subnet, 16)  # enough values per channel for variances that are not tiny
    statistics = calibrate(net, subnet, x)
    static = extract(net, subnet, heads=heads, statistics=statistics)
    with torch.no_grad():
        wanted = net(x, subnet, heads=heads, norm=cached_norm(statistics))
        scale = float(wanted[-1].std())
        torch.testing.assert_close(static(x), wanted, atol=1e-4 * scale, rtol=1e-4)
        torch.testing.assert_close(static.fold()(x), wanted, atol=1e-3 * scale, rtol=1e-3)
    operators = space.operators(space.genes([subnet]), np.isin(np.arange(3), heads)[None])
    layers = [m for m in static.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert operators.params.sum() == sum(layer.weight.numel() for layer in layers)


@every_kind
def test_images_are_resized_to_the_subnets_resolution(kind: str) -> None:
    space, net = SPACES[kind], NETS[kind]
    small, x = space.subnet(space.smallest), images(space.subnet(space.largest), 4)
    resized = F.interpolate(x, (32, 32), mode="bilinear", antialias=True)
    statistics = calibrate(net, small, x)
    torch.testing.assert_close(statistics, calibrate(net, small, resized))
    with torch.no_grad():
        wanted = torch.stack(net(resized, small, norm=cached_norm(statistics)))
    torch.testing.assert_close(exit_logits(net, small, x, statistics), wanted)


@every_kind
def test_statistics_of_exits_leave_the_last_answer_as_it_is(kind: str) -> None:
    space, net = SPACES[kind], copy.deepcopy(NETS[kind])
    subnet = space.subnet(space.largest)
    x = images(subnet, 8)
    with torch.no_grad():
        before = net(x, subnet)
        store_statistics(net, x, exits_only=True)
        *early, last = net(x, subnet)
    assert torch.equal(last, before[-1])
    assert not any(torch.equal(a, b) for a, b in zip(early, before, strict=False))


def test_a_call_that_would_answer_something_else_is_refused() -> None:
    net = supernet(MOBILE)
    largest, space = net.space.subnet(net.space.largest), get_space("resnet-digits")
    x = torch.zeros(1, *net.space.input_shape(largest))
    with pytest.raises(InputError, match=r"has \d+ genes, got 16"):
        net(x, space.subnet(space.largest))
    for heads in ([], [-1], [9]):
        with pytest.raises(InputError, match=r"`heads` must be one or more of 0 to \d, got \["):
            net(x, largest, heads=heads)
    for images in (x.byte(), x[0], x.numpy()):
        with pytest.raises(InputError, match=r"images must be a float tensor \(N, C, H, H\)"):
            net(images, largest)
    with pytest.raises(InputError, match="calibrated on one image or more, got none"):
        calibrate(net, largest, x[:0])
