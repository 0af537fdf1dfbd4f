"""Several devices in one search, the subnets they share, and warm starts."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.pareto import hypervolume, non_dominated, read_pareto
from nas.search.front.archive import Archive
from nas.search.front.shared_set import LOSS_PCT, shared
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.objectives import combined
from nas.search.score.scorer import Scorer
from nas.search.study.warm_start import read_warm_start
from nas.search.targets import SideBySide
from search_spaces import InputError, PolicyGrid, get_space
from tests.nas.cli.test_app import refused
from tests.nas.conftest import nas
from tests.nas.search.test_run import comparable
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space, latencies_of

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.7,))
COST, N = FormulaCost(SPACE), len(CLOCKS_GHZ)


class Kernels:
    """A device that is bound by the number of kernels alone."""

    def __call__(self, genes, programs):
        heads = np.tile(programs, (len(genes), 1))
        operators = SPACE.operators(np.repeat(genes, len(programs), axis=0), heads)
        latency = operators.present.sum(axis=1).reshape(len(genes), -1, 1) / np.array([1.0, 2.0])
        return latency, latency * 2


SCORER = Scorer(FormulaAccuracy(SPACE, GRID), COST, 0.01)
BOTH = Scorer(
    FormulaAccuracy(SPACE, GRID), SideBySide((COST, Kernels())), np.array([0.01] * N + [0.5] * 2)
)
GENES = np.unique(SPACE.sample_spread(30, np.random.default_rng(0)), axis=0)


def test_levels_side_by_side_are_those_of_the_devices_alone():
    both, one = BOTH(GENES), SCORER(GENES)
    other = Scorer(FormulaAccuracy(SPACE, GRID), Kernels(), 0.5)(GENES)
    for name in ("latency_ms", "energy_mj", "worst_ms"):
        parts = np.concatenate([getattr(one, name), getattr(other, name)], axis=2)
        np.testing.assert_allclose(getattr(both, name), parts)


@given(arrays(float, (3, 4, 3), elements=st.floats(0.1, 100)), st.floats(0.01, 100))
def test_values_of_several_devices_ignore_how_fast_each_is(values, factor):
    values[:, :, 0] = values[0, :, 0]
    found = combined(values)
    np.testing.assert_allclose(found[:, 0], values[0, :, 0])
    np.testing.assert_allclose(found[:, 1] ** 3, values[:, :, 1].prod(axis=0))
    faster = values * [[[1, factor, 1]], [[1, 1, 1]], [[1, 1, 1]]]
    np.testing.assert_array_equal(
        np.argsort(combined(faster)[:, 1].round(9), kind="stable"),
        np.argsort((found[:, 1] * factor ** (1 / 3)).round(9), kind="stable"),
    )


def test_a_device_without_energy_does_not_count_there():
    values = np.array([[[5.0, 2.0, 0.0]], [[5.0, 8.0, 3.0]]])
    np.testing.assert_allclose(combined(values), [[5.0, 4.0, 3.0]])
    np.testing.assert_allclose(combined(values[:1]), values[0])
    np.testing.assert_allclose(combined(np.stack([values[0]] * 2)), values[0])


def test_a_subnet_is_as_infeasible_as_on_its_worst_device():
    scores = BOTH(GENES)
    bounds = Bounds(max_latency_ms=float(np.median(scores.latency_ms)), levels=(0, N))
    excess = scores.latency_ms / bounds.max_latency_ms - 1
    archive = Archive([N, 2], bounds)
    expected = np.maximum(excess[:, :, 0].min(axis=1), excess[:, :, N].min(axis=1))
    found = np.concatenate([archive.add(part, BOTH(part)) for part in np.array_split(GENES, 3)])
    np.testing.assert_allclose(found, expected)
    least = [excess[:, :, 0].min(), excess[:, :, N].min()]
    np.testing.assert_allclose(archive.least, least)
    assert bounds.middle_levels([N, 2]) == [0, N]
    assert Bounds().middle_levels([N, 2]) == [N // 2, N + 1]


@pytest.fixture(scope="module")
def shares():
    archive = Archive([N, 2], Bounds())
    archive.trial_values.append(np.zeros((2, len(GENES), 3)))
    archive.add(GENES, BOTH(GENES))
    parts = [archive.part(0, slice(0, N)), archive.part(1, slice(N, N + 2))]
    problem = Problem(SPACE, BOTH, Bounds(), (N, 2))
    return shared(problem, parts, ["board", "kernels"]), archive


def test_subnets_on_every_front_are_those_in_both_archives(shares):
    content, archive = shares
    on = [{int(s) for f in fronts for s in f.subnet} for fronts in
          (archive.fronts[:N], archive.fronts[N:])]  # fmt: skip
    expected = sorted(map(str, SPACE.subnets(GENES[sorted(on[0] & on[1])])))
    assert content["on_every_front"] == expected
    assert content["n_on_some_front"] == len(on[0] | on[1])


def test_the_shared_set_keeps_what_it_says(shares):
    content, archive = shares
    chosen = SPACE.genes([SPACE.parse(row["subnet"]) for row in content["set"]])
    assert len(chosen) < content["n_on_some_front"]
    scores = BOTH(chosen)
    for device, levels in (("board", range(N)), ("kernels", range(N, N + 2))):
        kept = []
        for level in levels:
            front = archive.fronts[level].costs
            largest = front.max(axis=0)
            corner = np.where(largest > 0, 1.1 * largest, 1.0)
            own = scores.costs()[:, :, level].reshape(-1, 3)
            own = own[non_dominated(own)]
            kept.append(hypervolume(own, corner) / hypervolume(front, corner))
        said = content["set"][-1]["kept_pct"][device]
        assert said == pytest.approx(100 * np.mean(kept), abs=0.006)
        assert said >= 100 - LOSS_PCT
        rising = [row["kept_pct"][device] for row in content["set"]]
        assert rising == sorted(rising)


# ---- on the command line -----------------------------------------------------------------------


def search(digits, out, *more):
    return nas(
        *("search", "--supernet", digits.supernet, "--proxy", digits.rows),
        *("--trials", 60, "--points", 5, "--out", out, *more),
    )


@pytest.fixture(scope="module")
def two(digits, tmp_path_factory):
    """The folder of one search for two devices."""
    out = tmp_path_factory.mktemp("two") / "run"
    done = search(digits, out, "--device", "xavier-nx", "--device", "nano")
    assert done.code == 0, done.err
    assert "the fewest subnets that keep 99 %" in done.out
    return out


def test_every_device_has_its_files_and_all_have_one_study(two):
    assert {p.name for p in two.iterdir()} == {
        *("xavier-nx", "nano", "shared.json", "report.html"),
        *("study.journal", "run.json", "run.lock"),
    }
    for name in ("xavier-nx", "nano"):
        files = {p.name for p in (two / name).iterdir()}
        assert files == {"pareto.json", "pareto.csv", "report.html", "target_rows.csv"}
        content = read_pareto(two / name / "pareto.json").content
        assert content["device"]["name"] == name
        assert content["search"]["devices"] == ["xavier-nx", "nano"]
        assert content["search"]["n_subnets"] == 60
    content = json.loads((two / "shared.json").read_text())
    assert content["schema"] == "nas.shared/1"
    assert set(content["set"][0]["kept_pct"]) == {"xavier-nx", "nano"}


def test_several_devices_resume_to_the_same_files(digits, two, tmp_path):
    devices = "--device", "xavier-nx", "--device", "nano", "--quiet"
    out = tmp_path / "run"
    assert search(digits, out, *devices, "--trials", 30).code == 0
    assert search(digits, out, *devices, "--resume").code == 0
    for name in ("xavier-nx", "nano"):
        assert comparable(out / name) == comparable(two / name)
    assert (out / "shared.json").read_text() == (two / "shared.json").read_text()
    refused(search(digits, out, "--device", "nano", "--resume"), "holds a run with another device")


def test_overwriting_leaves_nothing_of_the_devices_before(digits, two, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(two, out)
    again = "--device", "nano", "--trials", "40", "--overwrite", "--quiet"
    assert search(digits, out, *again).code == 0
    assert {p.name for p in out.iterdir()} == {
        *("pareto.json", "pareto.csv", "report.html", "study.journal"),
        *("target_rows.csv", "run.json", "run.lock"),
    }


def test_what_is_wrong_with_several_devices_leaves_nothing(digits, tmp_path):
    out = tmp_path / "run"
    fixed = "--device", "xavier-nx"
    refused(search(digits, out, *fixed, *fixed), "--device xavier-nx is given twice")
    refused(search(digits, out, *fixed, "--device", "nono"), "nano")
    nano = (*fixed, "--device", "nano")
    refused(search(digits, out, *nano, "--levels", "14"), "nano has levels 0 to 11")
    refused(
        search(digits, out, *nano, "--max-energy-mj", "1e-9"),
        "no configuration of xavier-nx meets --max-energy-mj 1e-09",
    )
    assert not out.exists()


def test_the_images_judge_subnets_once_for_all_devices(digits, tmp_path):
    out, nano = tmp_path / "run", ("--device", "nano")
    images = "--evaluate", "--data", "digits", "--quiet", "--trials", "24"
    done = search(digits, out, "--device", "xavier-nx", *nano, *images)
    assert done.code == 0, done.err
    lines = [json.loads(x) for x in (out / "evaluations.jsonl").read_text().splitlines()]
    names = [line["subnet"] for line in lines[1:]]
    assert 0 < len(names) == len(set(names)) <= 24 + 2  # and the two ends of the space
    for name in ("xavier-nx", "nano"):
        assert {p["error_source"] for p in comparable(out / name)["points"]} == {"measured"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "nano", "--instant"], "--instant proposes for one device; give one"),
        (["--device", "nano", "--clocks", "all"], "--clocks all searches the clocks of one device"),
        (["--instant", "--warm-start", "a.json"], "--instant makes none; give one of them"),
    ],
)
def test_options_that_do_not_fit_are_one_line(digits, tmp_path, options, said):
    refused(search(digits, tmp_path / "run", "--device", "xavier-nx", *options), said)
    assert not (tmp_path / "run").exists()


def test_a_plan_for_several_devices_is_one_file_that_comes_back(digits, tmp_path):
    devices = "--device", "xavier-nx", "--device", "nano", "--quiet"
    plan = tmp_path / "plan.csv"
    assert search(digits, tmp_path / "run", *devices, "--plan", plan).code == 0
    rows = pd.read_csv(plan)
    assert set(rows["device"]) == {"xavier-nx", "nano"}
    rows["latency_ms"] = latencies_of(rows)
    rows["source"] = "measured"
    rows[rows["device"] == "nano"].to_csv(plan, index=False)
    done = search(digits, tmp_path / "run", *devices, "--measurements", plan)
    assert done.code == 0, done.err
    sources = {
        name: comparable(tmp_path / "run" / name)["device"]["latency_source"]
        for name in ("xavier-nx", "nano")
    }
    assert sources == {"nano": "predicted", "xavier-nx": "predicted (simulated)"}


def test_bounds_hold_and_are_written_down(digits, tmp_path):
    bounds = "--max-params", "40000", "--levels", "2,5-7", "--max-latency-ms", "2"
    done = search(digits, tmp_path / "run", "--device", "xavier-nx", *bounds)
    assert done.code == 0, done.err
    table = read_pareto(tmp_path / "run" / "pareto.json")
    assert {p["level"] for p in table.points} == {2, 5, 6, 7}
    assert all(p["params"] <= 40000 and p["latency_ms"] <= 2 for p in table.points)
    expected = {"max_latency_ms": 2.0, "max_params": 40000.0, "levels": [2, 5, 6, 7]}
    assert table.content["search"]["bounds"] == expected
    assert [level["level"] for level in table.searched] == [2, 5, 6, 7]


def test_a_warm_start_comes_first_and_is_written_down(digits, two, tmp_path):
    start = two / "nano" / "pareto.json"
    warm = "--device", "xavier-nx", "--warm-start", start, "--quiet"
    assert search(digits, tmp_path / "a", *warm).code == 0
    assert search(digits, tmp_path / "b", *warm, "--trials", 30).code == 0
    first, space = read_warm_start(start, get_space("resnet-digits")), get_space("resnet-digits")
    found = comparable(tmp_path / "a")["search"]["warm_start"]
    assert found["n_subnets"] == len(first.subnets)
    assert found["device"] == "nano"
    study = [json.loads(x) for x in (tmp_path / "b" / "study.journal").read_text().splitlines()]
    attributes = [x["user_attr"] for x in study if "warm_start" in x.get("user_attr", {})]
    assert attributes[0]["warm_start"]["subnets"] == first.subnets
    params = [x["params"] for x in study if "params" in x]
    indices = np.array([[p[name] for name in space.gene_names] for p in params])
    rows = np.array([[c[i] for c, i in zip(space.choices, r, strict=True)] for r in indices])
    n = min(len(first.subnets), 30)
    np.testing.assert_array_equal(space.canonical(rows[:n]), first.genes(space)[:n])
    start_elsewhere = tmp_path / "gone.json"  # a resumed run reads the study, not the file
    start_elsewhere.write_text(start.read_text())
    moved = "--device", "xavier-nx", "--warm-start", start_elsewhere, "--quiet"
    assert search(digits, tmp_path / "c", *moved, "--trials", 30).code == 0
    start_elsewhere.unlink()
    assert search(digits, tmp_path / "c", *moved, "--resume").code == 0
    resumed, whole = comparable(tmp_path / "c"), comparable(tmp_path / "a")
    assert resumed["points"] == whole["points"]


def test_a_warm_start_of_another_space_is_one_line(digits, two, tmp_path):
    content = json.loads((two / "nano" / "pareto.json").read_text())
    other = tmp_path / "other.json"
    out, device = tmp_path / "run", ("--device", "nano", "--warm-start", other)
    refused(search(digits, out, *device), "does not exist")
    other.write_text(json.dumps(content | {"space": "resnet-cifar"}))
    refused(search(digits, out, *device), "width2 of resnet-cifar must be one of")
    content["points"][0]["subnet"] = "d1-w2"
    other.write_text(json.dumps(content))
    refused(search(digits, out, *device), "d1-w2")
    assert not out.exists()
    with pytest.raises(InputError, match="holds subnets of"):
        read_warm_start(two / "nano" / "pareto.json", get_space("resnet-cifar"))
