"""Frames through the engine with subnet, exits and clock under the governor, on this board."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from nas.board.control.journal import Journal
from nas.board.control.levels import BoardSensors, LevelClock
from nas.board.control.pins import find_clocks
from nas.board.control.sensors import open_sensor
from nas.board.control.stop import stopping
from nas.board.control.sysfs import BoardError, Sysfs
from nas.runtime import Engine, Manifest
from nas.runtime.foresight import all_foreseen
from nas.runtime.governor import Governor
from nas.runtime.live import Live, every
from nas.runtime.metrics import serve
from nas.runtime.policies import Demands, check_demands
from nas.runtime.scenarios import delays
from nas.runtime.table import manifest_table


class Load(NamedTuple):
    """Frames of `n_images` normalised images each, one every `period_ms`, for `seconds` or on."""

    frames: Iterable[np.ndarray]
    n_images: int
    period_ms: float
    seconds: float = 0.0


def govern_frames(
    manifest: Manifest,
    demands: Demands,
    load: Load,
    fs: Sysfs,
    *,
    state: str,
    port: int = 0,
    memory_mb: float | None = None,
    say: Callable[[str], object] = print,
) -> Live:
    """Run until a signal or the end of `load`; every touched file is put back. Returns what ran.

    `state` is the governor's JSON file, `port` serves Prometheus text if it is not 0, `memory_mb`
    bounds the prepared networks.
    """
    table = manifest_table(manifest)
    described = manifest.content["device"]
    kind = described["processor"]
    if not demands.floor_error_pct:
        demands = demands._replace(floor_error_pct=float(table.error_pct.max()))
    check_demands(table, demands, load.n_images)
    engine = Engine(manifest, memory_mb=memory_mb)
    governor = Governor([table], [demands], delays(table.n_levels, kind))

    def run_image(row: int, image: np.ndarray) -> int:
        return int(engine(table.ids[row], image[None]).exits[0])

    def prepare(row: int) -> None:
        engine.prepare(table.ids[row])

    def foresee(rows: list[int]) -> None:
        engine.foresee([table.ids[row] for row in rows])

    with stopping(), Journal(fs, about={"what": "nas govern"}) as journal:
        clocks = LevelClock(journal, find_clocks(fs, {}), kind, table.mhz.tolist())
        sensors = BoardSensors(fs, _sensor(fs, journal))
        foresee(all_foreseen(governor, load.n_images))
        engine.sessions.settle()
        live = Live(governor, run_image, clocks, sensors, state, say, prepare, foresee)
        server = serve(live.metrics, port) if port else None
        say(f"governing {described['name']}: state in {state}; Ctrl-C ends it")
        try:
            live.run(every(load.period_ms / 1e3, load.frames, load.seconds))
        finally:
            if server is not None:
                server.shutdown()
    counted = live.metrics.counters
    say(
        f"{counted['frames']:.0f} frames, {counted['late_frames']:.0f} late, "
        f"{counted['joules']:.1f} J; the clocks are as they were"
    )
    return live


def _sensor(fs: Sysfs, journal: Journal) -> Any:
    try:
        return open_sensor(fs, {}, journal)
    except BoardError:  # power is then the table's, and said to be
        return None
