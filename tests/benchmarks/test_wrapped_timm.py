"""The whole way of a network of timm: under twenty minutes, and the document says how long."""

import json
from pathlib import Path

from benchmarks.wrapped_timm import table

ROOT = Path(__file__).parents[2]
ROW = json.loads((ROOT / "benchmarks/results/wrapped_timm.json").read_text())


def test_the_way_takes_less_than_twenty_minutes() -> None:
    assert 0 < sum(ROW["seconds"].values()) < 20 * 60


def test_the_document_shows_the_table() -> None:
    assert table(ROW) in (ROOT / "docs" / "your-own-model.md").read_text()
