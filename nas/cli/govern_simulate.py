"""`nas govern --simulate`: the governor and what it is compared with on the same frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.files import check_apart, check_file
from nas.runtime.arrivals import drawn, read_arrivals
from nas.runtime.compare import Comparison
from nas.runtime.manifest import read_manifest
from nas.runtime.policies import Demands, check_demands
from nas.runtime.scenarios import (
    answers,
    board_of,
    build,
    drawn_answers,
    get_scenario,
    last_error_pct,
    sized,
)
from nas.runtime.table import CostTable, cost_table, manifest_table
from nas.runtime.traces import Traces, read_traces
from search_spaces import InputError, Space

N_DRAWN = 2000  # images that stand for all where there are no traces
DEFAULTS = {"cpu": ["schedutil"], "gpu": ["nvhost_podgov"]}


class Asked(NamedTuple):
    """What arrives."""

    scenario: str
    arrivals: Path | None
    traces: Path | None
    seconds: float
    seed: int


def simulate_governor(
    manifest: Path | None,
    pareto: Path | None,
    asked: Asked,
    demands: Demands,
    baselines: list[str],
    report: Path | None,
    step: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    """A row for the governor and for each baseline. 0 in `demands` is the load's own."""
    if report is not None:
        given = (pareto, asked.arrivals, asked.traces)
        check_apart("report", report, *(path for path in given if path is not None))
        check_file(report, "report")
    table, device, processor, weights = _table(manifest, pareto)
    scenario = get_scenario(asked.scenario, device)
    traces = asked.traces
    if traces is None and manifest is not None and (manifest / "traces.npz").exists():
        traces = manifest / "traces.npz"
    read = read_traces(str(traces)) if traces else None
    if read is not None:
        _check_weights(traces, read, weights)
    if read is not None and table.has_exits.all():
        table = table.with_last_exits(last_error_pct(table, read))
    largest = _largest(table)
    scenario = sized(scenario, float(table.mean_ms[largest, -1]))
    answered = (
        answers(table, read) if read is not None else drawn_answers(table, N_DRAWN, asked.seed)
    )
    seconds = asked.seconds
    error = float(table.error_pct[largest])
    models = build(scenario, table, answered, error, seconds, asked.seed)
    if asked.arrivals is not None:
        if len(models) > 1:
            raise InputError(
                f"`arrivals` are those of one model, and {scenario.name} has {len(models)}; "
                "leave `simulate` out"
            )
        at_ms, n = read_arrivals(str(asked.arrivals))
        if at_ms[0] >= 1e3 * seconds:
            raise InputError(
                f"{asked.arrivals}: the first arrival is at {at_ms[0]:g} ms, and the run ends "
                f"after {seconds:g} s; give more `seconds`"
            )
        inside = at_ms < 1e3 * seconds  # hindsight would answer, and count, what comes later too
        at_ms, n = at_ms[inside], n[inside]
        rng = np.random.default_rng(asked.seed)
        models = [models[0]._replace(frames=drawn(at_ms, n, answered[0].shape[1], rng))]
    if not all(len(model.frames) for model in models):
        raise InputError(f"nothing arrives within {seconds:g} s; give more `seconds`")
    models = [m._replace(demands=[(at, _own(d, demands)) for at, d in m.demands]) for m in models]
    for model in models:
        for _, wanted in model.demands:
            check_demands(table, wanted, int(np.median(model.frames.n)))
    compared = Comparison(models, board_of(table, processor, device), processor, largest, seconds)
    names = ["governor"]
    for name in baselines or [*DEFAULTS[processor], "best fixed", "bound"]:
        names += [row for row in compared.named(name) if row not in names]
    drawn_from = "exit traces" if traces else "exit rates"
    about = {"scenario": scenario.name, "device": device, "exits": drawn_from}
    if asked.arrivals is not None:
        about["arrivals"] = str(asked.arrivals)
    rows = []
    for done, name in enumerate(names):
        step("simulate", done, len(names))
        rows.append({"agent": name, **about, **compared.runs[name]()})
    step("simulate", len(names), len(names))
    if report is not None:
        from nas.report.governing import write_governing

        write_governing(compared, names, rows, report)
    return rows


def _check_weights(path: Path | None, traces: Traces, weights: str | None) -> None:
    """InputError where the traces are of other weights than the table: other images leave."""
    found = traces.about.get("supernet_sha256")
    if weights and found and found != weights:
        raise InputError(
            f"{path} is of the weights {found[:12]}, the table of {weights[:12]}; "
            "`nas export --traces` writes those of the table"
        )


def _own(load: Demands, asked: Demands) -> Demands:
    return asked._replace(
        target_ms=asked.target_ms or load.target_ms,
        floor_error_pct=asked.floor_error_pct or load.floor_error_pct,
    )


def _largest(table: CostTable) -> int:
    """The slowest subnet without exits; the slowest of all where every one has exits."""
    alone = ~table.has_exits if (~table.has_exits).any() else np.ones(len(table.ids), bool)
    return int(np.where(alone, table.mean_ms[:, -1], -np.inf).argmax())


def _table(manifest: Path | None, pareto: Path | None) -> tuple[CostTable, str, str, str | None]:
    """The table, its device, the processor whose clock moves, the checksum of its weights."""
    if manifest is not None:
        read = read_manifest(str(manifest))
        described, weights = read.content["device"], read.content["supernet"]["sha256"]
        return manifest_table(read), described["name"], described["processor"], weights
    try:
        from nas.export.every_level import governing, without_exits
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'nas[export]'") from None
    from nas.pareto import read_pareto

    assert pareto is not None
    table = read_pareto(pareto)
    content = table.content
    alone = [b for b in content["baselines"] if not b["exits"]["after"]]
    folder = _folder(content)
    space = _space(content, folder)
    measured = [] if folder is None else _measured_subnets(content, folder, space)
    rows: list[Any] = [*table.points, *alone, *without_exits(measured)]
    found = cost_table(governing(table, rows, space))
    about = content["device"]
    weights = content["supernet"] and content["supernet"]["sha256"]
    return found, str(about["name"]), str(about["processor"]), weights


def _folder(content: Any) -> Path | None:
    """The supernet of a table, where it is at hand."""
    from nas.zoo.folder import entry_folder

    try:
        return entry_folder(content["supernet"]["name"]) if content["supernet"] else None
    except InputError:  # trained elsewhere
        return None


def _space(content: Any, folder: Path | None) -> Space:
    """The space of a table; that of a wrapped network is written with its weights alone."""
    from search_spaces import get_space

    with_weights = folder is not None and content["supernet"]["sha256"]
    return get_space(str(folder) if with_weights else content["space"])


def _measured_subnets(content: Any, folder: Path, space: Space) -> list[dict[str, Any]]:
    """Subnets of the supernet's accuracy table without exits, for baselines."""
    from nas.zoo.folder import folder_table

    known = folder_table(folder, space)
    if known.supernet_sha256 not in (None, content["supernet"]["sha256"]):
        return []
    most = max(point["top1_error_pct"] for point in content["points"])
    rows = zip(space.subnets(known.genes), known.top1_error_pct[:, 0].tolist(), strict=True)
    return [{"subnet": str(s), "top1_error_pct": error} for s, error in rows if error <= most]
