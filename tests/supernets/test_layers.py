"""The operators of a space are those of the network that is cut out of its supernet, one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import Space, get_space
from supernets import GlobalMean, PoolTo, SqueezeExcite, Supernet, extract
from supernets.static import StaticNet
from tests.supernets.once_for_all import MOBILE, RESNET, supernet

SPACES = {
    space.name: space
    for space in (get_space("resnet-digits"), get_space("resnet-40x40x3-4"), MOBILE, RESNET)
}
NETS: dict[str, Supernet] = {name: supernet(space) for name, space in SPACES.items()}
Shape = tuple[str, int, int, int, int, int]  # kind, c_in, c_out, kernel, side_in, side_out


def shape(kind: str, x: Tensor, y: Tensor, kernel: int = 1) -> Shape:
    sides = [t.shape[-1] if t.dim() == 4 else 1 for t in (x, y)]
    return kind, x.shape[1], y.shape[1], kernel, sides[0], sides[1]


def read(net: StaticNet, image: Tensor) -> list[Shape]:
    """The operators that `net(image)` runs, from the modules and the tensors that they saw."""
    found: list[Shape] = []

    def record(layer: nn.Module, args: tuple[Tensor], y: Tensor) -> None:
        (x,) = args
        if isinstance(layer, nn.Conv2d):
            kind = "depthwise" if layer.groups > 1 else "conv"
            found.append(shape(kind, x, y, layer.kernel_size[0]))
        elif isinstance(layer, nn.Linear):
            found.append(shape("linear", x, y))
        elif isinstance(layer, SqueezeExcite):
            mean, hidden = x[:, :, 0, 0], layer.reduce.weight[:, 0, 0].T
            found.append(shape("pool", x, mean, x.shape[-1]))
            found.append(shape("linear", mean, hidden))
            found.append(shape("linear", hidden, mean))
            found.append(shape("scale", x, y))
        elif isinstance(layer, GlobalMean):
            found.append(shape("pool", x, y, x.shape[-1]))
        elif isinstance(layer, PoolTo) and y is not x:
            found.append(shape("pool", x, y, x.shape[-1] // y.shape[-1]))
        elif isinstance(layer, nn.AvgPool2d | nn.MaxPool2d):
            assert isinstance(layer.kernel_size, int)
            found.append(shape("pool", x, y, layer.kernel_size))

    inside = {
        id(part) for m in net.modules() if isinstance(m, SqueezeExcite) for part in m.children()
    }
    hooks = [m.register_forward_hook(record) for m in net.modules() if id(m) not in inside]
    with torch.inference_mode():
        net(image)
    for hook in hooks:
        hook.remove()
    return found


def listed(space: Space, genes: np.ndarray, heads: np.ndarray) -> list[Shape]:
    o = space.operators(genes, heads)
    columns = [
        getattr(o, f)[0].tolist() for f in ("c_in", "c_out", "kernel", "side_in", "side_out")
    ]
    rows = zip(o.kinds, *columns, strict=True)
    return [row for row, present in zip(rows, o.present[0], strict=True) if present]


@pytest.mark.parametrize("name", list(SPACES))
@settings(max_examples=10)
@given(data=st.data())
def test_operators_are_those_of_the_extracted_network(name: str, data: st.DataObject) -> None:
    """Every shape, how often, and with it every MAC and every weight."""
    space, net = SPACES[name], NETS[name]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    genes = space.sample_spread(3, rng)[2:]
    exits = st.sets(st.integers(0, space.n_exits), min_size=1).map(sorted)
    heads = data.draw(exits)
    subnet = space.subnet(genes)
    static = extract(net, subnet, heads=heads)
    image = torch.zeros(1, *space.input_shape(subnet))
    on = np.isin(np.arange(space.n_exits + 1), heads)[None]
    assert sorted(read(static, image)) == sorted(listed(space, genes, on))
    weights = [m.weight.numel() for m in static.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert space.operators(genes, on).params.sum() == sum(weights)


def test_a_copy_of_a_supernet_runs_its_own_weights() -> None:
    """Although the layers of subnets that ran before are kept."""
    space, net = SPACES["resnet-digits"], supernet(SPACES["resnet-digits"])
    subnet = space.subnet(space.largest)
    image = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        before = net(image, subnet)
        other = copy.deepcopy(net)
        for parameter in other.parameters():
            parameter.zero_()
        assert not any(x.any() for x in other(image, subnet))
        torch.testing.assert_close(net(image, subnet), before, atol=0, rtol=0)
