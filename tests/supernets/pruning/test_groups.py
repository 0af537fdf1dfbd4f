"""Groups trained one after the other: what is finished keeps every bit, wherever a run stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import GroupSpace, InputError
from supernets import Dataset, Supernet, load_supernet
from supernets.data import Split
from supernets.grouped import GroupedSupernet
from supernets.pruning.groups import Increment, check_groupable, train_groups
from supernets.training import Progress, TrainSettings, sandwich_step
from supernets.training.optimizer import SupernetOptimizer
from tests.supernets.killed import killed_after
from tests.supernets.tiny import digits, images

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = GroupSpace.of("resnet", 4, 8, 1)
SETTINGS = TrainSettings(epochs=2, batch_size=32, bf16=False, seed=3)


def small_digits(n: int = 64) -> Dataset:
    train_split = Split(digits().train.images[:n], digits().train.labels[:n])
    return replace(digits(), train=train_split)


def run(out: Path, settings: TrainSettings = SETTINGS) -> Iterator[Progress]:
    return train_groups(SPACE, small_digits(), settings, out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    out = tmp_path_factory.mktemp("groups")
    steps = [step.step for step in run(out)]
    assert steps == list(range(1, 17))  # 2 batches, 2 epochs, 4 groups
    return out


def answers(net: Supernet, n: int) -> list[torch.Tensor]:
    with torch.inference_mode():
        return net(images(), net.space.subnet([n]))


def test_training_later_groups_changes_no_bit_of_what_earlier_ones_answer(whole: Path) -> None:
    last, metadata = load_supernet(whole / "weights.safetensors")
    assert last.space == SPACE
    assert metadata["kind"] == "groups"
    for n in (1, 2, 3, 4):
        then, _ = load_supernet(whole / f"group{n}" / "weights.safetensors")
        for a, b in zip(answers(then, n), answers(last, n), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(answers(last, 1)[-1], answers(last, 4)[-1])


def test_the_optimiser_has_the_new_group_alone(whole: Path) -> None:
    base, _ = load_supernet(whole / "group2" / "weights.safetensors")
    part = Increment(GroupedSupernet(SPACE.first(1)), base)  # type: ignore[arg-type]
    frozen = {n for n, p in part.named_parameters() if not p.requires_grad}
    optimised = set(SupernetOptimizer(part, SETTINGS).targets)
    assert optimised.isdisjoint(frozen)
    assert all(n.startswith("own.") for n in optimised)
    assert {n for n in frozen if n.startswith("own.")} == {
        f"own.heads.{k}.linear.bias" for k in range(4)
    }
    before = {k: v.clone() for k, v in part.state_dict().items() if k.startswith("frozen.")}
    sandwich_step(part, images(), digits().train.labels[:48], np.random.default_rng(0), SETTINGS)
    assert before
    assert all(bool(p.grad.any()) for p in part.parameters() if p.requires_grad)
    assert all(torch.equal(part.state_dict()[k], v) for k, v in before.items())


@torch.no_grad()
def test_a_new_group_adds_its_logits(whole: Path) -> None:
    base, _ = load_supernet(whole / "group1" / "weights.safetensors")
    torch.manual_seed(1)
    own = GroupedSupernet(SPACE.first(1)).eval()
    part = Increment(own, base).eval()  # type: ignore[arg-type]
    wanted = [a + b for a, b in zip(answers(base, 1), answers(own, 1), strict=True)]
    largest = own.space.subnet(own.space.largest)
    torch.testing.assert_close(part(images(), largest), wanted, atol=1e-5, rtol=1e-5)
    *_, alone, last = part.train()(images(), largest)  # while training, its own answer counts too
    assert last.sub(alone).std() > 0
    assert len(part(images(), largest)) == len(wanted) + 1
    joined = part.whole().eval()
    torch.testing.assert_close(answers(joined, 2), wanted, atol=1e-5, rtol=1e-5)


# ---- a run that is killed ------------------------------------------------------------------------


def test_a_killed_run_ends_as_if_nothing_had_happened(whole: Path, tmp_path: Path) -> None:
    killed_after(7, lambda: run(tmp_path))  # in the second epoch of the second group
    went_on = [step.step for step in run(tmp_path)]
    assert went_on[0] == 7
    assert same_weights(tmp_path, whole)


@pytest.mark.slow
def test_twenty_kills_change_nothing(whole: Path, tmp_path: Path) -> None:
    """Each after 1 to 3 steps, in an epoch or while files are written; two steps end an epoch."""
    for n_steps in np.random.default_rng(0).integers(1, 4, 20).tolist():
        killed_after(n_steps, lambda: run(tmp_path), runs_on=True)
    list(run(tmp_path))
    assert same_weights(tmp_path, whole)


def same_weights(a: Path, b: Path) -> bool:
    one, other = (
        load_supernet(folder / "weights.safetensors")[0].state_dict() for folder in (a, b)
    )
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_finished_run_has_nothing_to_do(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes nothing: a rerun that is killed would leave the first groups alone."""
    monkeypatch.setattr("supernets.pruning.groups.save_supernet", pytest.fail)
    assert list(run(whole)) == []


# ---- what a person may get wrong -----------------------------------------------------------------


def test_another_run_in_the_same_folder_is_refused(whole: Path) -> None:
    with pytest.raises(InputError, match="group1 holds a training run with another lr; go on"):
        list(run(whole, replace(SETTINGS, lr=0.2)))
    other = GroupSpace.of("resnet", 2, 8, 1)
    with pytest.raises(InputError, match="group1 holds a training run with another space"):
        list(train_groups(other, small_digits(), SETTINGS, whole))


def test_exits_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`exits_only` is for a finished supernet"):
        list(run(tmp_path, replace(SETTINGS, exits_only=True)))


@pytest.mark.parametrize(
    "given", [{"sandwich": False}, {"n_random": 2}, {"progressive": True}], ids=str
)
def test_settings_that_say_nothing_to_groups_are_refused(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    why = f"`{next(iter(given))}` is for subnets that share a step, and a group is one network"
    with pytest.raises(InputError, match=why):
        next(run(tmp_path, replace(SETTINGS, **given)))
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_cannot_be_grouped_is_named() -> None:
    with pytest.raises(InputError, match=r"first\.depthwise of ofa-mobilenetv3 cannot be"):
        check_groupable("ofa-mobilenetv3")
    check_groupable("resnet-digits")
