"""`nas measure --of pareto.json`: measured costs beside the predicted ones, in file and report."""

from __future__ import annotations

import json
import random
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.api import measure as measure_rows_of
from nas.devices import AnalyticDevice, get_device
from nas.measure import Job, measure_rows
from nas.measure.listener import Silent
from nas.measure.table import Table
from nas.measure.wanted import Asked, off_clock, point_programs, read_wanted, wanted_jobs
from nas.pareto import read_pareto
from nas.remote.session import FailedRowsError
from nas.search.verify_cost import compared, verify_cost
from predictors import read_rows
from search_spaces import InputError, get_space
from tests.nas.conftest import Digits, Searched, kill, nas, nas_in_process, refused, search
from tests.nas.measure.of import QUANTITIES, content, measure

DIGITS = get_space("resnet-digits")


@pytest.fixture
def run(searched: Searched, tmp_path: Path) -> Path:
    """A copy of that search, to write into."""
    return Path(shutil.copytree(searched.run, tmp_path / "run"))


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


def test_a_result_that_was_replaced_meanwhile_stays(run: Path, tmp_path: Path) -> None:
    """A search of the same folder ends while the board measures the points that it had."""
    pareto = run / "pareto.json"

    class Searching(Silent):
        def row(self, done: int, total: int, note: str) -> None:
            table = read_pareto(pareto)
            table.content["created"] = "later"
            table.write_json(pareto)

    few: dict[str, Any] = {"of": pareto, "out": tmp_path / "rows.csv", "n_points": 1, "levels": [0]}
    with pytest.raises(InputError, match="was replaced while its points were measured, and stays"):
        measure_rows_of(**few, listener=Searching())
    assert content(run)["created"] == "later"
    assert not any("verified_cost" in p for p in content(run)["points"])
    measure_rows_of(**few)
    assert any("verified_cost" in p for p in content(run)["points"])


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
    assert "Costs, simulated" not in (run / "report.html").read_text()
    assert measure(run / "pareto.json", tmp_path / "rows.csv", "--quiet").code == 0
    page = (run / "report.html").read_text()
    assert "Costs, simulated against predicted" in page
    assert "<th>Latency,<br>simulated</th>" in page
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


def test_simulated_rows_do_not_pass_for_measured_ones(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    assert measure(run / "pareto.json", rows, "--levels", 0, "--quiet").code == 0
    rows.write_text(rows.read_text().replace(",simulated,", ",measured,"))
    refused(
        measure(run / "pareto.json", rows, "--levels", 0, "--quiet"),
        "holds measured rows of what is to be simulated; choose another --out",
    )
