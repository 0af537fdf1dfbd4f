"""Predicted batch-norm statistics: exact where they must be, near where they can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from search_spaces import InputError
from supernets import PredictedStatistics, ResNetSupernet, cached_norm, calibrate
from tests.supernets.tiny import SPACE, images, supernet

NET, IMAGES = supernet(), images(50)
KNOWN = SPACE.subnets(SPACE.sample_spread(40, np.random.default_rng(0)))
OWN = {str(subnet): calibrate(NET, subnet, IMAGES) for subnet in KNOWN}
OTHERS = SPACE.subnets(SPACE.sample(12, np.random.default_rng(1)))


def test_what_is_known_is_predicted_as_it_is() -> None:
    predict = PredictedStatistics(NET, OWN)
    for subnet in KNOWN[:3]:
        found, wanted = predict(subnet), OWN[str(subnet)]
        assert list(found) == list(wanted)
        for key in wanted:
            torch.testing.assert_close(found[key], wanted[key], atol=1e-4, rtol=1e-4)


def test_layers_that_begin_alike_have_the_same_statistics() -> None:
    """The first stage of a known subnet, whatever comes behind it."""
    head = SPACE.genes(KNOWN[3:4])[0]
    tail = SPACE.genes([OTHERS[0]])[0]
    of_first_stage = SPACE.used_genes(np.eye(SPACE.n_exits + 1, dtype=bool)[:1])[0]
    mixed = SPACE.subnet(np.where(of_first_stage, head, tail))
    found, wanted = PredictedStatistics(NET, OWN)(mixed), calibrate(NET, mixed, IMAGES)
    for key in (key for key in wanted if key.startswith(("stem", "stages.0", "heads.0"))):
        torch.testing.assert_close(found[key], wanted[key], atol=1e-4, rtol=1e-4)


def test_predictions_are_much_nearer_than_the_largest_subnets() -> None:
    """By what the network answers with them, of subnets that nobody measured."""
    predict, differences = PredictedStatistics(NET, OWN), dict[str, list[float]]()
    with torch.no_grad():
        for subnet in OTHERS:
            wanted = NET(IMAGES, subnet, norm=cached_norm(calibrate(NET, subnet, IMAGES)))[-1]
            largest = NET(IMAGES, subnet)[-1]
            found = NET(IMAGES, subnet, norm=cached_norm(predict(subnet)))[-1]
            for name, logits in (("largest", largest), ("predicted", found)):
                error = float((logits - wanted).square().mean().sqrt())
                differences.setdefault(name, []).append(error)
    assert np.median(differences["predicted"]) < 0.5 * np.median(differences["largest"])


def test_a_gene_that_can_only_be_zero_does_no_harm() -> None:
    space = replace(SPACE, expands=(0,))
    net, known = ResNetSupernet(space).eval(), space.subnet(space.largest)
    predict = PredictedStatistics(net, {str(known): calibrate(net, known, IMAGES)})
    found = predict(space.subnet(space.smallest))
    assert all(mean.isfinite().all() and var.isfinite().all() for mean, var in found.values())


def test_a_subnet_wider_than_all_that_are_known_is_refused() -> None:
    smallest = SPACE.subnet(SPACE.smallest)
    predict = PredictedStatistics(NET, {str(smallest): calibrate(NET, smallest, IMAGES)})
    with pytest.raises(InputError, match=r"no known statistics have \d+ channels of"):
        predict(SPACE.subnet(SPACE.largest))
