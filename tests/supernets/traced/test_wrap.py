"""Networks of users as supernets: the same answers, whatever is cut, and the same work."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError, space_from_dict
from supernets import build_supernet, calibrate, extract
from supernets.elastic import cached_norm
from supernets.traced import TracedSupernet, Wrapped, wrap
from tests.supernets.traced.networks import NETWORKS, SIDE, Resnet, build, images

every_network = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def wrapped(name: str) -> TracedSupernet:
    return wrap(build(name), 3, SIDE, name=name)


def close(found: Tensor, wanted: Tensor) -> None:
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, atol=1e-5 * scale, rtol=1e-5)


@every_network
@torch.no_grad()
def test_the_largest_subnet_is_the_network_bit_for_bit(name: str) -> None:
    net, supernet = build(name), wrapped(name)
    space = supernet.space
    assert torch.equal(supernet(images(), space.subnet(space.largest))[-1], net(images()))


def test_a_width_keeps_the_most_important_channels_in_their_places() -> None:
    space = wrapped("resnet").space
    assert space.orders[0] != tuple(range(16))
    assert space.places(0, 8).tolist() == sorted(space.orders[0][:8])
    assert space.places(0, 16).tolist() == list(range(16))


@every_network
@torch.no_grad()
def test_a_subnet_is_its_plain_copy(name: str) -> None:
    supernet = wrapped(name)
    space = supernet.space
    genes = np.concatenate([space.smallest, space.sample(3, np.random.default_rng(0))])
    for subnet in space.subnets(genes):
        wanted = supernet(images(), subnet)
        plain = extract(supernet, subnet)
        for found, shared in zip(plain(images()), wanted, strict=True):
            close(found, shared)
        for found, shared in zip(plain.fold()(images()), wanted, strict=True):
            close(found, shared)


def counted(net: nn.Module, x: Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers, by what torch computes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    return counter.get_total_flops() // 2


@every_network
def test_macs_are_those_that_torch_counts(name: str) -> None:
    supernet = wrapped(name)
    space = supernet.space
    genes = np.concatenate([space.largest, space.sample(2, np.random.default_rng(1))])
    heads = np.zeros((1, space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    macs = space.operators(genes, heads).macs.sum(axis=1)
    for subnet, ours in zip(space.subnets(genes), macs.tolist(), strict=True):
        net = extract(supernet, subnet, heads=[space.n_exits])
        assert ours == counted(net, images(1))


def test_what_is_elastic_in_a_residual_network() -> None:
    found = Wrapped(build("resnet"), 3, SIDE, name="resnet")
    space = found.supernet().space
    # the two streams, and the inner channels of five blocks
    assert sorted(max(w) for w in space.widths) == [16, 16, 24, 32, 32, 32, 32]
    assert space.depths == ((1, 2), (1, 2, 3))
    behind = [space.nodes[p.node].name for p in found.places]
    assert behind[-1].startswith("second.1.")  # 95 % of the work is done behind the next
    assert space.n_exits == 2
    one = found.supernet([1]).space
    assert one.exits == (found.places[1].node,)
    with pytest.raises(InputError, match=r"`exits` must rise and be of the places 0 to "):
        found.supernet([99])


@torch.no_grad()
def test_a_block_that_is_left_out_passes_its_input_on() -> None:
    net = build("resnet")
    supernet = wrap(net, 3, SIDE)
    space = supernet.space
    genes = space.largest.copy()
    genes[0, 0] = 1
    assert isinstance(net, Resnet)
    net.first[1] = nn.Identity()
    close(supernet(images(), space.subnet(space.canonical(genes)))[-1], net(images()))


def test_a_checkpoint_needs_no_code_of_the_user() -> None:
    supernet = wrapped("inverted")
    space = space_from_dict(json.loads(json.dumps(supernet.space.to_dict())))
    assert space == supernet.space
    again = build_supernet(space).eval()
    again.load_state_dict(supernet.state_dict())
    subnet = space.subnet(space.smallest)
    with torch.no_grad():
        assert torch.equal(again(images(), subnet)[-1], supernet(images(), subnet)[-1])


def smooth(seed: int) -> Tensor:
    """Images that differ in more than their noise."""
    return F.interpolate(images(16, 4, seed), (SIDE, SIDE), mode="bilinear")


@pytest.mark.parametrize(("name", "way"), [*((n, "images") for n in NETWORKS), ("resnet", "size")])
@torch.no_grad()
def test_important_channels_are_worth_more_than_the_first(name: str, way: str) -> None:
    """Every group at its narrowest, one at a time: nearer to the network when sorted."""
    net = build(name)
    for module in net.modules():  # some channels say more than others, as after training
        if isinstance(module, nn.Conv2d | nn.Linear) and len(module.weight) > 10:
            scale = torch.randn(len(module.weight)).exp()
            module.weight.mul_(scale.view(-1, *[1] * (module.weight.ndim - 1)))
    wanted = net(smooth(1))
    found = Wrapped(net, 3, SIDE, name=name)
    without = error_of_groups(found.supernet([]), wanted)
    found.sort(smooth(2) if way == "images" else None)
    assert error_of_groups(found.supernet([]), wanted) < without


def error_of_groups(supernet: TracedSupernet, wanted: Tensor) -> float:
    space, n, error = supernet.space, len(supernet.space.depths), 0.0
    for k, widths in enumerate(space.widths):
        genes = space.largest.copy()
        genes[0, n + k] = min(widths)
        subnet = space.subnet(genes)
        norm = cached_norm(calibrate(supernet, subnet, smooth(2)))
        logits = supernet(smooth(1), subnet, norm=norm)[-1]
        error += float((logits - wanted).square().mean())
    return error


def test_channels_that_the_logits_do_not_see_are_the_least_important(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a group of one convolution half of what the next reads is multiplied by zero."""
    net = build("resnet")
    assert isinstance(net, Resnet)
    dead = torch.arange(1, 24, 2)
    with torch.no_grad():
        net.first[0].outer[0].weight[:, dead] = 0
    for given, map_bytes in ((None, 1 << 31), (smooth(2), 1 << 31), (smooth(2)[:2], 1)):
        monkeypatch.setattr("supernets.traced.importance.MAP_BYTES", map_bytes)
        found = Wrapped(net, 3, SIDE, name="resnet")
        found.sort(given)
        space = found.space([])
        gene = [max(w) for w in space.widths].index(24)
        assert not set(space.orders[gene][:11]) & set(dead.tolist())
