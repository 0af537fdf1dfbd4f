"""Batch-norm statistics of the points of Pareto tables, measured once and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nas.files import check_apart, check_file
from nas.pareto import ParetoTable
from nas.pareto.records import SupernetEntry
from nas.zoo.folder import matching_dataset
from nas.zoo.published import ENTRY, read_entry
from search_spaces import InputError


def calibrate_points(
    tables: Sequence[ParetoTable],
    folder: Path,
    data: Path | None,
    out: Path,
    *,
    n_images: int = 2000,
    n_samples: int = 0,
    command: str,
) -> Iterator[tuple[int, int]]:
    """Write `out` (`nas.bn/1`) for every subnet of `tables`, baselines included.

    `folder` holds the supernet and `data` the images it was trained on; both compute as where
    accuracies are measured. `n_images` of them are read at most; `n_samples` random subnets come
    on top, from which others are predicted. Yields (done, all). InputError: a table was made with
    other weights.
    """
    import numpy as np
    import torch

    from supernets import (
        bf16_pays,
        calibrate_all,
        calibration_images,
        load_supernet,
        sha256,
        write_bn_cache,
    )

    weights = folder / "weights.safetensors"
    check_apart("out", out, weights, folder / "accuracy.safetensors")
    check_file(out)
    supernet, metadata = load_supernet(weights)
    checksum = sha256(weights)
    for table in tables:
        check_weights(table, checksum, folder)
    dataset = matching_dataset(metadata, data)
    images = calibration_images(dataset)[:n_images]
    points = (p for table in tables for p in (*table.points, *table.content["baselines"]))
    space = supernet.space
    drawn = space.subnets(space.sample(n_samples, np.random.default_rng(0)))
    texts = {p["subnet"] for p in points} | set(map(str, drawn))
    subnets = [space.parse(text) for text in sorted(texts)]
    found = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
        for subnet, statistics in calibrate_all(supernet, subnets, images):
            found[subnet] = statistics
            yield len(found), len(subnets)
    about = {"dataset": dataset.name, "n_images": len(images), "command": command}
    write_bn_cache(out, supernet, found, checksum, **about)


def check_weights(table: ParetoTable, checksum: str, folder: Path) -> SupernetEntry:
    """The supernet of `table`; InputError where its weights are not `checksum`, in `folder`."""
    described = table.content["supernet"]
    if described is None:
        raise InputError("the table's space comes with an accuracy table alone: no network to run")
    if described["sha256"] is None:
        return _with_weights(described, checksum, folder)
    if described["sha256"] != checksum:
        raise InputError(
            f"the table was made with the weights {described['sha256'][:12]} of "
            f"{described['name']}, {folder} holds {checksum[:12]}; search again or give the "
            "supernet of the table"
        )
    return described


def _with_weights(described: SupernetEntry, checksum: str, folder: Path) -> SupernetEntry:
    """A result of published accuracies alone, with the weights that were attached to them since."""
    wanted = described.get("checkpoint")
    if wanted is None or not (folder / ENTRY).exists() or read_entry(folder).checkpoint != wanted:
        raise InputError(
            f"the table rests on published accuracies of {wanted or described['name']}, {folder} "
            "holds other weights; `nas supernet import` makes a folder that has both"
        )
    return {**described, "sha256": checksum}
