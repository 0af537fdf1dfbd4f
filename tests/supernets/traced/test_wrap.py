"""Networks of users as supernets: the same answers, whatever is cut, and the same work."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces import InputError, space_from_dict
from supernets import build_supernet, extract
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
def test_the_largest_subnet_is_the_network(name: str) -> None:
    net, supernet = build(name), wrapped(name)
    space = supernet.space
    close(supernet(images(), space.subnet(space.largest))[-1], net(images()))


@torch.no_grad()
def test_without_an_order_it_is_the_network_bit_for_bit() -> None:
    net = build("resnet")
    supernet = wrap(net, 3, SIDE, sort=False)
    found = supernet(images(), supernet.space.subnet(supernet.space.largest))[-1]
    assert torch.equal(found, net(images()))


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
    with pytest.raises(InputError, match=r"`exits` must rise and lie in 0\.\."):
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


@every_network
@torch.no_grad()
def test_important_channels_are_worth_more_than_the_first(name: str) -> None:
    """Every group at its narrowest, one at a time: nearer to the network when sorted."""
    net = build(name)
    for module in net.modules():  # some channels say more than others, as after training
        if isinstance(module, nn.Conv2d | nn.Linear) and len(module.weight) > 10:
            scale = torch.randn(len(module.weight)).exp()
            module.weight.mul_(scale.view(-1, *[1] * (module.weight.ndim - 1)))
    wanted, error = net(images(16)), []
    for sort in (True, False):
        supernet = wrap(net, 3, SIDE, sort=sort, exits=[])
        space, n = supernet.space, len(supernet.space.depths)
        error.append(0.0)
        for k, widths in enumerate(space.widths):
            genes = space.largest.copy()
            genes[0, n + k] = min(widths)
            found = supernet(images(16), space.subnet(genes))[-1]
            error[-1] += float((found - wanted).square().mean())
    assert error[0] < error[1]
