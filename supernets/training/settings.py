"""Everything that decides the result of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from numbers import Integral, Real
from typing import Any

from search_spaces import InputError


@dataclass(frozen=True)
class TrainSettings:
    """A run is a function of these, the data and the initial weights.

    The defaults are what won on a cut-down supernet: `docs/training.md` has the table.
    """

    epochs: int = 24
    batch_size: int = 256
    lr: float = 0.1  # peak rate of Nesterov SGD
    weight_decay: float = 5e-4
    momentum: float = 0.9
    muon_lr: float = 0.05  # peak rate of Muon on the convolutions; 0 gives them to SGD
    muon_decay: float = 0.03
    muon_momentum: float = 0.9
    warmup_epochs: float = 1.0
    sandwich: bool = True  # the largest and the smallest subnet in every step
    n_random: int = 1  # random subnets in every step
    late_epochs: float = 0.0  # at the end, with one random subnet more
    distil: str = "kl"  # what students learn of the largest subnet: kl, alpha, or labels alone
    exit_weight: float = 0.3  # of the loss of an early exit, 1 for the last
    exit_distil: float = 0.5  # share of the last exit's logits in the loss of the early ones
    exits_only: bool = False  # the trunk and the last exit stay as they are
    progressive: bool = False  # progressive shrinking instead of all sizes from the start
    small_epochs: float = 0.0  # at the start, on images of three quarters of the side
    smoothing: float = 0.0  # of the labels that the largest subnet learns
    alternate: bool = False  # an image is mirrored in every second epoch instead of by chance
    cutout: bool = False  # squares in the mean colour
    plain_epochs: float = 0.0  # at the end, without cutout
    balance: bool = False  # every class equally often
    ema_decay: float = 0.995  # of the shipped weights, per step; 0 ships the last weights
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in (f.name for f in fields(self) if type(f.default) in (int, float)):
            value, positive = getattr(self, name), name in ("epochs", "batch_size", "lr")
            if not (value > 0 if positive else value >= 0) or value == inf:
                wanted = "positive" if positive else "0 or more"
                raise InputError(f"`{name}` must be {wanted}, got {value}")
        for name in ("momentum", "muon_momentum", "exit_distil", "smoothing", "ema_decay"):
            if getattr(self, name) > 1:
                raise InputError(f"`{name}` must be 0 to 1, got {getattr(self, name)}")
        if self.distil not in ("kl", "alpha", "labels"):
            raise InputError(f"`distil` must be kl, alpha or labels, got {self.distil!r}")
        if not self.sandwich and not self.n_random:
            raise InputError("without `sandwich`, `n_random` must be at least 1, got 0")


def plain_numbers(settings: Any) -> None:
    """Numbers of NumPy's become Python's own, which files can hold; InputError: it is no number.

    `settings` is a dataclass whose defaults say what each field is.
    """
    for field in fields(settings):
        value, kind = getattr(settings, field.name), type(field.default)
        if kind not in (int, float):
            continue
        if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
            wanted = "whole number" if kind is int else "number"
            raise InputError(f"`{field.name}` must be a {wanted}, got {value!r}")
        if not isinstance(value, int | float):
            object.__setattr__(settings, field.name, kind(value))


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Settings from texts such as `distil=alpha`; InputError names what is wrong with one."""
    types: dict[str, Any] = {f.name: type(f.default) for f in fields(TrainSettings)}
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in types:
            raise InputError(f"no training setting {name!r}; there are {', '.join(types)}")
        try:
            found[name] = _BOOLEANS[value] if types[name] is bool else types[name](value)
        except (KeyError, ValueError):
            kind = types[name].__name__
            raise InputError(f"{name} takes a value of type {kind}, got {value!r}") from None
    return found


_BOOLEANS = {"true": True, "false": False}
