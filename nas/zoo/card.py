"""The card of a supernet: what a person wants to know before using it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from nas.words import counted
from search_spaces import Space, Subnet

N_BINS = 15  # of the expected calibration error


class NamedAccuracy(TypedDict):
    """One subnet on the test images."""

    name: str
    subnet: str
    top1: list[float]  # percent, at every exit
    mmacs: float  # of the whole subnet
    ece: list[float]  # expected calibration error in percent, at every exit


def named_accuracies(
    supernet: Any, subnets: list[Subnet], test: Any, temperatures: list[float]
) -> list[NamedAccuracy]:
    """Test accuracy of both ends and three others, at every exit."""
    named = [("largest", 0), ("smallest", 1), ("A", 2), ("B", 3), ("C", 4)]
    rows = []
    for name, i in named:
        if i < len(subnets):
            logits = test.logits(supernet, subnets[i])
            top1 = (logits.argmax(dim=2) == test.labels).float().mean(dim=1) * 100
            row: NamedAccuracy = {
                "name": name,
                "subnet": str(subnets[i]),
                "top1": top1.tolist(),
                "mmacs": _mmacs(supernet.space, subnets[i]),
                "ece": expected_calibration_error(logits, test.labels, temperatures),
            }
            rows.append(row)
    return rows


def _mmacs(space: Space, subnet: Subnet) -> float:
    heads = np.zeros((1, space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    return float(space.operators(space.genes([subnet]), heads).macs.sum() / 1e6)


def expected_calibration_error(logits: Any, labels: Any, temperatures: list[float]) -> list[float]:
    """ECE of every exit in percent, with equal-width bins (Guo et al., 2017, eq. 3)."""
    from supernets import confidence_and_correct

    confidence, correct = confidence_and_correct(logits, labels, temperatures)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    errors = []
    for k in range(confidence.shape[1]):
        gap = np.bincount(bins[:, k], weights=correct[:, k] - confidence[:, k], minlength=N_BINS)
        errors.append(float(100 * np.abs(gap).sum() / len(bins)))
    return errors


def _origin(metadata: dict[str, Any]) -> list[str]:
    """Where the weights come from: a training run here, a wrapped network, a file of others."""
    what = f"Weight-sharing supernet of the space `{metadata['space']['name']}`"
    if "source_sha256" in metadata:
        return [
            f"{what}, imported; trained on {metadata['dataset']} by its authors.",
            "",
            f"- source: `{metadata['source']}`, sha256 `{metadata['source_sha256']}`",
            f"- licence of the weights: {metadata['license']}",
            f"- imported by `{metadata['command']}`",
        ]
    if "epochs_done" not in metadata:  # wrapped, or made in Python
        source, command = (
            metadata.get("source", "unnamed"),
            metadata.get("command", "nothing known"),
        )
        return [
            f"{what} for {metadata['dataset']}: the network `{source}`, not trained as a supernet.",
            "",
            f"- made by `{command}`",
        ]
    runs = _runs(metadata)
    minutes = sum(run.get("seconds", 0) for run in runs) / 60
    lines = [
        f"{what}, trained on {metadata['dataset']} for {_epochs(runs)} ({minutes:.0f} minutes on "
        f"{metadata.get('host', 'an unnamed machine')}).",
        "",
    ]
    for run in runs:
        settings = ", ".join(f"{k}={v}" for k, v in run["settings"].items())
        lines += [f"- trained by `{run.get('command', 'nas supernet train')}`: {settings}"]
    return lines


def _epochs(runs: Sequence[dict[str, Any]]) -> str:
    """`24 + 12 epochs`, of every run."""
    done = [run["epochs_done"] for run in runs]
    return " + ".join(map(str, [*done[:-1], counted(done[-1], "epoch")]))


def _runs(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Every training run behind the weights, the first one first."""
    earlier = metadata.get("start") or {}
    return [*(_runs(earlier) if "settings" in earlier else []), metadata]


def between_images(named: Sequence[NamedAccuracy], validation: Sequence[float]) -> str:
    """How far two sets of images are apart for subnets that nothing chose."""
    worse = [100 - row["top1"][-1] - error for row, error in zip(named, validation, strict=True)]
    shown = ", ".join(f"{x:+.2f}" for x in worse)
    return (
        "Nothing chose these subnets, and still the error of their last exit is not the same on "
        f"validation images: test minus validation {shown} points, on average "
        f"{np.mean(worse):+.2f}. Searches show errors on validation images."
    )


def card(
    name: str,
    metadata: dict[str, Any],
    named: list[NamedAccuracy],
    quality: dict[str, float],
    table: Any,
    test: Any,
    command: str,
    validation: Sequence[float] = (),
) -> str:
    """The model card in Markdown; `validation` has the errors of `named` on those images."""
    n_exits, n_test, n_bn = len(named[0]["top1"]), len(test.labels), len(test.bn_images)
    exits = [f"exit {k}" for k in range(n_exits - 1)] + ["final"]
    lines = [
        f"# {name}",
        "",
        *_origin(metadata),
        f"- evaluated by `{command}`",
        f"- weights sha256 `{table.supernet_sha256}`",
        "",
        "## Test accuracy",
        "",
        f"Measured on the {n_test:,} test images, which served no choice; batch norm recalibrated "
        f"on {n_bn:,} training images. Top-1 in percent when every image leaves at that exit, and "
        "in brackets the expected calibration error in percent. Computed in fp32.",
        "",
        f"| subnet | MMACs | {' | '.join(exits)} |",
        f"|---|---|{'---|' * n_exits}",
    ]
    for row in named:
        cells = [f"{a:.2f} ({e:.1f})" for a, e in zip(row["top1"], row["ece"], strict=True)]
        lines.append(
            f"| {row['name']} `{row['subnet']}` | {row['mmacs']:.1f} | {' | '.join(cells)} |"
        )
    if len(validation):
        lines += ["", between_images(named, validation)]
    lines += [
        "",
        "## Accuracy table and predictor",
        "",
        f"`accuracy.safetensors`: {counted(len(table.genes), 'subnet')} x "
        f"{len(table.grid)} exit policies, measured on {table.n_images} validation images that "
        f"were not trained on; temperatures {', '.join(f'{t:g}' for t in table.temperatures)}.",
        "",
        "The predictor of subnets never evaluated, five-fold, on held-out subnets "
        "(all policies pooled):",
        "",
        *(f"- {key}: {value:.3f}" for key, value in quality.items()),
        "",
    ]
    return "\n".join(lines)
