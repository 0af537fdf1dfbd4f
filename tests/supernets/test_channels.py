"""Prefixes are views, indices are not, and a new order makes a prefix of what was an index."""

from __future__ import annotations

import pytest
import torch

from supernets.channels import reorder, take
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, batch_norm, running_norm
from supernets.layers import HARDSWISH, run
from supernets.mbconv import ElasticMBConv, ElasticSqueezeExcite
from tests.supernets.tiny import SPACE, images, supernet

WEIGHT = torch.arange(24.0).reshape(4, 3, 2)
PICKED = torch.tensor([2, 0])


def test_a_prefix_is_a_view_of_the_weight() -> None:
    taken = take(WEIGHT, 2, 3)
    assert taken.data_ptr() == WEIGHT.data_ptr()
    assert torch.equal(taken, WEIGHT[:2, :3])
    assert torch.equal(take(WEIGHT, None, 1), WEIGHT[:, :1])


def test_indices_pick_channels_in_their_order() -> None:
    assert torch.equal(take(WEIGHT, PICKED), WEIGHT[[2, 0]])
    assert torch.equal(take(WEIGHT, 3, PICKED), WEIGHT[:3][:, [2, 0]])
    assert torch.equal(take(WEIGHT, PICKED, None), WEIGHT[[2, 0]])


def test_gradients_reach_the_picked_channels_alone() -> None:
    weight = WEIGHT.clone().requires_grad_()
    take(weight, PICKED, 1).sum().backward()
    assert weight.grad is not None
    assert weight.grad.sum(dim=(1, 2)).tolist() == [2.0, 0.0, 2.0, 0.0]


def test_the_first_channels_as_indices_compute_the_same() -> None:
    """Of a whole block: convolution, depthwise, squeeze-excite and batch norm."""
    block = ElasticMBConv(6, 16, 6, kernels=(3, 5), stride=1, activation=HARDSWISH, squeeze=8)
    x = torch.randn(2, 6, 5, 5)
    first = [torch.arange(n) for n in (6, 12, 4)]
    wanted = run(block.layers(6, 3, 12, 4), x, batch_norm)
    found = run(block.layers(first[0], 3, *first[1:]), x, batch_norm)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("n", [3, 7])
def test_an_index_is_a_prefix_after_reordering(n: int) -> None:
    conv, norm = ElasticConv2d(3, 8, 3), ElasticBatchNorm2d(8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.running_mean)
    x, order = torch.randn(2, 3, 6, 6), torch.randperm(8)
    wanted = running_norm(norm, conv(x, 3, order[:n]), order[:n])
    held = [conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    reorder([(weight, 0) for weight in held], order)
    assert torch.equal(running_norm(norm, conv(x, 3, n), n), wanted)
    assert take(conv.weight, n).data_ptr() == conv.weight.data_ptr()


def test_the_twin_of_an_index_owns_its_channels() -> None:
    layer = ElasticSqueezeExcite(6, 4)
    channels, hidden = torch.tensor([5, 1, 0]), torch.tensor([3, 1])
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(layer.static(channels, hidden)(x), layer(x, channels, hidden))


def test_no_call_of_a_supernet_copies_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight that a convolution is given lies inside a parameter of the supernet."""
    net, subnet = supernet(), SPACE.subnet(SPACE.smallest)
    held = {p.untyped_storage().data_ptr() for p in net.parameters()}
    seen = []
    conv2d = torch.nn.functional.conv2d

    def spy(x: torch.Tensor, weight: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        seen.append(weight.untyped_storage().data_ptr())
        return conv2d(x, weight, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "conv2d", spy)
    with torch.no_grad():
        net(images(2), subnet)
    assert len(seen) > 10
    assert held.issuperset(seen)
