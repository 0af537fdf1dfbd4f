"""The table of wrapped architectures: what it promises, and that the document shows it."""

import json
from pathlib import Path

from benchmarks.wrapped_models import table

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "benchmarks/results/wrapped_models.json").read_text())["rows"]


def test_at_least_eighteen_architectures_are_wrapped_and_the_rest_named() -> None:
    wrapped = [row for row in ROWS if row["wrapped"] and not row["name"].startswith("by hand")]
    assert len(wrapped) >= 18
    assert all(row["refused"] for row in ROWS if not row["wrapped"])


def test_what_is_wrapped_is_the_network() -> None:
    for row in ROWS:
        if row["wrapped"]:
            assert row["full_difference"] < 1e-5, row["name"]
            assert row["subnet_difference"] < 1e-5, row["name"]
            assert row["macs_ours"] == row["macs_torch"], row["name"]


def test_the_document_shows_the_table() -> None:
    assert table(ROWS) in (ROOT / "docs" / "your-own-model.md").read_text()
