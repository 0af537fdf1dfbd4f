"""One subnet on images: counts, and what decides them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.search.images.evaluator import Evaluator, one_thread
from search_spaces import PolicyGrid
from supernets import Evaluation
from tests.supernets import tiny

GRID = PolicyGrid(tiny.SPACE.n_exits, (0.3, 0.7))
SUBNET = str(tiny.subnets(2)[1])


@pytest.fixture(scope="module")
def evaluator():
    data = Evaluation.of(tiny.digits(), "validation")
    few = replace(data, images=data.images[:60], labels=data.labels[:60])
    return Evaluator(tiny.supernet(), few, GRID, (1.0, 0.8, 1.2, 1.0))


def test_every_image_leaves_once_under_every_policy(evaluator):
    counts = evaluator(SUBNET)
    assert counts.shape == (len(GRID), GRID.n_exits + 2)
    assert evaluator.n_images == 60
    assert (counts[:, 1:].sum(axis=1) == 60).all()
    assert (counts[:, 0] <= 60).all()
    ((name, again),) = evaluator.each([SUBNET])
    assert name == SUBNET
    np.testing.assert_array_equal(again, counts)


def test_what_decides_the_counts_is_described(evaluator):
    changed = evaluator.data.images.clone()
    changed[0, 0, 0, 0] += 1
    others = [
        replace(evaluator, data=replace(evaluator.data, images=changed)),
        replace(evaluator, temperatures=(1.0, 0.9, 1.2, 1.0)),
        replace(evaluator, grid=PolicyGrid(tiny.SPACE.n_exits, (0.3, 0.8))),
    ]
    for other in others:
        assert other.describe() != evaluator.describe()


def test_it_is_the_same_in_another_process(evaluator):
    again = pickle.loads(pickle.dumps(evaluator))
    assert again.describe() == evaluator.describe()
    np.testing.assert_array_equal(again(SUBNET), evaluator(SUBNET))


def test_torch_has_its_threads_again_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="1 thread"):
        refuse()
    assert torch.get_num_threads() == before


def refuse():
    with one_thread():
        raise RuntimeError(f"{torch.get_num_threads()} thread")
