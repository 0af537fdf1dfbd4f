"""One set of weights for all networks of an export: the supernet's own file, and how to cut it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.plan import Export
from nas.runtime.records import SharedEntry
from nas.runtime.weights import SCHEMA
from supernets import ElasticBatchNorm2d, Slice, Statistics, write_tensors

NAMES: SharedEntry = {
    "weights": "weights.safetensors",
    "statistics": "statistics.safetensors",
    "slices": "slices.json.gz",
}


def write_shared(export: Export, folder: Path) -> SharedEntry:
    """Write what the graphs of `export` take their weights from; the names of the files."""
    shutil.copyfile(export.weights, folder / NAMES["weights"])
    statistics = {n.subnet: export.batch_norm.of[n.subnet] for n in export.networks.values()}
    inside = _inside(statistics)
    tensors = {name: _flat(found) for name, found in statistics.items() if name not in inside}
    about = {"supernet_sha256": export.supernet["sha256"]}
    write_tensors(folder / NAMES["statistics"], tensors, {"schema": "nas.statistics/1", **about})
    graphs: dict[str, Any] = {}
    for network in export.networks.values():
        if network.slices is not None:
            at = _offsets(statistics[inside.get(network.subnet, network.subnet)])
            for i, parts in enumerate(network.slices):
                entries = {f"weight{k}": _entry(part, at) for k, part in enumerate(parts)}
                graphs[f"{network.name}-{i}.onnx"] = entries
    content: dict[str, Any] = {"schema": SCHEMA, "eps": ElasticBatchNorm2d.eps, "graphs": graphs}
    if inside:
        content["statistics"] = inside
    data = json.dumps(content, separators=(",", ":")).encode()
    (folder / NAMES["slices"]).write_bytes(gzip.compress(data, mtime=0))
    return NAMES


def not_shared(export: Export) -> str:
    """Why some networks keep weights of their own, in one line; empty where none does."""
    apart = [network for network in export.networks.values() if network.slices is None]
    if not apart:
        return ""
    return f"{len(apart)} networks keep weights of their own: {apart[0].why_apart}"


def _inside(statistics: Mapping[str, Statistics]) -> dict[str, str]:
    """Subnets whose statistics are the first channels of another's, and that other, by name."""
    inside: dict[str, str] = {}
    whole: dict[tuple[Any, ...], list[str]] = {}  # by what both have in common, not to compare all
    for name in sorted(statistics, key=lambda n: -sum(len(m) for m, _ in statistics[n].values())):
        found = statistics[name]
        last, _ = found[next(reversed(found))]
        near = whole.setdefault((*found, float(last[0])), [])
        other = next((n for n in near if _begins(statistics[n], found)), None)
        if other is None:
            near.append(name)
        else:
            inside[name] = other
    return inside


def _begins(wide: Statistics, narrow: Statistics) -> bool:
    """Whether every layer of `wide` begins with that of `narrow`, to the bit."""
    pairs = [(w, n) for key in narrow for w, n in zip(wide[key], narrow[key], strict=True)]
    return all(torch.equal(w[: len(n)], n) for w, n in pairs)


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
