"""The training loop: cosine schedule, weight average, a checkpoint after every epoch."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from supernets.calibrate import store_largest
from supernets.checkpoint import CheckpointError, read_tensors, save_supernet, write_tensors
from supernets.data import Dataset, augment
from supernets.resnet import ResNetSupernet
from supernets.training.sandwich import sandwich_step

SCHEMA = "nas.training/1"


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result of a training run."""

    epochs: int = 32
    batch_size: int = 256
    lr: float = 0.25
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup_epochs: float = 2.0
    n_random: int = 1
    exit_weight: float = 0.3
    pad: int = 4
    cutout: int = 8
    ema_decay: float = 0.999  # of the shipped weights, per step; 0 ships the last weights
    bf16: bool = True
    seed: int = 0


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
) -> Iterator[Progress]:
    """Train into `out/weights.safetensors`; `out/training.safetensors` is where a rerun goes on.

    Every epoch draws from its own random stream, so a resumed run sees the same batches. Raises
    CheckpointError where `out` holds a run with other settings.
    """
    supernet.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(supernet)
    optimizer = _optimizer(supernet, settings)
    state = out / "training.safetensors"
    first = _resume(state, supernet, average, optimizer, settings) if state.exists() else 0
    per_epoch = len(data.train) // settings.batch_size
    n_steps = settings.epochs * per_epoch
    for epoch in range(first, settings.epochs):
        rng = np.random.default_rng([settings.seed, epoch])
        batches = _batches(data, settings, rng)
        for i, (images, labels) in enumerate(batches):
            start = time.perf_counter()
            step = epoch * per_epoch + i
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step, n_steps)
            optimizer.zero_grad(set_to_none=True)
            loss = sandwich_step(
                supernet,
                images.to(device),
                labels.to(device),
                rng,
                n_random=settings.n_random,
                exit_weight=settings.exit_weight,
                bf16=settings.bf16,
            )
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} in epoch {epoch}; lower lr ({settings.lr}) and start again"
                )
            torch.nn.utils.clip_grad_norm_(supernet.parameters(), 5.0)
            optimizer.step()
            _average(average, supernet, settings.ema_decay, step)
            speed = len(labels) / (time.perf_counter() - start)
            yield Progress(epoch, step + 1, n_steps, loss, speed)
        _save(state, supernet, average, optimizer, settings, epoch + 1)
        average.eval()
        with torch.autocast(device, torch.bfloat16, enabled=False):
            store_largest(average, data.normalise(data.train.images[:2000]).to(device))
        save_supernet(
            average,
            out / "weights.safetensors",
            half=True,
            dataset=data.name,
            mean=data.mean,
            std=data.std,
            epochs_done=epoch + 1,
            settings=asdict(settings),
        )


def learning_rate(settings: TrainSettings, step: int, n_steps: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter, 2017)."""
    warmup = settings.warmup_epochs / settings.epochs * n_steps
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    return 0.5 * settings.lr * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))


def _optimizer(supernet: ResNetSupernet, settings: TrainSettings) -> torch.optim.SGD:
    """Nesterov SGD; batch norm and biases are not decayed."""
    decayed = [p for p in supernet.parameters() if p.ndim > 1]
    others = [p for p in supernet.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True)


def _batches(
    data: Dataset, settings: TrainSettings, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented, normalised batches; the incomplete last batch is dropped."""
    order = torch.from_numpy(rng.permutation(len(data.train)))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    n_batches = len(order) // settings.batch_size
    for index in order[: n_batches * settings.batch_size].split(settings.batch_size):
        images = augment(
            data.train.images[index],
            generator,
            flip=data.flip,
            pad=settings.pad,
            cutout=settings.cutout,
        )
        yield data.normalise(images), data.train.labels[index]


@torch.no_grad()
def _average(average: ResNetSupernet, supernet: ResNetSupernet, decay: float, step: int) -> None:
    """Exponential moving average whose window grows with the first steps."""
    decay = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    kept, new = list(average.parameters()), list(supernet.parameters())
    torch._foreach_lerp_(kept, new, 1 - decay)


def _save(
    path: Path,
    supernet: ResNetSupernet,
    average: ResNetSupernet,
    optimizer: torch.optim.SGD,
    settings: TrainSettings,
    epochs_done: int,
) -> None:
    tensors = {f"weights.{k}": v for k, v in supernet.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for name, parameter in supernet.named_parameters():
        tensors[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"]
    described = {"schema": SCHEMA, "epochs_done": epochs_done, "settings": asdict(settings)}
    write_tensors(path, tensors, described)


def _resume(
    path: Path,
    supernet: ResNetSupernet,
    average: ResNetSupernet,
    optimizer: torch.optim.SGD,
    settings: TrainSettings,
) -> int:
    """Load the state of a run; returns the number of epochs it has done."""
    tensors, metadata = read_tensors(path, SCHEMA)
    if metadata["settings"] != json.loads(json.dumps(asdict(settings))):
        changed = [k for k, v in asdict(settings).items() if metadata["settings"].get(k) != v]
        raise CheckpointError(
            f"{path.parent} holds a run with other settings ({', '.join(changed)} differ); "
            "give the same ones to go on, or another folder"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    supernet.load_state_dict(part("weights."))
    average.load_state_dict(part("average."))
    momentum = part("momentum.")
    for name, parameter in supernet.named_parameters():
        buffer = momentum[name].to(parameter.device)
        optimizer.state[parameter]["momentum_buffer"] = buffer
    return int(metadata["epochs_done"])
