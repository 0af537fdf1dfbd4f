"""What a training run needs to go on after a kill: one safetensors file, no pickle."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from search_spaces import InputError
from supernets.checkpoint import read_tensors, write_tensors
from supernets.data import Dataset
from supernets.supernet import Supernet
from supernets.training.optimizer import SupernetOptimizer
from supernets.training.settings import TrainSettings

SCHEMA = "nas.training/1"


class TrainingState:
    """Weights, their moving average, the optimiser's momentum, and how far the run has come."""

    def __init__(
        self,
        supernet: Supernet,
        settings: TrainSettings,
        data: Dataset,
        start: str | None = None,
    ) -> None:
        """`start` is the checksum of the file whose weights `supernet` begins with, if of one."""
        self.supernet, self.settings, self.data = supernet, settings, data.describe()
        self.start = start
        self.average = copy.deepcopy(supernet)
        self.optimizer = SupernetOptimizer(supernet, settings)
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
        tensors |= {f"momentum.{k}": v for k, v in self.optimizer.state().items()}
        metadata = {
            "schema": SCHEMA,
            "epochs_done": self.epochs_done,
            "seconds": self.seconds,
            "settings": asdict(self.settings),
            "data": self.data,
            "start": self.start,
        }
        write_tensors(path, tensors, metadata)

    def load(self, path: Path) -> None:
        """Go back to the state in `path`; InputError where it belongs to another run."""
        tensors, metadata = read_tensors(path, SCHEMA)
        theirs = metadata.get("data", {})
        if theirs != self.data:
            raise InputError(
                f"{path.parent} holds a training run on other images "
                f"({theirs.get('name', 'unnamed')}); go on with the same ones or choose another "
                "folder"
            )
        wanted = json.loads(json.dumps(asdict(self.settings)))
        # a run from before there was a setting had what is its default now
        found = asdict(TrainSettings()) | metadata["settings"]
        changed = [k for k in wanted if found[k] != wanted[k]]
        # older runs did not say what they began with
        changed += ["start"] if metadata.get("start", self.start) != self.start else []
        shapes = {f"weights.{k}": v.shape for k, v in self.supernet.state_dict().items()}
        if changed or any(k not in tensors or tensors[k].shape != s for k, s in shapes.items()):
            raise InputError(
                f"{path.parent} holds a training run with another {', '.join(changed) or 'space'}; "
                "go on with the same settings or choose another folder"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        try:
            self.supernet.load_state_dict(part("weights."))
            self.average.load_state_dict(part("average."))
            self.optimizer.load_state(part("momentum."))
        except (RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path} is damaged ({reason}); remove it to train anew") from None
        self.epochs_done, self.seconds = metadata["epochs_done"], metadata["seconds"]
