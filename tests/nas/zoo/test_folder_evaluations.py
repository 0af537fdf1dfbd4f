"""Evaluations that were paid for are kept: more subnets extend a table, nothing is replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.files import exclusive
from nas.zoo.folder import evaluate_folder, subnets_to_evaluate
from predictors import read_accuracy_table
from search_spaces import InputError, get_space
from supernets import build_supernet, save_supernet

SPACE = get_space("resnet-digits")


@given(
    n=st.integers(1, 300),
    more=st.integers(0, 300),
    seed=st.integers(0, 5),
    name=st.sampled_from(["resnet-digits", "resnet-cifar", "nasbench201"]),
)
def test_samples_are_a_growing_sequence(n: int, more: int, seed: int, name: str) -> None:
    space = get_space(name)
    few, many = (subnets_to_evaluate(space, k, seed) for k in (n, n + more))
    assert few == many[: len(few)]
    assert len(set(many)) == len(many) == n + more


def save(folder: Path) -> None:
    """A supernet as training leaves it."""
    said = {"epochs_done": 1, "seconds": 1.0, "settings": {"epochs": 1}, "command": "test"}
    weights = folder / "weights.safetensors"
    save_supernet(build_supernet(SPACE), weights, dataset="digits", host="here", **said)


def evaluated(folder: Path, n: int, **options: bool) -> list[int]:
    run = evaluate_folder(folder, None, n_subnets=n, seed=0, command="test", **options)
    return [done for done, _ in run]


def test_more_samples_extend_the_table(tmp_path: Path) -> None:
    save(tmp_path)
    evaluated(tmp_path, 9)
    table = tmp_path / "accuracy.safetensors"
    first = read_accuracy_table(table, SPACE)
    evaluated(tmp_path, 12)
    second = read_accuracy_table(table, SPACE)
    assert (len(first), len(second)) == (9, 12)
    np.testing.assert_array_equal(second.genes[:9], first.genes)
    np.testing.assert_array_equal(second.top1_error_pct[:9], first.top1_error_pct)
    assert second.temperatures == first.temperatures
    evaluated(tmp_path, 9)
    assert len(read_accuracy_table(table, SPACE)) == 12

    save(tmp_path)
    before = table.read_bytes()
    busy = "another training or evaluation is running in"
    with exclusive(tmp_path, "training"), pytest.raises(InputError, match=busy):
        evaluated(tmp_path, 9)  # it would write down accuracies of weights that change
    with pytest.raises(
        InputError, match=r"holds 12 subnets evaluated with another supernet_sha256;"
    ):
        evaluated(tmp_path, 9)
    assert table.read_bytes() == before
    evaluated(tmp_path, 9, overwrite=True)
    assert len(read_accuracy_table(table, SPACE)) == 9
