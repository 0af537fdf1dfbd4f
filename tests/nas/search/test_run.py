"""The main job, end to end on the embedded data set, and what must hold of any result."""

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import nas as library
from nas.cli.search_screen import SearchScreen
from nas.pareto import ParetoTable, hypervolume, read_pareto
from nas.search import SearchSettings
from nas.search.listener import Silent
from search_spaces import InputError, NASBench201Space, get_space
from search_spaces.space import GeneGroup
from tests.nas.conftest import Digits, in_process, nas, nas_in_process
from tests.nas.synthetic import latencies_of

TRIALS = 150
FEW = "--trials", 60, "--points", 5


def command(digits: Digits, out: Path, *more: object) -> list[str]:
    fixed = ["search", "--device", "xavier-nx", "--supernet", digits.supernet]
    return [*map(str, [*fixed, "--proxy", digits.rows, "--trials", TRIALS, "--out", out, *more])]


def comparable(out: Path) -> dict:
    """A result without what may differ between two runs of one seed."""
    content = json.loads((out / "pareto.json").read_text())
    return {k: v for k, v in content.items() if k not in ("created", "command", "versions")}


@pytest.fixture(scope="module")
def result(digits, tmp_path_factory) -> Path:
    """The folder of one finished search."""
    out = tmp_path_factory.mktemp("search") / "run"
    done = nas(*command(digits, out))
    assert done.code == 0, done.err
    assert "go" in done.out
    assert "simulated" in done.out
    return out


def test_every_file_is_there_and_nothing_else(result):
    names = {p.name for p in result.iterdir()}
    files = "pareto.json pareto.csv report.html study.journal target_rows.csv run.json run.lock"
    assert names == set(files.split())
    assert "<html" in (result / "report.html").read_text()


def test_levels_hold_non_dominated_sets(result):
    table = read_pareto(result / "pareto.json")
    assert [level["level"] for level in table.levels] == list(range(15))
    clocks = [level["gpu_mhz"] for level in table.levels]
    assert clocks == sorted(clocks)
    for level in table.levels:
        points = table.at(level["level"])
        assert len(points) >= 5
        costs = table.costs(points)
        for a, b in itertools.permutations(costs, 2):
            assert not ((a <= b).all() and (a < b).any())
    assert any(p["exits"]["after"] for p in table.points)


def test_the_front_over_levels_is_that_of_all_pairs(result):
    table = read_pareto(result / "pareto.json")
    costs = table.costs(table.points)
    no_worse = (costs[None] <= costs[:, None]).all(axis=2)
    better = (costs[None] < costs[:, None]).any(axis=2)
    free = ~(no_worse & better).any(axis=1)
    assert set(table.content["front"]) == {
        p["id"] for p, on in zip(table.points, free, strict=True) if on
    }


def test_every_figure_has_a_source_and_hypervolumes_are_those_of_the_points(result):
    table = read_pareto(result / "pareto.json")
    for point in [*table.points, *table.content["baselines"]]:
        assert point["error_source"] in ("measured", "predicted")
        assert point["latency_source"].startswith("predicted")
        assert "simulated" in point["latency_source"] + point["energy_source"]
        assert sum(point["exit_rates"]) == pytest.approx(1, abs=1e-3)
        low, high = point["latency_interval_ms"]
        assert low < high
        assert point["latency_worst_ms"] >= point["latency_ms"] * (1 - 1e-5)
    reference = table.content["reference"]
    for level, volume in enumerate(reference["hypervolume"]):
        costs = table.costs(table.at(level))
        assert volume == pytest.approx(hypervolume(costs, reference["point"]), rel=1e-4)


def test_the_study_opens_in_optuna(result):
    backend = optuna.storages.journal.JournalFileBackend(str(result / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name=None, storage=storage)
    assert len(study.trials) == TRIALS
    genes = set(get_space("resnet-digits").gene_names)
    assert all(set(t.params) == genes for t in study.trials)


def test_another_seed_gives_another_file(digits, result, tmp_path):
    """That the same seed gives the same one, killed and continued or not, is tested below."""
    done = nas(*command(digits, tmp_path / "other", "--seed", 1, "--resume"))
    assert "holds no run to go on with: a new one" in " ".join(done.err.split())
    assert comparable(tmp_path / "other")["points"] != comparable(result)["points"]


def test_a_resumed_run_whose_trials_are_elsewhere_says_that_it_begins_anew(
    digits, tmp_path
) -> None:
    here, few = tmp_path / "run", ("--points", 5, "--trials", 5)
    stored = (*command(digits, here, *few), "--storage")
    assert nas(*stored, tmp_path / "a.journal", "--quiet").code == 0
    done = nas(*stored, tmp_path / "a.journal", "--resume")
    assert "no trials to go on with" not in done.err
    done = nas(*stored, tmp_path / "b.journal", "--resume")
    assert "b.journal holds no trials to go on with: they begin anew" in " ".join(done.err.split())
    assert done.code == 0


def test_a_model_may_choose_the_subnets(digits, tmp_path):
    few = "--sampler", "surrogate", "--points", 5, "--trials", 40, "--quiet"
    assert nas(*command(digits, tmp_path / "whole", *few)).code == 0
    half = *few[:-2], 25, "--quiet"
    assert nas(*command(digits, tmp_path / "parts", *half)).code == 0
    assert nas(*command(digits, tmp_path / "parts", *few, "--resume")).code == 0
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")
    assert comparable(tmp_path / "whole")["search"]["n_subnets"] == 40
    refused = nas(*command(digits, tmp_path / "other", "--sampler", "best"))
    assert refused.code == 1
    assert "--sampler must be nsga2, surrogate or optuna:NAME, got 'best'" in refused.err


def test_a_resumed_search_goes_as_far_as_it_was_to_go(settings: SearchSettings) -> None:
    """And to no smaller result, unless the study holds less; a later one may go further."""
    given = {"space": settings.space, "accuracy_table": settings.accuracy_table, "population": 10}
    state, result = (settings.folder / name for name in ("run.json", "pareto.json"))

    def search(**more: object) -> ParetoTable:
        return library.search(settings.device, out=settings.folder, **given, **more)

    whole = search(trials=40, n_points=5, patience=99)
    again = search(resume=True)
    assert again.points == whole.points
    assert again.content["search"]["n_subnets"] == 40
    with pytest.raises(InputError, match="holds 40 trials, 30 asked; ask for 40 or more with `n_t"):
        search(resume=True, trials=30)
    assert json.loads(result.read_text())["points"] == whole.points
    assert search(resume=True, trials=45).content["search"]["n_subnets"] == 45
    extent = {"n_trials": 45, "n_points": 5, "patience": 99}
    found = json.loads(state.read_text())
    assert extent.items() <= found.items()
    state.write_text(json.dumps({n: v for n, v in found.items() if n not in extent}))  # older
    with pytest.raises(InputError, match="holds 45 trials, 30 asked"):
        search(resume=True, trials=30)
    assert search(resume=True, trials=50).content["search"]["n_subnets"] == 50
    # a killed run of more may end sooner than it was to
    state.write_text(json.dumps(found | {"n_trials": 200}))
    with pytest.raises(InputError, match="holds 50 trials, 45 asked"):
        search(resume=True, trials=45)
    assert search(resume=True, trials=60).content["search"]["n_subnets"] == 60
    # others wrote into the study: the command as it was given goes on
    state.write_text(json.dumps(found))
    assert search(resume=True, trials=45).content["search"]["n_subnets"] == 45


class Narrow(NASBench201Space):
    """64 networks: every edge has two operators."""

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        skip = tuple(np.flatnonzero(self.smallest[0]))
        return (GeneGroup("o", "op", tuple((int(edge in skip), 3) for edge in range(6))),)


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(("trials", "whole"), [(63, False), (64, False), (1000, True)])
def test_a_small_space_is_searched_to_its_end(trials: int, whole: bool, tmp_path: Path) -> None:
    space, table, said = Narrow(name="narrow"), tmp_path / "table.csv", Said()
    subnets = space.subnets(np.array(list(itertools.product(*space.choices))))
    lines = [f"{subnet},{50 - n / 9}" for n, subnet in enumerate(subnets)]
    table.write_text("\n".join(["subnet,top1_error_pct", *lines]))
    given = {"space": space, "accuracy_table": table, "out": tmp_path / "run", "listener": said}
    found = library.search("nano", trials=trials, **given)
    assert found.content["search"]["n_subnets"] == min(trials, 64)
    assert ("all 64 subnets of the space" in said.lines) == whole


def kill_and_resume(digits: Digits, out: Path, n_kills: int, seed: int) -> None:
    """Kill a search with SIGKILL at random moments, cut its journal, then let it finish."""
    rng = random.Random(seed)
    for _ in range(n_kills):
        resume = ["--resume"] if (out / "run.json").exists() else []
        process = nas_in_process(*command(digits, out, "--quiet", *resume))
        journal = out / "study.journal"
        size = journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:
            if journal.exists() and journal.stat().st_size > size:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.join()
        if journal.exists() and rng.random() < 0.5:
            data = journal.read_bytes()
            journal.write_bytes(data[: len(data) - rng.randint(1, 200)])
    done = nas(*command(digits, out, "--quiet", "--resume"))
    assert done.code == 0, done.err


def test_ctrl_c_keeps_what_was_done(digits, tmp_path):
    out = tmp_path / "run"

    def stay(*_: object) -> None:
        while True:
            time.sleep(0.01)

    def search() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
        SearchScreen.generation = stay  # one is all it does, however late the signal comes
        done = nas(*command(digits, out))
        (tmp_path / "said").write_text(done.err)
        sys.exit(done.code)

    process = in_process(search)
    while not (out / "study.journal").exists():
        assert process.is_alive()
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 130, said
    assert "stopped; what was done so far is kept" in said
    assert "Traceback" not in said
    held = (out / "study.journal").read_text().count('"op_code":4')  # trials
    more = "--quiet", "--trials", held + 50
    assert nas(*command(digits, out, *more, "--resume")).code == 0
    assert nas(*command(digits, tmp_path / "whole", *more)).code == 0
    assert comparable(out) == comparable(tmp_path / "whole")


def test_two_kills_change_nothing(digits, result, tmp_path):
    kill_and_resume(digits, tmp_path / "run", 2, seed=0)
    assert comparable(tmp_path / "run") == comparable(result)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "threads"), [(1, 1), (4242, 2)])
def test_neither_the_order_of_sets_nor_threads_change_a_result(
    seed: int, threads: int, digits: Digits, result: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    subprocess.run(
        [sys.executable, "-m", "nas", *command(digits, out, "--quiet")],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
    )
    assert comparable(out) == comparable(result)


@pytest.mark.slow
def test_ten_kills_change_nothing(digits, result, tmp_path):
    kill_and_resume(digits, tmp_path / "run", 10, seed=1)
    assert comparable(tmp_path / "run") == comparable(result)


def test_measured_rows_replace_the_simulated_ones(digits, tmp_path):
    plan = tmp_path / "plan.csv"
    assert nas(*command(digits, tmp_path / "run", "--plan", plan)).code == 0
    assert not (tmp_path / "run").exists()
    rows = pd.read_csv(plan)
    assert rows["latency_ms"].isna().all()
    rows["latency_ms"] = latencies_of(rows)
    rows["source"] = "measured"
    rows.to_csv(plan, index=False)
    again = nas(*command(digits, tmp_path / "run", "--plan", plan))
    assert "is there with other content, perhaps figures that were filled in" in again.err
    done = nas(*command(digits, tmp_path / "run", *FEW, "--measurements", plan))
    assert done.code == 0, done.err
    content = comparable(tmp_path / "run")
    assert content["device"]["latency_source"] == "predicted"
    # the rows hold no energy: the model's power at the latency that the rows predict
    assert content["device"]["energy_source"] == "predicted (scaled simulation)"
    assert content["predictors"]["latency_ms"]["n_target_rows"] == len(rows)
    said = " ".join(done.err.split())
    assert re.search(r"note: latency of xavier-nx is predicted within .* 24 rows more would", said)


def test_rows_at_one_clock_are_extended_by_the_model_and_say_so(digits, tmp_path):
    plan = tmp_path / "plan.csv"
    nas(*command(digits, tmp_path / "run", "--plan", plan))
    rows = pd.read_csv(plan)
    rows = rows[rows["level"] == rows["level"].max()]
    rows["latency_ms"] = np.linspace(1, 4, len(rows))
    rows["source"] = "measured"
    rows.to_csv(plan, index=False)
    done = nas(*command(digits, tmp_path / "run", *FEW, "--measurements", plan))
    assert done.code == 0, done.err
    assert comparable(tmp_path / "run")["device"]["latency_source"] == (
        "predicted (scaled simulation)"
    )


def test_ranks_that_do_not_transfer_are_a_no_go_that_completes(digits, tmp_path):
    plan = tmp_path / "plan.csv"
    nas(*command(digits, tmp_path / "run", "--plan", plan))
    rows = pd.read_csv(plan)
    shuffled = np.random.default_rng(0).permutation(len(rows) // 3)
    rows["latency_ms"] = np.tile(1.0 + shuffled, 3) * 1000 / rows["gpu_mhz"]
    rows["source"] = "measured"
    rows.to_csv(plan, index=False)
    done = nas(*command(digits, tmp_path / "run", *FEW, "--measurements", plan))
    assert done.code == 0, done.err
    assert "no-go" in done.out
    assert "no-go" in (tmp_path / "run" / "report.html").read_text()
    entry = comparable(tmp_path / "run")["predictors"]["latency_ms"]
    assert entry["decision"] == "no-go"


def test_the_points_are_verified_on_test_images(digits, tmp_path):
    done = nas(*command(digits, tmp_path / "run", *FEW, "--data", "digits"))
    assert done.code == 0, done.err
    assert "verified on 300 test images" in done.out
    for point in comparable(tmp_path / "run")["points"]:
        assert point["verified"]["split"] == "test"
        assert abs(point["verified"]["top1_error_pct"] - point["top1_error_pct"]) < 30
        oracle = point["verified"]["oracle"]  # apart, and never worse than what can be deployed
        assert oracle["top1_error_pct"] <= point["verified"]["top1_error_pct"] + 1e-3
        assert len(oracle["dissimilarity"]) == len(point["exits"]["after"]) + 1


def test_this_machine_is_a_target_too(digits, tmp_path):
    arguments = command(digits, tmp_path / "run", *FEW, "--samples", 8)
    arguments[2] = "host"
    done = nas(*arguments)
    assert done.code == 0, done.err
    content = comparable(tmp_path / "run")
    assert [o["name"] for o in content["objectives"]] == ["top1_error_pct", "latency_ms"]
    assert content["device"]["latency_source"] == "predicted"
    assert content["points"][0]["energy_mj"] is None
    assert len(content["levels"]) == 1


def test_a_space_without_exits_and_a_table_go_through_the_same_command(tmp_path):
    space = NASBench201Space()
    genes = space.sample(300, np.random.default_rng(0))
    error = 40 - 4 * (genes == 3).sum(axis=1) - 2 * (genes == 2).sum(axis=1)
    table = pd.DataFrame({"subnet": map(str, space.subnets(genes)), "top1_error_pct": error})
    table.drop_duplicates("subnet").to_csv(tmp_path / "table.csv", index=False)
    done = nas(
        *("search", "--device", "nano", "--space", "nasbench201", *FEW),
        *("--accuracy-table", tmp_path / "table.csv", "--out", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    table = read_pareto(tmp_path / "run" / "pareto.json")
    assert isinstance(table, ParetoTable)
    assert table.content["supernet"] is None
    assert all(p["exits"] == {"after": [], "thresholds": []} for p in table.points)
    assert "nas measure" in done.err  # the proxy is a model: one line says how to measure
