"""The engine stops where the evaluated policy says, and computes nothing behind that exit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import ExitPolicy, InputError, PolicyGrid
from supernets import EarlyExitEngine, calibrate, confidence_and_correct, exit_logits, extract
from tests.supernets.tiny import SPACE, digits, images, subnets, supernet

NET, IMAGES, LABELS = supernet(), images(), digits().train.labels[:48]
SUBNET = subnets(3)[2]
STATISTICS = calibrate(NET, SUBNET, IMAGES)
TEMPERATURES = [1.5, 0.8, 1.2, 1.0]
LOGITS = exit_logits(NET, SUBNET, IMAGES, STATISTICS)
CONFIDENCE, CORRECT = confidence_and_correct(LOGITS, LABELS, TEMPERATURES)
GRID = PolicyGrid(SPACE.n_exits)


def engine(policy: ExitPolicy) -> EarlyExitEngine:
    heads = [*policy.after, SPACE.n_exits]
    net = extract(NET, SUBNET, heads=heads, statistics=STATISTICS)
    return EarlyExitEngine(net, policy.thresholds, [TEMPERATURES[k] for k in heads])


@given(index=st.integers(0, len(GRID) - 1))
def test_answers_are_those_of_the_evaluated_policy(index: int) -> None:
    policy = GRID[index]
    error, rates = GRID.response(CONFIDENCE, CORRECT)
    answers = engine(policy)(IMAGES)
    found = [float((answers.exits == k).float().mean()) for k in range(SPACE.n_exits + 1)]
    assert found == pytest.approx(rates[index], abs=1e-6)
    wrong = (answers.classes != LABELS).float().mean()
    assert 100 * float(wrong) == pytest.approx(error[index], abs=1e-4)


@given(
    thresholds=st.tuples(*[st.floats(0.1, 1.0)] * 3), index=st.integers(0, 47), n=st.integers(1, 9)
)
def test_an_image_is_answered_the_same_in_any_batch(
    thresholds: tuple[float, float, float], index: int, n: int
) -> None:
    run = engine(ExitPolicy((0, 1, 2), thresholds))
    alone = run(IMAGES[index : index + 1])
    batch = run(IMAGES[index : index + n])
    assert alone.exits[0] == batch.exits[0]
    assert alone.classes[0] == batch.classes[0]
    torch.testing.assert_close(alone.confidence[0], batch.confidence[0])


def test_a_confidence_that_equals_the_threshold_is_enough() -> None:
    confidence = float(engine(ExitPolicy((1,), (0.0,)))(IMAGES[:1]).confidence)
    below = np.nextafter(confidence, 2.0)
    assert engine(ExitPolicy((1,), (confidence,)))(IMAGES[:1]).exits.item() == 1
    assert engine(ExitPolicy((1,), (float(below),)))(IMAGES[:1]).exits.item() == SPACE.n_exits


def test_nothing_behind_the_exit_is_computed() -> None:
    run = engine(ExitPolicy((0, 2), (0.0, 0.0)))
    calls = []
    for i, segment in enumerate(run.net.segments):
        segment.register_forward_hook(lambda *_, i=i: calls.append(i))
    run(IMAGES)
    assert calls == [0]


def test_only_waiting_images_go_on() -> None:
    """Thresholds at medians: about half of the images leave at every exit."""
    medians = tuple(float(m) for m in np.median(CONFIDENCE[:, :3], axis=0))
    run = engine(ExitPolicy((0, 1, 2), medians))
    sizes: list[int] = []
    for segment in run.net.segments:
        segment.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    answers = run(IMAGES)
    left = [int((answers.exits == k).sum()) for k in range(3)]
    assert [a - b for a, b in pairwise(sizes)] == left
    assert all(left)


def test_a_policy_that_does_not_fit_is_refused() -> None:
    net = extract(NET, SUBNET)
    with pytest.raises(InputError, match=r"exits \[0, 1, 2, 3\] needs 3 thresholds and 4 temper"):
        EarlyExitEngine(net, [0.5], TEMPERATURES)
    with pytest.raises(InputError, match=r"temperatures must be positive, got \[0\.0, 1"):
        EarlyExitEngine(net, [0.5, 0.6, 0.7], [0.0, 1.0, 1.0, 1.0])
    assert (
        repr(EarlyExitEngine(net, [0.5, 0.6, 0.7], [1.0] * 4))
        == "EarlyExitEngine(0@0.5+1@0.6+2@0.7)"
    )
