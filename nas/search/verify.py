"""Run the chosen points on real test images and write what happened beside what was predicted."""

from __future__ import annotations

from pathlib import Path

from nas.pareto import ParetoTable
from predictors import AccuracyTable
from search_spaces import ExitPolicy


def verify(table: ParetoTable, folder: Path, known: AccuracyTable, data: Path) -> None:
    """Add `verified` to every point of `table`, from the test images in `data`.

    Each distinct subnet is run once with its own batch-norm statistics; all of its policies follow
    from that pass. Exits stay calibrated with the temperatures of the validation split.
    """
    from supernets import Evaluation, load_dataset, load_supernet, policy_accuracy

    supernet, _ = load_supernet(folder / "weights.safetensors")
    dataset = load_dataset(data)
    images = Evaluation.of(dataset, "test")
    responses = {}
    for text in dict.fromkeys(p["subnet"] for p in table.points):
        subnet = supernet.space.parse(text)
        responses[text] = policy_accuracy(supernet, subnet, images, known.grid, known.temperatures)
    for point in table.points:
        policy = known.grid.index(ExitPolicy.from_dict(point["exits"]))
        error, rates = responses[point["subnet"]]
        point["verified"] = {
            "top1_error_pct": round(float(error[policy]), 4),
            "exit_rates": [round(float(r), 4) for r in rates[policy]],
            "n_images": len(images.labels),
            "split": images.split,
        }
