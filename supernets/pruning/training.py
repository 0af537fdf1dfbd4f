"""Training while pruning: any torch network, a checkpoint after every epoch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError
from supernets.augment import train_transform
from supernets.checkpoint import read_tensors, write_tensors
from supernets.data import Dataset, Split, epoch_order
from supernets.elastic import bf16_pays
from supernets.guest import in_eval
from supernets.pruning.masks import BlockPruner, PruneSettings
from supernets.training.loop import MAX_GRADIENT_NORM, Progress
from supernets.training.memory import keep_freed_memory

SCHEMA, WEIGHTS = "nas.pruning/1", "nas.pruned-weights/1"
STATE = "pruning.safetensors"


class PruningRun:
    """`net` is trained in place while its convolutions are pruned; `out` is where a rerun goes on.

    Every epoch draws from a random stream of its own, so a resumed run sees the same batches. With
    sparsity 0 this is plain training.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Dataset,
        settings: PruneSettings,
        out: Path,
        layers: list[str] | None = None,
    ) -> None:
        self.net, self.data, self.settings, self.out = net, data, settings, out
        self.begun_with = _sha256(net)
        self.per_epoch = len(data.train) // settings.batch_size
        if not self.per_epoch:
            raise InputError(
                f"`batch_size` {settings.batch_size} exceeds the {len(data.train)} training images"
            )
        if not any(p.requires_grad for p in net.parameters()):
            raise InputError(f"{type(net).__name__} is frozen: no weight has `requires_grad`")
        self.n_steps = self.per_epoch * settings.epochs
        self.n_warmup = min(20, 1 + self.n_steps // 10)
        self.pruner = None
        if settings.sparsity:
            self.pruner = BlockPruner(net, settings, self.n_steps, layers)
        self.optimizer = torch.optim.SGD(
            net.parameters(), settings.lr, settings.momentum, nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.epochs_done, self.seconds = 0, 0.0
        if (out / STATE).exists():
            self._load()

    def run(self) -> Iterator[Progress]:
        """Train what is left, one progress a step."""
        keep_freed_memory()
        self.net.train()
        for epoch in range(self.epochs_done, self.settings.epochs):
            rng = np.random.default_rng([self.settings.seed, epoch])
            for i, (images, labels) in enumerate(self._batches(rng)):
                start, step = time.perf_counter(), epoch * self.per_epoch + i
                loss = self._step(images, labels, step)
                elapsed = time.perf_counter() - start
                self.seconds += elapsed
                yield Progress(epoch, step + 1, self.n_steps, loss, len(labels) / elapsed)
            self.epochs_done = epoch + 1
            self._save()

    def write_weights(self, path: Path, about: Mapping[str, Any]) -> None:
        """The network alone, with zeros where no block is."""
        write_tensors(path, self.net.state_dict(), {"schema": WEIGHTS, **about})

    @property
    def mask_share(self) -> float:
        """The longest choice of blocks as a share of an epoch's time."""
        seconds = self.pruner.seconds if self.pruner else []
        return max(seconds, default=0.0) / max(self.seconds / max(self.epochs_done, 1), 1e-9)

    def _step(self, images: Tensor, labels: Tensor, step: int) -> float:
        settings = self.settings
        if self.pruner:
            self.pruner.before_step(step)
        rate = settings.lr * 0.5 * (1 + math.cos(math.pi * step / self.n_steps))
        self.optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / self.n_warmup)
        with (
            torch.random.fork_rng(devices=[]),
            torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16 and bf16_pays()),
        ):
            torch.manual_seed(settings.seed * self.n_steps + step)  # dropout, in a rerun too
            loss = F.cross_entropy(last_logits(self.net, images), labels)
        whole = loss + self.pruner.penalty() if self.pruner else loss
        if not math.isfinite(float(whole.detach())):
            raise InputError(
                f"training diverged at step {step}; lower lr ({settings.lr:g}) and start again in "
                "another folder"
            )
        self.optimizer.zero_grad()
        whole.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        if self.pruner:
            self.pruner.after_step()
        return float(loss.detach())

    def _batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        data, size = self.data, self.settings.batch_size
        order = torch.from_numpy(epoch_order(data, rng))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        for index in torch.split(order[: self.per_epoch * size], size):
            images = train_transform(data, data.train.images[index], generator, cutout=False)
            yield data.normalise(images), data.train.labels[index]

    def _save(self) -> None:
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        if self.pruner:
            tensors |= {f"pruner.{k}": v for k, v in self.pruner.state().items()}
        for name, p in self.net.named_parameters():
            if p in self.optimizer.state:
                tensors[f"momentum.{name}"] = self.optimizer.state[p]["momentum_buffer"]
        about = {
            "schema": SCHEMA,
            "epochs_done": self.epochs_done,
            "seconds": self.seconds,
            "mask_seconds": self.pruner.seconds if self.pruner else [],
            "begun_with": self.begun_with,
            "settings": asdict(self.settings),
            "data": self.data.describe(),
        }
        write_tensors(self.out / STATE, tensors, about)

    def _load(self) -> None:
        tensors, about = read_tensors(self.out / STATE, SCHEMA)
        asked = asdict(self.settings)
        found = asdict(PruneSettings()) | about["settings"]  # what an older run lacks: the default
        other = [name for name in asked if found[name] != asked[name]]
        other += ["data"] if about["data"] != self.data.describe() else []
        if other:
            raise InputError(
                f"{self.out} holds a run with another {', '.join(other)}; go on with the same or "
                "choose another folder"
            )
        if about.get("begun_with", self.begun_with) != self.begun_with:  # older runs do not say it
            raise InputError(
                f"{self.out} holds a run of another network, or of other weights; give the network "
                "as it was then, or choose another folder"
            )
        parts: dict[str, dict[str, Tensor]] = {"net": {}, "pruner": {}, "momentum": {}}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = value
        try:
            self.net.load_state_dict(parts["net"])
        except RuntimeError as error:
            told = " ".join(str(error).split())[:200]
            raise InputError(f"{self.out} holds a run of another network: {told}") from None
        for name, p in self.net.named_parameters():
            if name in parts["momentum"]:
                self.optimizer.state[p]["momentum_buffer"] = parts["momentum"][name]
        if self.pruner:
            self.pruner.load_state(parts["pruner"])
            self.pruner.seconds = list(about["mask_seconds"])
        self.epochs_done, self.seconds = about["epochs_done"], about["seconds"]


def _sha256(net: nn.Module) -> str:
    """Of the weights; statistics of batch norm may have been measured, not the same bit for bit."""
    found = hashlib.sha256()
    for name, p in net.named_parameters():
        found.update(name.encode() + p.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def last_logits(net: nn.Module, images: Tensor) -> Tensor:
    """(N, classes) of the last exit, for networks with one answer and with several.

    Networks with auxiliary answers in training alone name their own `logits` (torchvision's do).
    """
    answers = net(images)
    answers = getattr(answers, "logits", answers)
    last: Tensor = answers[-1] if isinstance(answers, list | tuple) else answers
    return last


@torch.no_grad()
def top1(net: nn.Module, split: Split, data: Dataset, batch_size: int = 250) -> float:
    """Percent of `split` that `net` classifies as labelled, in eval mode."""
    right = 0
    with in_eval(net):
        for index in torch.split(torch.arange(len(split)), batch_size):
            logits = last_logits(net, data.normalise(split.images[index]))
            right += int((logits.argmax(1) == split.labels[index]).sum())
    return 100 * right / len(split)
