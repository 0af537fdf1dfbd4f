"""Which data can verify a model is said before a search, and what is found stands beside it."""

import numpy as np
import pytest

from nas.pareto import ParetoTable
from nas.search.images.verify_accuracy import check_data, verify
from nas.search.model import Model
from predictors import AccuracyTable
from search_spaces import ExitPolicy, InputError, PolicyGrid
from supernets import Evaluation, policy_accuracy, save_supernet
from tests.supernets import tiny

GRID = PolicyGrid(tiny.SPACE.n_exits, (0.3, 0.7))
TEMPERATURES = (1.0, 0.8, 1.2, 1.0)


class Known:
    """Accuracies that nobody asks for: verifying needs the grid and the temperatures."""

    table = AccuracyTable(
        tiny.SPACE.largest, GRID, np.zeros((1, 1)), np.zeros((1, 1, 1)), temperatures=TEMPERATURES
    )


def model(folder):
    described = None if folder is None else {"name": "tiny", "sha256": "0"}
    return Model(tiny.SPACE, Known(), described, folder)  # type: ignore[arg-type]


def test_a_space_without_a_network_has_nothing_to_verify(tmp_path):
    check_data(model(None), None)
    with pytest.raises(InputError, match="`data` verifies points of a supernet with weights"):
        check_data(model(None), tmp_path)


def test_points_get_what_the_test_images_say(tmp_path):
    net = tiny.supernet()
    data = tiny.digits()
    save_supernet(net, tmp_path / "weights.safetensors", dataset=data.name)
    subnet, exits = tiny.subnets(2)[1], ExitPolicy((0,), (0.7,))
    point = {"subnet": str(subnet), "exits": exits.to_dict()}
    table = ParetoTable({"points": [point]})  # type: ignore[typeddict-item]
    verify(table, model(tmp_path), None)
    images = Evaluation.of(data, "test")
    error, rates = policy_accuracy(net, subnet, images, GRID, TEMPERATURES)
    found, row = point["verified"], GRID.index(exits)
    assert found["top1_error_pct"] == pytest.approx(error[row], abs=0.01)
    np.testing.assert_allclose(found["exit_rates"], rates[row], atol=1e-3)
    assert found["n_images"] == len(images.labels)
    assert found["oracle"]["top1_error_pct"] <= found["top1_error_pct"]
