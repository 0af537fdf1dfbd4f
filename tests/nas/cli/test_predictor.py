"""`nas predictor` from rows to predictions: tables in and out, quality, refusals in one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from search_spaces import format_heads, get_space
from tests.nas.conftest import nas, refused

SPACE = get_space("resnet-digits")
COMMON = ("--space", SPACE.name)


def simulated(n: int, *, seed: int, levels: tuple[int, ...] = (14,)) -> pd.DataFrame:
    """Rows of xavier-nx's model with 2 % of noise."""
    rng = np.random.default_rng(seed)
    device = get_device("xavier-nx")
    rows = []
    for subnet in SPACE.subnets(SPACE.sample_spread(n, rng)):
        for level in levels:
            heads = range(rng.integers(1, SPACE.n_exits + 2))
            rows.append(device.measure(SPACE, subnet, tuple(heads), level))
    table = pd.DataFrame(rows)
    table[["latency_ms", "energy_mj"]] *= np.exp(rng.normal(0, 0.02, (len(table), 1)))
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to learn from and to judge on, and a predictor of each quantity in `model`."""
    folder = tmp_path_factory.mktemp("predictor")
    simulated(80, seed=0).to_csv(folder / "rows.csv", index=False)
    simulated(40, seed=1).to_csv(folder / "new.csv", index=False)
    simulated(20, seed=2, levels=(0, 14)).to_csv(folder / "levels.csv", index=False)
    for quantity in ("latency_ms", "energy_mj"):
        options = ("--quantity", quantity, "--rows", folder / "rows.csv", "--out", folder / "model")
        done = nas("predictor", "train", *COMMON, *options)
        assert done.code == 0, done.err
    return folder


def test_training_says_how_good_it_is(folder: Path, tmp_path: Path) -> None:
    options = ("--rows", folder / "rows.csv", "--out", tmp_path / "m")
    shown = nas("predictor", "train", *COMMON, *options)
    assert "80 simulated rows of 80 subnets; held-out subnets: MAPE" in shown.out
    said = json.loads(nas("predictor", "train", *COMMON, *options, "--json").out)
    assert said["mape_pct"] < 5
    assert said["srcc_interval"][0] < said["srcc"] < said["srcc_interval"][1]
    assert 80 <= said["coverage_pct"] <= 100
    described = json.loads((tmp_path / "m" / "latency_ms.json").read_text())
    assert described["held_out"]["mape_pct"] == said["mape_pct"]
    assert (described["device"], described["level"], described["source"]) == (
        "xavier-nx",
        14,
        "simulated",
    )
    assert described["command"].startswith("nas predictor train")


@pytest.mark.parametrize("quantity", ["latency_ms", "energy_mj"])
def test_evaluating_leaves_a_table_and_a_plot(folder: Path, tmp_path: Path, quantity: str) -> None:
    options = ("--quantity", quantity, "--model", folder / "model", "--rows", folder / "new.csv")
    files = ("--out", tmp_path / "sub" / "out.csv", "--plot", tmp_path / "plot.svg")
    done = nas("predictor", "evaluate", *COMMON, *options, *files, "--json")
    assert done.code == 0, done.err
    entry = json.loads(done.out)
    assert entry["n_rows"] == 40
    assert not entry["trained_on_these_rows"]
    stem, unit = quantity.split("_")
    table = pd.read_csv(tmp_path / "sub" / "out.csv")
    low, high = (table[f"predicted_{stem}_{end}_{unit}"] for end in ("low", "high"))
    inside = table[quantity].between(low, high)
    assert 100 * inside.mean() == pytest.approx(entry["coverage_pct"])
    error = (table[f"predicted_{quantity}"] / table[quantity] - 1).abs().mean()
    assert 100 * error == pytest.approx(entry["mape_pct"])
    plot = xml.etree.ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert len(plot.findall("{http://www.w3.org/2000/svg}circle")) == 40


def test_evaluating_on_the_training_rows_says_so(folder: Path) -> None:
    options = ("--model", folder / "model", "--rows", folder / "rows.csv")
    done = nas("predictor", "evaluate", *COMMON, *options)
    assert done.code == 0
    assert "trained on these rows" in done.err


def test_a_table_of_subnets_becomes_a_table_of_costs(folder: Path, tmp_path: Path) -> None:
    new = pd.read_csv(folder / "new.csv")
    asked = new[["subnet", "heads"]].assign(note=range(len(new)))
    asked.to_csv(tmp_path / "in.csv", index=False)
    files = ("--subnets", tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    done = nas("predictor", "predict", *COMMON, "--model", folder / "model", *files)
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["note"].tolist() == asked["note"].tolist()
    assert set(table["source"]) == {"predicted (simulated)"}
    assert (table["latency_low_ms"] < table["latency_ms"]).all()
    assert (table["latency_ms"] < table["latency_high_ms"]).all()
    assert (table["latency_ms"] / new["latency_ms"] - 1).abs().mean() < 0.05
    predict = ("predictor", "predict", *COMMON, "--model", folder / "model", *files[:2])
    refused(nas(*predict, "--out", tmp_path / "in.csv"), "--out is", "which this command reads")
    asked[:2].assign(level=[14, None]).to_csv(tmp_path / "in.csv", index=False)
    lines = nas(*predict).out
    assert [" level 14 " in line for line in lines.splitlines()] == [True, False]
    assert "nan" not in lines


def test_named_subnets_are_answered_on_the_screen_and_as_json(folder: Path) -> None:
    ask = ("predictor", "predict", *COMMON, "--model", folder / "model", "--subnet", SPACE.example)
    shown = nas(*ask, "--heads", "0+1")
    assert "(predicted (simulated)), 90 % interval" in shown.out
    assert shown.out.startswith(f"{SPACE.example} heads 0+1 latency_ms ")
    (wide,), (narrow,) = (json.loads(nas(*ask, "--coverage", c, "--json").out) for c in (0.9, 0.5))
    assert wide["latency_ms"] == narrow["latency_ms"]
    assert wide["latency_low_ms"] < narrow["latency_low_ms"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["--subnet or as a table --subnets"]),
        (("--subnet", "d9"), ["'d9' is no subnet of resnet-digits"]),
        (("--subnet", SPACE.example, "--coverage", "1"), ["--coverage must lie above 0"]),
        (("--subnet", SPACE.example, "--level", "3"), ["it learned level 14", "asked 3"]),
        (("--subnet", SPACE.example, "--quantity", "w"), ["--quantity must be one of"]),
        (("--subnets", "none.csv"), ["none.csv does not exist"]),
        (("--subnets", "none.csv", "--heads", "0"), ["--heads is for --subnet: in a table a"]),
        (("--subnets", "."), [". is a folder"]),
    ],
)
def test_what_cannot_be_predicted(folder: Path, options: tuple, words: list[str]) -> None:
    refused(nas("predictor", "predict", *COMMON, "--model", folder / "model", *options), *words)


def test_predictors_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    model = ("--model", folder / "model", "--subnet", get_space("resnet-cifar").example)
    refused(nas("predictor", "predict", "--space", "resnet-cifar", *model), "is for space")
    nowhere = ("--model", tmp_path, "--subnet", SPACE.example)
    refused(
        nas("predictor", "predict", *COMMON, *nowhere),
        "holds no predictor of latency_ms; `nas predictor train",
    )


def test_rows_of_several_levels_must_be_chosen_from(folder: Path, tmp_path: Path) -> None:
    train = ("predictor", "train", *COMMON, "--rows", folder / "levels.csv", "--out", tmp_path)
    refused(nas(*train), "levels.csv mixes 2 values of level (0, 14)", "choose with --level")
    refused(nas(*train, "--level", 3), "no rows at --level 3; it has 0, 14")
    done = nas(*train, "--level", 0, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["level"] == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t.assign(device=["a", "b"] * 40), ["mixes 2 values of device (a, b)"]),
        (lambda t: t.drop(columns=["energy_mj", "power_w"]), ["holds no energy_mj; it has space"]),
        (lambda t: t.assign(energy_mj=-1), ["line 2", "energy_mj", "'-1'"]),
        (lambda t: t.assign(energy_mj="1,5"), ["line 2", "'1,5'", "thousands separators"]),
        (lambda t: t.iloc[:1], ["the rows hold one subnet"]),
    ],
)
def test_rows_that_cannot_be_learned(folder: Path, tmp_path: Path, damage, words) -> None:
    damage(pd.read_csv(folder / "rows.csv")).to_csv(tmp_path / "bad.csv", index=False)
    options = ("--rows", tmp_path / "bad.csv", "--quantity", "energy_mj", "--out", tmp_path / "m")
    refused(nas("predictor", "train", *COMMON, *options), *words)
    assert not (tmp_path / "m").exists()


def test_rows_of_few_subnets_have_no_intervals(folder: Path, tmp_path: Path) -> None:
    pd.read_csv(folder / "rows.csv").iloc[:6].to_csv(tmp_path / "few.csv", index=False)
    train = ("--rows", tmp_path / "few.csv", "--out", tmp_path / "m")
    done = nas("predictor", "train", *COMMON, *train)
    assert "too few subnets for intervals" in done.out
    ask = ("predictor", "predict", *COMMON, "--model", tmp_path / "m", "--subnet", SPACE.example)
    (entry,) = json.loads(nas(*ask, "--json").out)
    assert entry["latency_high_ms"] is None
    assert nas(*ask).out.endswith(", no 90 % interval: too few subnets\n")


def test_heads_are_spelled_out(folder: Path) -> None:
    ask = ("--model", folder / "model", "--subnet", SPACE.example, "--json")
    (entry,) = json.loads(nas("predictor", "predict", *COMMON, *ask).out)
    assert entry["heads"] == format_heads(range(SPACE.n_exits + 1))
