"""`nas search --instant`: proposals of a trained optimiser, scored as a search scores them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nas.devices import profile_names
from nas.pareto import hypervolume, non_dominated
from nas.search import SearchSettings
from nas.search.instant import train_optimiser
from nas.search.model import load_model
from search_spaces import NASBench201Space
from tests.nas.conftest import nas

SPACE = NASBench201Space()
QUALITY = np.array([0.0, 0.4, 1.5, 2.5, 0.8])


@dataclass(frozen=True)
class Instant:
    """A table of accuracies and the folder of an optimiser trained on it, briefly."""

    table: Path
    optimiser: Path

    def search(self, device: str, out: Path, *more: object):
        asked = ("--space", "nasbench201", "--accuracy-table", self.table, "--instant")
        return nas("search", "--device", device, *asked, "--out", out, *more)


@pytest.fixture(scope="module")
def instant(tmp_path_factory: pytest.TempPathFactory) -> Instant:
    root = tmp_path_factory.mktemp("instant")
    made = Instant(root / "accuracy.csv", root / "optimiser")
    genes = SPACE.sample(150, np.random.default_rng(0))
    error = 40 - 9 * np.log1p(QUALITY[genes] @ np.array([1.0, 0.8, 1.2, 1.5, 0.7, 1.1]))
    rows = [f"{s},{e:.3f}" for s, e in zip(SPACE.subnets(genes), error, strict=True)]
    made.table.write_text("subnet,top1_error_pct\n" + "\n".join(dict.fromkeys(rows)) + "\n")
    settings = SearchSettings("nano", root, space="nasbench201", accuracy_table=made.table)
    model = load_model(settings)
    others = set(profile_names()) - {"agx-orin", "tx2", "x86-cpu"}
    optimizer = train_optimiser(model, seed=0, without=others, n_steps=100)
    about = {
        "accuracy_sha256": model.accuracy.table.sha256,
        "devices": "simulated agx-orin, tx2, x86-cpu",
    }
    optimizer.save(made.optimiser, **about)
    return made


@pytest.fixture(scope="module")
def nano(instant: Instant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search for a device that the optimiser has not seen."""
    out = tmp_path_factory.mktemp("nano") / "run"
    done = instant.search("nano", out, "--optimiser", instant.optimiser)
    assert done.code == 0, done.err
    assert "subnets proposed in" in done.err
    assert "simulated agx-orin, tx2, x86-cpu" in done.err
    return out


def test_it_writes_a_result_of_the_usual_kind(nano):
    assert not (nano / "study.journal").exists()
    result = json.loads((nano / "pareto.json").read_text())
    assert result["schema"] == "nas.pareto/1"
    assert {p["level"] for p in result["points"]} == set(range(len(result["levels"])))
    names = [o["name"] for o in result["objectives"]]
    for level in range(len(result["levels"])):
        costs = [[p[n] for n in names] for p in result["points"] if p["level"] == level]
        assert non_dominated(np.array(costs)).all()


def test_its_front_beats_the_search_with_as_many_subnets(instant, nano, tmp_path):
    ours = json.loads((nano / "pareto.json").read_text())
    n = ours["search"]["n_subnets"]
    table = ("--space", "nasbench201", "--accuracy-table", instant.table)
    asked = ("search", "--device", "nano", *table, "--out", tmp_path / "b", "--quiet")
    assert nas(*asked, "--trials", n).code == 0
    theirs = json.loads((tmp_path / "b" / "pareto.json").read_text())
    names = [o["name"] for o in ours["objectives"]]
    volumes = []
    for result in (ours, theirs):
        costs = np.array([[p[k] for k in names] for p in result["points"] if p["level"] == 6])
        volumes.append(hypervolume(costs, theirs["reference"]["point"]))
    assert volumes[0] > volumes[1]


def test_bounds_are_met_by_every_point(instant, nano, tmp_path):
    points = json.loads((nano / "pareto.json").read_text())["points"]
    bound = float(np.median([p["latency_ms"] for p in points]))
    limits = ("--max-latency-ms", bound, "--optimiser", instant.optimiser, "--quiet")
    assert instant.search("nano", tmp_path / "b", *limits).code == 0
    bounded = json.loads((tmp_path / "b" / "pareto.json").read_text())["points"]
    assert bounded
    assert all(p["latency_ms"] <= bound for p in bounded)


def test_the_same_seed_gives_the_same_file(instant, nano, tmp_path):
    again = tmp_path / "again"
    done = instant.search("nano", again, "--optimiser", instant.optimiser, "--quiet")
    assert done.code == 0, done.err
    results = []
    for folder in (nano, again):
        result = json.loads((folder / "pareto.json").read_text())
        results.append({k: v for k, v in result.items() if k not in ("created", "command")})
    assert results[0] == results[1]


def test_an_optimiser_of_other_accuracies_is_refused(instant, tmp_path):
    other = Instant(tmp_path / "other.csv", instant.optimiser)
    lines = instant.table.read_text().splitlines()
    other.table.write_text("\n".join(lines[:-20]) + "\n")
    done = other.search("nano", tmp_path / "out", "--optimiser", instant.optimiser)
    assert done.code == 1
    assert "trained for other accuracies" in done.err


def test_an_optimiser_without_instant_is_refused(tmp_path):
    done = nas("search", "--device", "nano", "--optimiser", tmp_path, "--out", tmp_path / "out")
    assert done.code == 1
    assert "--optimiser belongs to --instant" in done.err


@pytest.mark.slow
def test_it_trains_where_there_is_none_and_finds_it_again(instant, tmp_path):
    out = tmp_path / "nano"
    first = instant.search("nano", out)
    assert first.code == 0, first.err
    assert "training an optimiser" in first.err
    again = instant.search("nano", out, "--overwrite")
    assert again.code == 0, again.err
    assert "training" not in again.err
    assert f"optimiser of {out}" in again.err.replace("\n", "")
