"""Weights of a convolution as blocks: where they start, which input they read, rotated values.

starts (rows + 1, padded to g) uint32: the first block that starts at a row, as a running count
columns (blocks,) uint16: c x kh x kw + dy x kw + dx, the weight's column
values (blocks, g) float32: weight r + i of a block that starts at row r stands at (r + i) mod g
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search_spaces import Bools, Floats, InputError
from supernets.checkpoint import read_tensors, write_tensors

SCHEMA = "nas.packed/1"
MOST_COLUMNS = 65_535
ARRAYS = ("starts", "columns", "values", "bias")


@dataclass(frozen=True)
class PackedWeights:
    """What of a (rows, c, kh, kw) weight is left as blocks of `g` rows, and the bias."""

    shape: tuple[int, int, int, int]
    g: int
    starts: NDArray[np.uint32]  # (rows padded to g, + 1)
    columns: NDArray[np.uint16]  # (blocks,)
    values: NDArray[np.float32]  # (blocks, g)
    bias: NDArray[np.float32]  # (rows padded to g, + g), zeros behind the last row

    @property
    def n_blocks(self) -> int:
        return len(self.columns)

    @property
    def sparsity(self) -> float:
        """The share of the weight's cells that no block covers."""
        return 1 - self.n_blocks * self.g / int(np.prod(self.shape))

    @property
    def n_bytes(self) -> int:
        return sum(a.nbytes for a in (self.starts, self.columns, self.values, self.bias))

    def dense(self) -> NDArray[np.float32]:
        """The weight with zeros where no block is, (rows, c, kh, kw)."""
        weight = np.zeros((len(self.starts) - 1, int(np.prod(self.shape[1:]))), dtype=np.float32)
        rows, places = _block_rows(self.starts, self.g)
        weight[rows[:, None] + np.arange(self.g), self.columns[:, None].astype(np.intp)] = (
            np.take_along_axis(self.values, places, axis=1)
        )
        return weight[: self.shape[0]].reshape(self.shape)


def pack(
    name: str, weight: Floats, starts: Bools, g: int, bias: Floats | None = None
) -> PackedWeights:
    """Blocks of `weight` (rows, c, kh, kw) at `starts` (rows - g + 1, columns), as selected.

    InputError names the layer.
    """
    if weight.ndim == 2:
        weight = weight[:, :, None, None]
    rows, columns = len(weight), int(np.prod(weight.shape[1:]))
    check_columns(name, columns)
    if not 1 <= g <= rows:
        raise InputError(f"{name}: `g` must be 1 to its {rows} rows, got {g}")
    if starts.shape != (rows - g + 1, columns):
        raise InputError(f"{name}: `starts` must be {(rows - g + 1, columns)}, got {starts.shape}")
    if not np.isfinite(weight).all() or (bias is not None and not np.isfinite(bias).all()):
        raise InputError(f"{name}: weights or biases are not finite")
    row, column = np.nonzero(starts)  # by row, then column
    padded = -(-rows // g) * g
    count = np.zeros(padded + 1, dtype=np.uint32)
    count[1:] = np.cumsum(np.bincount(row, minlength=padded))
    places = (np.arange(g) - row[:, None]) % g
    values = weight.reshape(rows, columns)[row[:, None] + places, column[:, None]]
    biases = np.zeros(padded + g, dtype=np.float32)
    biases[:rows] = 0 if bias is None else bias
    shape = (rows, *weight.shape[1:])
    return PackedWeights(
        shape, g, count, column.astype(np.uint16), np.ascontiguousarray(values, np.float32), biases
    )


def check_columns(name: str, columns: int) -> None:
    """InputError where a block's column does not fit 16 bits."""
    if columns > MOST_COLUMNS:
        raise InputError(f"{name}: {columns} columns; at most {MOST_COLUMNS} can be packed")


def _block_rows(starts: NDArray[np.uint32], g: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of every block, and where its values stand, (blocks, g)."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts.astype(np.intp)).astype(np.intp))
    return rows, (rows[:, None] + np.arange(g)) % g


def write_packed(path: Path, layers: Mapping[str, PackedWeights], about: Mapping[str, Any]) -> None:
    """All packed layers of a network as one safetensors file with a checksum of its content."""
    tensors = {
        f"{name}.{key}": torch.from_numpy(getattr(packed, key)).clone()
        for name, packed in layers.items()
        for key in ARRAYS
    }
    shapes = {name: [*packed.shape, packed.g] for name, packed in layers.items()}
    write_tensors(path, tensors, {"schema": SCHEMA, "layers": shapes, **about})


def read_packed(path: Path) -> tuple[dict[str, PackedWeights], dict[str, Any]]:
    """The layers of a file and what was written about them.

    CheckpointError where the file was cut or changed, InputError where blocks do not fit a layer.
    """
    tensors, about = read_tensors(path, SCHEMA)
    layers = {}
    for name, (*shape, g) in about["layers"].items():
        arrays = {
            key: tensors[f"{name}.{key}"].numpy() for key in ARRAYS if f"{name}.{key}" in tensors
        }
        if len(arrays) < len(ARRAYS) or len(shape) != 4:
            raise InputError(f"{path}: {name}: no packed layer; write the file again")
        layers[name] = PackedWeights(tuple(shape), g, **arrays)
        check(f"{path}: {name}", layers[name])
    return layers, about


def check(name: str, packed: PackedWeights) -> None:
    """A kernel reads where these numbers say, so they must be within the layer."""
    rows, g = packed.shape[0], packed.g
    padded, columns = -(-rows // g) * g, int(np.prod(packed.shape[1:]))
    counts = np.diff(packed.starts.astype(np.int64))
    sound = (
        1 <= g <= rows
        and packed.starts.dtype == np.uint32
        and packed.columns.dtype == np.uint16
        and packed.values.dtype == packed.bias.dtype == np.float32
        and packed.starts.shape == (padded + 1,)
        and packed.starts[0] == 0
        and bool((counts >= 0).all())
        and not counts[rows - g + 1 :].any()
        and packed.starts[-1] == packed.n_blocks
        and packed.values.shape == (packed.n_blocks, g)
        and packed.bias.shape == (padded + g,)
        and (not packed.n_blocks or int(packed.columns.max()) < columns)
    )
    if not sound:
        raise InputError(f"{name}: blocks do not fit a layer of {packed.shape}; pack it again")
