"""One small supernet for all tests of the command line: trained, evaluated, measured for real."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def nas(*arguments: object, timeout: float = 120) -> Result:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli.app", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Digits:
    """A folder that `nas search --supernet` takes, and proxy rows measured on this machine."""

    supernet: Path
    rows: Path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """Train on scikit-learn's digits for a few seconds, evaluate, measure the host."""
    root = tmp_path_factory.mktemp("digits")
    made = Digits(root / "supernet", root / "rows.csv")
    train = "supernet train --epochs 6 --batch-size 64 --lr 0.1 --threads 1 --quiet --out"
    assert nas(*train.split(), made.supernet).code == 0
    evaluate = "supernet evaluate --samples 40 --quiet"
    assert nas(*evaluate.split(), made.supernet).code == 0
    measure = "measure --device host --space resnet-digits --samples 16 --seconds 0.01 --quiet"
    assert nas(*measure.split(), "--out", made.rows).code == 0
    return made
