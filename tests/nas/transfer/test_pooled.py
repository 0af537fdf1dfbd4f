"""Several proxies for one target, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.search import load_proxy
from nas.search.target_rows import measure_plan
from nas.transfer.plan import plan_rows, write_plan
from nas.transfer.programs import Programs
from predictors import load_transfer
from search_spaces import encode, get_space
from tests.nas.conftest import Digits, nas

SPACE = get_space("resnet-digits")
PROXIES = ("--proxy", "tx2", "--proxy", "nano", "--proxy", "x86-cpu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows of the device model of xavier-nx, with an error of 3 %."""
    rng = np.random.default_rng(0)
    device, proxy = get_device("xavier-nx"), load_proxy(SPACE, "x86-cpu")
    table = pd.DataFrame(measure_plan(SPACE, device, plan_rows(SPACE, device, proxy, 24, rng)))
    table["latency_ms"] *= np.exp(rng.normal(0, 0.03, len(table)))
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    table.to_csv(path, index=False)
    return path


def transfer(rows: Path, *more: object):
    space = ("--space", SPACE.name, "--device", "xavier-nx")
    return nas("predictor", "transfer", "--rows", rows, *space, *more)


def test_a_pool_is_judged_and_tells_what_more_rows_would_give(rows: Path) -> None:
    done = transfer(rows, *PROXIES, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["latency_ms"]
    assert found["n_target_rows"] == 24
    assert set(found["proxies"]) == {"tx2", "nano", "x86-cpu"}
    assert found["mape_pct"] < 15
    assert found["decision"] in ("go", "no-go")
    width = found["interval_half_width_pct"]
    assert width["0"] > width["8"] > width["24"] > 0
    shown = transfer(rows, *PROXIES).out
    assert "alone they rank:" in shown
    assert "with 8 rows more" in shown


def test_a_kept_pool_predicts(rows: Path, tmp_path: Path) -> None:
    done = transfer(rows, *PROXIES, "--out", tmp_path / "pool")
    assert done.code == 0, done.err
    predict = f"nas predictor predict --model {tmp_path / 'pool'} --space {SPACE.name}"
    assert done.err.splitlines()[-1] == f"next: {predict} --subnets SUBNETS.csv"
    predictor, names = load_transfer(tmp_path / "pool", "latency_ms", SPACE)
    assert names == ["tx2", "nano", "x86-cpu"]
    genes = SPACE.sample(50, np.random.default_rng(1))
    heads = np.ones((1, SPACE.n_exits + 1), dtype=bool)
    programs = Programs(SPACE, genes, np.repeat(heads, 50, axis=0))
    logs = [np.log(load_proxy(SPACE, n).latency_ms(programs)) for n in names]
    device = get_device("xavier-nx")
    top = len(device.levels) - 1
    X = np.column_stack([encode(SPACE, genes, heads), *logs])
    X = np.column_stack([X, np.full(50, device.levels[top].gpu_mhz), 1000 + np.arange(50)])
    true = device.cost(SPACE.operators(genes, np.repeat(heads, 50, axis=0)))[0][:, top]
    assert np.median(np.abs(np.log(predictor.predict(X) / true))) < 0.15


def test_a_kept_pool_predicts_from_a_table_without_the_proxies_rows(
    rows: Path, digits: Digits, tmp_path: Path
) -> None:
    host = tmp_path / "host.csv"
    host.write_bytes(digits.rows.read_bytes())
    pool = ("--proxy", host, "--proxy", "tx2", "--out", tmp_path / "pool")
    assert transfer(rows, *pool).code == 0
    host.unlink()
    device = get_device("xavier-nx")
    genes = SPACE.sample(30, np.random.default_rng(1))
    asked = pd.DataFrame({"subnet": [str(s) for s in SPACE.subnets(genes)]})
    asked["level"] = [0, 7, 14] * 10
    asked.to_csv(tmp_path / "in.csv", index=False)
    files = ("--subnets", tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    done = nas("predictor", "predict", "--model", tmp_path / "pool", "--space", SPACE.name, *files)
    assert done.code == 0, done.err
    found = pd.read_csv(tmp_path / "out.csv")
    assert set(found["source"]) == {"predicted (simulated)"}
    heads = np.ones((30, SPACE.n_exits + 1), dtype=bool)
    true = device.cost(SPACE.operators(genes, heads))[0][np.arange(30), asked["level"]]
    assert np.median(np.abs(np.log(found["latency_ms"] / true))) < 0.15
    assert np.mean((found["latency_low_ms"] < true) & (true < found["latency_high_ms"])) > 0.7
    ask = ("predictor", "predict", "--model", tmp_path / "pool", "--space", SPACE.name)
    refused = nas(*ask, "--subnet", SPACE.example, "--level", 15)
    assert "the target has levels 0 to 14, asked 15" in refused.err
    (tmp_path / "pool" / "proxies_latency_ms" / "0" / "latency_ms.ubj").write_bytes(b"other")
    refused = nas(*ask, "--subnet", SPACE.example)
    assert refused.code == 1
    assert "latency_ms.ubj differs from its checksum" in refused.err


def test_a_kept_pool_is_judged_on_new_rows_within_clocks(rows: Path, tmp_path: Path) -> None:
    assert transfer(rows, *PROXIES, "--out", tmp_path / "pool").code == 0
    device, proxy = get_device("xavier-nx"), load_proxy(SPACE, "nano")
    planned = plan_rows(SPACE, device, proxy, 30, np.random.default_rng(9))
    pd.DataFrame(measure_plan(SPACE, device, planned)).to_csv(tmp_path / "new.csv", index=False)
    ask = ("predictor", "evaluate", "--model", tmp_path / "pool", "--space", SPACE.name, "--json")
    new = json.loads(nas(*ask, "--rows", tmp_path / "new.csv").out)
    assert not new["trained_on_these_rows"]
    assert new["n_rows"] == 30
    assert new["mape_pct"] < 20
    assert new["srcc"] > 0.8
    assert json.loads(nas(*ask, "--rows", rows).out)["trained_on_these_rows"]


def test_rows_at_one_clock_do_not_predict_another(rows: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rows)
    table[table["level"] == 14].to_csv(tmp_path / "one.csv", index=False)
    done = transfer(tmp_path / "one.csv", *PROXIES, "--out", tmp_path / "pool")
    assert done.code == 0, done.err
    ask = ("predictor", "predict", "--model", tmp_path / "pool", "--space", SPACE.name)
    assert nas(*ask, "--subnet", SPACE.example).code == 0  # the top level
    refused = nas(*ask, "--subnet", SPACE.example, "--level", 0)
    assert refused.code == 1
    assert "the target's rows know one clock, 1109.25 MHz" in refused.err


def test_one_proxy_is_judged_with_the_same_words(rows: Path, tmp_path: Path) -> None:
    report = tmp_path / "pages" / "report.html"
    done = transfer(rows, "--proxy", "x86-cpu", "--json", "--report", report)
    assert done.code == 0, done.err
    for name, entry in json.loads(done.out).items():
        assert set(entry["proxies"]) == {"x86-cpu"}
        assert set(entry["interval_half_width_pct"]) == {"0", "8", "24"}
        assert entry["advice"]
        assert name in report.read_text()
    itself = transfer(rows, "--proxy", "x86-cpu", "--proxy", rows)
    assert "--proxy learns from --rows, " in itself.err
    shown = transfer(rows, "--proxy", "x86-cpu").out
    assert "next: " in shown
    assert "weight" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--proxy", "tx2", "--proxy", "tx2"), "a proxy is given twice: tx2, tx2"),
        (("--out", "folder"), "--out keeps a pooled predictor; give at least two --proxy"),
        (("--report", "."), ". is a folder; name a file in it"),
        ((*PROXIES, "--quantity", "joules"), "--quantity must be one of latency_ms, energy_mj"),
    ],
)
def test_what_cannot_be_pooled_is_one_line(rows: Path, options: tuple, message: str) -> None:
    done = transfer(rows, *options)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_row_that_contradicts_the_others_is_named_and_measured_again(tmp_path: Path) -> None:
    """From the plan over a throttled row to a file without it, by the commands that are printed."""
    device, proxy = get_device("nano"), load_proxy(SPACE, "x86-cpu")
    plan, out = tmp_path / "plan.csv", tmp_path / "rows.csv"
    write_plan(plan_rows(SPACE, device, proxy, 24, np.random.default_rng(0)), plan)
    again = ("measure", "--of", plan, "--out", out, "--quiet")
    assert nas(*again).code == 0
    good = pd.read_csv(out, dtype=str)
    bad = good.copy()
    bad.loc[5, "latency_ms"] = str(500 * float(good.loc[5, "latency_ms"]))
    bad.to_csv(out, index=False)
    judge = ("predictor", "transfer", "--rows", out, "--space", SPACE.name, "--device", "nano")
    shown = nas(*judge, "--proxy", "x86-cpu", "--report", tmp_path / "t.html")
    assert f"a row is not counted: {good['subnet'][5]} at" in shown.out
    assert "A row that does not count" in (tmp_path / "t.html").read_text()
    assert nas(*again, "--redo-noisy").code == 0
    measured = pd.read_csv(out, dtype=str)
    assert sorted(measured["latency_ms"]) == sorted(good["latency_ms"])
    assert "not counted" not in nas(*judge, "--proxy", "x86-cpu").out
