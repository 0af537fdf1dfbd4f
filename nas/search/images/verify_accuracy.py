"""Run the chosen points on real test images and write what happened beside what was predicted."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

from nas.pareto import ParetoTable
from nas.search.model import Model
from nas.zoo.folder import matching_dataset
from nas.zoo.published import ENTRY, note_verified
from search_spaces import ExitPolicy, InputError, ideal_mapping


def check_data(model: Model, data: Path | None) -> None:
    """InputError where `data` cannot verify this model: said before the search, not after it."""
    if data is None:
        return
    if model.folder is None or model.supernet is None or model.supernet["sha256"] is None:
        raise InputError(
            "`data` verifies points of a supernet with weights, and this space has a table alone; "
            "`nas supernet import` makes a folder with weights"
        )
    from supernets import load_supernet

    matching_dataset(load_supernet(model.folder / "weights.safetensors")[1], data)


def verify(table: ParetoTable, model: Model, data: Path) -> None:
    """Add `verified` to every point of `table`, from the test images in `data`.

    Each distinct subnet is run once with its own batch-norm statistics; all of its policies follow
    from that pass. Exits stay calibrated with the temperatures of the validation split. `oracle` is
    what the exits could do if every image left at the first exit that is right: never an accuracy.
    """
    from supernets import Evaluation, confidence_and_correct, load_supernet

    assert model.folder is not None  # check_data saw to it
    supernet, metadata = load_supernet(model.folder / "weights.safetensors")
    images = Evaluation.of(matching_dataset(metadata, data), "test")
    known = model.accuracy.table
    responses, right = {}, {}
    for text in dict.fromkeys(p["subnet"] for p in table.points):
        subnet = supernet.space.parse(text)
        logits = images.logits(supernet, subnet)
        confidence, correct = confidence_and_correct(logits, images.labels, known.temperatures)
        responses[text], right[text] = known.grid.response(confidence, correct), correct
    for point in table.points:
        policy = known.grid.index(ExitPolicy.from_dict(point["exits"]))
        error, rates = responses[point["subnet"]]
        asked = [*point["exits"]["after"], known.grid.n_exits]
        oracle, dissimilarity = ideal_mapping(right[point["subnet"]][:, asked])
        wrong = float(error[policy])
        point["verified"] = {
            "top1_error_pct": round(wrong, 4),
            "error_se_pct": round(sqrt(wrong * (100 - wrong) / len(images.labels)), 4),
            "exit_rates": [round(float(r), 4) for r in rates[policy]],
            "n_images": len(images.labels),
            "split": images.split,
            "oracle": {
                "top1_error_pct": round(oracle, 4),
                "dissimilarity": [round(d, 4) for d in dissimilarity],
            },
        }
    if (model.folder / ENTRY).exists():
        _note(table, model.folder, len(images.labels))


def _note(table: ParetoTable, folder: Path, n_images: int) -> None:
    """Published accuracies were met by these weights, or not: the folder and the table say it."""
    pairs = [(p, found) for p in table.points if (found := p.get("verified"))]
    gaps = {p["subnet"]: found["top1_error_pct"] - p["top1_error_pct"] for p, found in pairs}
    entry = note_verified(folder, list(gaps.values()), n_images)
    described = table.content["supernet"]
    assert described is not None
    described["accuracies"] = entry.accuracies()
