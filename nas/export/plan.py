"""What an export holds: configurations, and the networks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.export.configurations import chosen_points
from nas.export.statistics import BatchNorm, measure_statistics, read_statistics
from nas.export.step import Step, no_step
from nas.export.traces import evaluate_traces
from nas.pareto import ParetoTable, Point
from nas.pareto.records import SupernetEntry
from nas.runtime.traces import Traces
from nas.zoo.calibrated import check_weights
from nas.zoo.folder import folder_table, matching_dataset
from search_spaces import InputError, Subnet
from supernets import (
    Dataset,
    Evaluation,
    Slice,
    StaticNet,
    Supernet,
    extract,
    load_supernet,
    sha256,
    slices,
)


@dataclass(frozen=True)
class Network:
    """A folded subnet with the exits that some configurations ask."""

    name: str
    subnet: str
    net: StaticNet
    temperatures: list[float]  # of its exits
    input_shape: tuple[int, int, int]
    slices: list[list[Slice]] | None = None  # of the weights of each segment, where they are shared
    why_apart: str = ""  # why they cannot be
    block: int = 0  # rows of the blocks that its convolutions were pruned in; 0: dense


@dataclass(frozen=True)
class Export:
    """Everything that is written: `configurations` are points of the table by network name."""

    table: ParetoTable
    supernet: SupernetEntry  # as in the table
    data: dict[str, Any] | None  # what the checkpoint says of its images
    dataset: Dataset | None
    networks: dict[str, Network] = field(default_factory=dict)
    configurations: list[tuple[Point, str]] = field(default_factory=list)
    traces: Traces | None = None  # of real images, where they were asked
    weights: Path = Path()  # of the supernet
    batch_norm: BatchNorm = field(default_factory=BatchNorm)
    shares: bool = True  # the weights are written once
    step: Step = no_step


def plan_export(
    table: ParetoTable,
    folder: Path,
    *,
    ids: Sequence[str] = (),
    data: Path | None = None,
    bn_cache: Path | None = None,
    traces: bool = False,
    standalone: bool = False,
    step: Step = no_step,
) -> Export:
    """The chosen points of `table` (its front without `ids`) as folded networks.

    `folder` holds the supernet; statistics are measured on the images in `data`, or read from
    `bn_cache`, or those that `folder` has and what they predict. `traces` asks what every exit says
    of the validation images; `standalone` gives every network weights of its own. InputError: there
    are no statistics, traces without `data`, an unknown id, other weights than the table's.
    """
    if traces and data is None:
        raise InputError("`traces` are of real images: give `data` with the images of the supernet")
    points = chosen_points(table, ids)
    weights = folder / "weights.safetensors"
    supernet, metadata = load_supernet(weights)
    checksum = sha256(weights)
    described = check_weights(table, checksum, folder)
    texts = list(dict.fromkeys(p["subnet"] for p in points))
    dataset = matching_dataset(metadata, data) if data is not None else None
    if dataset is not None and bn_cache is None:
        batch_norm = measure_statistics(supernet, texts, dataset, step)
    else:
        batch_norm = read_statistics(supernet, texts, folder, bn_cache, checksum)
    known = folder_table(folder, supernet.space)
    seen = None
    if traces and dataset is not None:
        about = {"supernet_sha256": checksum, "dataset": metadata["dataset"]}
        images = Evaluation.of(dataset, "validation")
        seen = evaluate_traces(supernet, texts, images, known.temperatures, about)
    export = Export(
        *(table, described, metadata.get("data"), dataset),
        traces=seen,
        weights=weights,
        batch_norm=batch_norm,
        shares=not standalone,
        step=step,
    )
    for point in points:
        key = point["subnet"], tuple(point["exits"]["after"])
        name = next((n.name for n in export.networks.values() if _key(n) == key), None)
        if name is None:
            name = f"net{len(export.networks):02d}"
            export.networks[name] = _network(name, *key, export, supernet, known.temperatures)
        export.configurations.append((point, name))
    return export


def _network(
    name: str,
    text: str,
    after: Sequence[int],
    export: Export,
    supernet: Supernet,
    temperatures: Sequence[float],
) -> Network:
    """The subnet `text` with the early exits `after`, folded."""
    heads = [*after, supernet.space.n_exits]
    subnet = supernet.space.parse(text)
    net = extract(supernet, subnet, heads=heads, statistics=export.batch_norm.of[text]).fold()
    parts, why = _slices(supernet, subnet, heads) if export.shares else (None, "")
    return Network(
        name,
        text,
        net,
        temperatures=[float(temperatures[k]) for k in heads],
        input_shape=supernet.space.input_shape(subnet),
        slices=parts,
        why_apart=why,
        block=net.block_rows,
    )


def _slices(
    supernet: Supernet, subnet: Subnet, heads: Sequence[int]
) -> tuple[list[list[Slice]] | None, str]:
    """Where each weight is cut from; None with the reason for layers that do not say it."""
    try:
        return slices(supernet, subnet, heads), ""
    except InputError as why:
        return None, str(why)


def _key(network: Network) -> tuple[str, tuple[int, ...]]:
    return network.subnet, tuple(network.net.head_ids[:-1])
