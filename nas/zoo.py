"""A supernet's folder: where it is found, and how weights become a folder that can be searched.

weights.safetensors    trained weights, space, data set, settings
accuracy.safetensors   `nas.accuracy/1`: error and exit rates of evaluated subnets
predictor/             the same for subnets never evaluated
card.md                what a person wants to know first
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_text
from search_spaces import InputError, PolicyGrid, Space, Subnet

DEFAULT = "resnet-cifar10"


def zoo_names() -> list[str]:
    """Names of the supernets that ship with the project."""
    zoo = _zoo()
    return sorted(p.name for p in zoo.iterdir() if p.is_dir()) if zoo.is_dir() else []


def supernet_folder(name: str) -> Path:
    """The folder of `--supernet`: a name from the zoo, `auto`, or a path."""
    for folder in (_zoo() / (DEFAULT if name == "auto" else name), Path(name)):
        if (folder / "weights.safetensors").exists():
            return folder
    raise InputError(
        f"no supernet {name!r}: it is neither in the zoo ({', '.join(zoo_names()) or 'empty'}) nor "
        "a folder with weights.safetensors; `nas supernet train --out DIR` makes one"
    )


def _zoo() -> Path:
    return Path(str(files("supernets"))) / "zoo"


def evaluate_folder(
    folder: Path, data: Path | None, *, n_subnets: int, seed: int, command: str
) -> Iterator[tuple[int, int]]:
    """Evaluate `n_subnets` on the validation split, fit the predictor, write the card.

    Yields (done, all); a rerun goes on where a killed one stopped.
    """
    from predictors import AccuracyPredictor, read_accuracy_table
    from supernets import Evaluation, accuracy_table, load_dataset, load_supernet, sha256

    weights, table = folder / "weights.safetensors", folder / "accuracy.safetensors"
    supernet, metadata = load_supernet(weights)
    dataset = load_dataset(data)
    if dataset.name != metadata["dataset"]:
        raise InputError(
            f"{folder} was trained on {metadata['dataset']}, --data holds {dataset.name}"
        )
    space, checksum = supernet.space, sha256(weights)
    subnets = subnets_to_evaluate(space, n_subnets, seed)
    validation = Evaluation.of(dataset, "validation")
    temperatures = pooled_temperatures(supernet, subnets, validation)
    grid = PolicyGrid(space.n_exits)
    arguments = (validation, grid, temperatures, table, checksum)
    for done in accuracy_table(supernet, subnets, *arguments):
        yield done, len(subnets)
    known = read_accuracy_table(table, space)
    predictor = AccuracyPredictor(space).fit(known)
    predictor.save(folder / "predictor")
    quality = AccuracyPredictor(space).cross_validate(known)
    test = Evaluation.of(dataset, "test")
    named = _named_accuracies(supernet, subnets, test, grid, temperatures)
    write_text(folder / "card.md", _card(folder.name, metadata, named, quality, known, command))


def subnets_to_evaluate(space: Space, n: int, seed: int) -> list[Subnet]:
    """`n` distinct subnets: both ends, then half spread over sizes and half uniform."""
    rng = np.random.default_rng(seed)
    spread = space.sample_spread(4 * n, rng)
    mixed = np.stack([spread, space.sample(4 * n, rng)], axis=1).reshape(8 * n, -1)
    ordered = np.concatenate([space.largest, space.smallest, mixed])
    return space.subnets(np.array(list({row.tobytes(): row for row in ordered}.values())[:n]))


def pooled_temperatures(supernet: Any, subnets: list[Subnet], data: Any) -> list[float]:
    """One temperature per exit for all subnets, fitted on the pooled logits of twelve of them."""
    import torch

    from supernets import fit_temperatures

    pool = [data.logits(supernet, subnet) for subnet in subnets[:12]]
    return fit_temperatures(torch.cat(pool, dim=1), data.labels.repeat(len(pool)))


def _named_accuracies(
    supernet: Any, subnets: list[Subnet], test: Any, grid: PolicyGrid, temperatures: list[float]
) -> list[dict[str, Any]]:
    """Test accuracy of both ends and three others, at every exit."""
    named = [("largest", 0), ("smallest", 1), ("A", 2), ("B", 3), ("C", 4)]
    rows = []
    for name, i in named:
        if i < len(subnets):
            logits = test.logits(supernet, subnets[i])
            top1 = (logits.argmax(dim=2) == test.labels).float().mean(dim=1) * 100
            rows.append({"name": name, "subnet": str(subnets[i]), "top1": top1.tolist()})
            rows[-1]["mmacs"] = _mmacs(supernet.space, subnets[i])
            rows[-1]["ece"] = expected_calibration_error(logits, test.labels, temperatures)
    return rows


def _mmacs(space: Space, subnet: Subnet) -> float:
    heads = np.zeros((1, space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    return float(space.operators(space.genes([subnet]), heads).macs.sum() / 1e6)


def expected_calibration_error(
    logits: Any, labels: Any, temperatures: list[float], n_bins: int = 15
) -> list[float]:
    """ECE of every exit in percent, with equal-width bins (Guo et al., 2017, eq. 3)."""
    from supernets import confidence_and_correct

    confidence, correct = confidence_and_correct(logits, labels, temperatures)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    errors = []
    for k in range(confidence.shape[1]):
        gap = np.bincount(bins[:, k], weights=correct[:, k] - confidence[:, k], minlength=n_bins)
        errors.append(float(100 * np.abs(gap).sum() / len(bins)))
    return errors


def _card(
    name: str,
    metadata: dict[str, Any],
    named: list[dict[str, Any]],
    quality: dict[str, float],
    table: Any,
    command: str,
) -> str:
    """The model card in Markdown."""
    n_exits = len(named[0]["top1"])
    exits = [f"exit {k}" for k in range(n_exits - 1)] + ["final"]
    lines = [
        f"# {name}",
        "",
        f"Weight-sharing supernet of the space `{metadata['space']['name']}`, trained on "
        f"{metadata['dataset']} for {metadata['epochs_done']} epochs "
        f"(seed {metadata['settings']['seed']}, {metadata.get('seconds', 0) / 60:.0f} minutes).",
        "",
        f"- trained by `{metadata.get('command', 'nas supernet train')}` on "
        f"{metadata.get('host', 'an unnamed machine')}",
        f"- evaluated by `{command}`",
        f"- weights sha256 `{table.supernet_sha256}`",
        f"- settings: {', '.join(f'{k}={v}' for k, v in metadata['settings'].items())}",
        "",
        "## Test accuracy",
        "",
        "Measured on the test images, which served no choice; batch norm recalibrated on "
        "2,000 training images. Top-1 in percent when every image leaves at that exit, and in "
        "brackets the expected calibration error in percent.",
        "",
        f"| subnet | MMACs | {' | '.join(exits)} |",
        f"|---|---|{'---|' * n_exits}",
    ]
    for row in named:
        cells = [f"{a:.2f} ({e:.1f})" for a, e in zip(row["top1"], row["ece"], strict=True)]
        lines.append(
            f"| {row['name']} `{row['subnet']}` | {row['mmacs']:.1f} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "## Accuracy table and predictor",
        "",
        f"`accuracy.safetensors`: {len(table.genes)} subnets x {len(table.grid)} exit policies, "
        f"measured on {table.n_images} validation images that were not trained on; "
        f"temperatures {', '.join(f'{t:g}' for t in table.temperatures)}.",
        "",
        "The predictor of subnets never evaluated, five-fold, on held-out subnets "
        "(all policies pooled):",
        "",
        *(f"- {key}: {value:.3f}" for key, value in quality.items()),
        "",
    ]
    return "\n".join(lines)
