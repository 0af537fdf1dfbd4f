"""A target that can be computed by hand: accuracies and costs as plain formulas of the genes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nas.devices import get_device
from search_spaces import PolicyGrid, Space, get_space

CLOCKS_GHZ = np.array([0.2, 0.6, 1.1])


@dataclass(frozen=True)
class FormulaAccuracy:
    """Deeper exits of larger subnets are better; confidences follow from a fixed sample."""

    space: Space
    grid: PolicyGrid

    def __call__(self, genes):
        n_exits = self.grid.n_exits
        size = genes.sum(axis=1) / self.space.largest.sum()
        error, rates = [], []
        for i, quality in enumerate(size):
            rng = np.random.default_rng(int(genes[i].sum()))
            skill = quality * (0.5 + np.arange(n_exits + 1)) + rng.normal(size=(80, 1))
            confidence = 1 / (1 + np.exp(-2 * skill))
            e, r = self.grid.response(confidence, rng.random(confidence.shape) < confidence)
            error.append(e)
            rates.append(r)
        return np.array(error), np.array(rates), np.zeros(len(genes), dtype=bool)


@dataclass(frozen=True)
class FormulaCost:
    """Latency rises with MACs and kernels and falls with the clock; power has a voltage knee."""

    space: Space

    def __call__(self, genes, programs):
        heads = np.tile(programs, (len(genes), 1))
        operators = self.space.operators(np.repeat(genes, len(programs), axis=0), heads)
        work = operators.macs.sum(axis=1) / 1e6 + 0.1 * operators.present.sum(axis=1)
        latency = work.reshape(len(genes), -1, 1) / CLOCKS_GHZ + 0.3
        power = 3 + 5 * CLOCKS_GHZ * (1 + 0.5 * np.maximum(0, CLOCKS_GHZ - 0.7)) ** 2
        return latency, latency * power


def digits_space() -> Space:
    return get_space("resnet-digits")


def latencies_of(plan: pd.DataFrame) -> list[float]:
    """What a board that is a third slower than its model would measure of the rows of a plan."""
    found = []
    for row in plan.itertuples():
        space, device = get_space(str(row.space)), get_device(str(row.device))
        heads = tuple(int(head) for head in str(row.heads).split("+"))
        simulated = device.measure(space, space.parse(str(row.subnet)), heads, int(row.level))
        found.append(simulated["latency_ms"] * 4 / 3)
    return found
