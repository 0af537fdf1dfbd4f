"""What a training run needs to go on after a kill: one safetensors file, no pickle."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from search_spaces import InputError
from supernets.checkpoint import read_tensors, write_tensors
from supernets.resnet import ResNetSupernet

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
    ema_decay: float = 0.999  # of the shipped weights, per step; 0 ships the last weights
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")


class TrainingState:
    """Weights, their moving average, the optimiser's momentum, and how far the run has come."""

    def __init__(self, supernet: ResNetSupernet, settings: TrainSettings) -> None:
        self.supernet, self.settings = supernet, settings
        self.average = copy.deepcopy(supernet)
        self.optimizer = _optimizer(supernet, settings)
        self.epochs_done, self.seconds = 0, 0.0

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Exponential moving average whose window grows over the first steps."""
        decay = self.settings.ema_decay
        decay = min(decay, (1 + step) / (10 + step)) if decay else 0.0
        kept: list[Tensor] = list(self.average.parameters())
        new: list[Tensor] = list(self.supernet.parameters())
        torch._foreach_lerp_(kept, new, 1 - decay)

    def save(self, path: Path) -> None:
        """Write everything to `path`, whole or not at all."""
        tensors = {f"weights.{k}": v for k, v in self.supernet.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.supernet.named_parameters():
            tensors[f"momentum.{name}"] = self.optimizer.state[parameter]["momentum_buffer"]
        metadata = {
            "schema": SCHEMA,
            "epochs_done": self.epochs_done,
            "seconds": self.seconds,
            "settings": asdict(self.settings),
        }
        write_tensors(path, tensors, metadata)

    def load(self, path: Path) -> None:
        """Go back to the state in `path`; InputError where it belongs to another run."""
        tensors, metadata = read_tensors(path, SCHEMA)
        wanted, found = json.loads(json.dumps(asdict(self.settings))), metadata["settings"]
        changed = [k for k in wanted if found.get(k) != wanted[k]]
        shapes = {f"weights.{k}": v.shape for k, v in self.supernet.state_dict().items()}
        if changed or any(k not in tensors or tensors[k].shape != s for k, s in shapes.items()):
            raise InputError(
                f"{path.parent} holds a training run with another {', '.join(changed) or 'space'}; "
                "go on with the same settings or choose another folder"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.supernet.load_state_dict(part("weights."))
        self.average.load_state_dict(part("average."))
        momentum = part("momentum.")
        for name, parameter in self.supernet.named_parameters():
            buffer = momentum[name].to(parameter.device)
            self.optimizer.state[parameter]["momentum_buffer"] = buffer
        self.epochs_done, self.seconds = metadata["epochs_done"], metadata["seconds"]


def _optimizer(supernet: ResNetSupernet, settings: TrainSettings) -> torch.optim.SGD:
    """Nesterov SGD; batch norm and biases are not decayed."""
    decayed = [p for p in supernet.parameters() if p.ndim > 1]
    others = [p for p in supernet.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True)
