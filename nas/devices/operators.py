"""One operator of a subnet as a network of its own, to be timed alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predictors import Operator
from search_spaces import InputError
from supernets import GlobalMean, Stored


def operator_network(operator: Operator, batch: int) -> tuple[nn.Sequential, Tensor]:
    """A network that computes `operator` alone, with random weights, and its input.

    As cost models count it: a convolution with its bias, a ReLU and, where it is residual, the
    addition of a second input. (A few have another activation or none.) InputError where no such
    operator exists.
    """
    o = operator
    layers: list[nn.Module]
    if o.kind == "linear":
        x, layers = torch.randn(batch, o.c_in), [nn.Linear(o.c_in, o.c_out)]
    else:
        x = torch.randn(batch, o.c_in, o.side_in, o.side_in)
        layers = _LAYERS[o.kind](o) if o.kind in _LAYERS else []
    if o.residual:
        added = torch.randn(1, o.c_out, o.side_out, o.side_out)
        layers.insert(1, Stored("add", added.contiguous(memory_format=torch.channels_last)))
    net = nn.Sequential(*layers).eval()
    with torch.inference_mode():
        shape = net(x).shape if layers else None
    if shape is None or shape[1] != o.c_out or shape[2:] not in ((), (o.side_out,) * 2):
        raise InputError(f"{operator} is no operator that can be run alone")
    return net, x


def _conv(o: Operator) -> list[nn.Module]:
    stride = next(s for s in range(1, o.side_in + 1) if -(-o.side_in // s) == o.side_out)
    groups = o.c_in if o.kind == "depthwise" else o.groups
    conv = nn.Conv2d(o.c_in, o.c_out, o.kernel, stride, o.kernel // 2, groups=groups)
    return [conv, nn.ReLU(inplace=True)]


def _pool(o: Operator) -> list[nn.Module]:
    if o.side_out == 1:
        return [GlobalMean()]
    stride = -(-o.side_in // o.side_out)
    if stride < o.kernel:  # overlapping: the stem of ResNet50
        return [nn.MaxPool2d(o.kernel, stride, o.kernel // 2)]
    return [nn.AvgPool2d(o.kernel, o.kernel, ceil_mode=o.side_out > o.side_in // o.kernel)]


def _scale(o: Operator) -> list[nn.Module]:
    return [Stored("mul", torch.rand(1, o.c_out, 1, 1))]


_LAYERS = {"conv": _conv, "depthwise": _conv, "pool": _pool, "scale": _scale}
