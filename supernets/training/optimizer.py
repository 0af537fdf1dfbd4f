"""One optimiser for a supernet: Muon for its convolutions, Nesterov SGD for everything else."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from supernets.training.settings import TrainSettings


class SupernetOptimizer:
    """Steps all parameters of a supernet; `scale` in [0, 1] is the place on the schedule.

    Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon) makes the momentum of a weight
    matrix orthogonal before it is applied, so that rare directions move as far as common ones. A
    convolution is the matrix of its output channels times everything else. Depthwise kernels,
    classifiers, batch norm and biases have no such matrix and take SGD; batch norm and biases are
    not decayed. `muon_lr` 0 leaves everything to SGD.
    """

    def __init__(self, supernet: nn.Module, settings: TrainSettings) -> None:
        self.settings = settings
        self.sources = {n: p for n, p in supernet.named_parameters() if p.requires_grad}
        is_matrix = {n for n, p in self.sources.items() if p.ndim == 4 and p.shape[1] > 1}
        matrices = is_matrix if settings.muon_lr else set()
        self.targets = {
            n: nn.Parameter(_as_matrix(p.detach())) if n in matrices else p
            for n, p in self.sources.items()
        }
        shared = {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
        rest = [self.targets[n] for n in self.sources if n not in matrices]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.sgd = torch.optim.SGD(groups, lr=settings.lr, **shared)  # type: ignore[arg-type]
        self.muon = None
        if matrices:
            weights = [self.targets[n] for n in self.sources if n in matrices]
            decay = settings.muon_decay
            self.muon = torch.optim.Muon(
                weights, lr=settings.muon_lr, weight_decay=decay, momentum=settings.muon_momentum
            )

    def step(self, scale: float) -> None:
        """Apply the gradients of the supernet's parameters."""
        for name, target in self.targets.items():
            source = self.sources[name]
            if target is not source and source.grad is not None:
                target.grad = _as_matrix(source.grad)
        for part, lr in ((self.sgd, self.settings.lr), (self.muon, self.settings.muon_lr)):
            if part is not None:
                for group in part.param_groups:
                    group["lr"] = scale * lr
                part.step()

    def zero_grad(self) -> None:
        for parameter in (*self.sources.values(), *self.targets.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Momentum by parameter name, of the parameters that have been stepped."""
        return {
            name: self._part(name).state[target]["momentum_buffer"]
            for name, target in self.targets.items()
            if self._part(name).state[target]
        }

    def load_state(self, momentum: Mapping[str, Tensor]) -> None:
        for name, buffer in momentum.items():
            target = self.targets[name]
            self._part(name).state[target]["momentum_buffer"] = buffer.to(target.device)

    def _part(self, name: str) -> torch.optim.Optimizer:
        is_matrix = self.targets[name] is not self.sources[name]
        return self.muon if is_matrix and self.muon is not None else self.sgd


def _as_matrix(weight: Tensor) -> Tensor:
    """(C_out, C_in, k, k) as (C_out, k * k * C_in): a view where memory is channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1)
