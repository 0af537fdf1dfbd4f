"""Accuracy tables against a loop over single images; temperatures; resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import InputError, PolicyGrid, Subnet
from supernets import Evaluation, accuracy_table, exit_logits, fit_temperatures, policy_accuracy
from supernets.calibrate import calibrate
from supernets.checkpoint import read_tensors
from supernets.evaluate import SCHEMA, confidence_and_correct
from tests.supernets.tiny import digits, images, subnets, supernet

SUPERNET, GRID = supernet(), PolicyGrid(3, (0.3, 0.6, 0.9))
DATA = Evaluation(images(60)[:40], digits().train.labels[:40], images(60)[40:], "validation")
TEMPERATURES = [1.5, 1.2, 1.0, 0.8]


def run(out: Path, chosen: list[Subnet], data: Evaluation = DATA, **changes: object) -> list[int]:
    arguments = {"temperatures": TEMPERATURES, "supernet_sha256": "a" * 64} | changes
    return list(accuracy_table(SUPERNET, chosen, data, GRID, out=out, **arguments))


class Counting(Evaluation):
    """Remembers which subnets were really evaluated."""

    seen: list[Subnet]

    def logits(self, net: torch.nn.Module, subnet: Subnet) -> Tensor:
        self.seen.append(subnet)
        return super().logits(net, subnet)


@pytest.fixture
def counting() -> Counting:
    data = Counting(DATA.images, DATA.labels, DATA.bn_images, DATA.split)
    object.__setattr__(data, "seen", [])
    return data


def test_the_table_holds_what_every_image_does_under_every_policy(tmp_path: Path) -> None:
    chosen = subnets(3)
    assert run(tmp_path / "accuracy.safetensors", chosen) == [1, 2, 3]
    tensors, metadata = read_tensors(tmp_path / "accuracy.safetensors", SCHEMA)
    assert metadata["subnets"] == [str(subnet) for subnet in chosen]
    assert tensors["top1_error_pct"].shape == (3, len(GRID))
    assert tensors["exit_rate"].shape == (3, len(GRID), 4)
    for row, subnet in enumerate(chosen):
        logits = DATA.logits(SUPERNET, subnet)
        for p, policy in enumerate(GRID):
            wrong, left = 0, [0] * 4
            for i, label in enumerate(DATA.labels.tolist()):
                for k in [*policy.after, 3]:
                    sure = (logits[k, i] / TEMPERATURES[k]).softmax(dim=0).max()
                    if k == 3 or sure >= policy.thresholds[policy.after.index(k)]:
                        break
                wrong += int(logits[k, i].argmax()) != label
                left[k] += 1
            assert tensors["top1_error_pct"][row, p] == pytest.approx(100 * wrong / 40, abs=1e-4)
            np.testing.assert_allclose(tensors["exit_rate"][row, p], np.array(left) / 40, atol=1e-3)


def test_one_subnet_agrees_with_its_row(tmp_path: Path) -> None:
    chosen = subnets(2)
    run(tmp_path / "a", chosen)
    error_pct, _ = policy_accuracy(SUPERNET, chosen[1], DATA, GRID, TEMPERATURES)
    tensors, _ = read_tensors(tmp_path / "a", SCHEMA)
    np.testing.assert_allclose(tensors["top1_error_pct"][1], error_pct, atol=1e-4)


def test_a_rerun_evaluates_only_what_is_missing(tmp_path: Path, counting: Counting) -> None:
    chosen = subnets(4)
    run(tmp_path / "a", chosen[:2])
    assert run(tmp_path / "a", chosen, counting) == [1, 2, 3, 4]
    assert counting.seen == chosen[2:]
    run(tmp_path / "b", chosen)
    a, b = (read_tensors(tmp_path / name, SCHEMA) for name in "ab")
    assert a[1] == b[1]
    torch.testing.assert_close(a[0], b[0])


def test_a_stopped_table_goes_on(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernets.evaluate.SAVE_EVERY", 2)
    chosen = subnets(4)
    steps = accuracy_table(SUPERNET, chosen, DATA, GRID, TEMPERATURES, tmp_path / "a", "a" * 64)
    assert [next(steps) for _ in range(3)] == [1, 2, 3]
    steps.close()
    run(tmp_path / "a", chosen, counting)
    assert counting.seen == chosen[2:]


@pytest.mark.parametrize(
    "changes",
    [
        {"supernet_sha256": "b" * 64},
        {"temperatures": [1.0] * 4},
        {"split": "test"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_rows_of_other_weights_images_or_policies_are_not_kept(
    tmp_path: Path, counting: Counting, changes: dict[str, object]
) -> None:
    run(tmp_path / "a", subnets(2))
    if "split" in changes:
        object.__setattr__(counting, "split", changes.pop("split"))
    run(tmp_path / "a", subnets(2), counting, **changes)
    assert counting.seen == subnets(2)


def test_logits_do_not_depend_on_the_batch_size() -> None:
    subnet = subnets(3)[2]
    statistics = calibrate(SUPERNET, subnet, DATA.bn_images)
    whole, parts = (
        exit_logits(SUPERNET, subnet, DATA.images, statistics, batch_size=size) for size in (40, 7)
    )
    assert whole.shape == (4, 40, 10)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


def test_temperatures_minimise_the_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (300,), generator=generator)
    signal = F.one_hot(labels, 10) * 4.0 + 2 * torch.randn(300, 10, generator=generator)
    logits = torch.stack([0.5 * signal, signal, 2 * signal])
    found = fit_temperatures(logits, labels)
    for exit_logit, temperature in zip(logits, found, strict=True):
        least = F.cross_entropy(exit_logit / temperature, labels)
        others = torch.linspace(0.25, 4, 500)
        assert all(least <= F.cross_entropy(exit_logit / t, labels) + 1e-4 for t in others)
    np.testing.assert_allclose(np.divide(found, found[1]), [0.5, 1, 2], rtol=0.02)


def test_temperatures_change_confidence_but_no_answer() -> None:
    logits = DATA.logits(SUPERNET, subnets(1)[0])
    hot, correct = confidence_and_correct(logits, DATA.labels, [4.0] * 4)
    cold, same = confidence_and_correct(logits, DATA.labels, [0.25] * 4)
    assert (hot < cold).all()
    np.testing.assert_array_equal(correct, same)
    assert hot.shape == correct.shape == (40, 4)


def test_an_evaluation_takes_its_images_from_one_split() -> None:
    for split in ("validation", "test"):
        data = Evaluation.of(digits(), split)
        assert data.split == split
        torch.testing.assert_close(data.labels, getattr(digits(), split).labels)
        assert len(data.bn_images) == len(digits().train)
    assert replace(DATA, split="test").split == "test"
    empty = replace(digits(), validation=digits().validation[np.arange(0)])
    with pytest.raises(InputError, match=r"digits has no validation images: .* into val/CLASS/"):
        Evaluation.of(empty, "validation")


def test_one_temperature_is_not_taken_for_all_exits() -> None:
    with pytest.raises(InputError, match="3 exits need as many temperatures, got 1"):
        confidence_and_correct(torch.zeros(3, 2, 10), torch.zeros(2, dtype=torch.int64), [1.0])
