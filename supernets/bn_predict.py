"""Batch-norm statistics of a subnet that nobody measured, from those of subnets that were.

What enters a layer depends on the genes before it alone, and smoothly: statistics of a channel are
a weighted mean over known subnets, weights by Gaussian-process regression on those genes (ordinary
kriging; Rasmussen and Williams, 2006, chapter 2). Known subnets with the same genes before the
layer get all of the weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from search_spaces import Bools, Floats, InputError, Subnet
from supernets.elastic import Statistics
from supernets.layers import norms
from supernets.supernet import Supernet

LENGTH = 2.0  # of the kernel, in genes scaled to at most 1
NOISE = 1e-3  # variance of what was measured, relative to the kernel's
TINY = 1e-12  # keeps the logarithm of a dead channel's variance finite


class PredictedStatistics:
    """Statistics of any subnet of `supernet` from `known` ones, by the string of the subnet."""

    def __init__(self, supernet: Supernet, known: Mapping[str, Statistics]) -> None:
        space = supernet.space
        self._supernet, self._known = supernet, list(known.values())
        self._scale = np.array([max(1, *choices) for choices in space.choices], dtype=float)
        self._genes = space.parse_all(list(known)) / self._scale

    def __call__(self, subnet: Subnet) -> Statistics:
        """InputError: no known subnet is as wide or as deep."""
        found: Statistics = {}
        genes = self._supernet.space.genes([subnet])[0] / self._scale
        for used, key, channels in self._layers(subnet):
            rows = [i for i, s in enumerate(self._known) if key in s and len(s[key][0]) >= channels]
            if not rows:
                raise InputError(
                    f"no known statistics have {channels} channels of {key}, so those of {subnet} "
                    "cannot be predicted: give the training images (`data`)"
                )
            weights = _kriging(self._genes[rows][:, used], genes[used])
            parts = [self._known[i][key] for i in rows]
            means = torch.stack([mean[:channels] for mean, _ in parts])
            logs = torch.stack([(var[:channels] + TINY).log() for _, var in parts])
            found[key] = weights @ means, (weights @ logs).exp()
        return found

    def _layers(self, subnet: Subnet) -> Iterator[tuple[Bools, str, int]]:
        """Every batch norm that `subnet` runs: genes it depends on, key, channels."""
        space = self._supernet.space
        for k, trunk, head in self._supernet.program(subnet):
            used = space.used_genes(np.arange(space.n_exits + 1)[None] == k)[0]
            yield from ((used, *pair) for pair in norms([*trunk, *head]))


def _kriging(known: Floats, wanted: Floats) -> Tensor:
    """Weights (n,) with the sum 1 of `known` genes (n, genes) for those `wanted` (genes,)."""
    n, same = len(known), (known == wanted).all(axis=1)
    if same.any():
        return torch.from_numpy(same / same.sum()).float()
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = _kernel(known, known) + NOISE * np.eye(n)
    system[n, n] = 0
    right = np.append(_kernel(known, wanted[None])[:, 0], 1)
    return torch.from_numpy(np.linalg.solve(system, right)[:n]).float()


def _kernel(a: Floats, b: Floats) -> Floats:
    """Linear plus squared exponential, (n, genes) and (m, genes) to (n, m)."""
    distance = np.square(a[:, None] - b[None]).sum(axis=2)
    values: Floats = a @ b.T + np.exp(-distance / (2 * LENGTH**2))
    return values
