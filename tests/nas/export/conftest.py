"""One search and its export, for all tests of exports; to be read only."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.runtime import Manifest, read_manifest
from tests.nas.conftest import Digits, Searched, nas


@pytest.fixture(scope="session")
def run(searched: Searched) -> Path:
    """A search on the digits supernet; every level has points with early exits."""
    return searched.run


@pytest.fixture(scope="session")
def cache(run: Path, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch-norm statistics of all its points."""
    out = tmp_path_factory.mktemp("cache") / "bn.safetensors"
    common = "supernet", "calibrate", digits.supernet, "--pareto", run / "pareto.json"
    assert nas(*common, "--data", "digits", "--out", out, "--quiet").code == 0
    return out


@pytest.fixture
def board(searched: Searched) -> Manifest:
    """The whole front, exported with real images."""
    return read_manifest(str(searched.board))
