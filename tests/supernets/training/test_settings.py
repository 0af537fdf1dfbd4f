"""Settings that cannot be used."""

from __future__ import annotations

import pytest

from search_spaces import InputError
from supernets.training import TrainSettings


def test_an_unknown_divergence_is_named() -> None:
    with pytest.raises(InputError, match="distil must be kl, alpha or labels, got 'mse'"):
        TrainSettings(distil="mse")


def test_a_step_without_any_subnet_is_refused() -> None:
    with pytest.raises(InputError, match="without sandwich, n_random must be at least 1, got 0"):
        TrainSettings(sandwich=False, n_random=0)
