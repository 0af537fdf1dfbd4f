"""Training on the digits: it learns, and a run that was stopped anywhere ends where it would have.

Epochs are a few steps on few images, so that the file takes seconds.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces import InputError, get_space, resnet_for
from supernets import Dataset, ResNetSupernet, load_supernet
from supernets.data import Split
from supernets.training import Progress, TrainSettings, sandwich_step, schedule, train
from supernets.training.loop import mirrored_images
from tests.supernets.killed import killed_after
from tests.supernets.tiny import SPACE, digits, images, supernet

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = TrainSettings(
    epochs=3,
    batch_size=16,
    lr=0.1,
    warmup_epochs=0.5,
    small_epochs=1.5,
    late_epochs=1.0,
    cutout=True,
    bf16=False,
    seed=3,
)


def small_digits(n: int = 64, *, flip: bool = False) -> Dataset:
    train_split = Split(digits().train.images[:n], digits().train.labels[:n])
    return replace(digits(), train=train_split, flip=flip)


def run(
    out: Path, settings: TrainSettings = SETTINGS, seed: int = 0, data: Dataset | None = None
) -> list[Progress]:
    """A whole run from the weights of `seed`."""
    return list(train(supernet(seed), data or small_digits(), settings, out))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_supernet(out / "weights.safetensors")[0].state_dict()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    out = tmp_path_factory.mktemp("run")
    run(out)
    return out


# ---- learning ------------------------------------------------------------------------------------


def test_the_loss_falls_and_the_largest_subnet_classifies(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=8, batch_size=64, lr=0.2)
    seen = list(train(supernet(), small_digits(256), settings, tmp_path))
    per_epoch = len(seen) // 8
    assert np.mean([p.loss for p in seen[-per_epoch:]]) < 0.5 * seen[0].loss
    assert [p.step for p in seen] == list(range(1, seen[-1].n_steps + 1))
    assert all(p.images_per_s > 0 for p in seen)
    net, metadata = load_supernet(tmp_path / "weights.safetensors")
    assert metadata["dataset"] == "digits"
    assert metadata["epochs_done"] == 8
    assert metadata["settings"] == asdict(settings)
    data = digits()
    with torch.no_grad():
        logits = net(data.normalise(data.test.images), SPACE.subnet(SPACE.largest))
    assert (logits[-1].argmax(dim=1) == data.test.labels).float().mean() > 0.6


def test_the_sandwich_teaches_every_exit_of_both_ends() -> None:
    net = supernet().train()
    labels = digits().train.labels[:48]
    settings = replace(SETTINGS, n_random=0, small_epochs=0)
    loss = sandwich_step(net, images(), labels, np.random.default_rng(0), settings)
    with torch.no_grad():
        logits = net(images(), SPACE.subnet(SPACE.largest))
    assert loss == pytest.approx(float(F.cross_entropy(logits[-1], labels)), rel=1e-5)
    for head in net.heads:
        assert head.linear.weight.grad.any()


def test_the_sandwich_adds_the_gradients_of_all_its_subnets() -> None:
    """Against the losses written out for the largest and the smallest subnet."""
    net, labels = supernet().train(), digits().train.labels[:48]
    settings = replace(SETTINGS, n_random=0, exit_weight=0.2, small_epochs=0)
    sandwich_step(net, images(), labels, np.random.default_rng(0), settings)
    found = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    *early, last = net(images(), SPACE.subnet(SPACE.largest))
    teacher = last.detach().softmax(dim=1)
    loss = F.cross_entropy(last, labels)
    for x in early:
        loss = loss + 0.2 * 0.5 * (F.cross_entropy(x, teacher) + F.cross_entropy(x, labels))
    *early, last = net(images(), SPACE.subnet(SPACE.smallest))
    loss = loss + F.cross_entropy(last, teacher)
    for x in early:
        loss = loss + 0.2 * F.cross_entropy(x, teacher)
    loss.backward()
    wanted = {name: p.grad for name, p in net.named_parameters()}
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_the_schedule_rises_then_falls_to_zero() -> None:
    settings = TrainSettings(epochs=10, warmup_epochs=2)
    scales = [schedule(settings, step, 100) for step in range(100)]
    assert np.argmax(scales) in (19, 20)
    assert max(scales) == 1
    assert (np.diff(scales[:20]) > 0).all()
    assert (np.diff(scales[20:]) < 0).all()
    assert scales[-1] < 0.002


CHANGES = {
    "epochs": 1,
    "batch_size": 32,
    "lr": 0.05,
    "weight_decay": 0.1,
    "momentum": 0.5,
    "muon_lr": 0.0,
    "muon_decay": 2.0,
    "muon_momentum": 0.5,
    "warmup_epochs": 2.0,
    "sandwich": False,
    "n_random": 2,
    "late_epochs": 0.0,
    "small_epochs": 0.0,
    "distil": "alpha",
    "exit_weight": 1.0,
    "exit_distil": 0.0,
    "exits_only": True,
    "progressive": True,
    "smoothing": 0.3,
    "alternate": True,
    "cutout": False,
    "plain_epochs": 1.0,
    "balance": True,
    "ema_decay": 0.0,
    "bf16": True,
    "seed": 4,
}


def test_all_settings_are_tried() -> None:
    assert set(CHANGES) == {field.name for field in fields(TrainSettings)}


BRIEF = replace(SETTINGS, epochs=2)
LATE = "stages.3.1.conv2.weight"  # a change of any setting gets here


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> torch.Tensor:
    out = tmp_path_factory.mktemp("brief")
    run(out, BRIEF, data=small_digits(32, flip=True))
    return weights(out)[LATE]


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_reaches_the_weights(name: str, brief: torch.Tensor, tmp_path: Path) -> None:
    changed = replace(BRIEF, **{name: CHANGES[name]})
    run(tmp_path, changed, data=small_digits(32, flip=True))
    assert not torch.allclose(weights(tmp_path)[LATE], brief, atol=1e-4)


def test_two_epochs_show_every_image_both_ways() -> None:
    alternate = replace(SETTINGS, alternate=True)
    first, second, third = (mirrored_images(1000, alternate, epoch) for epoch in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first != second).all()
    assert torch.equal(first, third)
    assert 400 < first.sum() < 600
    assert mirrored_images(1000, SETTINGS, 0) is None


# ---- stopping and going on -----------------------------------------------------------------------


def test_a_seed_gives_one_result(uninterrupted: Path, tmp_path: Path) -> None:
    run(tmp_path)
    torch.testing.assert_close(weights(tmp_path), weights(uninterrupted))


@pytest.mark.parametrize("n_steps", [4, 5, 9])
def test_a_stopped_run_ends_where_it_would_have(
    uninterrupted: Path, tmp_path: Path, n_steps: int
) -> None:
    """Stopped after an epoch or in one; the weights it starts from again do not matter."""
    steps = train(supernet(), small_digits(), SETTINGS, tmp_path)
    for _ in range(n_steps + 1):
        next(steps)
    steps.close()
    went_on = run(tmp_path, seed=1)
    assert went_on[0].step == n_steps // 4 * 4 + 1
    torch.testing.assert_close(weights(tmp_path), weights(uninterrupted))


def test_a_run_that_stops_while_it_ships_is_shipped_again(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two files of an epoch, the last one included, nothing may be lost."""
    steps = train(supernet(), small_digits(), SETTINGS, tmp_path)
    for _ in range(12):
        next(steps)
    with monkeypatch.context() as broken:
        broken.setattr("supernets.training.loop.save_supernet", _no_space)
        with pytest.raises(OSError, match="no space left"):
            next(steps)
    run(tmp_path)
    torch.testing.assert_close(weights(tmp_path), weights(uninterrupted))


def _no_space(*_: object, **__: object) -> None:
    raise OSError("no space left on device")


def test_a_killed_process_loses_no_epoch(uninterrupted: Path, tmp_path: Path) -> None:
    killed_after(6, lambda: train(supernet(), small_digits(), SETTINGS, tmp_path))
    went_on = run(tmp_path, seed=1)
    assert went_on[0].step == 5
    torch.testing.assert_close(weights(tmp_path), weights(uninterrupted))


@pytest.mark.slow
def test_ten_kills_at_random_change_nothing(tmp_path: Path) -> None:
    """Each after 1 to 12 steps of its process, in an epoch or while its files are written."""
    settings = replace(SETTINGS, epochs=24)
    run(tmp_path / "whole", settings)
    killed = tmp_path / "killed"
    for n_steps in np.random.default_rng(0).integers(1, 13, 10).tolist():
        steps = partial(train, supernet(), small_digits(), settings, killed)
        killed_after(n_steps, steps, runs_on=True)
    went_on = run(killed, settings, seed=1)
    assert 0 < went_on[0].step < went_on[-1].step
    torch.testing.assert_close(weights(killed), weights(tmp_path / "whole"), atol=0, rtol=0)


def test_a_finished_run_has_nothing_to_do(uninterrupted: Path) -> None:
    before = (uninterrupted / "weights.safetensors").read_bytes()
    assert run(uninterrupted) == []
    assert (uninterrupted / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", CHANGES)
def test_another_run_in_the_same_folder_is_refused(name: str, uninterrupted: Path) -> None:
    with pytest.raises(InputError, match=rf"holds a training run with another {name}; go on"):
        run(uninterrupted, replace(SETTINGS, **{name: CHANGES[name]}))


def test_another_space_in_the_same_folder_is_refused(uninterrupted: Path) -> None:
    other = replace(get_space("resnet-digits"), widths=((8,), (16,), (24,), (32,)))
    with pytest.raises(InputError, match="holds a training run with another space"):
        list(train(ResNetSupernet(other), small_digits(), SETTINGS, uninterrupted))


def test_other_images_in_the_same_folder_are_refused(uninterrupted: Path) -> None:
    other = replace(small_digits(), mean=(0.5,))
    with pytest.raises(InputError, match="holds a training run on other images \\(digits\\)"):
        list(train(supernet(), other, SETTINGS, uninterrupted))


def test_a_run_from_other_weights_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It would go on with those of the first run, and say that it began with the others."""

    def begin(checksum: str | None) -> list[Progress]:
        about = {} if checksum is None else {"start": {"weights_sha256": checksum}}
        brief = replace(SETTINGS, epochs=1, small_epochs=0, late_epochs=0)
        return list(train(supernet(), small_digits(16), brief, tmp_path, about=about))

    assert len(begin("a")) == 1
    assert begin("a") == []
    for other in ("b", None):
        with pytest.raises(InputError, match="holds a training run with another start; go on"):
            begin(other)


# ---- what a person may get wrong -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["epochs", "batch_size", "lr"])
def test_a_setting_that_must_be_positive_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` must be positive, got 0"):
        replace(SETTINGS, **{name: 0})


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`batch_size` 512 exceeds the 64 training images"):
        run(tmp_path, replace(SETTINGS, batch_size=512))


def test_a_diverged_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training diverged: .* lower lr \(1e\+30\)"):
        run(tmp_path, replace(SETTINGS, lr=1e30))


def test_images_of_other_classes_or_colours_are_refused(tmp_path: Path) -> None:
    """Fewer classes than the network has would be trained without a word."""
    space = resnet_for(8, 1, 12)
    with pytest.raises(InputError, match="is for 1 channels and 12 classes, digits has 1 and 10"):
        next(train(ResNetSupernet(space), small_digits(), SETTINGS, str(tmp_path)))


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"`device` must be cpu, or cuda where .*, got '{device}'"):
        next(train(supernet(), digits(), TrainSettings(), tmp_path, device=device))
