"""What kernels are told for inputs of one shape, for this processor or another one.

A plan is a list of calls for each thread. Nothing here needs llvmlite: `jobs` turns calls into
addresses, `program` writes them down for another process.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from search_spaces import InputError
from supernets.kernels.depthwise import depthwise_text
from supernets.kernels.packed import PackedWeights
from supernets.kernels.padding import padding_text
from supernets.kernels.sparse import ROTATING, most_pieces, sparse_text
from supernets.kernels.text import Code
from supernets.kernels.tiles import Tiles, plane_tiles
from supernets.kernels.translate import Processor


class Call(NamedTuple):
    """A kernel, the arrays and numbers it is told, its place in x and y in bytes."""

    code: Code
    arrays: tuple[np.ndarray[Any, Any], ...]
    numbers: tuple[int, ...]
    read: int
    write: int


Parts = list[list[Call]]  # one list a thread
LEAST_VECTORS = 4  # of a thread's band: fewer make a tile that is too small


class SparsePlan:
    """How a packed convolution computes inputs (N, C, H, W) of one shape.

    The kernel reads `padded` (n, phases, c, h, w), zeros around the inputs and every `stride`-th
    row and column apart; None where it reads the inputs themselves. `moves` are the calls that
    fill it, None where no kernel does.
    """

    def __init__(
        self,
        packed: PackedWeights,
        shape: tuple[int, ...],
        cpu: Processor,
        *,
        name: str = "layer",
        stride: int = 1,
        padding: int = 0,
        threads: int = 1,
        walk: str = ROTATING,
    ) -> None:
        rows, channels, kh, kw = packed.shape
        n, c, h, w = shape
        if c != channels:
            raise InputError(f"{name}: inputs have {c} channels, weights {channels}")
        out_h, out_w = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
        if min(out_h, out_w) < 1:
            raise InputError(
                f"{name}: inputs of {h}x{w} with padding {padding} are smaller than the kernel, "
                f"{kh}x{kw}"
            )
        self.out_shape = (n, rows, out_h, out_w)
        self.stride, self.padding = stride, padding
        self.phases = min(stride, kh), min(stride, kw)
        self.plane = _ceil(h + 2 * padding, stride), _ceil(w + 2 * padding, stride)
        (down, across), is_plain = self.phases, stride == 1 and padding == 0
        self.padded = None if is_plain else (n, down * across, c, *self.plane)
        image = 4 * c * down * across * self.plane[0] * self.plane[1]
        self._most, self._vector = most_pieces(packed.g, cpu.registers), cpu.vector
        arrays = *_arrays(packed), self._offsets(channels, kh, kw), packed.bias
        out_image = 4 * rows * out_h * out_w
        self.parts: Parts = []
        for tiles, span in self._shares(packed, threads):
            calls = [self._call(packed.g, arrays, tile, span, walk) for tile in tiles]
            images = ((i * image, i * out_image) for i in range(n))
            self.parts.append([_moved(call, *image) for image in images for call in calls])
        self.moves = None if is_plain else self._moves(shape, image, threads, cpu)

    def _shares(
        self, packed: PackedWeights, threads: int
    ) -> list[tuple[list[Tiles], tuple[int, int]]]:
        """Each thread's tiles and outputs: a band of the plane, or some outputs of a small one."""
        _, rows, height, width = self.out_shape
        bands = plane_bands(height, width, self._vector, threads)
        if len(bands) > 1 or threads == 1 or rows < 2 * packed.g * threads:
            return [(self._tiles(*band), (0, rows)) for band in bands]
        wanted = np.arange(1, threads) * packed.n_blocks / threads
        at = np.searchsorted(packed.starts[:rows], wanted, side="right") / packed.g
        cuts = np.minimum(rows, np.rint(at).astype(np.int64) * packed.g)
        bounds, tiles = [0, *cuts.tolist(), rows], self._tiles(0, height)
        return [(tiles, (a, b)) for a, b in pairwise(bounds) if a < b]

    def _tiles(self, first: int, end: int) -> list[Tiles]:
        """Tiles of rows `first` to `end` (exclusive) of the plane."""
        width, step = self.out_shape[3], self.plane[1]
        tiles = plane_tiles(end - first, width, step, self._vector, self._most)
        return [
            t._replace(read=t.read + first * step, write=t.write + first * width) for t in tiles
        ]

    def _call(
        self,
        g: int,
        arrays: tuple[np.ndarray[Any, Any], ...],
        tile: Tiles,
        span: tuple[int, int],
        walk: str,
    ) -> Call:
        """Rows `span` of a tile; the walk begins g rows before, whose blocks reach into them."""
        first, end = span
        steps = (
            4 * self.out_shape[2] * self.out_shape[3],
            *(tile.n, 4 * tile.read_step, 4 * tile.write_step),
        )
        numbers = max(0, first - g), first, end - first, end, *steps
        code = Code(sparse_text, (g, tile.pieces, walk))
        return Call(code, arrays, numbers, 4 * tile.read, 4 * tile.write)

    def _offsets(self, channels: int, kh: int, kw: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Bytes from an output's first input to the input of every column."""
        s, (height, width), (_, across) = self.stride, self.plane, self.phases
        dy, dx = np.arange(kh)[:, None], np.arange(kw)[None, :]
        phase = (dy % s) * across + dx % s
        taps = phase * channels * height * width + (dy // s) * width + dx // s
        planes = np.arange(channels)[:, None, None] * height * width
        return np.ascontiguousarray(4 * (planes + taps).ravel(), dtype=np.int32)

    def _moves(
        self, shape: tuple[int, ...], image: int, threads: int, cpu: Processor
    ) -> Parts | None:
        """The kernel that pads, where there is one: for stride 1, and 2 with an even row."""
        (n, c, h, w), s, p = shape, self.stride, self.padding
        if s > 2 or w % s:
            return None
        (down, across), (height, width) = self.phases, self.plane
        if across == 1 and p % s:  # only odd columns are read; no kernel for this
            return None
        rows = [y for y in range(h) if (y + p) % s < down]
        phase = across * c * height * width  # from one phase of rows to the next, in floats
        places = [((y + p) % s) * phase + (y + p) // s * width for y in rows]
        even, odd = (((i + p) % s) * c * height * width + (i + p) // s for i in range(2))
        froms, tos = np.array([y * w for y in rows], np.int64), np.array(places, np.int64)
        code = Code(padding_text, (s, power_of_two(min(cpu.vector, w // s)), across == 2))
        sizes = w, h * w, height * width, even, odd
        bands = plane_bands(*self.out_shape[2:], cpu.vector, threads)
        shares = [(0, len(rows), *span) for span in spans(c, threads)]
        if len(bands) > 1:  # the thread that reads the rows moves them
            shares = [(a, b, 0, c) for a, b in spans(len(rows), threads)]
        return [
            [
                Call(
                    *(code, (froms, tos), (a, b, *channels, *sizes)),
                    *(4 * i * c * h * w, i * image),
                )
                for i in range(n)
            ]
            for a, b, *channels in shares
        ]


class DepthwisePlan:
    """How a depthwise convolution (weight (C, 1, k, k), padding k // 2) computes one shape."""

    def __init__(
        self,
        weight: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any],
        shape: tuple[int, ...],
        cpu: Processor,
        *,
        name: str = "layer",
        stride: int = 1,
        threads: int = 1,
    ) -> None:
        n, c, h, w = shape
        if c != len(weight):
            raise InputError(f"{name}: inputs have {c} channels, weights {len(weight)}")
        out_h, out_w = (h - 1) // stride + 1, (w - 1) // stride + 1
        self.out_shape = (n, c, out_h, out_w)
        bands = plane_bands(out_h, out_w, cpu.vector, threads)
        least = min(b - a for a, b in bands)
        rows = power_of_two(min(4 if cpu.registers > 16 else 2, least))
        copied, width = (power_of_two(min(cpu.vector, size)) for size in (w, out_w))
        code = Code(depthwise_text, (weight.shape[-1], stride, copied, width, rows))
        planes, arrays, sizes = 4 * c, (weight, bias), (h, w, out_h, out_w)
        shares = [(*span, 0, out_h) for span in spans(c, threads)]
        if len(bands) > 1:
            shares = [(0, c, *band) for band in bands]
        self.parts: Parts = [
            [
                Call(
                    *(code, arrays, (first, end, *sizes, *band)),
                    *(i * planes * h * w, i * planes * out_h * out_w),
                )
                for i in range(n)
            ]
            for first, end, *band in shares
        ]


def _arrays(packed: PackedWeights) -> tuple[np.ndarray[Any, Any], ...]:
    return packed.starts, packed.columns, packed.values


def _moved(call: Call, read: int, write: int) -> Call:
    return call._replace(read=call.read + read, write=call.write + write)


def spans(n: int, parts: int) -> list[tuple[int, int]]:
    """`n` things cut into `parts`, none of them empty."""
    cuts = [n * i // parts for i in range(parts + 1)]
    return [(a, b) for a, b in pairwise(cuts) if a < b]


def plane_bands(height: int, width: int, vector: int, threads: int) -> list[tuple[int, int]]:
    """Rows of a plane that each thread computes; all rows where the plane is small.

    The same thread has the same rows of every layer, so that hardly anything it reads comes from
    another core's cache.
    """
    if height < 2 * threads or height * width < LEAST_VECTORS * vector * threads:
        return [(0, height)]
    return spans(height, threads)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def power_of_two(n: int) -> int:
    """The greatest that is not above n."""
    return 1 << (n.bit_length() - 1)
