"""A table is written as JSON and CSV, and answers by level."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from nas.pareto import ParetoTable, read_pareto
from nas.pareto.table import CSV_COLUMNS
from search_spaces import InputError
from tests.nas.pareto.results import small_result


def test_json_and_csv_read_back(tmp_path: Path) -> None:
    table = ParetoTable(small_result())
    table.write_json(tmp_path / "pareto.json")
    assert read_pareto(tmp_path / "pareto.json") == table
    table.points[0]["error_source"] = "published, by others"  # of a user's accuracy table
    table.write_csv(tmp_path / "pareto.csv")
    rows = list(csv.DictReader((tmp_path / "pareto.csv").open(newline="")))
    assert [row["error_source"] for row in rows] == ["published, by others", "measured"]
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [row["exits"] for row in rows] == ["0@0.9"] * 2
    assert rows[1]["gpu_mhz"] == "101.0"
    assert rows[0]["energy_mj"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pareto.csv", "pareto.json"]


def test_what_was_read_is_written_with_the_same_bytes(tmp_path: Path) -> None:
    ParetoTable(small_result()).write_json(tmp_path / "a.json")
    read_pareto(tmp_path / "a.json").write_json(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_baselines_are_found_by_size_and_level() -> None:
    table = ParetoTable(small_result())
    assert table.baseline("largest", 1)["id"] == "L01-largest"
    with pytest.raises(InputError, match="no baseline 'largest' at level 2"):
        table.baseline("largest", 2)


def test_the_cheapest_point_is_that_of_all_points_compared() -> None:
    content = small_result()
    base = content["points"][0]
    content["points"] = [
        {**base, "id": f"{i}", "top1_error_pct": e, "latency_ms": t, "energy_mj": m, "level": i % 2}
        for i, (e, t, m) in enumerate([(5, 4, 9), (6, 3, 7), (7, 2, 8), (9, 1, 2), (6, 3, 7)])
    ]
    table = ParetoTable(content)
    assert table.cheapest()["id"] == "3"
    assert table.cheapest(max_error_pct=8)["id"] == "1"  # of two that cost the same the first
    assert table.cheapest(max_error_pct=8, max_latency_ms=2)["id"] == "2"
    assert table.cheapest(max_error_pct=8, levels=[0])["id"] == "4"
    with pytest.raises(InputError, match=r"top1_error_pct within `max_error_pct` 4 .* least is 5"):
        table.cheapest(max_error_pct=4)
    with pytest.raises(InputError, match=r"latency_ms within `max_latency_ms` 3 .* least is 4"):
        table.cheapest(max_error_pct=5, max_latency_ms=3)
    with pytest.raises(InputError, match="levels 0 to 1, got `levels` 7"):
        table.cheapest(levels=[7])


def test_without_energy_the_cheapest_is_the_fastest() -> None:
    content = small_result()
    content["points"][1]["latency_ms"] = 0.5
    assert ParetoTable(content).cheapest()["id"] == "L01-x"
    with pytest.raises(InputError, match=r"energy_mj within `max_energy_mj` 1 .* unknown"):
        ParetoTable(content).cheapest(max_energy_mj=1)


def test_the_frame_is_that_of_the_csv_file(tmp_path: Path) -> None:
    table = ParetoTable(small_result())
    table.write_csv(tmp_path / "pareto.csv")
    pd.testing.assert_frame_equal(
        table.to_pandas().fillna(float("nan")).infer_objects(),
        pd.read_csv(tmp_path / "pareto.csv"),
        check_dtype=False,
    )


def test_levels_that_the_bounds_excluded_are_not_searched() -> None:
    content = small_result()
    content["search"] = {"bounds": {"levels": [1]}}
    table = ParetoTable(content)
    assert [level["level"] for level in table.searched] == [1]
    assert [level["level"] for level in table.levels] == [0, 1]


def test_a_table_in_a_notebook(tmp_path: Path) -> None:
    """Its name is a line, not a megabyte; a file may be a text; -1 is the fastest level."""
    table = ParetoTable(small_result())
    assert repr(table) == "ParetoTable(2 points at 2 levels of nano, resnet-digits)"
    table.write_json(str(tmp_path / "pareto.json"))
    assert read_pareto(str(tmp_path / "pareto.json")) == table
    assert table.at(-1) == table.at(1) != []
    assert table.cheapest(levels=[-1])["level"] == 1
