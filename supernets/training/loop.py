"""The training loop: cosine schedule, weight average, a checkpoint after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search_spaces import InputError
from supernets.augment import calibration_images, train_transform
from supernets.calibrate import store_largest
from supernets.checkpoint import save_supernet
from supernets.data import Dataset
from supernets.resnet import ResNetSupernet
from supernets.training.sandwich import sandwich_step
from supernets.training.state import TrainingState, TrainSettings

MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows after a step."""

    epoch: int
    step: int
    n_steps: int
    loss: float
    images_per_s: float


def train(
    supernet: ResNetSupernet,
    data: Dataset,
    settings: TrainSettings,
    out: Path,
    *,
    device: str = "cpu",
    about: Mapping[str, str] | None = None,
) -> Iterator[Progress]:
    """Train into `out/weights.safetensors`; `out/training.safetensors` is where a rerun goes on.

    Every epoch draws from its own random stream, so a resumed run sees the same batches. Raises
    InputError where `out` holds a run with other settings. `about` (command, host) goes into the
    checkpoint's metadata.
    """
    per_epoch = len(data.train) // settings.batch_size
    if not per_epoch:
        raise InputError(f"batch_size {settings.batch_size} exceeds {len(data.train)} images")
    supernet.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    state = TrainingState(supernet, settings)
    resumable = out / "training.safetensors"
    if resumable.exists():
        state.load(resumable)
    n_steps = settings.epochs * per_epoch
    for epoch in range(state.epochs_done, settings.epochs):
        rng = np.random.default_rng([settings.seed, epoch])
        for i, (images, labels) in enumerate(_batches(data, settings, rng)):
            start = time.perf_counter()
            step = epoch * per_epoch + i
            loss = _step(state, images.to(device), labels.to(device), rng, step, n_steps)
            elapsed = time.perf_counter() - start
            state.seconds += elapsed
            yield Progress(epoch, step + 1, n_steps, loss, len(labels) / elapsed)
        state.epochs_done = epoch + 1
        _ship(state, data, out, device, about or {})
        state.save(resumable)  # last: a run killed in between does this epoch again


def _step(
    state: TrainingState,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    step: int,
    n_steps: int,
) -> float:
    """One optimiser step; returns the loss of the largest subnet."""
    settings = state.settings
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(settings, step, n_steps)
    state.optimizer.zero_grad(set_to_none=True)
    loss = sandwich_step(
        state.supernet,
        images,
        labels,
        rng,
        n_random=settings.n_random,
        exit_weight=settings.exit_weight,
        bf16=settings.bf16,
    )
    if not math.isfinite(loss):
        raise InputError(
            f"training diverged: the loss is {loss} at step {step}; lower lr ({settings.lr:g}) "
            "and start again in another folder"
        )
    torch.nn.utils.clip_grad_norm_(state.supernet.parameters(), MAX_GRADIENT_NORM)
    state.optimizer.step()
    state.update_average(step)
    return loss


def learning_rate(settings: TrainSettings, step: int, n_steps: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter, 2017)."""
    warmup = settings.warmup_epochs / settings.epochs * n_steps
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    return 0.5 * settings.lr * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))


def _batches(
    data: Dataset, settings: TrainSettings, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented, normalised batches; the incomplete last batch is dropped."""
    order = torch.from_numpy(rng.permutation(len(data.train)))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    n_batches = len(order) // settings.batch_size
    for index in order[: n_batches * settings.batch_size].split(settings.batch_size):
        images = train_transform(data, data.train.images[index], generator)
        yield data.normalise(images), data.train.labels[index]


def _ship(
    state: TrainingState, data: Dataset, out: Path, device: str, about: Mapping[str, str]
) -> None:
    """Write the averaged weights with the statistics of the largest subnet."""
    supernet = state.average.eval()
    store_largest(supernet, calibration_images(data).to(device))
    save_supernet(
        supernet,
        out / "weights.safetensors",
        half=True,
        dataset=data.name,
        epochs_done=state.epochs_done,
        seconds=round(state.seconds),
        settings=asdict(state.settings),
        **about,
    )
