"""The governor over the real engine on this machine's CPU: real images, arrivals and exits.

    python benchmarks/governor_real.py --board DIR --data cifar-10-batches-bin

DIR is a folder of `nas export`. There is no clock to move here: a quota stands in for it (after an
image that took t ms at quota q the engine waits t (1 / q - 1) ms), and power is assumed. Times,
answers, exits and late frames are measured; so is whether other programs ran meanwhile (`load`).
The load doubles in the middle of the run, and the floor changes four times.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nas.runtime import Engine, read_manifest
from nas.runtime.agents import Governed
from nas.runtime.arrivals import Frames
from nas.runtime.governor import Governor
from nas.runtime.live import Live, Network
from nas.runtime.policies import Demands
from nas.runtime.simulate import Simulation
from nas.runtime.simulated import Board, Model
from nas.runtime.table import CostTable
from nas.runtime.waiting import Arrival
from search_spaces import write_text

RESULTS = Path(__file__).parent / "results" / "governor_real.json"
QUOTAS = np.array([0.4, 0.6, 0.8, 1.0])
IDLE_W, BUSY_W = 2.0, 6.0  # assumed: 2 W, and 6 W times the square of the quota
N_CONFIGURATIONS, N_TIMED, PERIOD_MS, TARGET_MS = 6, 200, 250.0, 225.0
LOAD = 0.35  # of the period, by the most accurate configuration, before it doubles
Changing = list[tuple[float, Demands]]  # from which millisecond on


class Quota:
    """The stand-in for a clock: levels are `QUOTAS`; it acts at once."""

    level = len(QUOTAS) - 1

    def set(self, level: int) -> str:
        self.level = level
        return ""

    def read(self) -> int:
        return self.level

    def foreign(self) -> bool:
        return False

    def take_back(self) -> None:
        """Nobody else sets it."""


class NoSensors:
    def power_w(self) -> float | None:
        return None

    def temperature_c(self) -> float | None:
        return None


def chosen_ids(content: Any) -> list[str]:
    """Configurations of different networks, from the most accurate to the fastest."""
    rows = {c["network"]: c for c in content["configurations"] if c["after"]}
    ordered = sorted(rows.values(), key=lambda c: c["top1_error_pct"])
    at = np.linspace(0, len(ordered) - 1, N_CONFIGURATIONS).astype(int)
    return [ordered[i]["id"] for i in at]


def timed(engine: Engine, ids: list[str], images: np.ndarray) -> tuple[Any, Any, Any]:
    """Of every configuration and image: CPU milliseconds, exit, class, each (C, N); in turns.

    Other programs take no part of CPU time: what they take of the run is for the governor to learn.
    """
    ms = np.zeros((len(ids), len(images)))
    exits, classes = np.zeros(ms.shape, int), np.zeros(ms.shape, int)
    for id_ in ids:
        engine.prepare(id_)
        engine(id_, images[:1])
    for i in range(len(images)):
        for row, id_ in enumerate(ids):
            start = time.thread_time()
            answer = engine(id_, images[i : i + 1])
            ms[row, i] = 1e3 * (time.thread_time() - start)
            exits[row, i], classes[row, i] = answer.exits[0], answer.classes[0]
    return ms, exits, classes


def measured_table(manifest: Any, ids: list[str], ms: Any, exits: Any) -> CostTable:
    """What the images took, by the exit that answered; power assumed."""
    asked = [[int(e) for e in manifest.network(id_)["exits"]] for id_ in ids]
    n = max(map(len, asked))
    rates, time_ms = np.zeros((len(ids), n)), np.zeros((len(ids), n))
    for row, own in enumerate(asked):
        took = [ms[row, exits[row] == e] for e in own]
        rates[row, : len(own)] = [len(t) / ms.shape[1] for t in took]
        known = [float(np.median(t)) if len(t) else np.nan for t in took]
        seen = np.flatnonzero(np.isfinite(known))
        filled = np.interp(np.arange(len(own)), seen, np.array(known)[seen])
        time_ms[row] = [*np.maximum.accumulate(filled), *[filled.max()] * (n - len(own))]
    watts = IDLE_W + BUSY_W * QUOTAS**2
    rows = [manifest.configuration(id_) for id_ in ids]
    return CostTable(
        ids,
        [manifest.network(id_)["subnet"] for id_ in ids],
        asked,
        [list(row["thresholds"]) for row in rows],
        np.array([row["top1_error_pct"] for row in rows]),
        rates,
        time_ms[:, :, None] / QUOTAS,
        np.broadcast_to(watts, (len(ids), n, len(QUOTAS))),
        np.full(len(QUOTAS), IDLE_W) + 0.1 * QUOTAS,
        100 * QUOTAS,
        "measured time, assumed power",
    )


def frames_of(table: CostTable, seconds: float, n_images: int) -> Frames:
    """Frames every `PERIOD_MS`, of 1 to 2 n - 1 images; n doubles in the middle."""
    rng = np.random.default_rng(0)
    n = max(1, round(LOAD * PERIOD_MS / float(table.mean_ms[0, -1])))
    at = np.arange(0.0, 1e3 * seconds, PERIOD_MS)
    sizes = rng.integers(1, 2 * n, len(at)) * np.where(at < 500 * seconds, 1, 2)
    return Frames(at, sizes, [rng.integers(0, n_images, k) for k in sizes])


def governed_run(
    engine: Engine, table: CostTable, frames: Frames, images: np.ndarray, demands: Changing
) -> tuple[Live, list[tuple[int, int, int, int]], float]:
    """The live loop over the frames: what ran, (row, image, exit, class) of every answer, and how
    many times the table's time they took."""
    clock, order = Quota(), iter(np.concatenate(frames.images).tolist())
    log: list[tuple[int, int, int, int]] = []
    took = []

    def run_image(row: int, image: np.ndarray) -> int:
        start = time.perf_counter()
        answer = engine(table.ids[row], image[None])
        quota = float(QUOTAS[clock.level])
        time.sleep((time.perf_counter() - start) * (1 / quota - 1))
        at = table.exits[row].index(int(answer.exits[0]))
        seconds = time.perf_counter() - start
        took.append((1e3 * seconds, float(table.time_ms[row, at, clock.level])))
        log.append((row, next(order), int(answer.exits[0]), int(answer.classes[0])))
        return int(answer.exits[0])

    delays = np.zeros((len(QUOTAS), len(QUOTAS)))
    governor = Governor([table], [demands[0][1]], delays)
    live = Live(governor, [Network("cpu", run_image)], clock, NoSensors())

    def arrivals() -> Iterator[Arrival]:
        for at, ids in zip(frames.at_ms, frames.images, strict=True):
            governor.models[0].want([d for since, d in demands if since <= at][-1])
            yield at / 1e3, 0, images[ids]

    live.run(arrivals())
    total, planned = np.sum(took, axis=0)
    return live, log, float(total / planned)


def simulated_late_pct(
    table: CostTable, frames: Frames, exits: Any, demands: Changing, seconds: float, factor: float
) -> float:
    """The same frames, images and exits on the measured table, as much slower as the run was."""
    leave = np.array([np.searchsorted(own, exits[row]) for row, own in enumerate(table.exits)])
    right = np.ones(leave.shape, bool)
    model = Model(table, leave, right, frames, demands, factor)
    delays = np.zeros((len(QUOTAS), len(QUOTAS)))
    agent = Governed(Governor([table], [demands[0][1]], delays))
    run = Simulation([model], Board(table.idle_w, delays), agent).run(seconds + 5)
    return float(100 * run.late.mean())


def switch_ms(engine: Engine, ids: list[str], images: np.ndarray, n: int = 400) -> dict[str, float]:
    """CPU time that an image takes more because another prepared configuration ran before it."""
    again: list[float] = []
    after: list[float] = []
    for _ in range(n):
        for before, times in ((ids[-1], again), (ids[0], after)):
            engine(before, images[:1])
            engine(before, images[:1])
            start = time.thread_time()
            engine(ids[-1], images[1:2])
            times.append(1e3 * (time.thread_time() - start))
    p50, p99 = (np.percentile(after, q) - np.percentile(again, q) for q in (50, 99))
    return {"switch_p50_ms": float(p50), "switch_p99_ms": float(p99)}


def read_images(folder: Path, n: int) -> np.ndarray:
    """The first test images of CIFAR-10 in its binary form, uint8 (n, 3, 32, 32)."""
    raw = np.fromfile(folder / "test_batch.bin", np.uint8).reshape(-1, 3073)
    return raw[:n, 1:].reshape(-1, 3, 32, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--board", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    manifest = read_manifest(str(given.board))
    engine = Engine(manifest)
    images = manifest.normalise(read_images(given.data, N_TIMED))
    ids = chosen_ids(manifest.content)
    load = [os.getloadavg()[0]]
    ms, exits, classes = timed(engine, ids, images)
    table = measured_table(manifest, ids, ms, exits)
    floors = np.quantile(table.error_pct, [1.0, 0.4])
    quarter = 250 * given.seconds
    demands = [(i * quarter, Demands(TARGET_MS, float(floors[i % 2]))) for i in range(4)]
    frames = frames_of(table, given.seconds, len(images))
    live, log, factor = governed_run(engine, table, frames, images, demands)
    equal = [exits[r, i] == e and classes[r, i] == c for r, i, e, c in log]
    counted = live.metrics.counters
    late = 100 * counted["late_frames"] / counted["frames"]
    simulated = simulated_late_pct(table, frames, exits, demands, given.seconds, factor)
    row = {
        "frames": int(counted["frames"]),
        "images": len(log),
        "configurations_used": len({r for r, *_ in log}),
        "in_time_pct": 100 - late,
        "late_pct": late,
        "late_pct_simulated": simulated,
        "answers_equal_pct": 100 * float(np.mean(equal)),
        **switch_ms(engine, ids, images),
        "times_the_table": factor,
        "cores": os.cpu_count(),
        "load": [*load, os.getloadavg()[0]],
        "target_ms": TARGET_MS,
        "clock": "a quota of the engine's time stands in for it",
        "source": "measured; late_pct_simulated: simulated on the measured table",
    }
    write_text(RESULTS, json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
