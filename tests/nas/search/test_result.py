"""The result of one device, and its files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nas.cli.tables import print_result
from nas.pareto import hypervolume, non_dominated, read_pareto
from nas.search import run_search


@pytest.fixture
def found(settings):
    return run_search(settings), settings.folder


def test_what_a_result_says_follows_from_its_points(found):
    table, _ = found
    content, reference = table.content, table.content["reference"]
    everything = table.costs([*table.points, *content["baselines"]])
    np.testing.assert_allclose(reference["point"], 1.1 * everything.max(axis=0), rtol=1e-3)
    for level, volume in enumerate(reference["hypervolume"]):
        costs = table.costs(table.at(level))
        assert volume == pytest.approx(hypervolume(costs, reference["point"]), rel=1e-3)
        assert len(costs) <= content["search"]["front_sizes"][level]
    front = non_dominated(table.costs(table.points))
    assert content["front"] == [p["id"] for p, on in zip(table.points, front, strict=True) if on]
    assert content["search"]["n_subnets"] == content["search"]["progress"][-1]["n_subnets"]


def test_rows_of_another_setting_are_told_wherever_the_result_is(settings, tmp_path, capsys):
    """The figures are those of the rows, whatever was asked."""
    assert "rows_of" not in run_search(settings).content["device"]
    rows = pd.read_csv(settings.folder / "target_rows.csv").assign(batch=8, precision="int8")
    rows.to_csv(own := tmp_path / "own.csv", index=False)
    out = tmp_path / "other"
    table = run_search(replace(settings, measurements=own, out=out))
    assert table.content["device"]["rows_of"] == {"batch": "8", "precision": "int8"}
    assert read_pareto(out / "pareto.json").content["device"] == table.content["device"]
    said = "costs are those of the target's rows: batch 8, asked was 1; precision int8, asked was f"
    assert said in (out / "report.html").read_text().replace("&#39;", "'")
    print_result(table, out / "pareto.json", out / "report.html")
    assert said in " ".join(capsys.readouterr().out.split())


def test_the_three_files_hold_the_same_points(found):
    table, out = found
    assert read_pareto(out / "pareto.json").content == json.loads(json.dumps(table.content))
    lines = (out / "pareto.csv").read_text().splitlines()
    assert len(lines) == 1 + len(table.points)
    page = (out / "report.html").read_text()
    assert all(p["id"] in page for p in table.points)
