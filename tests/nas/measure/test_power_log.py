"""Energy from logs of tegrastats, jtop and nvidia-smi, lined up with what was measured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.devices import get_device
from nas.measure.power_log import read_power_log, with_energy
from nas.measure.table import TextRow
from nas.transfer.plan import plan_rows, write_plan
from nas.transfer.proxy import load_proxy
from search_spaces import InputError, get_space
from tests.nas.conftest import nas, refused

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
IDLE_MW = 3902
XAVIER_NX = (  # as devices-facts and NVIDIA's guide have it; JetPack 4 has no mW and no time
    "{at} RAM 2673/7765MB (lfb 118x4MB) SWAP 0/3883MB (cached 0MB) "
    "CPU [12%@1190,8%@1190,4%@1190,off,off,off] EMC_FREQ 7%@1600 GR3D_FREQ 33%@1109 "
    "AO@35C GPU@33C PMIC@100C AUX@33.5C CPU@35C thermal@33.9C "
    "VDD_IN {mw}{unit}/3611{unit} VDD_CPU_GPU_CV 1331{unit}/1180{unit} VDD_SOC 997{unit}/941{unit}"
)
AGX_XAVIER = (
    "{at} RAM 220/31929MB (lfb 847x4MB) SWAP 0/15964MB (cached 0MB) CPU [1%@1190,off] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 0%@318 GPU {mw}/0 CPU 310/310 SOC 931/931 CV 0/0 VDDRQ 466/466 "
    "SYS5V 1522/1522"
)
RAILS = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
Write = Callable[[list[tuple[datetime, int]]], str]


def tegrastats(form: str, stamp: str, unit: str = "mW") -> Write:
    def write(readings: list[tuple[datetime, int]]) -> str:
        return "\n".join(
            form.format(at=at.strftime(stamp), mw=mw, unit=unit) for at, mw in readings
        )

    return write


def jtop(readings: list[tuple[datetime, int]]) -> str:
    lines = ["time,uptime,CPU1,RAM,GPU,Temp CPU,Power TOT,jetson_clocks,nvp model"]
    return "\n".join(
        [
            *lines,
            *(f"{at:%Y-%m-%d %H:%M:%S.%f},1:02:03,7,0.3,33,35,{mw},OFF,15W" for at, mw in readings),
        ]
    )


def nvidia_smi(readings: list[tuple[datetime, int]]) -> str:
    lines = ["timestamp, power.draw [W]"]
    return "\n".join(
        [*lines, *(f"{at:%Y/%m/%d %H:%M:%S.%f}, {mw / 1000:.3f} W" for at, mw in readings)]
    )


def behind_seconds(readings: list[tuple[datetime, int]]) -> str:
    lines = (XAVIER_NX.format(at=f"{at.timestamp():.3f}", mw=mw, unit="") for at, mw in readings)
    return "\n".join(lines)


def with_units(readings: list[tuple[datetime, int]]) -> str:
    """Each cell says its unit, whatever the column's name says."""
    return "\n".join(
        ["time,power_w", *(f"{at:%Y-%m-%d %H:%M:%S.%f},{mw} mW" for at, mw in readings)]
    )


LOGS: dict[str, Write] = {
    "cells with units": with_units,
    "JetPack 5": tegrastats(XAVIER_NX, "%m-%d-%Y %H:%M:%S"),
    "JetPack 4 behind a time": tegrastats(XAVIER_NX, "%Y-%m-%dT%H:%M:%S.%fZ", unit=""),
    "JetPack 4 behind seconds": behind_seconds,
    "JetPack 4 behind a time in brackets": tegrastats(
        XAVIER_NX, "[%Y-%m-%d %H:%M:%S.%fZ]", unit=""
    ),
    "AGX Xavier": tegrastats(AGX_XAVIER, "%m-%d-%Y %H:%M:%S"),
    "jtop": jtop,
    "nvidia-smi": nvidia_smi,
}


def measured(watts: list[float], seconds: float, gap_s: float) -> tuple[list[TextRow], list]:
    """Rows that drew `watts`, one after the other, and when each ran."""
    rows, busy, end = [], [], START
    for number, _ in enumerate(watts):
        begin = end + timedelta(seconds=gap_s)
        end = begin + timedelta(seconds=seconds)
        rows.append(
            {
                "subnet": str(number),
                "latency_ms": "10",
                "n_runs": f"{seconds * 100:.0f}",
                "measured_at": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "energy_mj": "",
                "notes": "",
            }
        )
        busy.append((begin, end))
    return rows, busy


def readings(
    watts: list[float], busy: list, step_s: float, shift_h: float
) -> list[tuple[datetime, int]]:
    """What a log holds: idle power, and that of each row while it ran."""
    at, found = START - timedelta(seconds=30), []
    while at < busy[-1][1] + timedelta(seconds=30):
        mw = next(
            (1000 * w for w, (a, b) in zip(watts, busy, strict=True) if a <= at <= b), IDLE_MW
        )
        found.append((at + timedelta(hours=shift_h), round(mw)))
        at += timedelta(seconds=step_s)
    return found


def imported(text: str, rows: list[TextRow]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "power.log"
        path.write_text(text)
        return with_energy(rows, read_power_log(path, RAILS))


@given(
    kind=st.sampled_from(sorted(LOGS)),
    watts=st.lists(st.integers(5, 20), min_size=2, max_size=4),
    seconds=st.floats(6, 12),
    gap_s=st.floats(0.5, 4),
    step_s=st.sampled_from([0.3, 1.0]),
    shift_h=st.sampled_from([0, 2, -8, 5.5]),
)
@settings(max_examples=8)
def test_a_row_gets_the_energy_of_its_own_window(
    kind: str, watts: list[int], seconds: float, gap_s: float, step_s: float, shift_h: float
) -> None:
    """Whatever tool, interval and zone; readings beside the window would bring another row's."""
    shift_h = 0 if "behind" in kind else shift_h
    rows, busy = measured([float(w) for w in watts], seconds, gap_s)
    text = LOGS[kind](readings([float(w) for w in watts], busy, step_s, shift_h))
    filled, told = imported(text, rows)
    rest = sum((310, 931, 0, 466, 1522)) / 1000 if kind == "AGX Xavier" else 0.0
    assert told.n_rows == len(watts)
    assert told.shift_s == 3600 * shift_h
    for row, own in zip(filled, watts, strict=True):
        assert float(row["power_w"]) == pytest.approx(own + rest, rel=1e-3)
        assert float(row["energy_mj"]) == pytest.approx((own + rest) * 10, rel=1e-3)
        assert "energy from power.log" in row["notes"]


ROWS, BUSY = measured([9.0, 12.0], 8.0, 2.0)
GOOD = readings([9.0, 12.0], BUSY, 1.0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("hello\nworld\n", "a power log is tegrastats' output, or a CSV with `time` and one of"),
        ("time,GPU\n2026-03-01 12:00:00,3\n", "lacks the column.*Power TOT"),
        (tegrastats(XAVIER_NX, "")(GOOD), "without time stamps .*start it as `tegrastats | while"),
        (
            jtop([(at + timedelta(days=3), mw) for at, mw in GOOD]),
            "rows were measured from .* UTC:",
        ),
        (
            "time;power_w\n2026-03-01 12:00:00;12,5 W\n",
            "a power of '12,5 W'; write it with a decim",
        ),
        (jtop([(at, 0) for at, _ in GOOD]), "0 W in all .* no sensor was read"),
        (jtop(GOOD[::20]), "no two readings surely inside a row: the longest was timed for 8.0 s"),
        (
            jtop([(START + timedelta(minutes=m), 9000) for m in range(-1200, 1200)]),
            "zones would fit: log in",
        ),
        (
            tegrastats(XAVIER_NX.replace("VDD_IN {mw}{unit}/3611{unit} ", ""), "%m-%d-%Y %H:%M:%S")(
                GOOD
            ),
            "no power of the whole board .*its lines have VDD_CPU_GPU_CV, VDD_SOC",
        ),
    ],
)
def test_a_log_that_cannot_be_used_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")) as caught:
        imported(text, ROWS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("digits", [0, 2, 5, 8])
def test_seconds_with_any_number_of_decimals(digits: int) -> None:
    """1772366401.25 has as many characters as milliseconds have digits."""
    lines = [f"{at.timestamp():.{digits}f},{mw / 1000}" for at, mw in GOOD]
    _, told = imported("\n".join(["time,power_w", *lines]), ROWS)
    assert told.n_rows == len(ROWS)


def test_rows_outside_the_log_and_with_energy_are_left_as_they_are() -> None:
    rows = [ROWS[0] | {"energy_mj": "5"}, *ROWS[1:]]
    filled, told = imported(jtop(GOOD), rows)
    assert filled[0] is rows[0]
    assert told.n_rows == 1


def test_the_command_that_measured_takes_the_log(tmp_path: Path) -> None:
    space, device = get_space("resnet-digits"), get_device("xavier-nx")
    plan, out, log = tmp_path / "plan.csv", tmp_path / "rows.csv", tmp_path / "power.log"
    rows = plan_rows(space, device, load_proxy(space, "x86-cpu"), 8, np.random.default_rng(0))
    write_plan(rows, plan)
    command = ("measure", "--of", plan, "--out", out, "--quiet")
    assert nas(*command).code == 0
    mine, busy = measured([10.0] * 8, 8.0, 2.0)
    table = pd.read_csv(out).assign(energy_mj=None, power_w=None, n_runs=800)
    table["measured_at"] = [row["measured_at"] for row in mine]
    table["latency_ms"] = 10.0
    table.to_csv(out, index=False)
    log.write_text(LOGS["JetPack 5"](readings([10.0] * 8, busy, 1.0, 1.0)))
    done = nas(*command[:-1], "--power-log", log)
    assert done.code == 0, done.err
    assert "energy of 8 rows" in done.err
    assert "tegrastats, whose clock is +1 h from UTC" in done.err
    assert pd.read_csv(out)["energy_mj"].tolist() == pytest.approx([100.0] * 8)
    refused(nas(*command, "--power-log", tmp_path / "none.log"), "does not exist")
