"""One small supernet for all tests of the command line: trained, evaluated, measured for real."""

import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

import pytest
from filelock import FileLock

from nas.cli.app import main

RAY_HEAD = {
    "num_cpus": 1,
    "include_dashboard": False,
    "_system_config": {  # a dead node is noticed after 3 s, not after 15
        "health_check_initial_delay_ms": 500,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 5000,
    },
}
"""The first node of a Ray cluster on this machine."""


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def nas(*arguments: object, width: int = 200) -> Result:
    """Run the command line in this process, which has loaded the libraries already."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", ["nas", *map(str, arguments)]),
        patch.dict(os.environ, {"COLUMNS": str(width)}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return Result(int(str(code)), out.getvalue(), err.getvalue())


def in_process(target: Callable[..., object], *arguments: object, **options: object) -> BaseProcess:
    """A process that is really another one; its error is its exit code."""
    process = multiprocessing.get_context("fork").Process(
        target=target, args=arguments, kwargs=options
    )
    process.start()
    return process


def nas_in_process(*arguments: object) -> BaseProcess:
    """The command line in a process that can be killed; the libraries are loaded already."""
    return in_process(lambda: sys.exit(nas(*arguments).code))


def kill(process: BaseProcess) -> None:
    """End it at once, with SIGKILL; it must still have been running."""
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def refused(done: Result, *words: str) -> None:
    """Assert that a command ended in one clear line with `words`, and said nothing else."""
    assert done.code == 1, done.out
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err


@dataclass(frozen=True)
class Digits:
    """A folder that `nas search --supernet` takes, and proxy rows measured on this machine."""

    supernet: Path
    rows: Path


@dataclass(frozen=True)
class Searched:
    """The folders of a search on a board whose rows are simulated, and of its export."""

    run: Path
    board: Path


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills: the first worker that asks makes it, the others wait for it."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(root.with_suffix(".lock")):
        if not root.is_dir():
            aside = root.with_suffix(".part")
            make(aside)
            aside.rename(root)
    return root


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """Made once for all workers; to be read only."""
    root = made_once(tmp_path_factory, "digits", make_digits)
    return Digits(root / "supernet", root / "rows.csv")


@pytest.fixture(scope="session")
def searched(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Made once for all workers, of `digits`; to be read only. The export has exit traces."""

    def make(folder: Path) -> None:
        found = search(digits, folder / "run", "--quiet")
        assert found.code == 0, found.err
        made = export(folder / "run", digits, folder / "board", "--data", "digits", "--traces")
        assert made.code == 0, made.err
        assert "decisions equal" in made.err

    root = made_once(tmp_path_factory, "searched", make)
    return Searched(root / "run", root / "board")


def search(digits: Digits, out: Path, *more: object, device: str = "nano") -> Result:
    fixed = ("search", "--device", device, "--supernet", digits.supernet, "--proxy", digits.rows)
    return nas(*fixed, "--trials", 60, "--points", 5, "--out", out, *more)


def export(run: Path, digits: Digits, out: Path, *more: object) -> Result:
    common = "--pareto", run / "pareto.json", "--supernet", digits.supernet, "--out", out
    return nas("export", *common, *more)


def make_digits(folder: Path) -> None:
    """Train on scikit-learn's digits for a few seconds, evaluate, measure the host."""
    made = Digits(folder / "supernet", folder / "rows.csv")
    train = "supernet train --epochs 6 --batch-size 64 --threads 1 --quiet --out"
    assert nas(*train.split(), made.supernet).code == 0
    evaluate = "supernet evaluate --samples 20 --quiet"
    assert nas(*evaluate.split(), made.supernet).code == 0
    measure = "measure --device host --space resnet-digits --samples 16 --seconds 0.03 --quiet"
    assert nas(*measure.split(), "--out", made.rows).code == 0
