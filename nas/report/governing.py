"""Time lines of a governor beside its baselines: one offline HTML file, every panel on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_for_user
from nas.report.html import environment
from nas.runtime.compare import Comparison
from nas.runtime.simulated import Result
from search_spaces import Floats

WIDTH, HEIGHT, EDGE, N_BINS, N_SHOWN = 640, 120, 4, 320, 4
COLUMNS = {
    "error_pct": "Error, %",
    "late_pct": "Late, %",
    "mj_per_frame": "Energy, mJ per frame",
    "mj_above_idle": "Above idle, mJ",
    "switches_per_s": "Clock changes per second",
}


def write_governing(
    compared: Comparison, names: Sequence[str], rows: Sequence[dict[str, Any]], out: Path
) -> None:
    """Write `out`: a table of `rows`, and a panel each for clock, configuration, latency, power,
    temperature and error of the first few of `names` that are simulated event by event."""
    shown = [name for name in names if name in compared.events][:N_SHOWN]
    runs = {name: compared.result(name) for name in shown}
    lines = {name: _lines(compared, run) for name, run in runs.items()}
    page = environment().get_template("governing.html")
    write_for_user(
        out,
        page.render(
            about=rows[0],
            columns=COLUMNS,
            rows=rows,
            shown=shown,
            panels=[_panel(title, lines, compared.seconds) for title in PANELS],
            size={"width": WIDTH, "height": HEIGHT},
            seconds=compared.seconds,
        ),
    )


PANELS = (
    "clock, MHz",
    "configuration, number in the table",
    "latency, % of the target",
    "power of the whole board, W",
    "temperature, C",
    "error of what runs, %",
)


def _lines(compared: Comparison, run: Result) -> dict[str, Floats]:
    """A value per bin of time for every panel, NaN where there is none."""
    edges = np.linspace(0, compared.seconds * 1e3, N_BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    spans = run.spans
    begins = np.array([span.from_ms for span in spans])
    at = np.searchsorted(begins, middle, side="right") - 1
    row = np.array([span.row for span in spans])
    last = np.maximum.accumulate(np.where(row >= 0, np.arange(len(row)), -1))
    known = np.where(last >= 0, row[last], -1)[at]
    work = np.cumsum([0.0, *((s.to_ms - s.from_ms) * s.watts for s in spans)])
    ends = np.append(begins, spans[-1].to_ms)
    energy = np.interp(edges, ends, work)
    share = 100 * run.latency_ms / run.target_ms
    late = np.full(N_BINS, np.nan)
    number = np.minimum((run.at_ms / edges[1]).astype(int), N_BINS - 1)
    np.fmax.at(late, number, share)
    error = np.where(known >= 0, compared.table.error_pct[known], np.nan)
    values = (
        compared.table.mhz[np.array([span.level for span in spans])[at]],
        np.where(known >= 0, known, np.nan),
        late,
        np.diff(energy) / np.diff(edges),
        np.array([span.temperature_c for span in spans])[at],
        error,
    )
    return dict(zip(PANELS, values, strict=True))


def _panel(title: str, lines: dict[str, dict[str, Floats]], seconds: float) -> dict[str, Any]:
    """What the template draws of a quantity: ends of its axis, a line per governor, the target."""
    values = np.concatenate([line[title] for line in lines.values()])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if title.startswith("latency"):
        low, high = 0.0, max(high, 110.0)
    high = high if high > low else low + 1

    def y(value: Any) -> Any:
        return HEIGHT - EDGE - (value - low) / (high - low) * (HEIGHT - 2 * EDGE)

    x = (np.arange(N_BINS) + 0.5) / N_BINS * WIDTH
    drawn = []
    for line in lines.values():
        seen = np.isfinite(line[title])
        pairs = zip(x[seen], y(line[title][seen]), strict=True)
        drawn.append(" ".join(f"{a:.1f},{b:.1f}" for a, b in pairs))
    return {
        "title": title,
        "lines": drawn,
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "target": float(y(100.0)) if title.startswith("latency") else None,
    }
