"""`nas measure --of`: what a plan or a result asks for, and what cannot be measured."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.devices import AnalyticDevice, load_profile
from nas.measure.wanted import read_wanted
from predictors import read_rows
from search_spaces import InputError, get_space
from tests.nas.conftest import Digits, Searched, nas, refused, search
from tests.nas.measure.of import QUANTITIES, content, measure

DIGITS = get_space("resnet-digits")


@pytest.fixture
def run(searched: Searched, tmp_path: Path) -> Path:
    """A copy of that search, to write into."""
    return Path(shutil.copytree(searched.run, tmp_path / "run"))


# ---- a plan --------------------------------------------------------------------------------------


def test_a_result_that_cannot_be_written_back_is_refused_first(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def touched(path: Path, *given: Any, **how: Any) -> None:
        if path.parent == run:
            raise PermissionError(13, "Permission denied")
        touch(path, *given, **how)

    monkeypatch.setattr(Path, "touch", touched)
    words = f"cannot write to {run}: Permission denied; choose another --of: costs are written back"
    refused(measure(run / "pareto.json", tmp_path / "rows.csv"), words)


def test_the_commands_that_a_plan_prints_lead_to_the_same_result(
    digits: Digits, searched: Searched, tmp_path: Path
) -> None:
    """On a simulated board the detour over a file of rows must change nothing."""
    plan = tmp_path / "plan.csv"
    done = search(digits, tmp_path / "run", "--plan", plan)
    assert done.code == 0, done.err
    started, first, *commands = done.err.splitlines()
    assert started == "nas search for nano"
    assert first == f"24 rows to measure in {plan}; measure them and search with them:"
    measuring, searching = (shlex.split(command) for command in commands)
    assert measuring[:6] == ["nas", "measure", "--device", "nano", "--remote", "USER@BOARD"]
    del measuring[4:6]  # no board here: the model answers
    assert nas(*measuring[1:], "--quiet").code == 0
    rows = read_rows(tmp_path / "measured-plan.csv", DIGITS)
    keys = ["subnet", "heads", "level", "gpu_mhz", "power_mode", "backend", "precision"]
    asked = pd.read_csv(plan, dtype={"heads": str})
    pd.testing.assert_frame_equal(
        rows[keys].sort_values(keys, ignore_index=True),
        asked[keys].sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    done = nas(*searching[1:], "--quiet")
    assert done.code == 0, done.err
    ours, theirs = content(tmp_path / "run"), content(searched.run)
    assert [p["id"] for p in ours["points"]] == [p["id"] for p in theirs["points"]]
    for mine, other in zip(ours["points"], theirs["points"], strict=True):
        assert [mine[q] for q in QUANTITIES] == pytest.approx([other[q] for q in QUANTITIES])
    assert ours["device"] == theirs["device"]


def test_a_plan_for_this_machine(digits: Digits, tmp_path: Path) -> None:
    plan, rows = tmp_path / "plan.csv", tmp_path / "rows.csv"
    done = search(digits, tmp_path / "run", "--samples", 8, "--plan", plan, device="host")
    assert done.code == 0, done.err
    assert "nas measure --device host --of" in done.err
    done = measure(plan, rows, "--seconds", 0.01)
    assert done.code == 0, done.err
    assert "8 programs at 1 level of host" in " ".join(done.err.split())
    assert set(read_rows(rows, DIGITS)["source"]) == {"measured"}
    again = rows.read_bytes()
    assert measure(plan, rows, "--seconds", 0.01).code == 0
    assert rows.read_bytes() == again
    options = ("--measurements", rows, "--quiet")
    done = search(digits, tmp_path / "run", *options, device="host")
    assert done.code == 0, done.err
    assert len(content(tmp_path / "run")["target_rows"]) == 8


def test_of_a_plan_for_two_boards_one_is_measured_at_a_time(digits: Digits, tmp_path: Path) -> None:
    plan, rows = tmp_path / "plan.csv", tmp_path / "rows.csv"
    done = search(digits, tmp_path / "run", "--device", "raspberry-pi-4", "--plan", plan)
    assert done.code == 0, done.err
    assert "--device nano --remote USER@BOARD --of" in done.err
    assert "--device raspberry-pi-4 --remote USER@BOARD --backend onnxruntime --of" in done.err
    refused(measure(plan, rows), "is for nano, raspberry-pi-4; choose one of them with --device")
    for device in ("nano", "raspberry-pi-4"):
        assert measure(plan, rows, "--device", device, "--quiet").code == 0
    wanted, got = pd.read_csv(plan), read_rows(rows, DIGITS)
    assert got.groupby("device").size().to_dict() == wanted.groupby("device").size().to_dict()


# ---- what may go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "tx2"], "pareto.json is for nano, got --device tx2"),
        (["--device", "host"], "pareto.json is for nano, got --device host"),
        (["--space", "resnet-cifar"], "is of space resnet-digits, got --space resnet-cifar"),
        (["--levels", "99"], "nano has levels 0 to 11, got --levels 99"),
        (["--points", "0"], "--points must be at least 1, got 0"),
        (["--batch", "8"], "is for --batch 1, got 8; its costs hold for that alone"),
        (["--power-mode", "5W"], "is for --power-mode"),
        (["--seconds", "6"], "--seconds is for --device host and boards (--remote), not for nano"),
        (["--samples", "8"], "--of says what is measured: leave out --samples"),
        (["--per-operator"], "--of says what is measured: leave out --samples"),
    ],
)
def test_an_option_that_the_result_contradicts(
    run: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    refused(measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet", *options), message)
    assert not (tmp_path / "rows.csv").exists()


def test_a_level_without_points(digits: Digits, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert search(digits, out, "--levels", "2,4", "--quiet").code == 0
    refused(
        measure(out / "pareto.json", tmp_path / "rows.csv", "--levels", 3, "--quiet"),
        "asks for nothing at --levels 3; it has levels 2, 4",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["device"].update(name="my-board"), "unknown device 'my-board'"),
        (lambda c: c["points"][0].pop("exits"), "points[0].exits is missing"),
        (lambda c: c["points"][0].update(subnet="d1"), "d1"),
        (
            lambda c: c["points"][0].update(exits={"after": [7], "thresholds": [0.5]}),
            "points[0].exits.after is [7]; the 4 exit_rates know exits 0 to 2",
        ),
        (lambda c: c.update(points=[], front=[]), "has no points"),
        (lambda c: c["levels"][0].update(gpu_mhz=50.0), "made with level 0 at 50 MHz, nano now"),
        (lambda c: c.update(schema="nas.pareto/9"), "has schema 'nas.pareto/9'"),
    ],
)
def test_a_result_that_cannot_be_used(run: Path, tmp_path: Path, change: Any, message: str) -> None:
    whole = content(run)
    change(whole)
    (run / "pareto.json").write_text(json.dumps(whole))
    refused(measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet"), message)


def test_a_machine_that_cannot_set_clocks_says_so(run: Path, tmp_path: Path) -> None:
    whole = content(run)
    whole["device"] |= {"name": "host", "power_mode": None, "backend": "pytorch"}
    whole["device"]["precision"] = "fp32"
    whole["levels"], whole["points"] = whole["levels"][:1], whole["points"][:2]
    whole["front"] = []
    whole["points"][0]["emc_mhz"] = 800.0
    (run / "pareto.json").write_text(json.dumps(whole))
    refused(
        measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet"),
        "has points at CPU or memory clocks of their own, which host cannot set",
    )


ROW = {"space": "resnet-digits", "subnet": str(DIGITS.subnet(DIGITS.smallest)), "device": "nano"}


def test_a_plan_may_be_for_a_registered_device(tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    row = ROW | {"device": "my-board", "level": 0, "heads": "0"}
    pd.DataFrame([row]).to_csv(plan, index=False)
    assert read_wanted(plan, device="my-board", space=None).device == "my-board"
    with pytest.raises(InputError, match="is for my-board, got `device` nano"):
        read_wanted(plan, device="nano", space=None)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"id": 1, "error": 2}], [], "lacks the column(s) space, subnet, device, level; found"),
        ([ROW | {"level": 12}], [], "names level 12; nano has levels 0 to 11 in this power mode"),
        ([ROW | {"level": ""}], [], "level must be given in every row"),
        ([ROW | {"level": -1}], [], "level must be a number of at least 0, got '-1'"),
        (
            [ROW | {"level": 1}],
            ["--levels", "3"],
            "asks for nothing at --levels 3; it has levels 1",
        ),
        ([ROW | {"level": 1}], ["--points", "3"], "--points chooses among those of a pareto.json"),
        ([ROW | {"level": 1}], ["--device", "tx2"], "is for nano, got --device tx2"),
        ([ROW | {"level": 1, "heads": "9"}], [], "heads must lie in 0..3, got '9'"),
        ([ROW | {"level": 1, "batch": "two"}], [], "batch must be a whole number, got 'two'"),
        (
            [ROW | {"level": 1, "precision": p} for p in ("fp16", "fp32")],
            [],
            "has rows with precision 'fp16', 'fp32'; --of measures with one",
        ),
        (
            [ROW | {"level": 1}, ROW | {"level": 1, "space": "resnet-cifar"}],
            [],
            "is of space resnet-digits, resnet-cifar; one space is measured",
        ),
        (
            [ROW | {"level": 1, "backend": "ncnn"}],
            ["--remote", "me@board"],
            "is for backend ncnn, a board measures with onnxruntime or tensorrt; choose one with",
        ),
    ],
)
def test_a_plan_that_cannot_be_used(
    tmp_path: Path, rows: list[dict[str, Any]], options: list[str], message: str
) -> None:
    plan = tmp_path / "plan.csv"
    pd.DataFrame(rows).to_csv(plan, index=False)
    refused(measure(plan, tmp_path / "rows.csv", "--quiet", *options), message)


def test_the_rows_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    pd.DataFrame([ROW | {"level": 1, "latency_ms": ""}]).to_csv(plan, index=False)
    refused(measure(plan, plan, "--quiet"), "--out is the file that --of reads")
    refused(measure(tmp_path / "no.csv", plan, "--quiet"), "does not exist")
    refused(measure(tmp_path / "no.json", plan, "--quiet"), "does not exist")
    refused(nas("measure", "--out", plan), "give --device and --space, or a plan or a pareto.json")
    refused(nas("measure", "--out", plan, "--points", 3), "name its pareto.json with --of")


def test_a_row_of_a_plan_that_stands_twice_is_measured_once(tmp_path: Path) -> None:
    plan, rows = tmp_path / "plan.csv", tmp_path / "rows.csv"
    pd.DataFrame([ROW | {"level": 1}] * 2).to_csv(plan, index=False)
    done = measure(plan, rows, "--backend", "pytorch", "--precision", "fp32")
    assert done.code == 0, done.err
    (row,) = read_rows(rows, DIGITS).to_dict("records")
    assert (row["heads"], row["backend"], row["source"]) == ("0+1+2+3", "pytorch", "simulated")


def test_other_kinds_of_arithmetic_are_said(run: Path, tmp_path: Path) -> None:
    device = AnalyticDevice(load_profile("nano"))
    done = measure(run / "pareto.json", tmp_path / "rows.csv", "--precision", "fp32")
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    assert f"is for precision {device.precision}, measured with fp32" in said
    assert content(run)["verified_cost"]["precision"] == "fp32"
