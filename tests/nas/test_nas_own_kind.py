"""A space and a supernet of a user's package, trained, evaluated and searched."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from nas.search import SearchSettings, run_search
from nas.zoo.folder import evaluate_folder
from search_spaces import GeneGroup, OperatorBuilder, Space, catalog, get_space, register_space
from supernets import (
    RELU,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ExitHead,
    FinalHead,
    Supernet,
    build_supernet,
    conv_norm,
    extract,
    load_dataset,
    register_supernet,
)
from supernets import catalog as supernet_catalog
from supernets.training import TrainSettings, train

WIDTHS = (8, 12, 16)


@dataclass(frozen=True)
class SlimSpace(Space):
    """Two 3x3 convolutions of elastic width, an exit behind the first."""

    name: str = "slim"
    n_classes: int = 10
    n_exits: int = 1
    groups: tuple[GeneGroup, ...] = (GeneGroup("w", "width", (WIDTHS, WIDTHS)),)

    def input_shape(self, subnet):
        return 1, 8, 8

    def to_dict(self):
        return {"name": self.name}

    def operators(self, genes, heads):
        heads = np.broadcast_to(heads, (len(genes), 2))
        net = OperatorBuilder(1, 8)
        x = net.conv(net.image, genes[:, 0], 3)
        net.on = heads[:, 0]
        net.linear(net.mean(net.conv(x, 16, 3, 2)), 10)
        net.stage, net.on = 1, heads[:, 1]
        net.linear(net.mean(net.conv(x, genes[:, 1], 3, 2)), 10)
        return net.done()


class SlimSupernet(Supernet):
    def __init__(self, space):
        super().__init__()
        self.space = space
        self.conv1, self.norm1 = ElasticConv2d(1, 16, 3), ElasticBatchNorm2d(16)
        self.conv2, self.norm2 = ElasticConv2d(16, 16, 3, stride=2), ElasticBatchNorm2d(16)
        self.heads = nn.ModuleList([ExitHead(16, 16, 10, side=8), FinalHead(16, 10)])
        self.name_norms()

    def segment(self, k, subnet):
        first, second = subnet["w"]
        if k == 0:
            return [*conv_norm(self.conv1, self.norm1, 1, first), RELU], first
        return [*conv_norm(self.conv2, self.norm2, first, second), RELU], second


@pytest.fixture
def space(monkeypatch):
    """What is registered is forgotten behind the test."""
    monkeypatch.setattr(catalog, "_SPACES", dict(catalog._SPACES))
    monkeypatch.setattr(supernet_catalog, "_SUPERNETS", dict(supernet_catalog._SUPERNETS))
    register_space("slim", SlimSpace)
    register_supernet(SlimSpace, SlimSupernet)
    return get_space("slim")


def test_an_own_kind_is_trained_evaluated_and_searched(space, tmp_path):
    folder = tmp_path / "weights"
    torch.manual_seed(0)
    settings = TrainSettings(epochs=1, batch_size=128, warmup_epochs=0.1, bf16=False)
    list(train(build_supernet(space), load_dataset(None), settings, folder))
    list(evaluate_folder(folder, None, n_subnets=9, seed=0, command="test"))
    asked = SearchSettings(
        "xavier-nx", tmp_path / "run", supernet=str(folder), n_trials=9, population=4
    )
    table = run_search(asked)
    assert table.content["supernet"]["space"] == "slim"
    assert {p["level"] for p in table.points} == set(range(15))
    found = {p["subnet"] for p in table.points}
    assert found <= {str(space.subnet(row)) for row in space.enumerate()}


def test_operators_of_an_own_space_are_those_of_its_network(space):
    net = build_supernet(space).eval()
    for row in space.enumerate():
        static = extract(net, space.subnet(row))
        weights = [
            m.weight.numel() for m in static.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        operators = space.operators(row[None], np.ones((1, 2), dtype=bool))
        assert operators.params.sum() == sum(weights)
