"""The networks of the Jetson Nano campaigns as operators, and what cost models read of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search_spaces import Operators
from search_spaces.operators import FLAGS, SIZES, Slot

KERNELS = range(1, 8)
FP32_BYTES = 4  # the fitted rates are those of single precision

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Networks:
    """Measured networks (n) and what models may read of them."""

    measured: pd.DataFrame
    operators: Operators
    columns: Floats  # (n, 8) as in the source: the network's numbers, its parameters and MACs
    work: Floats  # (n, 11) of `work`
    shape: Floats  # (n, 9) of the last image, MACs per byte, shares of MACs by kernel width

    @property
    def X(self) -> Floats:
        return np.column_stack([self.columns, self.shape, self.work])

    @property
    def log_features(self) -> Floats:
        whole = np.column_stack([self.columns, self.shape[:, :2]])
        return np.column_stack([np.log(np.maximum(whole, 1)), self.shape[:, 2:]])


def read_networks(folder: Path) -> Networks:
    rows = pd.read_csv(folder / "latency_energy.csv.gz")
    ops = operators(rows)
    first, second = kernel_pairs(rows).T
    network, size = rows[["layers", "filters"]], rows[["input_px", "depthwise", "params", "macs"]]
    columns = np.column_stack([network, first, second, size]).astype(float)
    amounts = work(ops)
    macs, megabytes = amounts[:, :8].sum(axis=1), amounts[:, 8:10].sum(axis=1)
    last_px = np.sqrt(ops.c_in[:, -1] / rows["filters"])
    shape = np.column_stack([last_px, macs / megabytes, amounts[:, :7] / macs[:, None]])
    return Networks(rows, ops, columns, amounts, shape)


def kernel_pairs(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Kernel widths (n, 2) that a network's layers take in turn."""
    found = [[int(k) for k in re.findall(r"K(\d+)x", text)] for text in rows["kernels"]]
    return np.array([(k[0], k[-1]) for k in found])


def operators(rows: pd.DataFrame) -> Operators:
    """Layers of stride 1 with `filters` channels each, and a linear one to ten classes.

    Padding as in the source's generators: 2 pixels, or 1 from the first layer on whose kernel is
    odd where two kernels take turns, 1 or 3 wide where there is one, 3 where it is depthwise.
    The columns `params` and `macs` of all rows agree.
    """
    pairs, filters = kernel_pairs(rows), rows["filters"].to_numpy()
    depthwise, mixed = rows["depthwise"].to_numpy() > 0, pairs[:, 0] != pairs[:, 1]
    c_in, pad = np.full(len(rows), 3), np.full(len(rows), 2)
    side, slots = rows["input_px"].to_numpy(), []
    for layer in range(rows["layers"].max()):
        on, kernel = layer < rows["layers"].to_numpy(), pairs[:, layer % 2]
        narrow = np.where(mixed, kernel % 2 == 1, np.isin(kernel, (1, 3)))
        pad = np.where(np.where(depthwise, kernel == 3, narrow), 1, pad)
        out = np.where(on, side + 2 * pad - kernel + 1, side)
        first = np.where(on & depthwise, c_in, 0)
        slots.append(Slot("depthwise", layer, c_in, first, kernel, side, out))
        width, before = np.where(depthwise, 1, kernel), np.where(depthwise, out, side)
        slots.append(Slot("conv", layer, c_in, np.where(on, filters, 0), width, before, out))
        side, c_in = out, np.where(on, filters, c_in)
    slots.append(Slot("linear", layer + 1, c_in * side**2, np.full(len(rows), 10), 1, 1, 1))
    return Operators.stack(slots)


def work(ops: Operators) -> Floats:
    """Amounts (n, 11): million MACs per kernel width 1 to 7 and of depthwise, MB, MB of the linear
    layer, kernels started."""
    kind = np.array(ops.kinds)
    conv, linear = kind == "conv", kind == "linear"
    by_width = [(ops.macs * (conv & (ops.kernel == k))).sum(axis=1) for k in KERNELS]
    moved = FP32_BYTES * ops.elements_moved
    amounts = [*by_width, (ops.macs * (kind == "depthwise")).sum(axis=1)]
    amounts += [moved[:, ~linear].sum(axis=1), moved[:, linear].sum(axis=1)]
    return np.column_stack([np.stack(amounts, axis=1) / 1e6, ops.present.sum(axis=1)])


def take(ops: Operators, rows: Rows) -> Operators:
    """The operators of some networks."""
    return replace(ops, **{name: getattr(ops, name)[rows] for name in (*SIZES, *FLAGS)})
