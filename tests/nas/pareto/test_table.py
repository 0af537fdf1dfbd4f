"""A table is written as JSON and CSV, and answers by level."""

import csv
from pathlib import Path

import pytest

from nas.pareto import ParetoTable, read_pareto
from nas.pareto.table import CSV_COLUMNS
from search_spaces import InputError
from tests.nas.pareto.results import small_result


def test_json_and_csv_read_back(tmp_path: Path) -> None:
    table = ParetoTable(small_result())
    table.write_json(tmp_path / "pareto.json")
    assert read_pareto(tmp_path / "pareto.json") == table
    table.write_csv(tmp_path / "pareto.csv")
    rows = list(csv.DictReader((tmp_path / "pareto.csv").open(newline="")))
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


def test_levels_that_the_bounds_excluded_are_not_searched() -> None:
    content = small_result()
    content["search"] = {"bounds": {"levels": [1]}}
    table = ParetoTable(content)
    assert [level["level"] for level in table.searched] == [1]
    assert [level["level"] for level in table.levels] == [0, 1]
