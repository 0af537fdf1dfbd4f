"""Training of an All-in-One supernet: it learns, and a run that was stopped ends where it would."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces import InputError, resnet_digits
from supernets import Dataset, ResNetSupernet, load_supernet, read_tensors, write_tensors
from supernets.checkpoint import SCHEMA
from supernets.data import Split
from supernets.pruning import RatioSettings, train_all_in_one
from supernets.pruning.all_in_one import narrowed
from supernets.training import TrainSettings
from tests.supernets.tiny import digits

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = TrainSettings(epochs=2, batch_size=64, lr=0.1, warmup_epochs=0.5, bf16=False, seed=3)
RATIOS = RatioSettings((1, 0.5, 0.2))
N_STEPS = 2 + 1 + 1  # dense, masks, weights: one step an epoch


def small_digits(n: int = 64) -> Dataset:
    return replace(digits(), train=Split(digits().train.images[:n], digits().train.labels[:n]))


def run(out: Path, *, steps: int | None = None) -> int:
    """A run without trained weights, stopped after some steps; returns how many it made."""
    torch.manual_seed(0)
    net = ResNetSupernet(resnet_digits())
    training = train_all_in_one(net, small_digits(), SETTINGS, RATIOS, out, trained=False)
    made = 0
    for _ in training:
        made += 1
        if made == steps:
            training.close()  # type: ignore[attr-defined]
            break
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert run(out) == N_STEPS
    return out


def test_the_checkpoint_says_what_the_masks_did(whole: Path) -> None:
    net, metadata = load_supernet(whole / "weights.safetensors")
    assert metadata["kind"] == net.kind == "all-in-one"
    assert metadata["epochs_done"] == 1
    assert [m["asked"] for m in metadata["masks"]] == [1, 0.5, 0.2]
    for row in metadata["masks"]:
        assert row["reached"] == pytest.approx(row["asked"], abs=0.005)
        assert row["came_back"] >= 0
    assert metadata["ratios"]["shares"] == [1, 0.5, 0.2]
    phases = [metadata, metadata["start"], metadata["start"]["start"]]
    assert [phase["epochs_done"] for phase in phases] == [1, 1, 2]


@pytest.mark.parametrize(("every", "n_random"), [(True, 2), (False, 1)])
def test_every_ratio_shares_every_step_of_the_weights(tmp_path: Path, every, n_random) -> None:
    net, ratios = (
        ResNetSupernet(narrowed(resnet_digits())),
        RatioSettings((1, 0.7, 0.5, 0.2), every=every),
    )
    list(train_all_in_one(net, small_digits(), SETTINGS, ratios, tmp_path))
    metadata = load_supernet(tmp_path / "weights.safetensors")[1]
    assert metadata["settings"]["n_random"] == n_random
    assert metadata["start"]["settings"]["n_random"] == 1  # of the masks


@pytest.mark.parametrize("steps", [2, 3])
def test_a_stopped_run_ends_where_it_would_have(whole: Path, tmp_path: Path, steps: int) -> None:
    run(tmp_path, steps=steps)
    run(tmp_path)
    wanted = load_supernet(whole / "weights.safetensors")[0].state_dict()
    found = load_supernet(tmp_path / "weights.safetensors")[0].state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[k], found[k]) for k in wanted)


@pytest.mark.parametrize("shares", [(1, 0.4), (1, 0.4, 0.2)])
def test_other_ratios_in_the_same_folder_are_refused(whole: Path, shares) -> None:
    net, other = ResNetSupernet(narrowed(resnet_digits())), RatioSettings(shares)
    training = train_all_in_one(net, small_digits(), SETTINGS, other, whole)
    why = f"holds a training run with the ratios 1, 0.5, 0.2, `ratios` asks for {shares[0]}, 0.4"
    with pytest.raises(InputError, match=why):
        next(training)


@pytest.mark.parametrize("was", [True, False])
def test_masks_with_other_settings_are_not_gone_on_with(tmp_path: Path, was: bool) -> None:
    """Those of another `straight_through` have the same shapes; without it, less momentum."""
    net = ResNetSupernet(narrowed(resnet_digits()))

    def begin(**other: Any) -> None:
        asked = RatioSettings((1, 0.5), **{"straight_through": was, **other})
        training = train_all_in_one(net, small_digits(), SETTINGS, asked, tmp_path)
        next(training), next(training, None)  # the epoch of the masks is over
        training.close()  # type: ignore[attr-defined]

    begin()
    masks = read_tensors(tmp_path / "masks" / "weights.safetensors", SCHEMA)
    asked = RatioSettings((1, 0.5), straight_through=was)
    assert masks[1]["ratios"] == json.loads(json.dumps(asdict(asked)))
    for name, value in {"straight_through": not was, "mask_share": 0.3, "every": False}.items():
        found = getattr(RatioSettings(straight_through=was), name)
        why = f"a training run with the `{name}` {found}, `{name}` asks for {value}; go on with the"
        with pytest.raises(InputError, match=why):
            begin(**{name: value})
    begin()


def test_masks_that_say_nothing_of_their_settings_are_gone_on_with(
    whole: Path, tmp_path: Path
) -> None:
    """Those of earlier versions."""
    run(tmp_path, steps=4)
    path = tmp_path / "masks" / "weights.safetensors"
    tensors, metadata = read_tensors(path, SCHEMA)
    write_tensors(path, tensors, {k: v for k, v in metadata.items() if k != "ratios"})
    assert run(tmp_path) == 1
    net = ResNetSupernet(narrowed(resnet_digits()))
    with pytest.raises(InputError, match=r"the ratios 1, 0.5, 0.2, `ratios` asks for 1, 0.4; go"):
        next(train_all_in_one(net, small_digits(), SETTINGS, RatioSettings((1, 0.4)), tmp_path))


def test_a_run_in_blocks_says_its_rows_and_may_name_them(tmp_path: Path) -> None:
    net = ResNetSupernet(narrowed(resnet_digits()))
    for g in (0, 8):
        asked = RatioSettings((1, 0.5), unit="block", g=g)
        training = train_all_in_one(net, small_digits(), SETTINGS, asked, tmp_path)
        next(training), next(training, None)
        training.close()  # type: ignore[attr-defined]
    assert read_tensors(tmp_path / "masks" / "weights.safetensors", SCHEMA)[1]["ratios"]["g"] == 8


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"mask_share": 5}, "`mask_share` must be above 0 and below 1, got 5"),
        ({"mask_share": -1}, "`mask_share` must be above 0 and below 1, got -1"),
        ({"mask_share": math.nan}, "`mask_share` must be above 0 and below 1, got nan"),
        ({"mask_share": "half"}, "`mask_share` must be a number, got 'half'"),
        ({"g": 3}, "`g` is of blocks and patterns; give `unit` block or leave it out"),
        ({"unit": "rows"}, "`unit` must be one of filter, block, pattern, got 'rows'"),
        ({"shares": (1, "a")}, r"`shares` must be numbers, such as \(1, 0.5\), got \(1, 'a'\)"),
        ({"shares": (1, math.nan)}, "`ratios` must be above 0 and at most 1, got 1, nan"),
        ({"shares": (0.5, 1)}, "`ratios` must fall, got 0.5, 1"),
        ({"shares": ()}, "`ratios` must be above 0 and at most 1, got none"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(given: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        RatioSettings(**given)


def test_without_the_start_that_a_run_had_nothing_is_trained(tmp_path: Path) -> None:
    """The dense network would be, for hours, before the masks of the other one are refused."""
    net = ResNetSupernet(narrowed(resnet_digits()))
    given = train_all_in_one(net, small_digits(), SETTINGS, RATIOS, tmp_path)
    next(given), next(given)  # the first epoch, of the masks, is over
    given.close()
    with pytest.raises(InputError, match="holds a training run with another start: it began with"):
        run(tmp_path)
    assert not (tmp_path / "dense").exists()


def test_one_epoch_is_too_few() -> None:
    with pytest.raises(InputError, match="`epochs` must be at least 2, for masks and weights"):
        RATIOS.mask_epochs(1)
    assert [RATIOS.mask_epochs(n) for n in (2, 10, 12)] == [1, 4, 5]
