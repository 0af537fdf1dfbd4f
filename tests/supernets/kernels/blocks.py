"""Pruned layers of random weights."""

import numpy as np

from supernets.kernels import PackedConv2d, pack
from supernets.pruning import block_mask, select_blocks


def pruned(rows=12, channels=10, taps=1, g=4, *, sparsity=0.7, method="exact", **layer):
    """A layer whose blocks start anywhere, and its weight with zeros where none is."""
    rng = np.random.default_rng([rows, channels, taps, g])
    weight = rng.normal(size=(rows, channels, taps, taps)).astype(np.float32)
    bias = rng.normal(size=rows).astype(np.float32)
    starts = select_blocks({"w": weight}, g, sparsity, method=method)["w"]
    weight *= block_mask(starts, g).reshape(weight.shape)
    return PackedConv2d(pack("w", weight, starts, g, bias), **layer), weight
