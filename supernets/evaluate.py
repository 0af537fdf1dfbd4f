"""From trained weights to accuracy: exit logits, temperatures, tables over all policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search_spaces import Bools, Floats, InputError, PolicyGrid, Subnet
from supernets.augment import calibration_images
from supernets.calibrate import calibrate
from supernets.checkpoint import CheckpointError, read_tensors, write_tensors
from supernets.data import Dataset
from supernets.elastic import Statistics, cached_norm
from supernets.supernet import Supernet, at_resolution

SCHEMA = "nas.accuracy/1"
SAVE_EVERY = 25  # subnets between two writes of a table in progress


@torch.inference_mode()
def exit_logits(
    supernet: Supernet,
    subnet: Subnet,
    images: Tensor,
    statistics: Statistics,
    *,
    batch_size: int = 500,
) -> Tensor:
    """Logits (exits, N, classes) of normalised images (N, C, H, H), with calibrated batch norm.

    Images are resized where the subnet has a resolution of its own.
    """
    norm = cached_norm(statistics)
    batches = (at_resolution(b, supernet.space, subnet) for b in torch.split(images, batch_size))
    logits = [torch.stack(supernet(b, subnet, norm=norm)).float() for b in batches]
    return torch.cat(logits, dim=1)


def fit_temperatures(logits: Tensor, labels: Tensor) -> list[float]:
    """One temperature per exit that minimises the cross-entropy (Guo et al., 2017).

    `logits` is (exits, N, classes). Found on a fixed grid of 200 steps from 0.25 to 4.
    """
    grid = torch.logspace(np.log10(0.25), np.log10(4), 200)
    chosen = []
    for exit_logit in logits:
        losses = [torch.nn.functional.cross_entropy(exit_logit / t, labels) for t in grid]
        chosen.append(round(float(grid[torch.stack(losses).argmin()]), 4))
    return chosen


def confidence_and_correct(
    logits: Tensor, labels: Tensor, temperatures: Sequence[float]
) -> tuple[Floats, Bools]:
    """Calibrated max softmax and correctness of every image at every exit, both (N, exits).

    `logits` is (exits, N, classes), `labels` (N,); `temperatures` has one for every exit.
    """
    if len(temperatures) != len(logits):
        raise InputError(f"{len(logits)} exits need as many temperatures, got {len(temperatures)}")
    scale = torch.tensor(temperatures).view(-1, 1, 1)
    confidence = (logits / scale).softmax(dim=2).amax(dim=2)
    correct = logits.argmax(dim=2) == labels
    return confidence.T.numpy(), correct.T.numpy()


@dataclass(frozen=True)
class Evaluation:
    """Images to evaluate on and to calibrate with, both normalised."""

    images: Tensor
    labels: Tensor
    bn_images: Tensor
    split: str
    bf16: bool = False  # autocast: half the time where the hardware multiplies it

    @classmethod
    def of(cls, dataset: Dataset, split: str, *, bf16: bool = False) -> Evaluation:
        """The `validation` or `test` split of `dataset`; DataError where it is empty."""
        part = dataset.held_out(split)
        images = dataset.normalise(part.images)
        return cls(images, part.labels, calibration_images(dataset), split, bf16)

    def logits(self, supernet: Supernet, subnet: Subnet) -> Tensor:
        """Logits (exits, N, classes) after recalibrating batch norm for `subnet`."""
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.bf16):
            statistics = calibrate(supernet, subnet, self.bn_images)
            return exit_logits(supernet, subnet, self.images, statistics)


def known_temperatures(
    supernet: Supernet, data: Evaluation, grid: PolicyGrid, out: Path, supernet_sha256: str
) -> list[float] | None:
    """Temperatures of the table in `out`, which more subnets extend; None where there is none.

    CheckpointError: it is of other weights, images or policies, and would be lost.
    """
    if not out.exists():
        return None
    _, metadata = read_tensors(out, SCHEMA)
    wanted = _described(supernet, data, grid, (), supernet_sha256)
    del wanted["temperatures"]
    other = [key for key, value in wanted.items() if metadata.get(key) != value]
    if other:
        raise CheckpointError(
            f"{out} holds {len(metadata.get('subnets', []))} subnets evaluated with another "
            f"{', '.join(other)}; give `overwrite=True` to replace them, or move the file away"
        )
    return list(map(float, metadata["temperatures"]))


def accuracy_table(
    supernet: Supernet,
    subnets: Sequence[Subnet],
    data: Evaluation,
    grid: PolicyGrid,
    temperatures: Sequence[float],
    out: Path,
    supernet_sha256: str,
) -> Iterator[int]:
    """Evaluate `subnets` over all policies of `grid` into `out` (`nas.accuracy/1`).

    Every subnet is one forward pass per image after its batch norm was recalibrated. Yields the
    number of subnets done; a rerun keeps the rows that `out` already holds for the same weights,
    images and policies.
    """
    described = _described(supernet, data, grid, temperatures, supernet_sha256)
    error, rate = _rows_done(out, described)
    for i, subnet in enumerate(subnets, start=1):
        if str(subnet) not in error:
            logits = data.logits(supernet, subnet)
            seen = confidence_and_correct(logits, data.labels, temperatures)
            error[str(subnet)], rate[str(subnet)] = grid.response(*seen)
            if i % SAVE_EVERY == 0:
                _write(out, error, rate, described)
        yield i
    _write(out, error, rate, described)


Rows = dict[str, NDArray[np.floating]]


def _described(
    supernet: Supernet,
    data: Evaluation,
    grid: PolicyGrid,
    temperatures: Sequence[float],
    supernet_sha256: str,
) -> dict[str, object]:
    """Everything that decides a row besides its subnet."""
    return {
        "schema": SCHEMA,
        "space": supernet.space.name,
        "n_exits": grid.n_exits,
        "thresholds": list(grid.thresholds),
        "policies": "every exit takes no threshold or one of `thresholds`; last exit fastest",
        "source": "measured",
        "split": data.split,
        "n_images": len(data.labels),
        "n_bn_images": len(data.bn_images),
        "precision": "bf16" if data.bf16 else "fp32",
        "supernet_sha256": supernet_sha256,
        "temperatures": list(temperatures),
    }


def _rows_done(out: Path, described: dict[str, object]) -> tuple[Rows, Rows]:
    if not out.exists():
        return {}, {}
    tensors, metadata = read_tensors(out, SCHEMA)
    if any(metadata.get(key) != value for key, value in described.items()):
        return {}, {}
    names = metadata["subnets"]
    error = dict(zip(names, tensors["top1_error_pct"].numpy(), strict=True))
    rate = dict(zip(names, tensors["exit_rate"].numpy(), strict=True))
    return error, rate


def _write(out: Path, error: Rows, rate: Rows, described: dict[str, object]) -> None:
    tensors = {
        "top1_error_pct": torch.tensor(np.array(list(error.values())), dtype=torch.float32),
        "exit_rate": torch.tensor(np.array(list(rate.values())), dtype=torch.float16),
    }
    write_tensors(out, tensors, {**described, "subnets": list(error)})


def policy_accuracy(
    supernet: Supernet,
    subnet: Subnet,
    data: Evaluation,
    grid: PolicyGrid,
    temperatures: Sequence[float],
) -> tuple[Floats, Floats]:
    """Top-1 error (P,) and exit rates (P, exits) of one subnet over all policies."""
    logits = data.logits(supernet, subnet)
    return grid.response(*confidence_and_correct(logits, data.labels, temperatures))
