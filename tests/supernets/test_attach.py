"""Exits for a network that was trained without them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from search_spaces import InputError, get_space
from supernets import (
    attach_exits,
    build_supernet,
)
from tests.supernets.once_for_all import MOBILE, RESNET, supernet


@pytest.mark.parametrize("space", [MOBILE, RESNET], ids=lambda space: space.name)
def test_attached_exits_leave_the_last_answer_as_it_is(space: Any) -> None:
    plain = supernet(space.with_exits(()))
    net = attach_exits(plain, space.exits)
    assert net.space == space
    assert len(net.heads) == len(space.exits) + 1
    old, new = plain.state_dict(), net.state_dict()
    trunk = {key for key in old if not key.startswith("heads.")}
    assert trunk == {key for key in new if not key.startswith("heads.")}
    assert all(torch.equal(old[key], new[key]) for key in trunk)
    subnet = space.subnet(space.largest)
    x = torch.randn(2, *space.input_shape(subnet))
    with torch.no_grad():
        torch.testing.assert_close(net(x, subnet)[-1:], plain(x, subnet), atol=0, rtol=0)
    net.heads[-1].linear.weight.data.zero_()
    assert plain.heads[-1].linear.weight.any()


def test_another_number_of_classes_gets_a_new_last_layer() -> None:
    plain = supernet(RESNET.with_exits(()))
    net = attach_exits(plain, [1], n_classes=7)
    subnet = net.space.subnet(net.space.smallest)
    logits = net(torch.randn(2, *net.space.input_shape(subnet)), subnet)
    assert [x.shape for x in logits] == [(2, 7), (2, 7)]


@pytest.mark.parametrize("name", ["resnet-digits", "ofa-resnet50-x1"])
def test_exits_are_attached_once(name: str) -> None:
    with pytest.raises(InputError, match="has its exits already"):
        attach_exits(build_supernet(get_space(name)), [1])
