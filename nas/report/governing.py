"""Time lines of a governor beside its baselines: one offline HTML file, every panel on one axis."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.runtime.compare import Comparison
from nas.runtime.simulate import Result
from search_spaces import Floats, write_text

WIDTH, HEIGHT, LEFT, N_BINS, N_SHOWN = 640, 110, 46, 320, 4
COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8a6d1d")
STYLE = """
body{font:16px/1.45 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 .8rem;
color:#1c1c1c;background:#fff}svg{width:100%;height:auto;display:block;margin:.2rem 0 .9rem}
h2{font-size:1rem;margin:.4rem 0 0}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}svg text{fill:#ccc}}
"""


def write_governing(
    compared: Comparison, names: Sequence[str], rows: Sequence[dict[str, Any]], out: Path
) -> None:
    """Write `out`: a table of `rows`, and a panel each for clock, configuration, latency, power,
    temperature and error of the first few of `names` that are simulated event by event."""
    shown = [name for name in names if name in compared.events][:N_SHOWN]
    runs = {name: compared.result(name) for name in shown}
    lines = {name: _lines(compared, run) for name, run in runs.items()}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Governor</title><style>{STYLE}</style><h1>Governor: {_e(rows[0]['scenario'])}, ",
        f"{_e(rows[0]['device'])} (simulated)</h1>",
        _table(rows),
        _legend(shown),
        *(_panel(title, lines, compared.seconds) for title in PANELS),
    ]
    write_text(out, "\n".join(parts) + "\n")


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


def _panel(title: str, lines: dict[str, dict[str, Floats]], seconds: float) -> str:
    values = np.concatenate([line[title] for line in lines.values()])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if title.startswith("latency"):
        low, high = 0.0, max(high, 110.0)
    high = high if high > low else low + 1
    drawn = []

    def y(value: Any) -> Any:
        return HEIGHT - 8 - (value - low) / (high - low) * (HEIGHT - 22)

    for colour, line in zip(COLOURS, lines.values(), strict=False):
        x = LEFT + (np.arange(N_BINS) + 0.5) / N_BINS * (WIDTH - LEFT - 4)
        seen = np.isfinite(line[title])
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[seen], y(line[title][seen])))  # noqa: B905
        drawn.append(f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=1.6 />")
    if title.startswith("latency"):
        drawn.append(
            f"<line x1={LEFT} x2={WIDTH} y1={y(100.0):.1f} y2={y(100.0):.1f} stroke='#888' "
            "stroke-dasharray='4 3' />"
        )
    ticks = "".join(
        f"<text x={LEFT - 4} y={y(value) + 4:.1f} text-anchor=end font-size=12>{value:.4g}</text>"
        for value in (low, high)
    )
    end = f"<text x={WIDTH - 4} y={HEIGHT - 1} text-anchor=end font-size=11>{seconds:g} s</text>"
    box = f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{_e(title)}'>"
    return f"<h2>{_e(title)}</h2>{box}{ticks}{end}{''.join(drawn)}</svg>"


def _legend(names: Sequence[str]) -> str:
    marks = (
        f"<span style='color:{colour}'>&#9632;</span> {_e(name)}"
        for colour, name in zip(COLOURS, names, strict=False)
    )
    return "<p>" + " &nbsp; ".join(marks) + "</p>"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    heads = ("mj_per_frame", "mj_above_idle", "late_pct", "error_pct", "switches_per_s")
    words = ("mJ per frame", "above idle", "late %", "error %", "clock changes/s")
    cells = [
        f"<tr><td>{_e(row['agent'])}</td>"
        + "".join(f"<td>{row[h]:.2f}</td>" if h in row else "<td></td>" for h in heads)
        + "</tr>"
        for row in rows
    ]
    top = "".join(f"<th>{word}</th>" for word in ("governor", *words))
    return f"<div class=wide><table><tr>{top}</tr>{''.join(cells)}</table></div>"


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
