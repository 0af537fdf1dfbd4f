"""The blocks of a network while it is trained: chosen anew at some steps, held between them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces import Bools, InputError
from supernets.pruning.blocks import METHODS, select_blocks, wanted_blocks
from supernets.pruning.network import named_convolutions, prunable, weight_mask
from supernets.pruning.spread import SPREADS, layer_sparsities
from supernets.training.settings import plain_numbers

SCHEDULES = ("gradual", "admm")
UNSTRUCTURED = "unstructured"


@dataclass(frozen=True)
class PruneSettings:
    """Everything that decides the result of pruning a network while it is trained."""

    g: int = 4
    sparsity: float = 0.9
    method: str = "exact"  # one of `METHODS`, or unstructured: the greatest weights, blocks of 1
    norm: str = "l1"
    one_budget: bool = False  # all layers share one number of blocks
    spread: str = "even"  # over the layers: even, or erk (narrow ones keep more)
    schedule: str = "gradual"  # sparsity rises; admm: weights are pulled towards their blocks
    epochs: int = 5
    pruning_share: float = 0.5  # of the steps; behind them the blocks stay as they are
    updates: int = 10  # times that blocks are chosen
    rho: float = 0.02  # weight of ADMM's penalty
    batch_size: int = 128
    lr: float = 0.02  # peak rate of Nesterov SGD
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.method not in (*METHODS, UNSTRUCTURED):
            known = ", ".join((*METHODS, UNSTRUCTURED))
            raise InputError(f"`method` must be one of {known}, got {self.method!r}")
        if self.norm not in ("l1", "l2"):
            raise InputError(f"`norm` must be l1 or l2, got {self.norm!r}")
        if self.schedule not in SCHEDULES:
            raise InputError(f"`schedule` must be gradual or admm, got {self.schedule!r}")
        if self.spread not in SPREADS:
            known = ", ".join(SPREADS)
            raise InputError(f"`spread` must be one of {known}, got {self.spread!r}")
        if self.one_budget and self.spread != "even":
            raise InputError("`one_budget` finds the sparsity of every layer; leave `spread` even")
        if not 0 < self.pruning_share <= 1:
            raise InputError(f"`pruning_share` must be in (0, 1], got {self.pruning_share}")
        for name in ("g", "epochs", "updates", "batch_size", "lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"`{name}` must be positive, got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "rho", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"`{name}` must be 0 or more, got {getattr(self, name)}")

    @property
    def block(self) -> int:
        return 1 if self.method == UNSTRUCTURED else self.g


class BlockPruner:
    """Chooses blocks of `net`'s convolutions (all prunable ones for None) on a schedule.

    Gradual: at each of `updates` steps the sparsity rises, by the cubic law of Zhu and Gupta
    (arXiv:1710.01878). A weight that was put to zero is remembered, and chosen again where its
    block is now worth more. ADMM: the loss gains rho/2 |W - Z + U|², Z is the nearest network with
    blocks, U the sum of what is missing; at the end of the phase the blocks of W are taken.
    """

    def __init__(
        self,
        net: nn.Module,
        settings: PruneSettings,
        n_steps: int,
        layers: list[str] | None = None,
    ) -> None:
        self.settings = settings
        self.convolutions = (
            prunable(net, settings.g) if layers is None else named_convolutions(net, layers)
        )
        if not self.convolutions:
            raise InputError(
                f"{type(net).__name__} has no convolution of one group with {settings.g} outputs "
                "or more behind the first"
            )
        self._check_budget()
        self.starts: dict[str, Bools] = {}
        self.seconds: list[float] = []  # of every choice of blocks
        self._steps = _update_steps(settings, n_steps)
        self._masks: dict[str, Tensor] = {}
        self._memory: dict[str, Tensor] = {}
        self._targets: dict[str, Tensor] = {}
        self._duals: dict[str, Tensor] = {}

    def _check_budget(self) -> None:
        """InputError, before anything is trained, where the last sparsity leaves no block."""
        shapes = {name: conv.weight.shape for name, conv in self.convolutions.items()}
        block, sparsity = self.settings.block, self.settings.sparsity
        if self.settings.one_budget:
            n_cells = sum(shape.numel() for shape in shapes.values())
            wanted_blocks(", ".join(shapes), n_cells, block, sparsity)
            return
        for name, share in layer_sparsities(shapes, sparsity, self.settings.spread).items():
            wanted_blocks(name, shapes[name].numel(), block, share)

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Choose blocks where the schedule says so."""
        if step not in self._steps:
            return
        start, nth = time.perf_counter(), self._steps.index(step)
        last = nth == len(self._steps) - 1
        if self.settings.schedule == "gradual":
            share = 1 - (1 - (nth + 1) / len(self._steps)) ** 3
            self._choose(self.settings.sparsity * share)
        elif last:
            self._choose(self.settings.sparsity)
            self._targets, self._duals = {}, {}
        else:
            self._project()
        self.seconds.append(time.perf_counter() - start)

    def penalty(self) -> Tensor:
        """What ADMM adds to the loss; zero without."""
        total = torch.zeros(())
        for name, target in self._targets.items():
            distance = self.convolutions[name].weight - target + self._duals[name]
            total = total + distance.square().sum()
        return 0.5 * self.settings.rho * total

    @torch.no_grad()
    def after_step(self) -> None:
        """Put weights outside the blocks to zero."""
        for name, mask in self._masks.items():
            self.convolutions[name].weight.mul_(mask)

    def state(self) -> dict[str, Tensor]:
        """What a run needs to go on."""
        parts = {"memory": self._memory, "target": self._targets, "dual": self._duals}
        state = {f"{part}.{n}": t for part, found in parts.items() for n, t in found.items()}
        return state | {f"starts.{n}": torch.from_numpy(s) for n, s in self.starts.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        parts = {"memory": self._memory, "target": self._targets, "dual": self._duals}
        for key, value in state.items():
            part, _, name = key.partition(".")
            if part == "starts":
                self._hold(name, value.numpy())
            else:
                parts[part][name] = value

    def _choose(self, sparsity: float) -> None:
        whole = {name: self._whole(name) for name in self.convolutions}
        for name, starts in self._selected(whole, sparsity).items():
            self._memory[name] = whole[name]
            self.convolutions[name].weight.copy_(whole[name])
            self._hold(name, starts)
        self.after_step()

    def _whole(self, name: str) -> Tensor:
        """The weight with what it had where no block is now."""
        weight, mask = self.convolutions[name].weight.detach(), self._masks.get(name)
        return weight.clone() if mask is None else torch.where(mask > 0, weight, self._memory[name])

    def _hold(self, name: str, starts: Bools) -> None:
        self.starts[name] = starts
        weight = self.convolutions[name].weight.detach()
        self._masks[name] = weight_mask(starts, self.settings.block, weight)

    def _project(self) -> None:
        """Z becomes the blocks of W + U, and U grows by W - Z; at first it is zero."""
        weights = {name: conv.weight.detach() for name, conv in self.convolutions.items()}
        is_first = not self._duals
        sums = {n: w if is_first else w + self._duals[n] for n, w in weights.items()}
        for name, starts in self._selected(sums, self.settings.sparsity).items():
            mask = weight_mask(starts, self.settings.block, sums[name])
            self._targets[name] = sums[name] * mask
            missing = sums[name] - self._targets[name]
            self._duals[name] = torch.zeros_like(missing) if is_first else missing

    def _selected(self, weights: dict[str, Tensor], sparsity: float) -> dict[str, Bools]:
        settings = self.settings
        method = "exact" if settings.method == UNSTRUCTURED else settings.method
        whole = settings.one_budget
        shapes = {name: w.shape for name, w in weights.items()}
        return select_blocks(
            {name: w.float().cpu().numpy() for name, w in weights.items()},
            settings.block,
            sparsity if whole else layer_sparsities(shapes, sparsity, settings.spread),
            method=method,
            norm=settings.norm,
            one_budget=settings.one_budget,
        )


def _update_steps(settings: PruneSettings, n_steps: int) -> list[int]:
    """The steps before which blocks are chosen, evenly over the pruning phase."""
    phase, n = settings.pruning_share * n_steps, settings.updates
    return sorted({min(n_steps - 1, round(phase * i / n)) for i in range(n)})
