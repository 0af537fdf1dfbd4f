"""What a governor chooses from: costs per level in an export, and exit traces of real images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.export.every_level import governing, without_exits
from nas.pareto import ParetoTable, read_pareto
from nas.runtime.manifest import ManifestError, read_manifest
from nas.runtime.table import cost_table, manifest_table
from nas.runtime.traces import Traces, read_traces, write_traces
from search_spaces import InputError
from tests.nas.conftest import Digits, Searched, nas, refused


@pytest.fixture(scope="module")
def table(run: Path) -> ParetoTable:
    return read_pareto(run / "pareto.json")


@pytest.fixture
def board(searched: Searched) -> Path:
    return searched.board


def test_costs_at_a_points_own_level_are_its_own(table: ParetoTable) -> None:
    """Expected latency and energy of every point come back from time, power and rates."""
    made = governing(table, table.points)
    costs = cost_table(made)
    row = {(c["subnet"], str(c["thresholds"]), str(c["exits"][:-1])): i
           for i, c in enumerate(made["configurations"])}  # fmt: skip
    assert len(row) < len(table.points)
    for point in table.points:
        exits = point["exits"]
        i = row[point["subnet"], str(exits["thresholds"]), str(exits["after"])]
        level = point["level"]
        assert costs.mean_ms[i, level] == pytest.approx(point["latency_ms"], rel=2e-5)
        assert costs.mean_mj[i, level] == pytest.approx(point["energy_mj"], rel=2e-5)
        assert costs.error_pct[i] == point["top1_error_pct"]
        assert costs.time_ms[i, -1, level] == pytest.approx(point["latency_worst_ms"], rel=2e-5)


def test_every_level_has_a_cost_and_a_faster_clock_is_faster(table: ParetoTable) -> None:
    costs = cost_table(governing(table, table.points))
    assert costs.n_levels == len(table.levels) == costs.time_ms.shape[2]
    assert (np.diff(costs.mhz) > 0).all()
    assert (np.diff(costs.idle_w) > 0).all()
    assert (np.diff(costs.time_ms, axis=1) >= 0).all()  # a later exit takes longer
    assert (costs.time_ms[:, :, 0] > costs.time_ms[:, :, -1]).all()
    assert (costs.power_w > costs.idle_w).all()
    assert np.allclose(costs.rates.sum(axis=1), 1)


def test_rates_that_leave_the_early_exits_no_time_keep_the_models(table: ParetoTable) -> None:
    """int8 answers at other rates than those that the expected latency was made with."""
    point = next(p for p in table.points if p["exits"]["after"])
    rates = [0.0] * len(point["exit_rates"])
    rates[point["exits"]["after"][0]], rates[-1] = 0.001, 0.999
    assert point["latency_ms"] < 0.999 * point["latency_worst_ms"]
    costs = cost_table(governing(table, [{**point, "exit_rates": rates}]))
    assert (costs.time_ms > 0).all()
    assert (np.diff(costs.time_ms, axis=1) >= 0).all()


def test_an_idle_board_draws_no_more_than_a_working_one(table: ParetoTable) -> None:
    """Measured energy may be less than a profile's idle power makes of it."""
    costs = cost_table(governing(table, [{**p, "energy_mj": 0.1 * p["energy_mj"]}
                                         for p in table.points]))  # fmt: skip
    assert (costs.idle_w > 0).all()
    assert (costs.power_w >= costs.idle_w).all()


def test_a_subnet_without_exits_has_one_way_out(table: ParetoTable) -> None:
    rows = [{"subnet": table.points[0]["subnet"], "top1_error_pct": 3.0}]
    costs = cost_table(governing(table, without_exits(rows)))
    assert not costs.has_exits.any()
    assert costs.rates.tolist() == [[1.0]]
    assert costs.source == "simulated"


def test_a_device_without_a_model_is_said(table: ParetoTable) -> None:
    device = {**table.content["device"], "name": "host"}
    other = ParetoTable({**table.content, "device": device})
    with pytest.raises(InputError, match="no model describes host at every clock"):
        governing(other, other.points)


def test_a_table_of_several_images_at_once_is_not_governed(table: ParetoTable) -> None:
    device = {**table.content["device"], "batch": 8}
    other = ParetoTable({**table.content, "device": device})
    with pytest.raises(InputError, match="the costs of 8 images at once"):
        governing(other, other.points)


def test_an_export_can_be_governed(board: Path, table: ParetoTable) -> None:
    manifest = read_manifest(str(board))
    costs = manifest_table(manifest)
    points = {p["id"]: p for p in table.points}
    assert set(costs.ids) <= set(manifest.ids)
    for i, id_ in enumerate(costs.ids):
        level = points[id_]["level"]
        assert costs.mean_ms[i, level] == pytest.approx(points[id_]["latency_ms"], rel=2e-5)
    assert "simulated" in costs.source


def test_an_older_export_is_read_and_not_governed(board: Path, tmp_path: Path) -> None:
    content = json.loads((board / "manifest.json").read_text())
    del content["governing"], content["content_sha256"]
    older = tmp_path / "older"
    shutil.copytree(board, older)
    (older / "manifest.json").write_text(json.dumps(content))
    manifest = read_manifest(str(older))
    with pytest.raises(ManifestError, match=r"has no costs per level.*export again: nas export"):
        manifest_table(manifest)
    manifest.content["not_governed"] = "no model describes host"
    with pytest.raises(ManifestError, match=r"has no costs per level: no model describes host$"):
        manifest_table(manifest)


def test_traces_reproduce_the_exit_rates_of_the_export(board: Path) -> None:
    """Images that leave at each exit, counted one by one: the rates measured in `nas evaluate`."""
    costs = manifest_table(read_manifest(str(board)))
    traces = read_traces(str(board / "traces.npz"))
    assert traces.about["split"] == "validation"
    assert traces.about["n_images"] == traces.confidence.shape[1] > 100
    for i, subnet in enumerate(costs.subnets):
        at, correct = traces.leave(subnet, costs.exits[i], costs.thresholds[i])
        rates = np.bincount(at, minlength=costs.rates.shape[1]) / len(at)
        assert np.abs(rates - costs.rates[i]).max() < 0.15
        assert 0 < correct.mean() <= 1


def test_an_image_leaves_at_the_first_sure_exit() -> None:
    confidence = np.array([[[0.9, 0.2, 0.3], [0.5, 0.8, 0.3], [0.1, 0.1, 0.1]]], np.float32)
    correct = np.array([[[True, False, False], [True, False, True], [False, False, True]]])
    traces = Traces({}, ["a"], confidence, correct)
    at, right = traces.leave("a", [0, 1, 2], [0.9 - 1e-6, 0.8 - 1e-6])
    assert (at.tolist(), right.tolist()) == ([0, 1, 2], [True, False, True])
    at, right = traces.leave("a", [1, 2], [0.5])
    assert (at.tolist(), right.tolist()) == ([1, 0, 1], [False, False, True])
    with pytest.raises(ManifestError, match="the traces have no images of b"):
        traces.leave("b", [2], [])


def test_changed_traces_are_refused(tmp_path: Path) -> None:
    made = Traces({"split": "x"}, ["a"], np.ones((1, 2, 1), np.float32), np.ones((1, 2, 1), bool))
    path = str(tmp_path / "traces.npz")
    write_traces(path, made)
    assert read_traces(path).subnets == ["a"]
    with np.load(path) as found:
        arrays = {**found, "correct": np.zeros((1, 2, 1), bool)}
    np.savez(path, **arrays)
    with pytest.raises(ManifestError, match="was changed since it was written"):
        read_traces(path)
    (tmp_path / "traces.npz").write_bytes(b"PK")
    with pytest.raises(ManifestError, match="no readable file of exit traces"):
        read_traces(path)


def test_traces_need_images(run: Path, digits: Digits, board: Path, tmp_path: Path) -> None:
    common = "--pareto", run / "pareto.json", "--supernet", digits.supernet
    done = nas("export", *common, "--out", tmp_path / "x", "--bn-cache", "none", "--traces")
    refused(done, "traces", "are of real images", "data")
