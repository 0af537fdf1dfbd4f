"""Policies, programs and the one-pass response against loops over single samples."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from search_spaces import (
    ExitPolicy,
    InputError,
    PolicyGrid,
    format_heads,
    ideal_mapping,
    parse_heads,
)

GRIDS = [PolicyGrid(0), PolicyGrid(1), PolicyGrid(2, (0.5, 0.9)), PolicyGrid(3, (0.5, 0.9))]

every_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.n_exits} exits")


def exit_of(policy: ExitPolicy, confidence: np.ndarray) -> int:
    """Where one sample leaves: the first asked exit that is sure enough, or the last."""
    for k, threshold in zip(policy.after, policy.thresholds, strict=True):
        if confidence[k] >= threshold:
            return k
    return len(confidence) - 1


@every_grid
@given(data=st.data())
def test_the_response_is_what_single_samples_do(grid: PolicyGrid, data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 12)), grid.n_exits + 1)
    values = st.sampled_from([0.1, 0.5, 0.55, 0.9, np.nextafter(0.9, 0), 0.97, 1.0])
    confidence = data.draw(arrays(np.float64, shape, elements=values))
    correct = data.draw(arrays(np.bool_, shape))
    error_pct, rates = grid.response(confidence, correct)
    for p, policy in enumerate(grid):
        left = [exit_of(policy, row) for row in confidence]
        right = [row[k] for k, row in zip(left, correct, strict=True)]
        assert error_pct[p] == pytest.approx(100 - 100 * np.mean(right))
        np.testing.assert_allclose(rates[p], np.bincount(left, minlength=shape[1]) / shape[0])


def test_the_full_grid_answers_as_single_samples_do() -> None:
    rng = np.random.default_rng(0)
    grid = PolicyGrid(3)
    confidence, correct = rng.random((200, 4)).astype(np.float32), rng.random((200, 4)) < 0.7
    error_pct, rates = grid.response(confidence, correct)
    for p in rng.choice(len(grid), 25, replace=False):
        left = np.array([exit_of(grid[p], row.astype(float)) for row in confidence])
        assert error_pct[p] == pytest.approx(100 - 100 * correct[range(200), left].mean())
        np.testing.assert_allclose(rates[p], np.bincount(left, minlength=4) / 200)


@every_grid
def test_programs_are_all_non_empty_sets_of_exits(grid: PolicyGrid) -> None:
    sets = {tuple(np.flatnonzero(row)) for row in grid.programs}
    assert len(sets) == len(grid.programs) == 2 ** (grid.n_exits + 1) - 1
    assert () not in sets


@every_grid
def test_a_sample_has_run_the_asked_heads_up_to_where_it_leaves(grid: PolicyGrid) -> None:
    for p, policy in enumerate(grid):
        asked = [*policy.after, grid.n_exits]
        for k in range(grid.n_exits + 1):
            if k not in asked:
                assert grid.route[p, k] == -1
                continue
            heads = np.flatnonzero(grid.programs[grid.route[p, k]]).tolist()
            assert heads == [exit_ for exit_ in asked if exit_ <= k]


@every_grid
def test_every_asked_early_exit_is_one_decision(grid: PolicyGrid) -> None:
    counted = grid.n_decisions()
    for p, policy in enumerate(grid):
        for k in range(grid.n_exits + 1):
            assert counted[p, k] == sum(exit_ <= k for exit_ in policy.after)


@every_grid
def test_index_finds_every_policy(grid: PolicyGrid) -> None:
    policies = list(grid)
    assert len(set(policies)) == len(grid)
    assert [grid.index(policy) for policy in policies] == list(range(len(grid)))
    assert [ExitPolicy.from_dict(policy.to_dict()) for policy in policies] == policies


def test_three_exits_have_729_policies_and_the_first_takes_none() -> None:
    grid = PolicyGrid(3)
    assert len(grid) == 729
    assert grid[0] == ExitPolicy()
    assert str(grid[0]) == "none"
    assert str(ExitPolicy((0, 2), (0.9, 0.7))) == "0@0.9+2@0.7"


def test_without_exits_there_is_one_policy() -> None:
    grid = PolicyGrid(0)
    assert list(grid) == [ExitPolicy()]
    assert grid.route.tolist() == [[0]]
    error_pct, rates = grid.response(np.ones((4, 1)), np.array([[1], [1], [1], [0]], dtype=bool))
    assert error_pct.tolist() == [25.0]
    assert rates.tolist() == [[1.0]]


@pytest.mark.parametrize(
    "policy", [ExitPolicy((0,), (0.123,)), ExitPolicy((3,), (0.9,)), ExitPolicy((-1,), (0.9,))]
)
def test_a_policy_outside_the_grid_is_refused(policy: ExitPolicy) -> None:
    with pytest.raises(InputError, match="the grid has exits 0 to 2 and thresholds"):
        PolicyGrid(3).index(policy)


def test_a_policy_is_checked() -> None:
    with pytest.raises(InputError, match="one threshold per exit"):
        ExitPolicy((0, 1), (0.9,))
    with pytest.raises(InputError, match="exits must rise along the depth"):
        ExitPolicy((1, 0), (0.9, 0.9))


@given(heads=st.sets(st.integers(0, 5), min_size=1))
def test_heads_read_back(heads: set[int]) -> None:
    assert parse_heads(format_heads(heads), n_exits=5) == tuple(sorted(heads))


def test_an_empty_cell_means_all_heads() -> None:
    assert parse_heads("", 2) == parse_heads("  ", 2) == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,2", "heads must look like 0+2, got '0,2'"),
        ("0+", "heads must look like 0+2, got '0+'"),
        ("last", "heads must look like 0+2, got 'last'"),
        ("0+4", "heads must lie in 0..3, got '0+4'"),
        ("-1", "heads must lie in 0..3, got '-1'"),
    ],
)
def test_a_broken_cell_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_heads(text, 3)


@given(st.integers(0, 2**32 - 1))
def test_the_oracle_is_the_union_of_what_the_exits_get_right(seed):
    rng = np.random.default_rng(seed)
    correct = rng.random((20, 3)) < rng.random(3)
    sets = [set(np.flatnonzero(column)) for column in correct.T]
    error, dissimilarity = ideal_mapping(correct)
    assert error == pytest.approx(100 - 100 * len(set.union(*sets)) / 20)
    for i, own in enumerate(sets):
        new = own - set().union(*sets[:i])
        assert dissimilarity[i] == pytest.approx(len(new) / len(own) if own else 0)
    twice = np.concatenate([correct, correct[:, -1:]], axis=1)
    assert ideal_mapping(twice)[1][-1] == 0  # an exit that repeats another adds nothing
    assert ideal_mapping(twice)[0] == error


def test_programs_of_a_policy_are_those_of_its_route() -> None:
    grid = PolicyGrid(3, (0.5, 0.9))
    for i in range(len(grid)):
        route = grid.route[i]
        heads = [tuple(np.flatnonzero(grid.programs[k]).tolist()) for k in route[route >= 0]]
        assert grid[i].programs(3) == heads
    assert ExitPolicy().programs(0) == [(0,)]


def test_grids_and_policies_are_values() -> None:
    assert PolicyGrid(2, [0.5, 0.9]) == PolicyGrid(2, (0.5, 0.9)) != PolicyGrid(1, (0.5, 0.9))
    assert {PolicyGrid(2): 1}[PolicyGrid(2)] == 1
    assert {ExitPolicy([0], [0.9]): 1}[ExitPolicy((0,), (0.9,))] == 1


def test_a_grid_refuses_what_it_would_answer_wrongly() -> None:
    for exits, thresholds in ((1, (0.9, 0.5)), (-1, (0.5,))):
        with pytest.raises(InputError, match="a grid needs 0 exits or more and thresholds that"):
            PolicyGrid(exits, thresholds)
    right = np.ones((3, 2), dtype=bool)
    for confidence, correct in ((right[:, :1], right), (right, right[:2]), (right[:0], right[:0])):
        with pytest.raises(InputError, match=r"must be \(images, 2\), one image or more, got"):
            PolicyGrid(1).response(confidence, correct)
