"""Batch-norm statistics of chosen subnets in one file, so that a switch needs no calibration.

`nas.bn/1`, safetensors: one float16 tensor per subnet, named by its string, with the means of all
of its layers in the order in which they run, then their standard deviations: 2 to 10 kB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_spaces import Subnet
from supernets.checkpoint import CheckpointError, read_tensors, write_tensors
from supernets.elastic import Statistics
from supernets.layers import norms
from supernets.supernet import Supernet

SCHEMA = "nas.bn/1"


def write_bn_cache(
    path: Path,
    supernet: Supernet,
    statistics: Mapping[Subnet, Statistics],
    supernet_sha256: str,
    **metadata: Any,
) -> None:
    """Write the `statistics` of `calibrate` by subnet, all exits included."""
    tensors = {str(s): _packed(norm_layers(supernet, s), found) for s, found in statistics.items()}
    described = {"schema": SCHEMA, "supernet_sha256": supernet_sha256, **metadata}
    write_tensors(path, tensors, {**described, "space": supernet.space.name})


def read_bn_cache(path: Path, supernet: Supernet, supernet_sha256: str) -> dict[str, Statistics]:
    """Statistics by the string of the subnet.

    CheckpointError: the file cannot be read, belongs to other weights, or does not fit a subnet.
    """
    tensors, metadata = read_tensors(path, SCHEMA)
    if metadata["supernet_sha256"] != supernet_sha256:
        raise CheckpointError(
            f"{path} holds statistics for the weights {metadata['supernet_sha256'][:12]}, those at "
            f"hand are {supernet_sha256[:12]}; run `nas supernet calibrate` for them"
        )
    found = {}
    for name, flat in sorted(tensors.items()):
        layers = norm_layers(supernet, supernet.space.parse(name))
        if flat.shape != (2 * sum(layers.values()),):
            raise CheckpointError(f"{path}: the statistics of {name} do not fit its layers")
        found[name] = _unpacked(layers, flat.float())
    return found


def norm_layers(supernet: Supernet, subnet: Subnet) -> dict[str, int]:
    """Channels by key of the batch-norm layers that `subnet` runs, in their order."""
    program = supernet.program(subnet)
    return dict(pair for _, trunk, head in program for pair in norms([*trunk, *head]))


def _packed(layers: Mapping[str, int], statistics: Statistics) -> Tensor:
    means = [statistics[key][0] for key in layers]
    deviations = [statistics[key][1].sqrt() for key in layers]
    return torch.cat([*means, *deviations]).half().cpu()


def _unpacked(layers: Mapping[str, int], flat: Tensor) -> Statistics:
    means, deviations = (torch.split(part, list(layers.values())) for part in flat.chunk(2))
    return {k: (m, d.square()) for k, m, d in zip(layers, means, deviations, strict=True)}
