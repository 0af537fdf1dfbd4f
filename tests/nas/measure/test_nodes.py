"""`nas measure --ray` and target rows on Ray nodes of this machine, with kills. Needs nas[ray]."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ray", reason="a cluster: needs nas[ray]")

from ray.cluster_utils import Cluster

from nas.cluster.trials import WorkTrial
from nas.devices import HostDevice
from nas.measure import programs
from nas.search import SearchSettings
from nas.search.target_rows import as_measured, measure_by_nodes
from nas.transfer.plan import plan_rows
from nas.transfer.proxy import load_proxy
from predictors import read_rows
from search_spaces import InputError, get_space
from tests.nas.cluster import search_on_images
from tests.nas.conftest import RAY_HEAD, nas
from tests.nas.search.test_run import comparable

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120
DIGITS = get_space("resnet-digits")
MEASURE = ("measure", "--device", "host", "--space", "resnet-digits", "--seconds", 0.03)


@pytest.fixture(scope="module")
def cluster():
    """A head that measures nothing; tests add the nodes that do."""
    made = Cluster(initialize_head=True, head_node_args=RAY_HEAD)
    yield made
    made.shutdown()


@pytest.fixture
def node(cluster):
    """Adds a node that measures; those that are left go with the test."""
    before = set(cluster.worker_nodes)
    yield lambda: cluster.add_node(num_cpus=1, resources={"measure": 1})
    for left in set(cluster.worker_nodes) - before:
        cluster.remove_node(left, allow_graceful=False)
    cluster.wait_for_nodes()  # until the head knows that they are gone


def until(true: Callable[[], object], process: subprocess.Popen, log: Path) -> None:
    """Wait for something that `process` does."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


def check_complete(out: Path, n_subnets: int) -> None:
    """Every program of the sample once, and nothing else."""
    rows = read_rows(out, DIGITS)
    wanted = {(str(s), "+".join(map(str, heads))) for s, heads in programs(DIGITS, n_subnets, 0)}
    assert len(rows) == len(wanted)
    assert set(zip(rows["subnet"], rows["heads"], strict=True)) == wanted
    assert set(rows["source"]) == {"measured"}
    assert len(set(rows["host"])) == 1


def test_no_node_that_measures_is_one_line_that_says_how_to_start_one(cluster, tmp_path):
    done = nas(*MEASURE, "--out", tmp_path / "rows.csv", "--ray", cluster.address, "--quiet")
    assert done.code == 1
    assert (
        "no node has the resources CPU: 1 and measure: 1; start one with `ray start --address="
        in done.err
    )
    assert """--resources='{"measure": 1}'`""" in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_killed_nodes_and_a_killed_driver_cost_the_rows_they_measured(cluster, node, tmp_path):
    """Two nodes die one after the other, another one joins, the driver dies and starts again."""
    out, log = tmp_path / "rows.csv", tmp_path / "log"
    command = [*map(str, MEASURE), "--samples", "8", "--out", str(out), "--ray", cluster.address]
    a, b = node(), node()
    with log.open("w") as said:
        driver = subprocess.Popen(
            [sys.executable, "-m", "nas.cli.app", *command], cwd=ROOT, stderr=said, text=True
        )

    def rows(n: int) -> None:
        until(lambda: out.exists() and out.read_bytes().count(b"\n") > n, driver, log)

    rows(2)
    cluster.remove_node(a, allow_graceful=False)
    rows(5)
    cluster.remove_node(b, allow_graceful=False)
    until(lambda: "waiting: no node has" in log.read_text(), driver, log)
    n_rows = out.read_bytes().count(b"\n") - 1
    assert 5 <= n_rows < 36
    node()
    rows(n_rows + 2)
    driver.kill()
    driver.wait()
    assert "a worker died; resnet-digits " in log.read_text()
    assert "measuring on 2 nodes, 2 trials at once" in log.read_text()
    kept = out.read_bytes()
    done = nas(*command)
    assert done.code == 0, done.err
    assert "measuring on 1 node, 1 trial at once" in done.err
    check_complete(out, 8)
    assert out.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "rows.csv"]
    command[-1] = "127.0.0.1:1"  # a whole file asks no cluster
    assert nas(*command).code == 0


def test_a_row_that_cannot_be_measured_is_a_reason_and_no_second_try():
    def work(item):
        raise InputError(f"pytorch cannot run {item} on this CPU")

    trial = object.__new__(WorkTrial)
    trial.setup({"item": "fp16"}, work)
    assert trial.step() == {"done": True, "reason": "pytorch cannot run fp16 on this CPU"}
    assert trial.reset_config({"item": "a"})
    trial.work = lambda item: {"latency_ms": item}
    assert trial.step() == {"done": True, "result": [{"latency_ms": "a"}]}


def planned(device):
    rng = np.random.default_rng(0)
    return plan_rows(DIGITS, device, load_proxy(DIGITS, "x86-cpu"), 8, rng)


def test_target_rows_are_measured_here_where_no_node_measures(cluster, tmp_path):
    device, said = HostDevice(seconds=0.01), []
    plan = planned(device)
    settings = SearchSettings(
        "host", tmp_path / "run", ray=cluster.address, evaluate=True, data=ROOT
    )
    rows = measure_by_nodes(settings, DIGITS, device, plan, said.append)
    assert said == [
        "Ray: no node has the resource measure; the target rows are measured on this machine"
    ]
    assert [(r["subnet"], r["heads"]) for r in rows] == [(r["subnet"], r["heads"]) for r in plan]
    assert min(r["latency_ms"] for r in rows) > 0
    assert {r["decision_ms"] for r in rows} == {device.decision_ms}


def test_a_target_has_the_clock_and_the_decision_time_of_what_measured_it():
    device = HostDevice()
    rows = pd.DataFrame({"cpu_mhz": [1000.0, 1200.0, np.nan], "decision_ms": ["0.25", "0.25", ""]})
    found = as_measured(device, rows)
    assert [level.clock_mhz for level in found.levels] == [1100]
    assert found.decision_ms == 0.25
    assert as_measured(device, pd.DataFrame({"latency_ms": [1.0]})).levels == device.levels


@pytest.mark.slow
def test_a_search_for_the_machines_that_measure(
    cluster, node, digits, tmp_path, capsys, monkeypatch
):
    """Its target rows are measured once, by the node; going on measures nothing."""
    node()
    monkeypatch.setattr(HostDevice, "measure", None)  # in this process, not on the node
    out = tmp_path / "run"
    settings = {"device": "host", "ray": cluster.address}
    search_on_images.search(digits.supernet, digits.rows, out, n_trials=8, **settings)
    assert "Ray: measuring on 1 node, 1 trial at once" in capsys.readouterr().out
    rows = (out / "target_rows.csv").read_bytes()
    search_on_images.search(digits.supernet, digits.rows, out, n_trials=12, resume=True, **settings)
    assert "measuring" not in capsys.readouterr().out
    assert (out / "target_rows.csv").read_bytes() == rows
    content = comparable(out)
    assert content["device"]["latency_source"] == "predicted"
    measured = pd.read_csv(out / "target_rows.csv")
    assert set(measured["source"]) == {"measured"}
    assert content["levels"][0]["cpu_mhz"] == pytest.approx(measured["cpu_mhz"].median())


@pytest.mark.slow
def test_this_machine_alone_is_a_cluster_of_one(tmp_path):
    out = tmp_path / "rows.csv"
    command = [*map(str, MEASURE), "--samples", "3", "--out", str(out), "--ray", "local"]
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli.app", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Ray: measuring on 1 node, 1 trial at once" in done.stderr
    check_complete(out, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
