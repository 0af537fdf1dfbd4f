"""Batch-norm statistics of the subnets of an export: measured, read, or predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.export.step import Step
from nas.pareto.provenance import MEASURED, PREDICTED
from nas.zoo.folder import STATISTICS
from search_spaces import InputError
from supernets import (
    Dataset,
    PredictedStatistics,
    Statistics,
    Supernet,
    calibrate_all,
    calibration_images,
    read_bn_cache,
)


@dataclass(frozen=True)
class BatchNorm:
    """Statistics by the string of the subnet, and which of them nobody measured."""

    of: dict[str, Statistics] = field(default_factory=dict)
    predicted: frozenset[str] = frozenset()

    def source(self, subnet: str) -> str:
        return PREDICTED if subnet in self.predicted else MEASURED


def measure_statistics(
    supernet: Supernet, texts: Sequence[str], dataset: Dataset, step: Step
) -> BatchNorm:
    """Of the subnets `texts`, on training images of `dataset`."""
    subnets = [supernet.space.parse(text) for text in texts]
    found = {}
    for subnet, statistics in calibrate_all(supernet, subnets, calibration_images(dataset)):
        found[str(subnet)] = statistics
        step("batch norm", len(found), len(texts))
    return BatchNorm(found)


def read_statistics(
    supernet: Supernet, texts: Sequence[str], folder: Path, bn_cache: Path | None, checksum: str
) -> BatchNorm:
    """Those of the file `bn_cache`, which must have all; without it those that `folder` ships with.

    Those of subnets with batch norms of their own are in the weights. What all lack is predicted.
    InputError: there is no file, or it lacks a subnet.
    """
    shipped = folder / STATISTICS
    found = {}
    if bn_cache is not None or shipped.exists():
        found = read_bn_cache(bn_cache or shipped, supernet, checksum)
    if bn_cache is None:
        more = {text: supernet.space.parse(text) for text in texts if text not in found}
        stored = {text: supernet.stored_statistics(subnet) for text, subnet in more.items()}
        found |= {text: own for text, own in stored.items() if own is not None}
    missing = [text for text in texts if text not in found]
    if missing and bn_cache is None and not shipped.exists():
        raise InputError(
            "batch norm needs the statistics of every subnet: give `data` DIR with the training "
            "images, or `bn_cache` FILE (`nas supernet calibrate` writes one)"
        )
    if missing and bn_cache is not None:
        raise InputError(
            f"{bn_cache} has no statistics of {missing[0]} ({len(missing)} of {len(texts)} "
            "subnets are missing); run `nas supernet calibrate` on this table or give `data`"
        )
    if not missing:
        return BatchNorm(found)
    predict = PredictedStatistics(supernet, found)
    predicted = {text: predict(supernet.space.parse(text)) for text in missing}
    return BatchNorm(found | predicted, frozenset(predicted))
