"""Frames through the engines with subnets, exits and clock under the governor, on this board."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nas.board.control.guard import guarded
from nas.board.control.journal import Journal
from nas.board.control.levels import BoardSensors, LevelClock
from nas.board.control.pins import find_clocks
from nas.board.control.sensors import open_sensor
from nas.board.control.stop import stopping
from nas.board.control.sysfs import BoardError, Sysfs
from nas.runtime import Engine, Manifest, ManifestError
from nas.runtime.foresight import all_foreseen
from nas.runtime.governor import Governor
from nas.runtime.live import Live, Network
from nas.runtime.metrics import serve
from nas.runtime.policies import Demands, check_demands
from nas.runtime.scenarios import delays
from nas.runtime.table import CostTable, manifest_table
from nas.runtime.waiting import Arrival, every, merged

CUDA = "CUDAExecutionProvider"


class Load(NamedTuple):
    """Frames of `n_images` normalised images each, one every `period_ms`, for `seconds` or on."""

    frames: Iterable[np.ndarray]
    n_images: int
    period_ms: float
    seconds: float = 0.0


class Governed(NamedTuple):
    """An exported folder, what is asked of it, and what it has to answer."""

    manifest: Manifest
    demands: Demands  # a floor of 0 allows every configuration
    load: Load


def govern_frames(
    models: Sequence[Governed],
    fs: Sysfs,
    *,
    state: str,
    port: int = 0,
    memory_mb: float | None = None,
    say: Callable[[str], object] = print,
) -> Live:
    """Run until a signal or the end of the loads; every touched file is put back. Returns what ran.

    `state` is the governor's JSON file, `port` serves Prometheus text if it is not 0, `memory_mb`
    bounds the prepared networks of all models together.
    """
    _check_state(state)
    tables, device = _tables(models)
    kind, n_levels = device["processor"], tables[0].n_levels
    demands = [_checked(one, table) for one, table in zip(models, tables)]
    share_mb = None if memory_mb is None else memory_mb / len(models)
    providers = _providers(kind, say)
    engines = [Engine(m.manifest, providers=providers, memory_mb=share_mb) for m in models]
    names = names_of([one.manifest.folder for one in models])
    networks = [_network(*found) for found in zip(names, engines, tables)]
    governor = Governor(tables, demands, delays(n_levels, kind))
    streams = [
        every(load.period_ms / 1e3, load.frames, load.seconds, i)
        for i, (_, _, load) in enumerate(models)
    ]
    about = {"what": "nas govern"}
    with stopping(), Journal(fs, about=about) as journal, guarded(journal):
        if journal.recovered:
            say(f"put back what a killed process had changed: {', '.join(journal.recovered)}")
        clocks = LevelClock(journal, find_clocks(fs, {}), kind, tables[0].mhz.tolist())
        sensors = BoardSensors(fs, _sensor(fs, journal))
        for i, (network, engine) in enumerate(zip(networks, engines)):
            network.foresee(all_foreseen(governor, models[i].load.n_images, i))
            engine.sessions.settle()
        live = Live(governor, networks, clocks, sensors, state, say)
        server = _served(live, port) if port else None
        say(f"governing {device['name']}: state in {state}; Ctrl-C ends it")
        stopped = _run(live, merged(streams), server)
    for line in _told(live):
        say(line)
    if journal.faults:
        raise BoardError(f"cannot put back everything: {'; '.join(journal.faults)}")
    say("the clocks are as they were")
    if stopped is not None:
        raise stopped
    return live


def check_positive(**values: Sequence[Any]) -> None:
    """ManifestError for what must be positive and finite; None is not asked."""
    for name, given in values.items():
        for value in given:
            if value is not None and not 0 < value < float("inf"):
                raise ManifestError(f"`{name}` must be positive and finite, got {value:g}")


def one_each(name: str, values: Sequence[Any], n_models: int) -> list[Any]:
    """A value for each model: one that is given alone is for all of them."""
    if len(values) not in (1, n_models):
        raise ManifestError(
            f"`{name}` was given {len(values)} times for {n_models} model"
            f"{'s' * (n_models > 1)}: give it once for all, or once for each"
        )
    return list(values) * (n_models if len(values) == 1 else 1)


def names_of(folders: Sequence[str]) -> list[str]:
    """The last part of each path, numbered where two are the same."""
    names: list[str] = []
    for folder in folders:
        name = own = os.path.basename(os.path.abspath(folder))
        n = 1
        while name in names:
            n += 1
            name = f"{own}-{n}"
        names.append(name)
    return names


def _run(live: Live, arrivals: Iterable[Arrival], server: Any) -> KeyboardInterrupt | None:
    """Answer `arrivals`; the signal that ended it, the usual way to end without `seconds`."""
    try:
        live.run(arrivals)
    except KeyboardInterrupt as signal:
        return signal
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
    return None


def _tables(models: Sequence[Governed]) -> tuple[list[CostTable], Any]:
    """The models' tables and their device, which must be one and the same."""
    for one in models:
        _check_sizes(one.manifest)
    tables = [manifest_table(one.manifest) for one in models]
    first, device = tables[0], models[0].manifest.content["device"]
    for one, table in zip(models, tables):
        other = one.manifest.content["device"]
        if other["name"] != device["name"] or table.mhz.tolist() != first.mhz.tolist():
            raise ManifestError(
                f"models that share a board need tables of the same device and clocks: "
                f"{models[0].manifest.folder} is of {device['name']} ({first.n_levels} levels), "
                f"{one.manifest.folder} of {other['name']} ({table.n_levels}); export both for one"
            )
    return tables, device


def _check_sizes(manifest: Manifest) -> None:
    """ManifestError where the networks take images of several sizes: a frame has one."""
    files, networks = manifest.content["files"], manifest.content["networks"].values()
    found = {"x".join(map(str, files[n["segments"][0]].get("input", []))) for n in networks}
    if len(found) > 1:
        raise ManifestError(
            f"the networks of {manifest.folder} take images of {len(found)} sizes "
            f"({', '.join(sorted(found))}), and a frame has one: export points of one size (--id)"
        )


def _providers(kind: str, say: Callable[[str], object]) -> list[str] | None:
    """Of ONNX Runtime, for the processor whose clock is moved; None: the CPU."""
    if kind != "gpu":
        return None
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        return [CUDA, "CPUExecutionProvider"]
    say(
        f"ONNX Runtime here has no {CUDA}: the networks run on the CPU, and the clock that "
        "is moved is the GPU's; install onnxruntime-gpu"
    )
    return None


def _checked(one: Governed, table: CostTable) -> Demands:
    demands = one.demands
    if not demands.floor_error_pct:
        demands = demands._replace(floor_error_pct=float(table.error_pct.max()))
    check_demands(table, demands, one.load.n_images)
    return demands


def _network(name: str, engine: Engine, table: CostTable) -> Network:
    """A model of the governor, whose rows are run by `engine`."""
    ids = table.ids
    return Network(
        name,
        lambda row, image: int(engine(ids[row], image[None]).exits[0]),
        lambda row: engine.prepare(ids[row]),
        lambda rows: engine.foresee([ids[row] for row in rows]),
    )


def _check_state(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise ManifestError(
            f"`state` {path} cannot be written: {folder} must be a folder that you may write to"
        )


def _served(live: Live, port: int) -> Any:
    try:
        return serve(live.metrics, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "ports are 1 to 65535"
        raise ManifestError(f"`port` {port} cannot be opened: {reason}; give another") from None


def _told(live: Live) -> list[str]:
    """What happened, in lines: each model's where there are several, and the whole."""
    served = live.metrics.models
    lines = [f"{m.name}: {_frames(m.frames, m.late_frames, m.dropped_frames)}" for m in served]
    sums = [sum(n) for n in zip(*((m.frames, m.late_frames, m.dropped_frames) for m in served))]
    return [*(lines if len(lines) > 1 else []), f"{_frames(*sums)}, {_energy(live)}"]


def _frames(answered: int, late: int, dropped: int) -> str:
    return f"{answered} frames, {late} late" + (f", {dropped} dropped" if dropped else "")


def _energy(live: Live) -> str:
    """Joules, and who says so: a sensor, or the watts of the table."""
    joules, measured = (live.metrics.board[key] for key in ("joules", "joules_measured"))
    if measured == joules:
        return f"{joules:.1f} J, measured"
    source = live.governor.models[0].table.source
    if not measured:
        return f"{joules:.1f} J by the table's watts, {source}"
    return f"{joules:.1f} J, {measured:.1f} measured, the rest by the table's watts, {source}"


def _sensor(fs: Sysfs, journal: Journal) -> Any:
    try:
        return open_sensor(fs, {}, journal)
    except BoardError:  # power is then the table's, and said to be
        return None
