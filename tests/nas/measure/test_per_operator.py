"""Operators measured alone, and what their sums say of whole programs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.nas.conftest import nas

HOST = ("measure", "--device", "host", "--space", "resnet-digits", "--seconds", 0.01)


def test_a_table_of_operators_predicts_whole_programs(tmp_path: Path) -> None:
    rows, lut = tmp_path / "rows.csv", tmp_path / "lut.csv"
    common = (*HOST, "--backend", "onnxruntime")
    assert nas(*common, "--samples", 6, "--quiet", "--out", rows).code == 0
    done = nas(*common, "--per-operator", "--against", rows, "--out", lut, "--json")
    assert done.code == 0, done.err
    assert "30 programs take" in " ".join(done.err.split())
    told = json.loads(done.out)
    assert told["noise"]["n_rows"] == len(pd.read_csv(lut))
    assert len(told["noisy"]) == told["noise"]["noisy"]
    (error,) = told["lut"]
    assert error["n_rows"] == 30
    assert error["measured_to_sum"] > 0.1
    assert 0 < error["fitted_mape_pct"] < 100  # the machine may be busy
    table = pd.read_csv(lut)
    assert table["operator"].is_unique
    assert set(table["source"]) == {"measured"}
    assert "subnet" not in table
    again = lut.read_bytes()
    assert nas(*common, "--per-operator", "--against", rows, "--out", lut).code == 0
    assert lut.read_bytes() == again

    other = nas(*HOST, "--per-operator", "--against", rows, "--out", lut, "--quiet")
    assert other.code == 1
    assert "has 0 programs on device host, backend pytorch" in other.err
