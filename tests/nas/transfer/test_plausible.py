"""Rows in another unit, at clocks that no board has, or that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.devices import get_device
from nas.transfer.costs import target_costs
from nas.transfer.doubtful import doubtful_rows
from nas.transfer.levels import with_clock
from nas.transfer.plan import plan_rows
from nas.transfer.plausible import check_rows, check_rows_alone
from nas.transfer.proxy import load_proxy
from predictors import TableError, read_rows
from search_spaces import InputError, get_space

SPACE, DEVICE = get_space("resnet-cifar"), get_device("xavier-nx")
PROXY = load_proxy(SPACE, "auto")


def _measured() -> pd.DataFrame:
    """What a careful user would measure: 3 % noise, source measured."""
    rng = np.random.default_rng(0)
    rows = []
    for plan in plan_rows(SPACE, DEVICE, PROXY, 24, rng):
        heads = tuple(int(h) for h in plan["heads"].split("+"))
        row = DEVICE.measure(SPACE, SPACE.parse(plan["subnet"]), heads, plan["level"] or 0)
        noise = 1 + 0.03 * rng.standard_normal()
        rows.append(
            {
                "space": SPACE.name,
                "subnet": plan["subnet"],
                "heads": plan["heads"],
                "device": DEVICE.name,
                "level": plan["level"],
                "gpu_mhz": row["gpu_mhz"],
                "batch": 1,
                "latency_ms": row["latency_ms"] * noise,
                "energy_mj": row["energy_mj"] * noise,
                "source": "measured",
            }
        )
    return pd.DataFrame(rows)


ROWS = _measured()


def checked(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a file with `frame`, checked, and what was said."""
    said: list[str] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        frame.to_csv(path, index=False)
        rows = check_rows(path, read_rows(path, SPACE, lines=True), SPACE, DEVICE, said.append)
    return rows, said


def doubted(rows: pd.DataFrame) -> list[int]:
    """Which checked rows do not count in a fit."""
    found = doubtful_rows(
        SPACE, PROXY, with_clock(rows.reset_index(drop=True), DEVICE.levels), DEVICE
    )
    return np.flatnonzero(found.rows).tolist()


def changed(**columns: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    return ROWS.assign(**columns)


def test_good_rows_are_taken_without_a_word() -> None:
    rows, said = checked(ROWS)
    assert said == []
    assert rows["gpu_mhz"].tolist() == ROWS["gpu_mhz"].tolist()
    assert not doubted(rows)


@given(factor=st.sampled_from([1e-3, 1e3, 1e6]), off=st.floats(0.25, 4))
@settings(max_examples=10)
def test_latency_in_another_unit_is_refused(factor: float, off: float) -> None:
    """However far the device's model itself may be off."""
    unit = {1e-3: "seconds; .* latency_s", 1e3: "microseconds; .* latency_us", 1e6: "nanoseconds"}
    frame = ROWS.assign(
        latency_ms=ROWS["latency_ms"] * factor * off, energy_mj=ROWS["energy_mj"] * factor * off
    )
    with pytest.raises(TableError, match=f"it looks like {unit[factor]}") as caught:
        checked(frame)
    assert "\n" not in str(caught.value)


@given(factor=st.sampled_from([1e-3, 1e3]), off=st.floats(0.5, 2))
@settings(max_examples=10)
def test_energy_in_another_unit_is_refused(factor: float, off: float) -> None:
    unit = {1e-3: "joules; .* energy_j", 1e3: "microjoules; .* energy_uj"}
    frame = ROWS.assign(energy_mj=ROWS["energy_mj"] * factor * off)
    with pytest.raises(TableError, match=f"energy_mj over .* it looks like {unit[factor]}"):
        checked(frame)


@pytest.mark.parametrize(
    ("column", "factor", "ours"),
    [
        ("latency_s", 1e-3, "latency_ms"),
        ("latency_us", 1e3, "latency_ms"),
        ("energy_j", 1e-3, "energy_mj"),
        ("gpu_khz", 1e3, "gpu_mhz"),
        ("gpu_hz", 1e6, "gpu_mhz"),
    ],
)
def test_a_unit_in_the_columns_name_is_taken(column: str, factor: float, ours: str) -> None:
    frame = ROWS.assign(**{column: ROWS[ours] * factor}).drop(columns=ours)
    rows, said = checked(frame)
    assert said == []
    assert rows[ours].to_numpy() == pytest.approx(ROWS[ours].to_numpy())
    with pytest.raises(TableError, match=f"has {ours} and {column}, one figure in two units"):
        checked(ROWS.assign(**{column: ROWS[ours] * factor}))


def test_power_stands_for_energy() -> None:
    frame = ROWS.assign(power_w=ROWS["energy_mj"] / ROWS["latency_ms"]).drop(columns="energy_mj")
    rows, said = checked(frame)
    assert said == []
    assert rows["energy_mj"].to_numpy() == pytest.approx(ROWS["energy_mj"].to_numpy())
    frame["energy_mj"] = ROWS["energy_mj"].where(ROWS.index % 2 == 0)  # a plan, partly filled in
    assert checked(frame)[0]["energy_mj"].to_numpy() == pytest.approx(ROWS["energy_mj"].to_numpy())


@given(off=st.floats(6, 60), slower=st.booleans())
@settings(max_examples=10)
def test_far_off_is_one_marked_line(off: float, slower: bool) -> None:
    factor = off if slower else 1 / off
    frame = ROWS.assign(
        latency_ms=ROWS["latency_ms"] * factor, energy_mj=ROWS["energy_mj"] * factor
    )
    (line,) = checked(frame)[1]
    assert "times off; are unit, batch, backend and precision those" in line


def test_the_time_of_one_image_of_a_batch() -> None:
    device = get_device("xavier-nx", batch=32)
    said: list[str] = []
    rows = ROWS.assign(batch=32, latency_ms=ROWS["latency_ms"] / 4).drop(columns="energy_mj")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        rows.to_csv(path, index=False)
        check_rows(path, read_rows(path, SPACE, lines=True), SPACE, device, said.append)
    assert "batch is 32, costs are of" in said[0]


@given(line=st.integers(0, 23), factor=st.sampled_from([1e-3, 1e3, 1e6]))
@settings(max_examples=10)
def test_a_clock_in_another_unit_is_named_by_line(line: int, factor: float) -> None:
    frame = ROWS.copy()
    frame.loc[line, "gpu_mhz"] *= factor
    unit = {1e-3: "GHz", 1e3: "kHz", 1e6: "Hz"}[factor]
    with pytest.raises(TableError, match=rf"line {line + 2}: gpu_mhz is .*: it looks like {unit};"):
        checked(frame)


def test_a_clock_against_its_level_is_named_by_line() -> None:
    frame = ROWS.copy()
    frame.loc[3, "level"] = (frame.loc[3, "level"] + 1) % 15
    with pytest.raises(TableError, match=r"line 5: gpu_mhz .* is level \d+, the row says level"):
        checked(frame)


@given(share=st.floats(-0.45, 0.45))
@settings(max_examples=10)
def test_a_clock_within_half_a_step_snaps_and_says_so(share: float) -> None:
    table = [level.clock_mhz for level in DEVICE.levels]
    frame = ROWS.copy()
    level = int(frame.loc[0, "level"])
    step = table[level + 1] - table[level] if level + 1 < len(table) else table[1] - table[0]
    back = table[level] - table[level - 1] if level else step
    frame.loc[0, "gpu_mhz"] = table[level] + share * (step if share > 0 else back)
    rows, said = checked(frame)
    far = abs(share * (step if share > 0 else back)) > 0.01 * table[level]
    assert len(said) == far
    assert not far or f"to {table[level]:g}" in said[0]
    assert rows["gpu_mhz"].iloc[0] == table[level]  # or it would be ranked alone


@given(line=st.integers(0, 23), factor=st.floats(2.2, 500), slower=st.booleans())
@settings(max_examples=10)
def test_a_row_several_times_off_is_doubted(line: int, factor: float, slower: bool) -> None:
    frame = with_clock(ROWS, DEVICE.levels)
    frame.loc[line, ["latency_ms", "energy_mj"]] *= factor if slower else 1 / factor
    found = doubtful_rows(SPACE, PROXY, frame)
    assert np.flatnonzero(found.rows).tolist() == [line]
    assert ROWS["subnet"][line] in found.words[0]


def test_a_row_500_times_off_changes_nothing() -> None:
    frame = ROWS.copy()
    frame.loc[3, ["latency_ms", "energy_mj"]] *= 500
    costs = target_costs(SPACE, DEVICE, PROXY, checked(frame)[0].reset_index(drop=True))
    whole = target_costs(SPACE, DEVICE, PROXY, ROWS.drop(index=3).reset_index(drop=True))
    genes, every = SPACE.largest, np.ones((1, SPACE.n_exits + 1), dtype=bool)
    assert costs(genes, every)[0] == pytest.approx(whole(genes, every)[0])


@pytest.mark.parametrize("clock", [0, 1, 2])
def test_a_board_that_was_throttled_for_half_of_a_clock(clock: int) -> None:
    """No row is slower than at a slower clock, and none is far off a fit to all."""
    at = np.flatnonzero(ROWS["gpu_mhz"] == sorted(set(ROWS["gpu_mhz"]))[clock])
    slow = ROWS.index.isin(at[::2])
    frame = changed(latency_ms=lambda r: r["latency_ms"].where(~slow, 1.4 * r["latency_ms"]))
    rows, said = checked(frame)
    lines = ", ".join(str(i + 2) for i in at[::2])
    assert f"lines {lines}: slower than the other rows of their clock" in said[-1]
    assert doubted(rows) == at[::2].tolist()


def test_rows_that_contradict_each_other_are_named() -> None:
    frame = ROWS.copy()
    same = frame[(frame["subnet"] == frame["subnet"][0]) & (frame["heads"] == frame["heads"][0])]
    top = same["gpu_mhz"].idxmax()
    frame.loc[top, ["latency_ms", "energy_mj"]] *= 9
    twice = frame.loc[[0]].assign(latency_ms=lambda rows: rows["latency_ms"] * 1.5)
    lines = checked(pd.concat([frame, twice], ignore_index=True))[1]
    assert any("a faster clock is slower" in line and str(top + 2) in line for line in lines)
    assert any("several values" in line and "26" in line for line in lines)


@given(
    lines=st.sets(st.integers(0, 23), min_size=1, max_size=12),
    column=st.sampled_from(["latency_ms", "energy_mj"]),
    factor=st.sampled_from([1e-3, 1e3]),
)
@settings(max_examples=15)
def test_some_rows_in_another_unit_are_named_by_line(
    lines: set[int], column: str, factor: float
) -> None:
    """The rest of the table, which is right, must not hide them."""
    frame = ROWS.copy()
    frame.loc[sorted(lines), column] *= factor
    with pytest.raises(TableError, match=rf"{column} is .* times .*units are mixed") as caught:
        checked(frame)
    said = str(caught.value)
    if len(lines) < 9:
        shown = ", ".join(str(line + 2) for line in sorted(lines))
        assert f"line{'s' * (len(lines) > 1)} {shown}:" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": [1, 8] * 12}, "mixes 2 values of batch"),
        ({"backend": ["tensorrt", "pytorch"] * 12}, "mixes 2 values of backend"),
        ({"threads": [1, 4] * 12}, "mixes 2 values of threads"),
        ({"device": ["xavier-nx", "agx-xavier"] * 12}, "mixes 2 values of device"),
        ({"power_w": 1e3 * ROWS["energy_mj"] / ROWS["latency_ms"]}, "lines 2, 3, .*power_w says"),
        ({"level": 14 - ROWS["level"]}, "slower at every faster clock; level 0 is the slowest"),
        ({"level": ROWS["level"] + 1}, "line 10: level 15; .* are they counted from 1"),
        ({"cpu_mhz": 1190400.0}, "line 2: cpu_mhz is 1190400; .* it looks like kHz; write MHz"),
        ({"emc_mhz": 1.866}, "line 2: emc_mhz is 1.866; .* it looks like GHz; write MHz"),
        ({"latency_p95_ms": ROWS["latency_ms"] / 1e3}, "latency_p95_ms is 0.001 times latency_ms"),
        ({"decision_ms": 1e2}, "decision_ms is .* times latency_ms in the middle row"),
    ],
)
def test_rows_that_cannot_be_of_one_board_are_refused(change: dict, message: str) -> None:
    without = ROWS.drop(columns="gpu_mhz") if "level" in change else ROWS
    with pytest.raises(InputError, match=message):
        checked(without.assign(**change))


def test_rows_of_another_setting_than_asked_are_said() -> None:
    said = checked(ROWS.assign(backend="pytorch", precision="fp32"))[1]
    assert ["backend pytorch, asked is tensorrt" in line for line in said] == [True, False]
    assert "precision fp32, asked is fp16: costs are those of fp32" in said[1]


def test_energy_of_one_rail_or_above_idle_is_said() -> None:
    """The board cannot draw less than it does with nothing to do."""
    (line,) = checked(ROWS.assign(energy_mj=ROWS["energy_mj"] * 0.2))[1]
    assert "whole board, idle power included" in line


@pytest.mark.parametrize(("column", "own"), [("power_mode", "MODE_10W_2CORE"), ("device", "host")])
def test_rows_of_another_power_mode_or_device_are_said(column: str, own: str) -> None:
    (line,) = checked(ROWS.assign(**{column: own}))[1]
    assert f"rows are of {column} {own}, asked is" in line


@pytest.mark.parametrize("column", ["power", "doubled"])
def test_odd_power_of_many_rows_is_refused_though_the_middle_one_is_plausible(column: str) -> None:
    power = ROWS["energy_mj"] / ROWS["latency_ms"]
    energy = power if column == "power" else ROWS["energy_mj"].where(ROWS.index % 3 > 0, 200.0)
    with pytest.raises(TableError, match=r"W, in \d+ of 24 rows; is the column an energy"):
        checked(ROWS.assign(energy_mj=energy))


def test_rows_of_two_power_modes_are_said() -> None:
    (line,) = checked(ROWS.assign(power_mode=["MODE_20W_6CORE", "MODE_10W_2CORE"] * 12))[1]
    assert "mixes 2 values of power_mode (MODE_20W_6CORE, MODE_10W_2CORE), asked is MODE_2" in line


def test_a_row_of_odd_power_is_named_and_does_not_count() -> None:
    frame = ROWS.copy()
    frame.loc[3, "energy_mj"] *= 50
    rows, said = checked(frame)
    assert "line 5: energy_mj over latency_ms is" in said[0]
    costs = target_costs(SPACE, DEVICE, PROXY, rows.reset_index(drop=True))
    assert list(costs.doubtful) == [3]
    assert "W, " in costs.doubtful[3]
    told = costs.compare(rows.reset_index(drop=True), DEVICE.levels)
    assert [number for number, row in enumerate(told) if "doubtful" in row] == [3]


@pytest.mark.parametrize("device", ["host", "my-board"])
@given(off=st.floats(0.5, 2))
@settings(max_examples=5)
def test_rows_of_a_device_without_a_profile_are_held_against_its_like(
    device: str, off: float
) -> None:
    """1 ms as seconds is faster than any device known; good rows of 1 ms go in without a word."""
    good = ROWS[ROWS["level"] == 7].assign(device=device, latency_ms=off)
    said: list[str] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        good.drop(columns="energy_mj").to_csv(path, index=False)
        rows = check_rows_alone(path, read_rows(path, SPACE, lines=True), SPACE, said.append)
        assert len(rows) == 8
        assert said == []
        good.assign(latency_ms=off / 1000).to_csv(path, index=False)
        with pytest.raises(TableError, match=r"looks like seconds; name the column latency_s"):
            check_rows_alone(path, read_rows(path, SPACE, lines=True), SPACE)
        good.assign(energy_mj=1e6 * 10 * off).to_csv(path, index=False)
        with pytest.raises(TableError, match=r"a computer draws .* it looks like (micro|nano)joul"):
            check_rows_alone(path, read_rows(path, SPACE, lines=True), SPACE)


def test_rows_are_held_against_the_device_that_they_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    ROWS.assign(latency_ms=ROWS["latency_ms"] / 1000).to_csv(path, index=False)
    with pytest.raises(TableError, match="looks like seconds"):
        check_rows_alone(path, read_rows(path, SPACE, lines=True), SPACE)
    ROWS.assign(device="my-board").to_csv(path, index=False)
    assert len(check_rows_alone(path, read_rows(path, SPACE, lines=True), SPACE)) == 24
