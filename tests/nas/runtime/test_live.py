"""The governor on a board that is made of arguments: every fault has its answer and its counter."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.runtime.governor import Governor
from nas.runtime.live import MAX_WAITING, Live, Network
from nas.runtime.metrics import Metrics, serve
from nas.runtime.policies import Demands
from nas.runtime.waiting import every, merged
from tests.nas.runtime.tables import small_board, small_table

TABLE = small_table()
IMAGES = np.zeros((4, 1, 8, 8), np.float32)


class Time:
    """Passes when somebody sleeps, so that no test hangs on how busy the machine is."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


TIME = Time()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runtime.live.time", TIME)


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

    def foreign(self) -> bool:
        return self.answer == "foreign"

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
        TIME.sleep(slow * float(TABLE.time_ms[row, -1, clocks.read()]) / 1e3)
        return TABLE.exits[row][-1]

    return Live(governor, [Network("net", run_image)], clocks, sensors, str(state or ""))


def test_frames_are_answered_in_time_at_a_low_clock(tmp_path: Path) -> None:
    clocks = Clocks()
    made = live(clocks, Sensors(), tmp_path / "state.json")
    made.run(every(0.07, [IMAGES] * 12))
    counters = made.metrics.counters
    assert (counters["frames"], counters["images"]) == (12, 48)
    assert counters["late_frames"] == 0
    assert min(clocks.asked) < 3
    assert counters["joules"] == pytest.approx(5.0 * 0.84, rel=0.2)
    assert counters["joules_measured"] > 0.7 * counters["joules"]
    written = json.loads((tmp_path / "state.json").read_text())
    assert written["schema"] == "nas.governor/1"
    assert written["frames"] == 12
    assert not list(tmp_path.glob("*.tmp"))


def test_a_full_disk_ends_no_governor_and_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "state.json.tmp"
    theirs.write_text("mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("nas.runtime.files.os.replace", full)
        made = live(Clocks(), Sensors(), tmp_path / "state.json")
        made.run(every(0.5, [IMAGES] * 5))
    assert made.metrics.counters["frames"] == 5
    assert made.metrics.counters["lost_state"] >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.tmp"]
    assert theirs.read_text() == "mine"


def test_a_lost_sensor_is_counted_and_the_table_stands_in() -> None:
    made = live(Clocks(), Sensors(None, None))
    made.run(every(0.1, [IMAGES] * 5))
    assert made.metrics.counters["lost_sensor"] >= 3
    assert made.metrics.counters["joules"] > 0
    assert made.metrics.counters["joules_measured"] == 0
    assert made.metrics.gauges["power_measured"] == 0
    made.metrics.gauges["temperature_c"] = 40.0  # of before
    made.run(every(0.1, [IMAGES] * 3))
    assert "temperature_c" not in made.metrics.gauges


def test_a_refused_clock_is_reckoned_with() -> None:
    clocks = Clocks()
    clocks.answer = "refused"
    made = live(clocks, Sensors())
    made.run(every(0.07, [IMAGES] * 3))
    assert made.metrics.counters["refused_clock"] >= 1
    assert made.level == clocks.read() == 3
    assert sum(made.metrics.switches.values()) == 0


def test_hands_off_while_another_program_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runtime.live.HANDS_OFF_S", 0.25)
    clocks = Clocks()
    clocks.answer = "foreign"
    made = live(clocks, Sensors())
    made.run(every(0.07, [IMAGES] * 2))
    asked = len(clocks.asked)
    assert (asked, made.metrics.counters["foreign_writer"]) == (1, 1)
    made.run(every(0.1, [IMAGES] * 4))
    assert clocks.taken == 1
    assert len(clocks.asked) > asked


def test_a_program_that_raises_the_clock_is_noticed_while_nothing_is_asked() -> None:
    """The governor waits at a low clock and changes nothing; jetson_clocks goes to the top."""
    clocks = Clocks()
    made = live(clocks, Sensors())
    made.run(every(0.1, [IMAGES] * 3))
    low, asked = made.level, len(clocks.asked)
    clocks.answer, clocks.stuck_at = "foreign", 3
    made.run(every(0.1, [IMAGES] * 4))
    assert (low < 3, made.level, len(clocks.asked)) == (True, 3, asked)
    assert made.metrics.counters["foreign_writer"] == 1


def test_a_clock_that_stays_up_is_reckoned_with() -> None:
    clocks = Clocks()
    made = live(clocks, Sensors())
    clocks.stuck_at = 3
    made.run(every(0.1, [IMAGES] * 8))
    assert made.metrics.counters["refused_clock"] >= 1
    assert made.metrics.counters["late_frames"] == 0


def test_throttling_lowers_what_is_planned_with() -> None:
    clocks = Clocks()
    made = live(clocks, Sensors())
    clocks.stuck_at = 0
    made.governor.models[0].want(Demands(20.0, 10.0))
    made.run(every(0.1, [np.concatenate([IMAGES] * 4)] * 6))
    assert made.metrics.counters["throttled"] >= 1


class Sleepy(Clocks):
    """A GPU that shows its lowest clock soon after it worked, whichever it is held at."""

    worked = TIME.now

    def read(self) -> int:
        return self.level if TIME.now - self.worked < 0.01 else 0


def test_an_idle_gpu_that_reports_its_lowest_clock_is_not_throttled() -> None:
    clocks = Sleepy()
    made = live(clocks, Sensors())
    made.governor._way += 1e9 * (1 - np.eye(4))  # so that it waits at the clock it worked at
    made.governor.models[0].want(Demands(20.0, 10.0))
    run_image = made.networks[0].run_image

    def woken(row: int, image: np.ndarray) -> int:
        clocks.worked = TIME.now
        found: int = run_image(row, image)
        clocks.worked = TIME.now
        return found

    made.networks = [Network("net", woken)]
    made.run(every(0.5, [IMAGES] * 4))
    assert made.level > 0
    assert made.metrics.counters["throttled"] == 0
    assert made.governor.cap == 3


def test_heat_lowers_the_clock() -> None:
    made = live(Clocks(), Sensors(temperature=90.0), temperature_c=70.0)
    made.run(every(0.1, [IMAGES] * 6))
    assert made.governor.cap == 0


def test_heat_lowers_the_clock_while_a_frame_runs() -> None:
    """A long frame that only the top clock has in time, so that no decision is asked for."""
    clocks = Clocks()
    made = live(clocks, Sensors(temperature=90.0), temperature_c=70.0)
    target_ms = 1.05 * 100 * float(TABLE.time_ms[0, -1, -1])
    made.governor.models[0].want(Demands(target_ms, 6.0, temperature_c=70.0))
    made.run([(0.0, 0, np.concatenate([IMAGES] * 25))])
    assert made.metrics.switches["cap"] >= 1
    assert made.level == made.governor.cap == 0


def test_a_frame_that_waits_is_late_by_its_arrival() -> None:
    """Frames come faster than they are answered: each waits longer, and counts from its arrival."""
    made = live(Clocks(), Sensors(), slow=4.0)
    made.run(every(0.02, [IMAGES] * 8))
    counters = made.metrics.counters
    assert (counters["frames"], counters["images"]) == (8, 32)
    assert counters["late_frames"] >= 4
    assert made.metrics.models[0].latency_ms / 8 > 60


def test_what_can_never_be_answered_fills_no_memory() -> None:
    """Frames come twenty times faster than they are answered: the newest are, the rest counted."""
    said: list[str] = []
    made = live(Clocks(), Sensors(), slow=4.0)
    made.say = said.append
    longest = []
    made.networks = [made.networks[0]._replace(prepare=lambda _: longest.append(len(made.waiting)))]
    made.run(every(0.005, [IMAGES] * 300))
    served = made.metrics.models[0]
    assert served.dropped_frames > 100
    assert served.frames + served.dropped_frames == 300
    assert max(longest) <= MAX_WAITING + 1  # and the one that runs
    assert [text for text in said if "dropped" in text] == [
        "net: frames come faster than they are answered; 64 wait, the oldest are dropped "
        "and counted"
    ]


def test_without_frames_the_lowest_clock_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runtime.live.SILENCE_S", 0.1)
    clocks = Clocks()
    made = live(clocks, Sensors())
    made.governor._way[:] = 1e9  # so that no pause is worth a change of the clock
    made.run([(0.0, 0, IMAGES), (0.4, 0, IMAGES)])
    assert 0 in clocks.asked


def test_what_yields_is_said_once_aloud() -> None:
    lines: list[str] = []
    made = live(Clocks(), Sensors())
    made.say = lines.append
    made.governor.models[0].want(Demands(3.0, 10.0))
    made.run(every(0.05, [IMAGES] * 3))
    assert lines == ["time had to yield: not all demands can be met"]


def test_a_slow_machine_is_learnt() -> None:
    made = live(Clocks(), Sensors(), slow=1.6)
    made.run(every(0.1, [IMAGES] * 10))
    assert made.metrics.models[0].time_ratio == pytest.approx(1.6, rel=0.05)


def test_what_cannot_be_had_is_said() -> None:
    made = live(Clocks(), Sensors())
    made.governor.models[0].want(Demands(3.0, 10.0))
    made.run(every(0.07, [IMAGES] * 2))
    assert made.metrics.counters["unmet"] > 0
    assert made.metrics.said == "time had to yield: not all demands can be met"


def test_two_models_share_a_board_and_the_urgent_one_goes_first(tmp_path: Path) -> None:
    """A long frame is stopped between two images for one that is due before it."""
    clocks, order = Clocks(), []
    asked = [Demands(200.0, 10.0), Demands(30.0, 10.0)]
    governor = Governor([TABLE] * 2, asked, small_board(TABLE).delay_ms)

    def network(name: str) -> Network:
        def run_image(row: int, image: np.ndarray) -> int:
            order.append(name)
            TIME.sleep(float(TABLE.time_ms[row, -1, clocks.read()]) / 1e3)
            return TABLE.exits[row][-1]

        return Network(name, run_image)

    state = tmp_path / "state.json"
    networks = [network("slow"), network("fast")]
    made = Live(governor, networks, clocks, Sensors(), str(state))
    slow, fast = [np.concatenate([IMAGES] * 4)] * 2, [IMAGES[:1]] * 10
    made.run(merged([every(0.25, slow), every(0.05, fast, model=1)]))
    first, last = order.index("fast"), len(order) - 1 - order[::-1].index("slow")
    assert "slow" in order[first:last]
    assert "fast" in order[order.index("slow") : order.index("slow") + 16]
    assert made.metrics.counters["late_frames"] == 0
    written = json.loads(state.read_text())
    assert {k: v["frames"] for k, v in written["models"].items()} == {"slow": 2, "fast": 10}
    assert written["frames"] == 12
    assert written["models"]["fast"]["configuration"] in TABLE.ids


def test_prometheus_reads_it(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics(["eyes", 'say "hello"\\'])
    for latency in (0.5, 3.0, 3.0, 2000.0):
        metrics.frame(1, latency, 100.0, 2)
    metrics.frame(0, 5.0, np.float64(9.0), 1)  # a target that was computed
    metrics.gauges["power_w"] = 4.5
    metrics.switches["idle"] = 7
    server = serve(metrics, 0)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with socket.create_connection(("127.0.0.1", server.server_port)):  # and says nothing
            text = urllib.request.urlopen(url, timeout=5).read().decode()
            server.shutdown()
    finally:
        server.server_close()
    metrics.write(str(tmp_path / "state.json"))
    assert json.loads((tmp_path / "state.json").read_text())["frames"] == 5
    found = {f.name: f for f in parser.text_string_to_metric_families(text)}
    assert server.server_address[0] == "127.0.0.1"
    assert _of(found["nas_frames"]) == {"eyes": 1, 'say "hello"\\': 4}
    assert _of(found["nas_late_frames"])['say "hello"\\'] == 1
    assert found["nas_power_w"].samples[0].value == 4.5
    switches = {s.labels["cause"]: s.value for s in found["nas_switches"].samples}
    assert switches["idle"] == 7
    latencies = [s for s in found["nas_latency_ms"].samples if s.labels["model"] != "eyes"]
    histogram = {s.labels.get("le"): s.value for s in latencies}
    assert (histogram["1.0"], histogram["5.0"], histogram["+Inf"]) == (1, 3, 4)
    assert found["nas_latency_ms"].type == "histogram"


def _of(family: Any) -> dict[str, float]:
    return {sample.labels["model"]: sample.value for sample in family.samples}
