"""`nas measure --of`: a plan comes back as rows, a result's costs beside the predicted ones."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.devices import AnalyticDevice, get_device, load_profile
from nas.measure import GIVE_UP, Job, measure_rows
from nas.measure.table import Table
from nas.measure.wanted import Asked, off_clock, point_programs, read_wanted, wanted_jobs
from nas.pareto import read_pareto
from nas.remote.session import FailedRowsError
from nas.search.verify_cost import compared, verify_cost
from predictors import read_rows
from search_spaces import ExitPolicy, InputError, get_space
from tests.nas.conftest import Digits, Result, kill, nas, nas_in_process, refused

DIGITS = get_space("resnet-digits")
QUANTITIES = ("latency_ms", "latency_worst_ms", "energy_mj")


def search(digits: Digits, out: Path, *more: object, device: str = "nano") -> Result:
    fixed = ("search", "--device", device, "--supernet", digits.supernet, "--proxy", digits.rows)
    return nas(*fixed, "--trials", 60, "--points", 5, "--out", out, *more)


def measure(path: Path, out: Path, *more: object) -> Result:
    return nas("measure", "--of", path, "--out", out, *more)


def content(path: Path) -> dict[str, Any]:
    """What a search found, without the checksum that would tell of a change."""
    found: dict[str, Any] = json.loads((path / "pareto.json").read_text())
    found.pop("content_sha256", None)
    return found


@pytest.fixture(scope="module")
def found(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search on a board whose rows are simulated."""
    out = tmp_path_factory.mktemp("of") / "run"
    done = search(digits, out, "--quiet")
    assert done.code == 0, done.err
    return out


@pytest.fixture
def run(found: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to write into."""
    return Path(shutil.copytree(found, tmp_path / "run"))


# ---- a plan --------------------------------------------------------------------------------------


def test_the_commands_that_a_plan_prints_lead_to_the_same_result(
    digits: Digits, found: Path, tmp_path: Path
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
    ours, theirs = content(tmp_path / "run"), content(found)
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


# ---- a result ------------------------------------------------------------------------------------


def walked(point: dict[str, Any], device: AnalyticDevice, level: int) -> tuple[float, float, float]:
    """Expected and worst-case latency and energy of a point, one exit after the other."""
    asked = [*point["exits"]["after"], DIGITS.n_exits]
    subnet = DIGITS.parse(point["subnet"])
    latency_ms = energy_mj = worst_ms = 0.0
    for n, last in enumerate(asked):
        row = device.measure(DIGITS, subnet, asked[: n + 1], level)
        n_decisions = n + (last < DIGITS.n_exits)
        worst_ms = row["latency_ms"] + n_decisions * device.decision_ms
        latency_ms += point["exit_rates"][last] * worst_ms
        energy_mj += point["exit_rates"][last] * worst_ms * row["power_w"]
    return latency_ms, worst_ms, energy_mj


def test_costs_are_those_of_a_walk_through_the_exits(run: Path, tmp_path: Path) -> None:
    before = content(run)
    done = measure(run / "pareto.json", tmp_path / "rows.csv", "--json")
    assert done.code == 0, done.err
    table = read_pareto(run / "pareto.json")
    device = get_device("nano")
    assert isinstance(device, AnalyticDevice)
    assert any(len(p["exits"]["after"]) > 1 for p in table.points)
    for point in table.points:
        cost = point["verified_cost"]
        expected = walked(point, device, point["level"])
        assert [cost[q] for q in QUANTITIES] == pytest.approx(expected, rel=1e-5)
        assert cost["source"] == "simulated"
    told = json.loads(done.out)["verified_cost"]
    assert told == table.content["verified_cost"]
    assert (told["source"], told["backend"]) == ("simulated", device.backend)
    assert (told["decision_ms"], told["decision_source"]) == (device.decision_ms, "profile")
    programs = {a for p in table.points for a in point_programs(p, table, DIGITS)}
    assert told["n_programs"] == len(programs) == len(read_rows(tmp_path / "rows.csv", DIGITS))
    for point in table.points:
        del point["verified_cost"]
    del table.content["verified_cost"]
    assert table.content == before


def test_the_comparison_is_that_of_a_hand_count(run: Path, tmp_path: Path) -> None:
    assert measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet").code == 0
    table = read_pareto(run / "pareto.json")
    cost = {p["id"]: p["verified_cost"] for p in table.points}
    for name in QUANTITIES:
        entry = table.content["verified_cost"][name]
        error = {p["id"]: 100 * (p[name] / cost[p["id"]][name] - 1) for p in table.points}
        signed = np.array([*error.values()])
        worst = max(error, key=lambda id_: abs(error[id_]))
        assert entry["n_points"] == len(error)
        assert entry["median_error_pct"] == pytest.approx(np.median(np.abs(signed)), abs=1e-3)
        assert entry["bias_pct"] == pytest.approx(np.median(signed), abs=1e-3)
        assert entry["worst_point"] == worst
        assert entry["worst_error_pct"] == pytest.approx(error[worst], abs=1e-3)
        assert 0.5 < entry["srcc"] <= 1
    inside = 0
    for point in table.points:
        low, high = point["latency_interval_ms"]
        inside += low <= cost[point["id"]]["latency_ms"] <= high
    assert table.content["verified_cost"]["latency_ms"]["n_in_interval"] == inside


def test_ranks_are_compared_within_levels() -> None:
    """At both levels the prediction orders the points backwards; the clock must not hide it."""
    points = [
        {
            "id": f"{level}-{i}",
            "level": level,
            "energy_mj": 10.0**level * (1 + i),
            "energy_source": "predicted",
            "verified_cost": {"energy_mj": 10.0**level * (3 - i)},
        }
        for level in (0, 1)
        for i in range(3)
    ]
    entry = compared(points, "energy_mj")
    assert entry is not None
    assert entry["srcc"] == pytest.approx(-1)
    points[0]["verified_cost"] = {"energy_mj": None}
    assert compared(points[:1], "energy_mj") is None


def test_a_search_that_predicts_with_the_model_itself_has_no_error(
    digits: Digits, tmp_path: Path
) -> None:
    """Rows at one clock are extended by the model, scaled to them: on simulated rows by one."""
    plan, rows, out = tmp_path / "plan.csv", tmp_path / "rows.csv", tmp_path / "run"
    assert search(digits, out, "--plan", plan, "--quiet").code == 0
    assert measure(plan, rows, "--levels", -1, "--quiet").code == 0
    assert len(read_rows(rows, DIGITS)) == 8
    done = search(digits, out, "--measurements", rows, "--quiet")
    assert done.code == 0, done.err
    done = measure(out / "pareto.json", tmp_path / "verified.csv")
    assert done.code == 0, done.err
    assert "predicted (scaled simulation) against simulated" in done.err
    told = content(out)["verified_cost"]
    for name in QUANTITIES:
        assert abs(told[name]["worst_error_pct"]) < 0.05  # rates have four digits
        assert told[name]["srcc"] > 0.95  # equal worst cases differ in the last digit
    assert told["latency_ms"]["n_in_interval"] == told["latency_ms"]["n_points"]


def test_points_may_be_chosen_and_rows_are_shared(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    few = ("--points", 2, "--levels", "0,-1")
    done = measure(run / "pareto.json", rows, *few)
    assert done.code == 0, done.err
    table = read_pareto(run / "pareto.json")
    chosen = [p for p in table.points if "verified_cost" in p]
    assert [p["level"] for p in chosen] == [0, 0, 11, 11]
    n = len(read_rows(rows, DIGITS))
    assert measure(run / "pareto.json", rows, "--quiet").code == 0
    whole = read_rows(rows, DIGITS)
    assert len(whole) > n
    assert not whole.duplicated(["subnet", "heads", "level"]).any()
    assert all("verified_cost" in p for p in content(run)["points"])


def test_a_killed_verification_goes_on(run: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    pareto, repeat = run / "pareto.json", ("--repeat", "3", "--quiet")
    original = pareto.read_bytes()
    assert measure(pareto, whole, *repeat).code == 0
    verified = content(run)
    pareto.write_bytes(original)
    options = ["measure", "--of", str(pareto), "--out", str(killed), *repeat]
    process = nas_in_process(*options)
    aim = random.Random(0).randrange(30, 100)
    while not killed.exists() or killed.read_bytes().count(b"\n") < aim:
        assert process.is_alive()
        time.sleep(0.001)
    kill(process)
    assert killed.read_bytes().count(b"\n") < whole.read_bytes().count(b"\n")
    assert pareto.read_bytes() == original
    assert nas(*options).code == 0
    assert killed.read_bytes() == whole.read_bytes()
    assert content(run)["points"] == verified["points"]


def test_clocks_of_their_own_are_set(digits: Digits, tmp_path: Path) -> None:
    out, rows = tmp_path / "run", tmp_path / "rows.csv"
    done = search(digits, out, "--clocks", "all", "--quiet", device="xavier-nx")
    assert done.code == 0, done.err
    done = measure(out / "pareto.json", rows, "--levels", "0,5")
    assert done.code == 0, done.err
    table, device = read_pareto(out / "pareto.json"), get_device("xavier-nx")
    assert isinstance(device, AnalyticDevice)
    settings = {(s.level, s.cpu_mhz, s.emc_mhz): s for s in device.settings}
    points = [p for p in table.points if p["level"] in (0, 5)]
    for name in ("cpu_mhz", "emc_mhz"):
        assert any(p[name] != table.levels[p["level"]][name] for p in points)
    for point in points:
        at = device.at([settings[point["level"], point["cpu_mhz"], point["emc_mhz"]]])
        cost = point["verified_cost"]
        assert [cost[q] for q in QUANTITIES] == pytest.approx(walked(point, at, 0), rel=1e-5)
    measured = read_rows(rows, DIGITS)
    clocks = set(zip(measured["level"], measured["cpu_mhz"], measured["emc_mhz"], strict=True))
    assert clocks == {(p["level"], p["cpu_mhz"], p["emc_mhz"]) for p in points}
    again = rows.read_bytes()
    assert measure(out / "pareto.json", rows, "--levels", "0,5", "--quiet").code == 0
    assert rows.read_bytes() == again


def test_the_report_and_the_screen_show_it(run: Path, tmp_path: Path) -> None:
    assert "Costs, verified" not in (run / "report.html").read_text()
    assert measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet").code == 0
    assert "Costs, verified" in (run / "report.html").read_text()
    done = nas("report", "--pareto", run / "pareto.json", "--out", tmp_path / "report.html")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "expected latency, predicted (simulated) against simulated, 60 points: error" in said
    assert "worst-case latency, predicted (simulated)" in said
    page = (tmp_path / "report.html").read_text()
    assert page == (run / "report.html").read_text()
    assert 'data-chart="verified_latency_ms"' in page


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            {"latency_ms": -1.0},
            "points[3].verified_cost.latency_ms is -1.0; expected a number above 0",
        ),
        ({"latency_worst_ms": "fast"}, "latency_worst_ms is 'fast'; expected a number"),
        ({"source": None}, "points[3].verified_cost.source is None; expected text"),
    ],
)
def test_verified_costs_that_are_damaged(
    run: Path, tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    few = ("--levels", 0, "--quiet")
    assert measure(run / "pareto.json", tmp_path / "rows.csv", *few).code == 0
    whole = content(run)
    sound = dict(whole["points"][3]["verified_cost"])
    whole["points"][3]["verified_cost"] |= damage
    (run / "pareto.json").write_text(json.dumps(whole))
    refused(nas("report", "--pareto", run / "pareto.json"), message)
    whole["points"][3]["verified_cost"] = sound
    del whole["verified_cost"]
    (run / "pareto.json").write_text(json.dumps(whole))
    refused(
        nas("report", "--pareto", run / "pareto.json"),
        "verified_cost is missing, but points[0] has one",
    )


# ---- a board that cannot set its clocks ----------------------------------------------------------


def as_measured(rows: list[dict[str, Any]], pinned: str) -> list[dict[str, Any]]:
    """Rows as a board sends them that could hold the clocks in `pinned`."""
    text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
    return [row | {"source": "measured", "pinned": pinned} for row in text]


def test_points_without_the_clocks_of_their_level_are_left_out(run: Path) -> None:
    wanted = read_wanted(run / "pareto.json", device=None, space=None)
    device = get_device("nano")
    jobs, of = wanted_jobs(wanted, device)
    rows = [job.run() | job.about for job in jobs]
    told = {"file": Path("rows.csv"), "command": "nas measure"}
    with pytest.raises(InputError, match=r"no point of .* is verified: nano ran no program"):
        verify_cost(wanted, device, of, as_measured(rows, "cpu+emc"), **told)
    level = [row["level"] for row in rows]
    mixed = [
        as_measured([row], "cpu+gpu" if at < 4 else "cpu")[0]
        for row, at in zip(rows, level, strict=True)
    ]
    found = verify_cost(wanted, device, of, mixed, **told)
    assert wanted.table is not None
    verified = [p for p in wanted.table.points if "verified_cost" in p]
    assert {p["level"] for p in verified} == {0, 1, 2, 3}
    assert found["n_left_out"] == len(wanted.table.points) - len(verified)
    assert found["source"] == "measured"
    own = Asked(DIGITS.subnet(DIGITS.smallest), (0,), 0, emc_mhz=800.0)
    held = {"source": "measured", "pinned": "gpu"}
    assert off_clock(held, own, device)
    assert not off_clock(held | {"pinned": "emc+gpu"}, own, device)
    assert not off_clock({"source": "measured"}, own, device)  # the user's rows: as they say


def test_a_program_that_fails_on_the_board_does_not_stop_the_others(
    run: Path, tmp_path: Path
) -> None:
    """Its points are left out, and it is tried again by the same command."""
    wanted = read_wanted(run / "pareto.json", device=None, space=None, n_points=2)
    jobs, of = wanted_jobs(wanted, get_device("nano"))
    table = Table(tmp_path / "rows.csv")

    def reject(i: int) -> dict[str, Any]:
        raise FailedRowsError({f"id{i}": "rejected 3 times: the clock moved"}, 1)

    broken = list(jobs)
    for i in (3, 9):
        broken[i] = Job(jobs[i].about, partial(reject, i))
    with pytest.raises(InputError, match=rf"2 of {len(jobs)} rows failed .* tries them again"):
        list(measure_rows(broken, table))
    assert len(table.rows) == len(jobs) - 2
    told = {"file": table.path, "command": "nas measure"}
    found = verify_cost(wanted, get_device("nano"), of, table.rows, **told)
    n_lost = found["n_left_out"]
    assert 0 < n_lost < len(wanted.points)
    assert found["latency_ms"]["n_points"] == len(wanted.points) - n_lost
    assert len(list(measure_rows(jobs, table))) == 2
    assert verify_cost(wanted, get_device("nano"), of, table.rows, **told)["n_left_out"] == 0


def test_a_board_where_everything_fails_is_given_up(tmp_path: Path) -> None:
    calls = []

    def fail() -> dict[str, Any]:
        calls.append(1)
        raise FailedRowsError({"0f": "no onnxruntime"}, 1)

    jobs = [Job({"subnet": str(i)}, fail) for i in range(100)]
    with pytest.raises(InputError, match="no onnxruntime"):
        list(measure_rows(jobs, Table(tmp_path / "rows.csv")))
    assert len(calls) == GIVE_UP


def test_simulated_rows_do_not_pass_for_measured_ones(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    assert measure(run / "pareto.json", rows, "--levels", 0, "--quiet").code == 0
    rows.write_text(rows.read_text().replace(",simulated,", ",measured,"))
    refused(
        measure(run / "pareto.json", rows, "--levels", 0, "--quiet"),
        "holds measured rows of what is to be simulated; choose another --out",
    )


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


def test_programs_of_a_policy_are_those_of_its_route() -> None:
    from search_spaces import PolicyGrid

    grid = PolicyGrid(3, (0.5, 0.9))
    for i in range(len(grid)):
        route = grid.route[i]
        heads = [tuple(np.flatnonzero(grid.programs[k]).tolist()) for k in route[route >= 0]]
        assert grid[i].programs(3) == heads
    assert ExitPolicy().programs(0) == [(0,)]
