"""Calls of kernels as tables, one for each thread, and the memory that they name.

Activations lie in one piece of memory, the scratch, and constants in another, the weights; calls
name both by bytes.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernets.kernels.glue import barrier_text
from supernets.kernels.plans import Call, Parts
from supernets.kernels.text import Code
from supernets.kernels.translate import Processor

MOST_ARGUMENTS = 13  # of a kernel
COLUMNS = 5 + MOST_ARGUMENTS
"""Of a table, 8 bytes each: kernel, x, y, bounds (two floats), how many of the arguments are
places in the weights, and the arguments."""
ALIGNMENT = 64  # bytes
Bounds = tuple[float, float]
UNBOUNDED: Bounds = -np.inf, np.inf


@cache
def code_name(code: Code) -> str:
    """The name of a kernel in files."""
    return hashlib.sha256(code.text.encode()).hexdigest()[:16]


def named_text(code: Code) -> str:
    """The text of a kernel, its function called as the kernel."""
    return re.sub(r"@kernel\b", f"@k{code_name(code)}", code.text)


class Place:
    """A value in the scratch: the shape without the batch; how many still read it."""

    def __init__(self, at: int, shape: tuple[int, ...], readers: int) -> None:
        self.at, self.shape, self.readers = at, shape, readers

    @property
    def n(self) -> int:
        return int(np.prod(self.shape))


class Scratch:
    """Where values lie while they are read; memory is taken again after the last reader."""

    def __init__(self) -> None:
        self.size = ALIGNMENT  # bytes; the first 8 count threads
        self._free: dict[int, list[int]] = {}  # by size
        self._kept: dict[tuple[Any, ...], int] = {}

    def place(self, shape: tuple[int, ...], readers: int) -> Place:
        size = _bytes(shape)
        free = self._free.get(size)
        return Place(free.pop() if free else self._more(size), shape, readers)

    def read(self, place: Place) -> None:
        """One reader less; the last one gives the memory back."""
        place.readers -= 1
        if not place.readers:
            self._free.setdefault(_bytes(place.shape), []).append(place.at)

    def kept(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> int:
        """Memory of `shape` that nothing else uses: the same for the same `key`."""
        if key not in self._kept:
            self._kept[key] = self._more(_bytes(shape))
        return self._kept[key]

    def _more(self, size: int) -> int:
        at, self.size = self.size, self.size + size
        return at


class Tables:
    """The calls of every thread in their order, the kernels and the constants they name."""

    def __init__(self, cpu: Processor, threads: int) -> None:
        self.cpu, self.threads = cpu, threads
        self.codes: dict[Code, int] = {}
        self.weights = bytearray()
        self._rows: list[list[list[int]]] = [[] for _ in range(threads)]
        self._known: dict[bytes, int] = {}
        self._n_barriers = 0

    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """(calls, COLUMNS) for each thread."""
        return tuple(np.array(rows, np.int64) for rows in self._rows)

    def add(self, parts: Parts, x: int, y: int, bounds: Bounds = UNBOUNDED) -> None:
        """A list of calls for each thread; all are done before what comes next."""
        for thread, calls in enumerate(parts):
            for call in calls:
                self._add(thread, call, x, y, bounds)
        if self.threads > 1:
            self._n_barriers += 1
            code = Code(barrier_text, (self.cpu.triple,))
            call = Call(code, (), (self._n_barriers * self.threads,), 0, 0)
            for thread in range(self.threads):
                self._add(thread, call, 0, 0, UNBOUNDED)

    def _add(self, thread: int, call: Call, x: int, y: int, bounds: Bounds) -> None:
        told = [*(self._constant(a) for a in call.arrays), *call.numbers]
        both = int(np.array(bounds, np.float32).view(np.int64)[0])
        kernel = self.codes.setdefault(call.code, len(self.codes))
        told += [0] * (MOST_ARGUMENTS - len(told))
        row = [kernel, x + call.read, y + call.write, both, len(call.arrays), *told]
        self._rows[thread].append(row)

    def _constant(self, array: NDArray[Any]) -> int:
        """Where a constant lies among the weights; equal ones are there once."""
        content = np.ascontiguousarray(array).tobytes()
        if content not in self._known:
            self._known[content] = len(self.weights)
            self.weights += content.ljust(_aligned(len(content) + ALIGNMENT), b"\0")
        return self._known[content]


def _bytes(shape: tuple[int, ...]) -> int:
    """Of float32 values of `shape`, and slack for a last whole vector."""
    return _aligned(4 * int(np.prod(shape)) + ALIGNMENT)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
