"""The governor on a board that is made of arguments: every fault has its answer and its counter."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from nas.runtime.governor import Governor
from nas.runtime.live import Live
from nas.runtime.metrics import Metrics, serve
from nas.runtime.policies import Demands
from tests.nas.runtime.tables import small_board, small_table

TABLE = small_table()
IMAGES = np.zeros((4, 1, 8, 8), np.float32)


class Clocks:
    """Follows at once, unless told otherwise."""

    def __init__(self) -> None:
        self.level, self.answer, self.stuck_at, self.taken = 3, "", None, 0
        self.asked: list[int] = []

    def set(self, level: int) -> str:
        self.asked.append(level)
        if not self.answer:
            self.level = level
        return self.answer

    def read(self) -> int:
        return self.level if self.stuck_at is None else self.stuck_at

    def take_back(self) -> None:
        self.taken += 1
        self.answer = ""


class Sensors:
    def __init__(self, power: float | None = 5.0, temperature: float | None = 40.0) -> None:
        self.power, self.temperature = power, temperature

    def power_w(self) -> float | None:
        return self.power

    def temperature_c(self) -> float | None:
        return self.temperature


def live(
    clocks: Clocks, sensors: Sensors, state: Path | None = None, slow: float = 1.0, **more: object
) -> Live:
    """A network that takes what the table says, `slow` times that."""
    asked = Demands(60.0, 10.0, **more)  # type: ignore[arg-type]
    governor = Governor([TABLE], [asked], small_board(TABLE).delay_ms)

    def run_image(row: int, image: np.ndarray) -> int:
        time.sleep(slow * float(TABLE.time_ms[row, -1, clocks.read()]) / 1e3)
        return TABLE.exits[row][-1]

    return Live(governor, run_image, clocks, sensors, str(state or ""))


def test_frames_are_answered_in_time_at_a_low_clock(tmp_path: Path) -> None:
    clocks = Clocks()
    made = live(clocks, Sensors(), tmp_path / "state.json")
    made.run([IMAGES] * 12, 0.07)
    counters = made.metrics.counters
    assert (counters["frames"], counters["images"]) == (12, 48)
    assert counters["late_frames"] <= 4  # the machine that tests may be busy
    assert min(clocks.asked) < 3
    assert counters["joules"] == pytest.approx(5.0 * 0.84, rel=0.4)
    written = json.loads((tmp_path / "state.json").read_text())
    assert written["schema"] == "nas.governor/1"
    assert written["frames"] == 12
    assert not list(tmp_path.glob("*.tmp"))


def test_a_lost_sensor_is_counted_and_the_table_stands_in() -> None:
    made = live(Clocks(), Sensors(None, None))
    made.run([IMAGES] * 5, 0.1)
    assert made.metrics.counters["lost_sensor"] >= 3
    assert made.metrics.counters["joules"] > 0
    assert made.metrics.gauges["power_measured"] == 0
    assert "temperature_c" not in made.metrics.gauges


def test_a_refused_clock_is_reckoned_with() -> None:
    clocks = Clocks()
    clocks.answer = "refused"
    made = live(clocks, Sensors())
    made.run([IMAGES] * 3, 0.07)
    assert made.metrics.counters["refused_clock"] >= 1
    assert made.level == clocks.read() == 3
    assert sum(made.metrics.switches.values()) == 0


def test_hands_off_while_another_program_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runtime.live.HANDS_OFF_S", 0.25)
    clocks = Clocks()
    clocks.answer = "foreign"
    made = live(clocks, Sensors())
    made.run([IMAGES] * 2, 0.07)
    asked = len(clocks.asked)
    assert (asked, made.metrics.counters["foreign_writer"]) == (1, 1)
    made.run([IMAGES] * 4, 0.1)
    assert clocks.taken == 1
    assert len(clocks.asked) > asked


def test_throttling_lowers_what_is_planned_with() -> None:
    clocks = Clocks()
    made = live(clocks, Sensors())
    clocks.stuck_at = 0
    made.governor.models[0].want(Demands(20.0, 10.0))
    made.run([IMAGES] * 6, 0.1)
    assert made.metrics.counters["throttled"] >= 1


def test_heat_lowers_the_clock() -> None:
    made = live(Clocks(), Sensors(temperature=90.0), temperature_c=70.0)
    made.run([IMAGES] * 6, 0.1)
    assert made.governor.cap == 0


def test_a_slow_machine_is_learnt() -> None:
    made = live(Clocks(), Sensors(), slow=1.6)
    made.run([IMAGES] * 10, 0.1)
    assert 1.3 < made.metrics.gauges["time_ratio"] < 2.5


def test_what_cannot_be_had_is_said() -> None:
    made = live(Clocks(), Sensors())
    made.governor.models[0].want(Demands(3.0, 10.0))
    made.run([IMAGES] * 2, 0.07)
    assert made.metrics.counters["unmet"] > 0
    assert made.metrics.said == "time had to yield"


def test_prometheus_reads_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics()
    for latency in (0.5, 3.0, 3.0, 2000.0):
        metrics.frame(latency, 100.0, 2)
    metrics.gauges["power_w"] = 4.5
    metrics.switches["idle"] = 7
    server = serve(metrics, 0)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        text = urllib.request.urlopen(url, timeout=5).read().decode()
    finally:
        server.shutdown()
    found = {f.name: f for f in parser.text_string_to_metric_families(text)}
    assert server.server_address[0] == "127.0.0.1"
    assert found["nas_frames"].samples[0].value == 4
    assert found["nas_late_frames"].samples[0].value == 1
    assert found["nas_power_w"].samples[0].value == 4.5
    switches = {s.labels["cause"]: s.value for s in found["nas_switches"].samples}
    assert switches["idle"] == 7
    histogram = {s.labels.get("le"): s.value for s in found["nas_latency_ms"].samples}
    assert (histogram["1.0"], histogram["5.0"], histogram["+Inf"]) == (1, 3, 4)
    assert found["nas_latency_ms"].type == "histogram"
