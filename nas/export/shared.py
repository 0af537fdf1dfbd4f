"""One set of weights for all networks of an export: the supernet's own file, and how to cut it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.plan import Export
from nas.runtime.records import SharedEntry
from nas.runtime.weights import SCHEMA
from search_spaces import write_text
from supernets import ElasticBatchNorm2d, Slice, Statistics, write_tensors

NAMES: SharedEntry = {
    "weights": "weights.safetensors",
    "statistics": "statistics.safetensors",
    "slices": "slices.json",
}


def write_shared(export: Export, folder: Path) -> SharedEntry:
    """Write what the graphs of `export` take their weights from; the names of the files."""
    shutil.copyfile(export.weights, folder / NAMES["weights"])
    statistics = {n.subnet: export.batch_norm.of[n.subnet] for n in export.networks.values()}
    tensors = {name: _flat(found) for name, found in statistics.items()}
    about = {"supernet_sha256": export.supernet["sha256"]}
    write_tensors(folder / NAMES["statistics"], tensors, {"schema": "nas.statistics/1", **about})
    graphs: dict[str, Any] = {}
    for network in export.networks.values():
        if network.slices is not None:
            at = _offsets(export.batch_norm.of[network.subnet])
            for i, parts in enumerate(network.slices):
                entries = {f"weight{k}": _entry(part, at) for k, part in enumerate(parts)}
                graphs[f"{network.name}-{i}.onnx"] = entries
    content = {"schema": SCHEMA, "eps": ElasticBatchNorm2d.eps, "graphs": graphs}
    write_text(folder / NAMES["slices"], json.dumps(content, separators=(",", ":")) + "\n")
    return NAMES


def not_shared(export: Export) -> str:
    """Why some networks keep weights of their own, in one line; empty where none does."""
    apart = [network for network in export.networks.values() if network.slices is None]
    if not apart:
        return ""
    return f"{len(apart)} networks keep weights of their own: {apart[0].why_apart}"


def _flat(statistics: Statistics) -> Tensor:
    """Means and variances of all layers, one behind the other: (2, C)."""
    means, variances = zip(*statistics.values(), strict=True)
    return torch.stack([torch.cat(means), torch.cat(variances)])


def _offsets(statistics: Statistics) -> dict[str, int]:
    """Where the channels of each layer begin."""
    offsets, total = {}, 0
    for key, (mean, _) in statistics.items():
        offsets[key], total = total, total + len(mean)
    return offsets


def _entry(part: Slice, at: dict[str, int]) -> dict[str, Any]:
    """A slice as JSON, without what is at its default."""
    entry: dict[str, Any] = {"tensor": part.tensor}
    if part.picks:
        entry["picks"] = [p.tolist() if isinstance(p, Tensor) else p for p in part.picks]
    if part.through:
        entry["through"] = list(part.through)
    if part.flat:
        entry["flat"] = True
    if part.norm:
        entry |= {"norm": part.norm, "at": at[part.norm]}
    return entry
