"""Settings that cannot be used."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from search_spaces import InputError
from supernets.pruning import PruneSettings
from supernets.training import TrainSettings


def test_an_unknown_divergence_is_named() -> None:
    with pytest.raises(InputError, match="`distil` must be kl, alpha or labels, got 'mse'"):
        TrainSettings(distil="mse")


def test_a_step_without_any_subnet_is_refused() -> None:
    with pytest.raises(InputError, match="without `sandwich`, `n_random` must be at least 1"):
        TrainSettings(sandwich=False, n_random=0)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("lr", math.nan, "positive"),
        ("epochs", 0, "positive"),
        ("muon_lr", math.inf, "0 or more"),
        ("n_random", -1, "0 or more"),
        ("ema_decay", 1.5, "0 to 1"),
    ],
)
def test_a_number_out_of_range_is_named(name: str, value: float, wanted: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` must be {wanted}, got {value}"):
        TrainSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [TrainSettings, PruneSettings])
def test_numbers_are_pythons_own(kind) -> None:
    """Files hold no others: a run would end in a traceback after its first epoch."""
    made = kind(epochs=np.int64(3), lr=np.float32(0.5), momentum=0)
    assert json.loads(json.dumps(asdict(made))) == asdict(kind(epochs=3, lr=0.5, momentum=0))
    for wrong, words in (
        ({"epochs": 1.5}, "a whole number, got 1.5"),
        ({"lr": "1"}, "number, got '1"),
        ({"seed": True}, "a whole number, got True"),
    ):
        with pytest.raises(InputError, match=f"`{next(iter(wrong))}` must be .*{words}"):
            kind(**wrong)
