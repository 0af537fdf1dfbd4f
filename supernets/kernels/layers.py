"""Layers that compute with kernels: block-sparse and depthwise convolutions, ReLU included.

Planes stay as torch has them (N, C, H, W), so nothing is rearranged between layers. Where kernels
cannot serve (no llvmlite, gradients, other types) the same weights run dense, with torch.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError
from supernets.kernels.depthwise import depthwise_text
from supernets.kernels.jobs import Job, Jobs
from supernets.kernels.packed import PackedWeights, check
from supernets.kernels.padding import padding_text
from supernets.kernels.sparse import ROTATING, most_pieces, sparse_text
from supernets.kernels.tiles import Tiles, plane_tiles
from supernets.kernels.translate import address, llvm, processor

LONGEST = 2**31 - 1  # bytes that an offset of 32 bits reaches; larger inputs run dense
WIDEST = 8192  # pixels of a depthwise row, of which a few lie on the stack
MOST_SHAPES = 32  # for which a layer remembers what to do
Plan = TypeVar("Plan")


class KernelLayer(nn.Module):
    """A convolution, its bias and bounds of its outputs (`low`, `high`: ReLU, ReLU6, none)."""

    def __init__(self, name: str, stride: int, padding: int, low: float, high: float) -> None:
        super().__init__()
        self.name, self.stride, self.padding = name, stride, padding
        self.low, self.high = low, high
        self._plans: dict[tuple[torch.Size, int], Any] = {}

    def _served(self, x: Tensor) -> bool:
        """Whether kernels can compute what `x` needs."""
        needs_gradient = torch.is_grad_enabled() and x.requires_grad
        plain = x.dtype == torch.float32 and x.device.type == "cpu" and not needs_gradient
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
        plan = self._plan(x, _SparsePlan)
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


class _SparsePlan:
    """How a layer computes inputs of one shape: offsets of its columns, tiles, jobs."""

    def __init__(self, layer: PackedConv2d, shape: tuple[int, ...], threads: int) -> None:
        packed, stride, padding = layer.packed, layer.stride, layer.padding
        rows, channels, kh, kw = packed.shape
        n, c, h, w = shape
        if c != channels:
            raise InputError(f"{layer.name}: inputs have {c} channels, weights {channels}")
        out_h, out_w = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
        self.out_shape = (n, rows, out_h, out_w)
        self._padding, self._stride = padding, stride
        self._phases = min(stride, kh), min(stride, kw)
        self._plane = _ceil(h + 2 * padding, stride), _ceil(w + 2 * padding, stride)
        self._is_plain = stride == 1 and padding == 0
        self._padded = threading.local()
        self._reads = self._offsets(channels, kh, kw)
        cpu = processor()
        tiles = plane_tiles(
            out_h, out_w, self._plane[1], cpu.vector, most_pieces(packed.g, cpu.registers)
        )
        down, across = self._phases
        image = 4 * channels * down * across * self._plane[0] * self._plane[1]
        parts = [
            [
                self._job(layer, tile, span, i * image, i * 4 * rows * out_h * out_w)
                for i in range(n)
                for tile in part
            ]
            for part, span in _shares(tiles, packed, threads)
        ]
        self.jobs = Jobs(parts, (self._reads, packed))
        self._moves = self._padding_jobs(shape, image, threads)

    def _job(
        self, layer: PackedConv2d, tile: Tiles, span: tuple[int, int], read: int, write: int
    ) -> Job:
        """Rows `span` of a tile; the walk begins g rows before, whose blocks reach into them."""
        packed, (first, end) = layer.packed, span
        kernel = address(sparse_text(packed.g, tile.pieces, layer.walk))
        arrays = packed.starts, packed.columns, packed.values, self._reads, packed.bias
        out_plane = 4 * self.out_shape[2] * self.out_shape[3]
        steps = out_plane, tile.n, 4 * tile.read_step, 4 * tile.write_step
        begin = max(0, first - packed.g)
        args = _arguments(*(a.ctypes.data for a in arrays), begin, first, end - first, end, *steps)
        return Job(kernel, args, read + 4 * tile.read, write + 4 * tile.write)

    def _offsets(self, channels: int, kh: int, kw: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Bytes from an output's first input to the input of every column."""
        s, (height, width), (_, across) = self._stride, self._plane, self._phases
        dy, dx = np.arange(kh)[:, None], np.arange(kw)[None, :]
        phase = (dy % s) * across + dx % s
        taps = phase * channels * height * width + (dy // s) * width + dx // s
        planes = np.arange(channels)[:, None, None] * height * width
        return np.ascontiguousarray(4 * (planes + taps).ravel(), dtype=np.int32)

    def source(self, x: Tensor) -> Tensor:
        """`x` as the kernel reads it: padded, and every `stride`-th row and column apart."""
        if self._is_plain:
            return x
        (down, across), n_c = self._phases, x.shape[:2]
        buffer: Tensor | None = getattr(self._padded, "buffer", None)
        if buffer is None:  # zeros around stay; its inner part is written anew for each input
            buffer = torch.zeros(n_c[0], down * across, n_c[1], *self._plane)
            self._padded.buffer = buffer
        if self._moves is not None:
            self._moves.run(x.data_ptr(), buffer.data_ptr(), 0.0, 0.0)
            return buffer
        s, p = self._stride, self._padding
        for dy in range(down):
            for dx in range(across):
                top, left = (dy - p) % s, (dx - p) % s  # first row and column of x in this phase
                part = x[:, :, top::s, left::s]
                y0, x0 = (top + p) // s, (left + p) // s
                target = buffer[:, dy * across + dx, :, y0 : y0 + part.shape[2]]
                target[..., x0 : x0 + part.shape[3]].copy_(part)
        return buffer

    def _padding_jobs(self, shape: tuple[int, ...], image: int, threads: int) -> Jobs | None:
        """The kernel that pads, where there is one: for stride 1, and 2 with an even row."""
        (n, c, h, w), s, p = shape, self._stride, self._padding
        if self._is_plain or s > 2 or w % s:
            return None
        (down, across), (height, width) = self._phases, self._plane
        rows = [y for y in range(h) if (y + p) % s < down]
        phase = across * c * height * width  # from one phase of rows to the next, in floats
        places = [((y + p) % s) * phase + (y + p) // s * width for y in rows]
        even, odd = (((i + p) % s) * c * height * width + (i + p) // s for i in range(2))
        if across == 1 and p % s:  # only odd columns are read; no kernel for this
            return None
        tables = np.array([y * w for y in rows], np.int64), np.array(places, np.int64)
        kernel = address(
            padding_text(s, _power_of_two(min(processor().vector, w // s)), across == 2)
        )
        cuts = [c * i // threads for i in range(threads + 1)]
        sizes = w, h * w, height * width, even, odd
        parts = [
            [
                Job(
                    kernel,
                    _arguments(*(t.ctypes.data for t in tables), len(rows), first, end, *sizes),
                    4 * i * c * h * w,
                    i * image,
                )
                for i in range(n)
            ]
            for first, end in pairwise(cuts)
            if first < end
        ]
        return Jobs(parts, tables)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _shares(
    tiles: Sequence[Tiles], packed: PackedWeights, threads: int
) -> list[tuple[list[Tiles], tuple[int, int]]]:
    """Each thread's part: some of the tiles where there are many, some of the rows otherwise."""
    rows, g = packed.shape[0], packed.g
    if threads == 1 or rows < 2 * g * threads:
        return [(list(tiles), (0, rows))]
    n_tiles = sum(t.n for t in tiles)
    if n_tiles >= 4 * threads:
        cuts = [n_tiles * i // threads for i in range(threads + 1)]
        return [(_between(tiles, a, b), (0, rows)) for a, b in pairwise(cuts)]
    wanted = np.arange(1, threads) * packed.n_blocks / threads
    cuts = [int(r) // g * g for r in np.searchsorted(packed.starts[:rows], wanted)]
    bounds = [0, *cuts, rows]
    return [(list(tiles), (a, b)) for a, b in pairwise(bounds) if a < b]


def _between(tiles: Sequence[Tiles], first: int, end: int) -> list[Tiles]:
    """Tiles `first` to `end` (exclusive), counted over all of `tiles`."""
    found, before = [], 0
    for t in tiles:
        a, b = max(first - before, 0), min(end - before, t.n)
        if a < b:
            read, write = t.read + a * t.read_step, t.write + a * t.write_step
            found.append(t._replace(n=b - a, read=read, write=write))
        before += t.n
    return found


def _arguments(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


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
        if not self._served(x) or x.shape[-1] > WIDEST:
            return self.forward_dense(x)
        x = x.contiguous()
        plan = self._plan(x, _DepthwisePlan)
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


class _DepthwisePlan:
    """How a depthwise layer computes inputs of one shape."""

    def __init__(self, layer: DepthwiseConv2d, shape: tuple[int, ...], threads: int) -> None:
        n, c, h, w = shape
        weight, bias, stride = layer.weight, layer.bias, layer.stride
        if c != len(weight):
            raise InputError(f"{layer.name}: inputs have {c} channels, weights {len(weight)}")
        taps = weight.shape[-1]
        out_h, out_w = (h - 1) // stride + 1, (w - 1) // stride + 1
        self.out_shape = (n, c, out_h, out_w)
        cpu = processor()
        rows = _power_of_two(min(4 if cpu.registers > 16 else 2, out_h))
        copied, width = (_power_of_two(min(cpu.vector, size)) for size in (w, out_w))
        kernel = address(depthwise_text(taps, stride, copied, width, rows))
        cuts = [c * i // threads for i in range(threads + 1)]
        sizes = h, w, out_h, out_w
        parts = [
            [
                Job(
                    kernel,
                    _arguments(weight.data_ptr(), bias.data_ptr(), first, end, *sizes),
                    4 * i * c * h * w,
                    4 * i * c * out_h * out_w,
                )
                for i in range(n)
            ]
            for first, end in pairwise(cuts)
            if first < end
        ]
        self.jobs = Jobs(parts, (weight, bias))


def _power_of_two(n: int) -> int:
    """The greatest that is not above n."""
    return 1 << (n.bit_length() - 1)
