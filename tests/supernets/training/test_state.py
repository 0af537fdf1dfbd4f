"""The state of a training run: back from its file, the moving average, another run's file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces import InputError
from supernets.training import TrainSettings
from supernets.training.sandwich import sandwich_step
from supernets.training.state import TrainingState
from tests.supernets.tiny import digits, images, supernet

SETTINGS = TrainSettings(epochs=1, batch_size=16, bf16=False)


def state(settings: TrainSettings = SETTINGS, seed: int = 0) -> TrainingState:
    return TrainingState(supernet(seed).train(), settings, digits())


def trained() -> TrainingState:
    made = state()
    sandwich_step(
        made.supernet,
        images(16),
        digits().train.labels[:16].long(),
        np.random.default_rng(0),
        SETTINGS,
    )
    made.optimizer.step(0.5)
    made.update_average(3)
    made.epochs_done, made.seconds = 2, 1.5
    return made


def test_a_state_reads_back_whole(tmp_path: Path) -> None:
    before, after = trained(), state(seed=1)
    before.save(tmp_path / "state.safetensors")
    after.load(tmp_path / "state.safetensors")
    for part in ("supernet", "average"):
        torch.testing.assert_close(
            getattr(after, part).state_dict(), getattr(before, part).state_dict(), atol=0, rtol=0
        )
    torch.testing.assert_close(after.optimizer.state(), before.optimizer.state(), atol=0, rtol=0)
    assert (after.epochs_done, after.seconds) == (2, 1.5)


def test_the_average_moves_a_growing_part_less() -> None:
    made = state()
    with torch.no_grad():
        for weight in made.supernet.parameters():
            weight.fill_(1.0)
        for weight in made.average.parameters():
            weight.fill_(0.0)
    made.update_average(8)  # the window is still short: decay (1 + 8) / (10 + 8)
    assert all(torch.allclose(w, torch.tensor(0.5)) for w in made.average.parameters())
    made.update_average(10**9)
    kept = 1 - 0.5 * SETTINGS.ema_decay
    assert all(torch.allclose(w, torch.tensor(kept)) for w in made.average.parameters())


def test_without_decay_the_average_is_the_weights() -> None:
    made = state(replace(SETTINGS, ema_decay=0.0))
    with torch.no_grad():
        made.supernet.stem.weight.add_(1.0)
    made.update_average(100)
    torch.testing.assert_close(made.average.stem.weight, made.supernet.stem.weight)


def test_the_file_of_another_run_is_refused(tmp_path: Path) -> None:
    made = state()
    made.save(tmp_path / "state.safetensors")
    with pytest.raises(InputError, match="holds a training run with another n_random"):
        state(replace(SETTINGS, n_random=7)).load(tmp_path / "state.safetensors")
    made.data = {"name": "other"}
    made.save(tmp_path / "state.safetensors")
    with pytest.raises(InputError, match=r"a training run on other images \(other\)"):
        state().load(tmp_path / "state.safetensors")


def test_a_run_from_before_there_was_a_setting_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = state()
    known = asdict(SETTINGS)
    del known["smoothing"]
    with monkeypatch.context() as patch:
        patch.setattr("supernets.training.state.asdict", lambda settings: known)
        made.save(tmp_path / "state.safetensors")
    state().load(tmp_path / "state.safetensors")
    with pytest.raises(InputError, match="with another smoothing"):
        state(replace(SETTINGS, smoothing=0.1)).load(tmp_path / "state.safetensors")
