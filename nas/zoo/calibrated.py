"""Batch-norm statistics of the points of a Pareto table, measured once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nas.pareto import ParetoTable
from nas.pareto.records import SupernetEntry
from nas.zoo.folder import matching_dataset
from nas.zoo.published import ENTRY, read_entry
from search_spaces import InputError


def calibrate_points(
    table: ParetoTable, folder: Path, data: Path | None, out: Path, *, command: str
) -> Iterator[tuple[int, int]]:
    """Write `out` (`nas.bn/1`) for every subnet of `table`, baselines included.

    `folder` holds the supernet and `data` the images it was trained on. Yields (done, all).
    InputError: the table was made with other weights.
    """
    from supernets import calibrate, calibration_images, load_supernet, sha256, write_bn_cache

    weights = folder / "weights.safetensors"
    supernet, metadata = load_supernet(weights)
    checksum = sha256(weights)
    check_weights(table, checksum, folder)
    dataset = matching_dataset(metadata, data)
    images = calibration_images(dataset)
    points = [*table.points, *table.content["baselines"]]
    texts = sorted({p["subnet"] for p in points})
    found = {}
    for i, text in enumerate(texts, start=1):
        subnet = supernet.space.parse(text)
        found[subnet] = calibrate(supernet, subnet, images)
        yield i, len(texts)
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
