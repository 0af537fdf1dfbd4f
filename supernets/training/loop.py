"""The training loop: cosine schedule, weight average, a checkpoint after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces import InputError
from supernets.augment import calibration_images, train_transform
from supernets.calibrate import store_statistics
from supernets.checkpoint import save_supernet
from supernets.data import Dataset, epoch_order
from supernets.static import channels_last
from supernets.supernet import Supernet
from supernets.training.exits import train_exits_only
from supernets.training.memory import keep_freed_memory
from supernets.training.sandwich import sandwich_step
from supernets.training.settings import TrainSettings
from supernets.training.small_images import check_small_images
from supernets.training.state import TrainingState

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
    supernet: Supernet,
    data: Dataset,
    settings: TrainSettings,
    out: Path | str,
    *,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Iterator[Progress]:
    """Train into `out/weights.safetensors`; `out/training.safetensors` is where a rerun goes on.

    A generator: `for progress in train(...)` takes its steps, the call alone takes none.
    Every epoch draws from its own random stream, so a resumed run sees the same batches. Raises
    InputError where `out` holds a run with other settings, on other images or from another start.
    `about` (command, host) goes into the checkpoint's metadata; `start` in it is the history of the
    weights that `supernet` begins with, with the checksum of their file as `weights_sha256`.
    """
    _check_device(device)
    out = Path(out)
    per_epoch = len(data.train) // settings.batch_size
    if not per_epoch:
        raise InputError(
            f"`batch_size` {settings.batch_size} exceeds the {len(data.train)} training images"
        )
    _check_images(supernet, data)
    channels_last(supernet).to(device).train()
    if settings.exits_only:
        train_exits_only(supernet)
    if settings.small_epochs:
        check_small_images(supernet, data, device)
    keep_freed_memory()
    start = (about or {}).get("start") or {}
    state = TrainingState(supernet, settings, data, start.get("weights_sha256"))
    resumable = out / "training.safetensors"
    if resumable.exists():
        state.load(resumable)
    n_steps = settings.epochs * per_epoch
    for epoch in range(state.epochs_done, settings.epochs):
        rng = np.random.default_rng([settings.seed, epoch])
        for i, (images, labels) in enumerate(_batches(data, settings, rng, epoch)):
            start = time.perf_counter()
            step = epoch * per_epoch + i
            loss = _step(state, images.to(device), labels.to(device), rng, step, n_steps)
            elapsed = time.perf_counter() - start
            state.seconds += elapsed
            yield Progress(epoch, step + 1, n_steps, loss, len(labels) / elapsed)
        state.epochs_done = epoch + 1
        _ship(state, data, out, device, about or {})
        state.save(resumable)  # last: a run killed in between does this epoch again


def _check_device(device: str) -> None:
    """InputError where PyTorch does not have the device here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"`device` must be cpu, or cuda where PyTorch has a GPU, got {device!r}: {reason}"
        ) from None


def _check_images(supernet: Supernet, data: Dataset) -> None:
    """InputError where the images have other channels or classes than the network is for."""
    space = supernet.space
    wanted = space.input_shape(space.subnet(space.largest))[0], space.n_classes
    if (data.channels, data.n_classes) != wanted:
        raise InputError(
            f"{space.name} is for {wanted[0]} channels and {wanted[1]} classes, {data.name} has "
            f"{data.channels} and {data.n_classes}"
        )


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
    state.optimizer.zero_grad()
    progress = step / n_steps
    loss = sandwich_step(state.supernet, images, labels, rng, settings, progress)
    if not math.isfinite(loss):
        raise InputError(
            f"training diverged: the loss is {loss} at step {step}; lower lr ({settings.lr:g}) "
            "and start again in another folder"
        )
    torch.nn.utils.clip_grad_norm_(state.supernet.parameters(), MAX_GRADIENT_NORM)
    state.optimizer.step(schedule(settings, step, n_steps))
    state.update_average(step)
    return loss


def schedule(settings: TrainSettings, step: int, n_steps: int) -> float:
    """Share of the peak rates: linear warm-up, then a cosine to 0 (Loshchilov and Hutter, 2017)."""
    warmup = settings.warmup_epochs / settings.epochs * n_steps
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))


def _batches(
    data: Dataset, settings: TrainSettings, rng: np.random.Generator, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented, normalised batches; the incomplete last batch is dropped."""
    order = torch.from_numpy(epoch_order(data, rng, balance=settings.balance))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    cutout = settings.cutout and epoch < settings.epochs - settings.plain_epochs
    n_batches = len(order) // settings.batch_size
    turned = mirrored_images(len(data.train), settings, epoch)
    for index in torch.split(order[: n_batches * settings.batch_size], settings.batch_size):
        mirrored = None if turned is None else turned[index]
        images = data.train.images[index]
        images = train_transform(data, images, generator, cutout=cutout, mirrored=mirrored)
        yield data.normalise(images), data.train.labels[index]


def mirrored_images(n: int, settings: TrainSettings, epoch: int) -> Tensor | None:
    """Which of `n` images an epoch mirrors, or None: by chance.

    Every second epoch, half of them in the first: two epochs show each image both ways (Jordan,
    2024, arXiv:2404.00498).
    """
    if not settings.alternate:
        return None
    first = torch.rand(n, generator=torch.Generator().manual_seed(settings.seed)) < 0.5
    return first ^ (epoch % 2 == 1)


def _ship(
    state: TrainingState, data: Dataset, out: Path, device: str, about: Mapping[str, Any]
) -> None:
    """Write the averaged weights with the statistics of the largest subnet."""
    supernet = state.average.eval()
    images = calibration_images(data).to(device)
    store_statistics(supernet, images, exits_only=state.settings.exits_only)
    save_supernet(
        supernet.whole(),
        out / "weights.safetensors",
        half=not state.settings.exits_only,  # the trunk keeps every bit
        dataset=data.name,
        epochs_done=state.epochs_done,
        seconds=round(state.seconds),
        settings=asdict(state.settings),
        **about,
    )
