"""What is measured, in which order, and which row is which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.measure import GIVE_UP, Job, measure_rows, row_key
from nas.measure.table import Table
from nas.remote.session import FailedRowsError
from predictors import read_rows, srcc
from search_spaces import InputError, get_space
from search_spaces.rows import ROW_KEY
from tests.nas.conftest import nas

DIGITS = get_space("resnet-digits")
HOST = ("measure", "--device", "host", "--space", "resnet-digits", "--seconds", 0.01)
MODEL = ("measure", "--device", "nano", "--space", "resnet-digits", "--samples", 8)


def test_the_order_is_random_and_follows_from_the_seed(tmp_path: Path) -> None:
    common = (*MODEL, "--samples", 4, "--levels", "all", "--quiet")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert nas(*common, "--seed", seed, "--out", tmp_path / name).code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    rows = pd.read_csv(tmp_path / "a")
    order = np.arange(len(rows))
    for column in ("level", "latency_ms"):
        assert abs(srcc(order, rows[column])) < 0.2


def test_another_setting_is_another_row(tmp_path: Path) -> None:
    """One file may hold several backends: none is taken for the other."""
    out = tmp_path / "rows.csv"
    common = (*HOST, "--samples", 1, "--quiet", "--out", out)
    for options in ([], ["--backend", "onnxruntime"], ["--batch", 2], []):
        assert nas(*common, *options).code == 0
    rows = read_rows(out, DIGITS)
    assert len(rows) == 15
    found = rows.groupby(["backend", "batch", "threads"]).size().to_dict()
    assert found == {
        (b, n, "1"): 5 for b, n in (("onnxruntime", 1), ("pytorch", 1), ("pytorch", 2))
    }


def test_keys_name_a_measurement() -> None:
    assert ROW_KEY[-1] == "repeat"
    assert row_key({"space": "a", "level": 3, "repeat": None})[5] == "3"


def test_a_board_where_everything_fails_is_given_up(tmp_path: Path) -> None:
    calls = []

    def fail() -> dict[str, Any]:
        calls.append(1)
        raise FailedRowsError({"0f": "no onnxruntime"}, 1)

    jobs = [Job({"subnet": str(i)}, fail) for i in range(100)]
    with pytest.raises(InputError, match="no onnxruntime"):
        list(measure_rows(jobs, Table(tmp_path / "rows.csv")))
    assert len(calls) == GIVE_UP
