"""SIGKILL at any moment: the same command again ends as if nothing had happened.

`-m slow` kills train, evaluate, calibrate, export, measure, search and wrap fifty times each; the
suite kills once those that no other test kills.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nas.pareto import ParetoTable
from predictors import read_accuracy_table
from search_spaces import get_space
from supernets import sha256
from supernets.checkpoint import read_tensors
from tests.nas.conftest import Digits, in_process, nas, nas_in_process
from tests.nas.pareto.results import small_result
from tests.nas.search.test_run import comparable

SPACE = get_space("resnet-digits")
OF_THE_RUN = ("created", "command", "content_sha256")


OWN = """
from torch import nn

def build():
    layers = nn.Conv2d(1, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
"""
"""A network of the user's own."""


class Work(NamedTuple):
    """A command that writes to `out`, and what is compared of it."""

    command: Callable[[Path], list[object]]
    result: Callable[[Path], Any]
    prepare: Callable[[Path], object] = lambda out: None


@pytest.fixture(scope="module")
def pareto(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with few points, whose weights are those of `digits`."""
    checksum = sha256(digits.supernet / "weights.safetensors")
    weights = {"name": "digits", "sha256": checksum, "dataset": "digits"}
    made: Any = {**small_result(), "supernet": weights}
    out = tmp_path_factory.mktemp("killed") / "few.json"
    ParetoTable(made).write_json(out)
    return out


def searching(digits: Digits, trials: int) -> Callable[[Path], list[object]]:
    def command(out: Path) -> list[object]:
        fixed = ["search", "--device", "nano", "--quiet", "--trials", trials, "--out", out]
        resume = ["--resume"] if (out / "run.json").exists() else []
        return [*fixed, "--supernet", digits.supernet, "--proxy", digits.rows, *resume]

    return command


def tensors(path: Path, schema: str) -> dict[str, Any]:
    found, _ = read_tensors(path, schema)
    return {name: value.tolist() for name, value in found.items()}


def rows(out: Path) -> list[tuple[str, ...]]:
    """Which programs were measured, each once; their times differ from run to run."""
    with out.open(newline="") as file:
        return sorted((row["subnet"], row["heads"], row["level"]) for row in csv.DictReader(file))


def exported(out: Path) -> Any:
    content = json.loads((out / "manifest.json").read_text())
    assert not [*out.parent.glob(f".{out.name}.nas.*")]
    return {k: v for k, v in content.items() if k not in ("command", "content_sha256", "verified")}


def whole_files(out: Path) -> dict[str, Any]:
    """What a folder's files say, without when and how they were made."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in files_of(out)}
    for name in found:
        if name.endswith(".json"):
            content = json.loads(found[name])
            found[name] = {k: v for k, v in content.items() if k not in OF_THE_RUN}
    return found


def target_rows(folder: Path) -> Path:
    """Few rows of a board, as its model says them."""
    out = folder / "target.csv"
    asked = ("measure", "--device", "nano", "--space", SPACE.name, "--levels", "0,5,11")
    if not out.exists():
        assert nas(*asked, "--samples", 8, "--quiet", "--out", out).code == 0
    return out


def work(name: str, digits: Digits, pareto: Path, size: int) -> Work:
    if name == "train":
        fixed = ["supernet", "train", "--epochs", 2 * size, "--batch-size", 256, "--threads", 1]
        return Work(
            lambda out: [*fixed, "--quiet", "--out", out],
            lambda out: tensors(out / "weights.safetensors", "nas.supernet/1"),
        )
    if name == "train all-in-one":
        fixed = ["supernet", "train", "--kind", "all-in-one", "--ratios", "1,.5,.2", "--epochs", 2]
        return Work(
            lambda out: [*fixed, "--batch-size", 512, "--threads", 1, "--quiet", "--out", out],
            lambda out: tensors(out / "weights.safetensors", "nas.supernet/1"),
        )
    if name == "evaluate":
        return Work(
            lambda out: ["supernet", "evaluate", out, "--samples", 20 * size, "--quiet"],
            lambda out: read_accuracy_table(out / "accuracy.safetensors", SPACE).digest,
            lambda out: (
                out.mkdir(),
                shutil.copy(digits.supernet / "weights.safetensors", out),
            ),
        )
    if name == "calibrate":
        asked = ["supernet", "calibrate", digits.supernet, "--pareto", pareto, "--quiet", "--out"]
        return Work(lambda out: [*asked, out], lambda out: tensors(out, "nas.bn/1"))
    if name == "export":
        asked = ["export", "--pareto", pareto, "--supernet", digits.supernet, "--data", "digits"]
        return Work(lambda out: [*asked, "--quiet", "--out", out], exported)
    if name == "predictor train":
        asked = ["predictor", "train", "--rows", digits.rows, "--space", SPACE.name, "--out"]
        return Work(lambda out: [*asked, out], whole_files)
    if name == "predictor transfer":
        asked = ["predictor", "transfer", "--rows", target_rows(pareto.parent), "--device", "nano"]
        asked += ["--space", SPACE.name, "--proxy", digits.rows, "--proxy", "xavier-nx", "--out"]
        return Work(lambda out: [*asked, out], whole_files)
    if name == "wrap":
        file = pareto.parent / "own.py"
        file.write_text(OWN)
        asked = ["supernet", "wrap", f"{file}:build", "--quiet", "--out"]
        return Work(
            lambda out: [*asked, out],
            lambda out: (
                tensors(out / "weights.safetensors", "nas.supernet/1"),
                sorted(path.name for path in out.parent.glob(".*")),
            ),
            lambda out: shutil.rmtree(out, ignore_errors=True),
        )
    if name == "report":
        asked = ["report", "--pareto", pareto, "--quiet", "--out"]
        return Work(lambda out: [*asked, out], lambda out: out.read_bytes())
    if name == "measure":
        asked = ["measure", "--device", "host", "--space", "resnet-digits", "--seconds", 0.01]
        return Work(lambda out: [*asked, "--samples", size, "--quiet", "--out", out], rows)
    return Work(searching(digits, 60 * size), comparable)


def seconds_of(job: Work, out: Path) -> float:
    """How long the command takes when nobody kills it."""
    job.prepare(out)
    start = time.monotonic()
    process = nas_in_process(*job.command(out))
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start


def kill_and_go_on(job: Work, folder: Path, n_kills: int, seed: int) -> int:
    """Kills at any moment of the command's time; returns how often it was begun anew.

    A command that ends before its kill is compared, and begins anew in another folder.
    """
    seconds = seconds_of(job, folder / "whole")
    wanted = job.result(folder / "whole")
    rng, killed, begun = random.Random(seed), 0, 1
    out = folder / "0"
    job.prepare(out)
    while killed < n_kills:
        process = nas_in_process(*job.command(out))
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed += 1
            continue
        # 1: the kill before came when the result was whole, and the command writes over none
        assert process.exitcode in (0, 1)
        assert job.result(out) == wanted
        out = folder / str(begun)
        job.prepare(out)
        begun += 1
    done = nas(*job.command(out))
    assert done.code == 0 or f"{out} exists already" in done.err, done.err
    assert job.result(out) == wanted
    return begun


@pytest.mark.parametrize("name", ["calibrate", "export", "measure"])  # evaluate takes too long
def test_a_kill_changes_nothing(name: str, digits: Digits, pareto: Path, tmp_path: Path) -> None:
    kill_and_go_on(work(name, digits, pareto, 1), tmp_path, 1, seed=0)


KILLED = ["train", "evaluate", "calibrate", "export", "measure", "search", "wrap"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", KILLED)
def test_fifty_kills_change_nothing(
    name: str, seed: int, digits: Digits, pareto: Path, tmp_path: Path
) -> None:
    kill_and_go_on(work(name, digits, pareto, 3), tmp_path, 10, seed)


@pytest.mark.slow
def test_twenty_kills_of_an_all_in_one_training_change_nothing(
    digits: Digits, pareto: Path, tmp_path: Path
) -> None:
    """In the dense training, in that of masks, and in that of the weights that they keep."""
    kill_and_go_on(work("train all-in-one", digits, pareto, 1), tmp_path, 20, seed=0)


FULL = [*KILLED, "predictor transfer"]


@pytest.mark.parametrize(
    "name",
    ["predictor train", "report", *(pytest.param(n, marks=pytest.mark.slow) for n in FULL)],
)
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    name: str, digits: Digits, pareto: Path, tmp_path: Path
) -> None:
    """The system lets no file grow beyond a share of the largest that the command writes."""
    job = work(name, digits, pareto, 1)
    job.prepare(tmp_path / "whole")
    assert nas(*job.command(tmp_path / "whole")).code == 0
    wanted = job.result(tmp_path / "whole")
    written = [path.stat().st_size for path in files_of(tmp_path / "whole")]
    job.prepare(tmp_path / "out")
    kept = sum(1 for _ in files_of(tmp_path / "out"))

    def until_full(limit: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        done = nas(*job.command(tmp_path / "out"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        (tmp_path / "said").write_text(done.err)
        sys.exit(done.code)

    for share in (0.02, 0.6):
        process = in_process(until_full, int(share * max(written)))
        process.join()
        lines = (tmp_path / "said").read_text().splitlines()
        assert process.exitcode == 1, lines
        assert "cannot write" in lines[-1] or "File too large" in lines[-1], lines
        assert "Traceback" not in "".join(lines)
        left = [path for path in files_of(tmp_path / "out") if path.suffix == ".tmp"]
        assert len(left) <= kept, left
    assert nas(*job.command(tmp_path / "out")).code == 0
    assert job.result(tmp_path / "out") == wanted


def files_of(out: Path) -> list[Path]:
    """The file `out`, or all files in the folder."""
    return [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]


def test_sigterm_ends_a_command_with_one_message(digits: Digits, tmp_path: Path) -> None:
    """As Ctrl-C does; what was done is kept, and the same command goes on."""
    job = work("measure", digits, tmp_path, 40)
    out, said = tmp_path / "rows.csv", tmp_path / "said"

    def run() -> None:
        done = nas(*job.command(out))
        said.write_text(f"{done.code} {done.err}")

    process = in_process(run)
    while not out.exists() or out.read_text().count("\n") < 2:
        assert process.is_alive()
        time.sleep(0.005)
    process.terminate()
    process.join(20)
    assert said.read_text() == "143 stopped; what was done so far is kept\n"
    assert len(rows(out)) >= 1
