"""What a card says of a supernet."""

import numpy as np
import pytest
import torch

from nas.zoo.card import card, expected_calibration_error, named_accuracies
from predictors import AccuracyTable
from search_spaces import PolicyGrid
from supernets import Evaluation
from tests.supernets import tiny

N_EXITS = tiny.SPACE.n_exits
TEMPERATURES = [1.0] * (N_EXITS + 1)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy():
    """Two classes: confidence 0.75 everywhere, right in every second image."""
    logits = torch.tensor([[[np.log(3.0), 0.0]] * 8])
    labels = torch.tensor([0, 1] * 4)
    assert expected_calibration_error(logits, labels, [1.0]) == pytest.approx([25.0])
    assert expected_calibration_error(logits, labels * 0, [1.0]) == pytest.approx([25.0])
    sure = expected_calibration_error(1000 * logits, labels * 0, [1.0])
    assert sure == pytest.approx([0.0])


def test_both_ends_and_the_tables_figures_are_on_it():
    net, subnets = tiny.supernet(), tiny.subnets(3)
    test = Evaluation.of(tiny.digits(), "test")
    named = named_accuracies(net, subnets, test, TEMPERATURES)
    assert [row["name"] for row in named] == ["largest", "smallest", "A"]
    assert all(len(row["top1"]) == len(row["ece"]) == N_EXITS + 1 for row in named)
    assert named[0]["mmacs"] > named[2]["mmacs"] > named[1]["mmacs"]
    grid = PolicyGrid(N_EXITS, (0.7,))
    table = AccuracyTable(
        *(tiny.SPACE.largest, grid, np.zeros((1, len(grid))), np.zeros((1, len(grid), 1))),
        n_images=77,
        supernet_sha256="abc",
        temperatures=tuple(TEMPERATURES),
    )
    earlier = {"settings": {"lr": 1}, "epochs_done": 5, "seconds": 60, "command": "first run"}
    metadata = {
        **{"space": {"name": "resnet-digits"}, "dataset": "digits", "settings": {"lr": 0.1}},
        **{"epochs_done": 2, "seconds": 120, "start": earlier, "host": "a laptop"},
    }
    errors = [100 - row["top1"][-1] - gap for row, gap in zip(named, (1, -0.5, 1), strict=True)]
    text = card(
        "mine", metadata, named, {"srcc": 0.9}, table, test, "nas supernet evaluate", errors
    )
    assert "test minus validation +1.00, -0.50, +1.00 points, on average +0.50." in text
    assert text.startswith("# mine\n")
    assert "trained on digits for 5 + 2 epochs (3 minutes on a laptop)" in text
    assert "- trained by `first run`: lr=1" in text
    assert f"1 subnet x {len(grid)} exit policies, measured on 77 validation images" in text
    assert "- weights sha256 `abc`" in text
    assert f"| largest `{subnets[0]}` |" in text
    wrapped = {"space": {"name": "own"}, "dataset": "digits", "source": "mine", "command": "wrap"}
    text = card("own", wrapped, named, {}, table, test, "nas supernet evaluate")
    assert "the network `mine`, not trained as a supernet.\n\n- made by `wrap`\n" in text
