"""Layers that compute with kernels: block-sparse and depthwise convolutions, ReLU included.

Planes stay as torch has them (N, C, H, W), so nothing is rearranged between layers. Where kernels
cannot serve (no llvmlite, gradients, other types) the same weights run dense, with torch.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError
from supernets.kernels.jobs import Jobs
from supernets.kernels.packed import PackedWeights, check
from supernets.kernels.plans import DepthwisePlan, SparsePlan
from supernets.kernels.sparse import ROTATING
from supernets.kernels.translate import llvm, processor

LONGEST = 2**31 - 1  # bytes that an offset of 32 bits reaches; larger inputs run dense
WIDEST = 8192  # pixels of a depthwise row, of which a few lie on the stack
MOST_SHAPES = 32  # for which a layer remembers what to do
Plan = TypeVar("Plan")


class KernelLayer(nn.Module):
    """A convolution, its bias and bounds of its outputs (`low`, `high`: ReLU, ReLU6, none)."""

    def __init__(self, name: str, stride: int, padding: int, low: float, high: float) -> None:
        super().__init__()
        if stride < 1 or padding < 0:  # kernels would write beside their memory
            raise InputError(
                f"{name}: `stride` must be 1 or more and `padding` 0 or more, got {stride} and "
                f"{padding}"
            )
        self.name, self.stride, self.padding = name, stride, padding
        self.low, self.high = low, high
        self._plans: dict[tuple[torch.Size, int], Any] = {}

    def _served(self, x: Tensor) -> bool:
        """Whether kernels can compute what `x` needs; InputError: what nobody can."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"{self.name}: inputs must be a float tensor, got {found}")
        needs_gradient = torch.is_grad_enabled() and x.requires_grad
        plain = x.dtype == torch.float32 and x.device.type == "cpu" and not needs_gradient
        plain = plain and x.ndim == 4  # torch takes one image without a batch too
        return plain and llvm() is not None and 4 * x.numel() <= LONGEST

    def _plan(self, x: Tensor, kind: type[Plan]) -> Plan:
        key = (x.shape, torch.get_num_threads())
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MOST_SHAPES:
                self._plans.clear()
            plan = self._plans[key] = kind(self, tuple(x.shape), key[1])  # type: ignore[call-arg]
        return plan

    def _bounded(self, y: Tensor) -> Tensor:
        if self.low == -np.inf and self.high == np.inf:
            return y
        return y.clamp(self.low, self.high)

    def __getstate__(self) -> dict[str, Any]:
        """Copies make plans of their own: a plan holds addresses of memory."""
        return {**self.__dict__, "_plans": {}}


class PackedConv2d(KernelLayer):
    """A convolution whose weights are blocks; (N, C, H, W) to (N, rows, H', W')."""

    def __init__(
        self,
        packed: PackedWeights,
        *,
        name: str = "layer",
        stride: int = 1,
        padding: int = 0,
        low: float = -np.inf,
        high: float = np.inf,
        walk: str = ROTATING,
    ) -> None:
        super().__init__(name, stride, padding, low, high)
        check(name, packed)
        self.packed, self.walk = packed, walk
        self._dense: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self._served(x):
            return self.forward_dense(x)
        x = x.contiguous()
        plan = self._plan(x, _Sparse)
        y = torch.empty(plan.out_shape)
        source = plan.source(x)
        plan.jobs.run(source.data_ptr(), y.data_ptr(), self.low, self.high)
        return y

    def forward_dense(self, x: Tensor) -> Tensor:
        """The same with torch and zeros where no block is."""
        if self._dense is None:
            self._dense = torch.from_numpy(self.packed.dense())
        bias = torch.from_numpy(self.packed.bias[: self.packed.shape[0]])
        weight, bias = self._dense.to(x), bias.to(x)
        return self._bounded(F.conv2d(x, weight, bias, self.stride, self.padding))

    def extra_repr(self) -> str:
        rows, c, kh, kw = self.packed.shape
        kept = f"g={self.packed.g}, sparsity={self.packed.sparsity:.2f}"
        return f"{c}, {rows}, ({kh}, {kw}), stride={self.stride}, {kept}"


class _Sparse:
    """A plan of a packed layer with the memory and the machine code it needs."""

    def __init__(self, layer: PackedConv2d, shape: tuple[int, ...], threads: int) -> None:
        self.plan = plan = SparsePlan(
            layer.packed,
            shape,
            processor(),
            name=layer.name,
            stride=layer.stride,
            padding=layer.padding,
            threads=threads,
            walk=layer.walk,
        )
        self.out_shape, self.jobs = plan.out_shape, Jobs(plan.parts)
        self._moves = None if plan.moves is None else Jobs(plan.moves)
        self._padded = threading.local()

    def source(self, x: Tensor) -> Tensor:
        """`x` as the kernel reads it."""
        if self.plan.padded is None:
            return x
        buffer: Tensor | None = getattr(self._padded, "buffer", None)
        if buffer is None:  # zeros around stay; its inner part is written anew for each input
            buffer = self._padded.buffer = torch.zeros(self.plan.padded)
        if self._moves is not None:
            self._moves.run(x.data_ptr(), buffer.data_ptr(), 0.0, 0.0)
        else:
            self._copy(x, buffer)
        return buffer

    def _copy(self, x: Tensor, buffer: Tensor) -> None:
        """What `moves` do, with torch."""
        (down, across), s, p = self.plan.phases, self.plan.stride, self.plan.padding
        for dy in range(down):
            for dx in range(across):
                top, left = (dy - p) % s, (dx - p) % s  # first row and column of x in this phase
                part = x[:, :, top::s, left::s]
                y0, x0 = (top + p) // s, (left + p) // s
                target = buffer[:, dy * across + dx, :, y0 : y0 + part.shape[2]]
                target[..., x0 : x0 + part.shape[3]].copy_(part)


class DepthwiseConv2d(KernelLayer):
    """One odd square of weights per channel, padding of half of it, stride 1 or 2."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        name: str = "layer",
        stride: int = 1,
        low: float = -np.inf,
        high: float = np.inf,
    ) -> None:
        taps = weight.shape[-1]
        super().__init__(name, stride, taps // 2, low, high)
        if bias.shape != weight.shape[:1]:
            raise InputError(
                f"{name}: {len(weight)} channels need as many biases, got {tuple(bias.shape)}"
            )
        if weight.shape[1:] != (1, taps, taps) or taps % 2 == 0 or stride not in (1, 2):
            raise InputError(
                f"{name}: a depthwise layer needs odd square weights and stride 1 or 2, "
                f"got {tuple(weight.shape)} and {stride}"
            )
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", weight.detach().float().contiguous())
        self.register_buffer("bias", bias.detach().float().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        own = self.weight.dtype == torch.float32  # `double()` changes it
        if not self._served(x) or not own or x.shape[-1] > WIDEST:
            return self.forward_dense(x)
        x = x.contiguous()
        plan = self._plan(x, _Depthwise)
        y = torch.empty(plan.out_shape)
        plan.jobs.run(x.data_ptr(), y.data_ptr(), self.low, self.high)
        return y

    def forward_dense(self, x: Tensor) -> Tensor:
        """The same with torch."""
        weight, bias = self.weight.to(x), self.bias.to(x)
        groups = len(weight)
        return self._bounded(F.conv2d(x, weight, bias, self.stride, self.padding, groups=groups))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, {self.weight.shape[-1]}, stride={self.stride}"


class _Depthwise:
    """A plan of a depthwise layer with its machine code."""

    def __init__(self, layer: DepthwiseConv2d, shape: tuple[int, ...], threads: int) -> None:
        weight, bias = layer.weight.numpy(), layer.bias.numpy()
        plan = DepthwisePlan(
            *(weight, bias, shape, processor()),
            name=layer.name,
            stride=layer.stride,
            threads=threads,
        )
        self.out_shape, self.jobs = plan.out_shape, Jobs(plan.parts)
