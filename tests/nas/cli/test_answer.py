"""Figures in the answer: as many digits as it says, and no loss that rounds to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from nas.cli.answer import Comparison, digits, sentence
from nas.pareto import ParetoTable


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "0.200"),
        (9.996, "10.0"),
        (99.96, "100"),
        (999.4, "999"),
        (999.6, "1000"),
        (3061.2, "3061"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert digits(value) == text


def test_a_loss_that_rounds_to_nothing_is_none() -> None:
    level: Any = {"level": 0, "gpu_mhz": 900.0, "cpu_mhz": None, "emc_mhz": None}
    base: Any = {"top1_error_pct": 7.004, "latency_ms": 2.0, "energy_mj": 8.0}
    exits = {"exits": {"after": []}, "id": "L00-1", "level": 0, "error_source": "measured"}
    point: Any = {**base, **exits, "top1_error_pct": 7.0076, "energy_mj": 4.0}
    said = sentence(Comparison(ParetoTable({"levels": [level]}), base), point)  # type: ignore[typeddict-item]
    assert said.endswith("saves 50 % of the energy, at the same accuracy.")
