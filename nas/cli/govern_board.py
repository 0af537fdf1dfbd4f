"""`nas govern --manifest DIR`: frames through the engine, clocks under the governor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.board.control.journal import Journal
from nas.board.control.levels import BoardSensors, LevelClock
from nas.board.control.pins import find_clocks
from nas.board.control.sensors import open_sensor
from nas.board.control.stop import stopping
from nas.board.control.sysfs import BoardError, Sysfs
from nas.runtime import Engine, Manifest, read_manifest
from nas.runtime.files import plain_size
from nas.runtime.governor import Governor
from nas.runtime.live import Live, every
from nas.runtime.metrics import serve
from nas.runtime.policies import Demands, check_demands
from nas.runtime.scenarios import delays
from nas.runtime.table import manifest_table
from search_spaces import InputError

MAX_IMAGES = 1 << 32  # bytes; mapped, not read


class Running(NamedTuple):
    """How frames come, and where the governor says what it does."""

    period_ms: float
    images: Path | None
    n_images: int
    seconds: float
    state: Path
    port: int
    root: Path


def govern_board(
    folder: Path,
    demands: Demands,
    running: Running,
    *,
    quiet: bool = False,
    fs: Sysfs | None = None,
) -> Live:
    """Run until Ctrl-C or for `seconds`; every touched file is put back. Returns what ran."""
    from nas.cli.output import console

    for name in ("period_ms", "n_images"):
        if not getattr(running, name) > 0:
            raise InputError(f"`{name}` must be positive, got {getattr(running, name):g}")
    manifest = read_manifest(str(folder))
    table = manifest_table(manifest)
    described = manifest.content["device"]
    if not demands.floor_error_pct:
        demands = demands._replace(floor_error_pct=float(table.error_pct.max()))
    check_demands(table, demands, running.n_images)
    fs = fs or Sysfs(str(running.root))
    engine = Engine(manifest)
    governor = Governor([table], [demands], delays(table.n_levels, described["processor"]))
    screen = console(quiet=quiet)
    with stopping(), Journal(fs, about={"what": "nas govern"}) as journal:
        kind = described["processor"]
        clocks = LevelClock(journal, find_clocks(fs, {}), kind, table.mhz.tolist())
        sensors = BoardSensors(fs, _sensor(fs, journal))
        for id_ in table.ids:
            engine.prepare(id_)
        run_image, state = _runner(engine, table.ids), str(running.state)
        live = Live(governor, run_image, clocks, sensors, state, screen.print)
        server = serve(live.metrics, running.port) if running.port else None
        screen.print(f"governing {described['name']}: state in {running.state}; Ctrl-C ends it")
        try:
            frames = _frames(manifest, table.ids[0], running)
            live.run(every(running.period_ms / 1e3, frames, running.seconds))
        finally:
            if server is not None:
                server.shutdown()
    counted = live.metrics.counters
    screen.print(
        f"{counted['frames']:.0f} frames, {counted['late_frames']:.0f} late, "
        f"{counted['joules']:.1f} J; the clocks are as they were"
    )
    return live


def _sensor(fs: Sysfs, journal: Journal) -> Any:
    try:
        return open_sensor(fs, {}, journal)
    except BoardError:  # power is then the table's, and said to be
        return None


def _runner(engine: Engine, ids: list[str]) -> Any:
    def run(row: int, image: np.ndarray) -> int:
        return int(engine(ids[row], image[None]).exits[0])

    return run


def _frames(manifest: Manifest, id_: str, running: Running) -> Iterator[np.ndarray]:
    """Frames of the file's images over and over; of noise without a file."""
    if running.images is None:
        first = manifest.network(id_)["segments"][0]
        shape = manifest.content["files"][first]["input"]
        images = np.random.default_rng(0).standard_normal((256, *shape)).astype(np.float32)
    else:
        images = manifest.normalise(_read_images(running.images))
    for start in itertools.count(0, running.n_images):
        yield images[np.arange(start, start + running.n_images) % len(images)]


def _read_images(path: Path) -> np.ndarray:
    try:
        plain_size(str(path), MAX_IMAGES)
        images: Any = np.load(path, allow_pickle=False, mmap_mode="r")  # its size is checked
    except Exception as fault:  # NumPy parses the header as Python: the faults are of many kinds
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"cannot read images from {path}: {reason[:200]}") from None
    if not isinstance(images, np.ndarray):
        raise InputError(f"{path} holds several arrays, expected one: an .npy file")
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise InputError(
            f"{path} holds {images.dtype} {images.shape}; expected uint8 images (N, C, H, W)"
        )
    return np.asarray(images)
