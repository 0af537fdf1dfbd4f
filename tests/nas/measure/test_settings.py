"""What a measurement can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.measure.settings import MeasureSettings
from search_spaces import InputError

OUT = Path("rows.csv")
SAMPLED: dict[str, Any] = {"device": "nano", "space": "resnet-digits"}


def test_every_backend_meets_every_precision_and_batch() -> None:
    settings = MeasureSettings(OUT, **SAMPLED, backends=("a", "b"), batches=(1, 8))
    assert settings.kinds == [("a", None, 1), ("a", None, 8), ("b", None, 1), ("b", None, 8)]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "give `device` and `space`, or a plan or a pareto.json with `of`"),
        (SAMPLED | {"samples": 0}, "`samples` must be at least 1, got 0"),
        (SAMPLED | {"batches": (1, 0)}, "`batch` must be at least 1, got 0"),
        (SAMPLED | {"repeats": 0}, "`repeats` must be at least 1, got 0"),
        (SAMPLED | {"threads": 0}, "`threads` must be at least 1, got 0"),
        (SAMPLED | {"seed": -1}, "`seed` must be 0 or more, got -1"),
        (SAMPLED | {"seconds": 0}, "`seconds` must be a positive number, got 0"),
        (SAMPLED | {"seconds": "1"}, "`seconds` must be a number, got '1'"),
        (SAMPLED | {"sudo": True}, "`sudo` is for a board: give `remote` too"),
        (SAMPLED | {"n_points": 3}, "`n_points` chooses points of a result"),
        (SAMPLED | {"against": OUT}, "give `per_operator=True` too"),
        (
            SAMPLED | {"against": OUT, "per_operator": True},
            "which this command reads; name another file",
        ),
        (SAMPLED | {"ray": "auto"}, "give `device` host, no `remote`"),
        ({"of": OUT}, "`out` is the file that `of` reads"),
        ({"of": Path("plan.csv"), "samples": 3}, "leave out `samples`"),
        ({"of": Path("plan.csv"), "batches": (1, 8)}, "`of` measures with one `batch`, got 2"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as told:
        MeasureSettings(OUT, **asked)
    assert reason in str(told.value)
