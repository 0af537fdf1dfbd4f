"""Batch-norm statistics of a table's points belong to the table's own weights."""

import numpy as np
import pytest

from nas.pareto import ParetoTable
from nas.zoo.calibrated import calibrate_points, check_weights
from search_spaces import InputError
from supernets import calibrate, calibration_images, read_bn_cache, save_supernet, sha256
from tests.supernets import tiny


def table(described, subnets=()):
    points = [{"subnet": str(subnet)} for subnet in subnets]
    return ParetoTable({"supernet": described, "points": points, "baselines": points[:1]})


def test_other_weights_and_no_weights_are_refused(tmp_path):
    described = {"name": "mine", "sha256": "a" * 64}
    assert check_weights(table(described), "a" * 64, tmp_path) is described
    with pytest.raises(InputError, match=r"with the weights a{12} of mine, .* holds b{12}; search"):
        check_weights(table(described), "b" * 64, tmp_path)
    with pytest.raises(InputError, match="an accuracy table alone: no network to run"):
        check_weights(table(None), "a" * 64, tmp_path)


def test_every_subnet_is_calibrated_once(tmp_path):
    net, subnets, data = tiny.supernet(), tiny.subnets(2), tiny.digits()
    weights = tmp_path / "weights.safetensors"
    save_supernet(net, weights, dataset=data.name)
    out = tmp_path / "bn.safetensors"
    points = table({"name": "mine", "sha256": sha256(weights)}, subnets)
    with pytest.raises(InputError, match="which this command reads; name another file"):
        next(calibrate_points([points], tmp_path, None, weights, command="test"))
    told = list(calibrate_points([points], tmp_path, None, out, n_samples=3, command="test"))
    assert told == [(i, 5) for i in range(1, 6)]
    found = read_bn_cache(out, net, sha256(weights))
    drawn = net.space.subnets(net.space.sample(3, np.random.default_rng(0)))
    assert set(found) == set(map(str, [*subnets, *drawn]))
    expected = calibrate(net, subnets[1], calibration_images(data))
    assert found[str(subnets[1])].keys() == expected.keys()
