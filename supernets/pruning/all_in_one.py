"""Training of an All-in-One supernet: masks with the weights, then weights of what they keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, cast

import torch

from search_spaces import InputError, Ints, ResNetSpace, UnitRatioSpace, space_from_dict
from supernets.checkpoint import SCHEMA, read_tensors
from supernets.data import Dataset
from supernets.pruning.budget import check_falling
from supernets.pruning.masked import MaskedSupernet
from supernets.pruning.masked_units import MaskedUnits
from supernets.resnet import ResNetSupernet
from supernets.supernet import Supernet
from supernets.training import Progress, TrainSettings, train
from supernets.training.settings import plain_numbers

WEIGHTS, STATE = "weights.safetensors", "training.safetensors"
HISTORY = ("command", "epochs_done", "seconds", "settings", "start")  # of earlier weights


@dataclass(frozen=True)
class RatioSettings:
    """What an All-in-One supernet has besides the settings of its training."""

    shares: tuple[float, ...] = (1, 0.7, 0.5, 0.35, 0.2)  # of the MACs, falling
    mask_share: float = 0.4  # of the epochs, in which masks are learned
    every: bool = True  # each ratio in every step of the weights' epochs; else as `n_random` says
    straight_through: bool = True  # masks learn; else what has the largest scales or weights stays
    unit: str = "filter"  # what is pruned: one of `UnitRatioSpace.units`
    g: int = 0  # rows of a block or pattern; 0: 8 and 4

    def __post_init__(self) -> None:
        plain_numbers(self)
        if not all(isinstance(share, Real) for share in self.shares):
            raise InputError(f"`shares` must be numbers, such as (1, 0.5), got {self.shares}")
        shares = tuple(map(float, self.shares))  # NumPy's become Python's own
        check_falling(shares)
        object.__setattr__(self, "shares", tuple(round(share, 3) for share in shares))
        if not 0 < self.mask_share < 1:
            raise InputError(f"`mask_share` must be above 0 and below 1, got {self.mask_share}")
        if self.unit not in UnitRatioSpace.units:
            known = ", ".join(UnitRatioSpace.units)
            raise InputError(f"`unit` must be one of {known}, got {self.unit!r}")
        if self.unit == "filter" and self.g:
            raise InputError("`g` is of blocks and patterns; give `unit` block or leave it out")

    def mask_epochs(self, epochs: int) -> int:
        """Epochs in which masks are learned, at least 1 and not all."""
        if epochs < 2:
            raise InputError(f"`epochs` must be at least 2, for masks and weights, got {epochs}")
        return min(max(1, round(self.mask_share * epochs)), epochs - 1)


def narrowed(space: ResNetSpace) -> ResNetSpace:
    """The space that has the largest network of `space` alone."""
    widths = tuple((max(w),) for w in space.widths)
    return replace(space, widths=widths, depths=(max(space.depths),), expands=(max(space.expands),))


def train_all_in_one(
    dense: ResNetSupernet,
    data: Dataset,
    settings: TrainSettings,
    ratios: RatioSettings,
    out: Path,
    *,
    trained: bool = True,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Iterator[Progress]:
    """Train masks into `out/masks`, then the weights into `out`, from the largest of `dense`.

    A rerun goes on where a killed one stopped. Of `settings.epochs` the first are the masks'.
    `ratios` and how the masks changed go into the checkpoint's metadata. Without `trained` weights
    the largest is trained first, into `out/dense`, for as many epochs.
    """
    n, told = ratios.mask_epochs(settings.epochs), dict(about or {})
    if not trained:
        check_dense(out, out / "masks" / STATE)
        dense = ResNetSupernet(narrowed(cast(ResNetSpace, dense.space)))
        with torch.random.fork_rng(devices=[]):
            masked_supernet(dense, ratios)  # ratios that cannot be are refused before the training
        yield from train(dense, data, settings, out / "dense", device=device, about=told)
        told["start"] = load_trained(dense, out / "dense" / WEIGHTS)
    masked = masked_supernet(dense, ratios)
    said = asdict(ratios) | {"g": getattr(masked.space, "g", 0)}  # what a `g` of 0 stands for
    _check_ratios(out / "masks" / WEIGHTS, said)
    masked.masks.requires_grad_(ratios.straight_through)
    short, about = replace(settings, epochs=n), told | {"ratios": said}
    yield from train(masked, data, short, out / "masks", device=device, about=about)
    flips = masked.masks.flips.tolist()
    told["start"] = load_trained(masked, out / "masks" / WEIGHTS)
    counts = masked.counts()
    told |= {"ratios": said, "masks": _masks(masked, counts, flips)}
    n_random = max(settings.n_random, ratios.every * (len(ratios.shares) - 2))
    rest = replace(settings, epochs=settings.epochs - n, n_random=n_random)
    yield from train(masked.compact(counts), data, rest, out, device=device, about=told)


def masked_supernet(dense: ResNetSupernet, ratios: RatioSettings) -> MaskedSupernet | MaskedUnits:
    """The largest network of `dense` times soft masks of the unit that is asked."""
    if ratios.unit == "filter":
        return MaskedSupernet(dense, ratios.shares)
    return MaskedUnits(dense, ratios.shares, ratios.unit, ratios.g)


def _check_ratios(path: Path, asked: Mapping[str, Any]) -> None:
    """InputError: masks with other settings were begun at `path`; shapes alone do not tell."""
    if not path.exists():
        return
    metadata = read_tensors(path, SCHEMA)[1]
    ratios = getattr(space_from_dict(metadata["space"]), "ratios", ())
    shares = [r / 1000 for r in reversed(ratios)]  # all that older runs say
    found = {**asked, "shares": shares, **metadata.get("ratios", {})}
    for name, wanted in asked.items():
        if _shown(found[name]) != _shown(wanted):
            of, argument = ("ratios", "ratios") if name == "shares" else (f"`{name}`", name)
            raise InputError(
                f"{path.parents[1]} holds a training run with the {of} {_shown(found[name])}, "
                f"`{argument}` asks for {_shown(wanted)}; go on with the same or choose another "
                "folder"
            )


def _shown(value: Any) -> str:
    return ", ".join(f"{x:g}" for x in value) if isinstance(value, list | tuple) else str(value)


def check_dense(out: Path, state: Path) -> None:
    """InputError: the run in `out` has its `state`, and no dense network was trained for it."""
    if state.exists() and not (out / "dense").exists():
        raise InputError(
            f"{out} holds a training run with another start: it began with weights that were given "
            "as `start`; give the same or choose another folder"
        )


def load_trained(net: Supernet, path: Path) -> dict[str, Any]:
    """Give `net` the averaged weights of a finished run; returns the run's history."""
    tensors, metadata = read_tensors(path, SCHEMA)
    net.cpu().load_state_dict({k: v.float() for k, v in tensors.items()})
    return {key: metadata[key] for key in HISTORY if key in metadata}


def _masks(
    masked: MaskedSupernet | MaskedUnits, counts: Ints, flips: list[list[int]]
) -> list[dict[str, Any]]:
    """Of every ratio: its share of the MACs, asked and reached, and units that changed side."""
    return [
        {"asked": share, "reached": round(masked.share(row), 5), "came_back": back, "went": gone}
        for share, row, (back, gone) in zip(masked.masks.shares, counts, flips, strict=True)
    ]
