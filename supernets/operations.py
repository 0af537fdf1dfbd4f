"""Operations without weights, by name: what traced networks are made of besides layers.

Tensors have the batch first; dimensions and shapes in options do not count it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Operation(nn.Module):
    """One operation with its options, as a layer."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.kind, self.options = kind, options

    def forward(self, *x: Tensor) -> Tensor:
        y: Tensor = OPERATIONS[self.kind](*x, **self.options)
        return y

    def extra_repr(self) -> str:
        return ", ".join([self.kind, *(f"{k}={v}" for k, v in self.options.items())])


def _scalar(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operation of two tensors, or of one and the number `other`."""

    def run(x: Tensor, y: Tensor | None = None, *, other: float = 0.0) -> Tensor:
        return operation(x, other if y is None else y)

    return run


def _avg_pool(x: Tensor, *, kernel: int, stride: int, padding: int, **options: bool) -> Tensor:
    return F.avg_pool2d(x, kernel, stride, padding, **options)


def _max_pool(x: Tensor, *, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Tensor:
    return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode)


def _pad(x: Tensor, *, pads: tuple[int, ...], value: float) -> Tensor:
    return F.pad(x, pads, value=value)


def _slice(x: Tensor, *, dim: int, start: int, stop: int) -> Tensor:
    return x.narrow(dim + 1, start, stop - start)


def _over(dims: tuple[int, ...]) -> list[int]:
    return [dim + 1 for dim in dims]


ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "silu": F.silu,
    "gelu": lambda x, approximate: F.gelu(x, approximate=approximate),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "mish": F.mish,
    "softplus": F.softplus,
    "clamp": lambda x, low, high: x.clamp(low, high),
    "identity": lambda x: x,
}
"""Every value of the result depends on the same value of the one input."""

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    **ELEMENTWISE,
    "add": _scalar(torch.add),
    "sub": _scalar(torch.sub),
    "mul": _scalar(torch.mul),
    "div": _scalar(torch.div),
    "mean": lambda x, dims, keepdim: x.mean(_over(dims), keepdim),
    "l2": lambda x, dims, keepdim: torch.linalg.vector_norm(x, 2, _over(dims), keepdim),
    "amax": lambda x, dims, keepdim: x.amax(_over(dims), keepdim),
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
    "adaptive_avg_pool": lambda x, size: F.adaptive_avg_pool2d(x, size),
    "concat": lambda *x, dim: torch.cat(x, dim + 1),
    "slice": _slice,
    "flatten": lambda x: x.flatten(1),
    "reshape": lambda x, shape: x.reshape(len(x), *shape),
    "permute": lambda x, dims: x.permute(0, *_over(dims)),
    "pad": _pad,
    "interpolate": lambda x, scale, mode: F.interpolate(x, scale_factor=scale, mode=mode),
}
