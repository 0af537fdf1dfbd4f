"""A segment whose pruned layers run with kernels: a table of calls, made by one call.

The table says where in two pieces of memory every call reads and writes: weights, and a scratch for
the image, activations and answers (`supernets/kernels/program.py` writes it).
"""

from __future__ import annotations

import ctypes
import gzip
import json
import math
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .checks import ManifestError
from .files import plain_size
from .machine_code import MachineCode, processor_kind

SCHEMA = "nas.kernels/1"
TABLE_COLUMNS = 18  # kernel, x, y, bounds, number of places in the weights, 13 arguments
MAX_BYTES = 1 << 26  # of the texts, unpacked
ALIGNMENT = 64
REMEMBERED = 5  # times of each way
TRIED_EVERY = 100  # images


class Kernels:
    """Texts of kernels by name, and programs by graph, for this processor.

    NoKernels: none can run here.
    """

    def __init__(self, texts: dict[str, str], programs: dict[str, Any]) -> None:
        self.kind, self.features = processor_kind()
        self.texts, self.programs = texts, programs


def read_kernels(path: str) -> Kernels:
    """Those of an exported folder."""
    try:
        plain_size(path, MAX_BYTES)
        with gzip.open(path) as file:
            content = json.loads(file.read(MAX_BYTES).decode())
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}, expected {SCHEMA!r}")
        return Kernels(content["texts"], dict(content["programs"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(f"{path} has no readable kernels: {str(error)[:80]}") from None


class Way:
    """A way to compute an image: the calls of every thread, and what it took lately."""

    def __init__(self, resolved: list[Any]) -> None:
        self.resolved = resolved  # what the calls point to
        self.calls = [(rows.ctypes.data, len(rows)) for rows, _ in resolved]
        self.times: deque[float] = deque(maxlen=REMEMBERED)

    def took(self) -> float:
        """The median of the last times; 0 before there are some."""
        return float(np.median(self.times)) if len(self.times) == REMEMBERED else 0.0


class ProgramSession:
    """Answers as a session of ONNX Runtime does: `run(None, {"input": images})`.

    With several `threads` the layers of an image are shared by as many as there are tables for,
    as long as that is faster: where other programs need the cores, one thread is.
    """

    def __init__(
        self, kernels: Kernels, graph: str, tensors: dict[str, np.ndarray], threads: int = 1
    ) -> None:
        described = kernels.programs[graph]
        numbers = [n for n in (1, 2, 4) if n <= max(1, threads)]
        kinds = [f"{kernels.kind}.{n}" for n in sorted({1, numbers[-1]})]
        try:
            names = [[described["runner"], *described["kernels"][kind]] for kind in kinds]
            needed = dict.fromkeys(n for of in names for n in of)
            self._code = MachineCode([kernels.texts[n] for n in needed], kernels.features)
            addresses = [[self._code.address("k" + n) for n in of] for of in names]
            tables = [
                [np.array(tensors[n]) for n in sorted(tensors) if n.startswith(f"table.{kind}.")]
                for kind in kinds
            ]
            for (_, *of), parts in zip(addresses, tables):
                for table in parts:
                    _check(table, len(of), described["scratch"], tensors["weights"].nbytes)
        except (KeyError, ValueError) as error:
            raise ManifestError(f"{graph} has no readable program: {error}") from None
        self._weights = _aligned(tensors["weights"].nbytes)
        self._weights[:] = tensors["weights"]
        self._scratch = _aligned(described["scratch"])
        self.described, self._lock, self._n_images = described, threading.Lock(), 0
        self.ways = [
            Way([self._addresses(table, np.array(of)) for table in parts])
            for (_, *of), parts in zip(addresses, tables)
        ]
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(addresses[0][0])
        helpers = len(self.ways[-1].calls) - 1
        self._helpers = ThreadPoolExecutor(helpers, "kernels") if helpers else None

    def run(self, _: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Features and logits (of the last segment logits alone) of images (N, C, H, W)."""
        images = np.ascontiguousarray(inputs["input"], dtype=np.float32)
        outputs = self.described["outputs"]
        answers = [np.empty((len(images), *o["shape"]), np.float32) for o in outputs]
        with self._lock:
            source = self._floats(self.described["input"], math.prod(images.shape[1:]))
            for i, image in enumerate(images):
                source[:] = image.ravel()
                self._compute()
                for answer, output in zip(answers, outputs):
                    answer[i] = self._floats(output["at"], answer[i].size).reshape(output["shape"])
        return answers

    def _compute(self) -> None:
        way, start = self._chosen(), time.perf_counter()
        self._scratch[:8] = 0  # where threads are counted
        first, *others = way.calls
        helping = [self._helpers.submit(self._run, *calls) for calls in others if self._helpers]
        self._run(*first)
        for helper in helping:
            helper.result()
        way.times.append(time.perf_counter() - start)

    def _chosen(self) -> Way:
        """The way that was faster lately; the other one is tried anew now and then."""
        self._n_images += 1
        best = min(self.ways, key=Way.took)
        return self.ways[-1] if self._n_images % TRIED_EVERY == 0 else best

    def _floats(self, at: int, n: int) -> np.ndarray:
        return self._scratch[at : at + 4 * n].view(np.float32)

    def _addresses(self, table: np.ndarray, kernels: np.ndarray) -> Any:
        """Rows of addresses as the runner reads them, and the arguments that they point to."""
        arguments = np.ascontiguousarray(table[:, 5:])
        is_place = np.arange(arguments.shape[1]) < table[:, 4:5]
        arguments[is_place] += self._weights.ctypes.data
        scratch, steps = self._scratch.ctypes.data, np.arange(len(table))
        rows = np.stack(
            [
                kernels[table[:, 0]],
                arguments.ctypes.data + steps * arguments.strides[0],
                table[:, 1] + scratch,
                table[:, 2] + scratch,
                table[:, 3],
            ],
            axis=1,
        )
        return np.ascontiguousarray(rows), arguments


def _check(table: np.ndarray, n_kernels: int, scratch: int, weights: int) -> None:
    """ValueError for calls that begin outside of the memory."""
    if table.ndim != 2 or table.shape[1] != TABLE_COLUMNS:
        raise ValueError("its table of calls has another shape")
    places = table[:, 5:][np.arange(TABLE_COLUMNS - 5) < table[:, 4:5]]
    for values, limit in ((table[:, 0], n_kernels), (table[:, 1:3], scratch), (places, weights)):
        if values.size and not 0 <= values.min() <= values.max() < limit:
            raise ValueError("its calls read or write outside of the memory")


def _aligned(n_bytes: int) -> np.ndarray:
    """Zeros that begin where a cache line does."""
    memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes]
