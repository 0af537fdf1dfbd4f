"""Energy of measured rows from a log of power that ran beside them: tegrastats, jtop, nvidia-smi.

A row says when its timed loop ended and how long it was; readings of the log that surely lie inside
are averaged. A log whose times have no zone may be in local time: the shift is found where one
alone, or one clearly best, puts the measurements where the power was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nas.measure.table import TextRow
from predictors import TableError, read_cells
from search_spaces import Floats, InputError, read_text

MAX_BYTES = 1 << 28
RAILS_OF_ALL = ("VDD_IN", "POM_5V_IN", "VIN")  # one that measures the whole module
TEGRASTATS = re.compile(r"\bRAM \d+/\d+MB")
RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d{1,9})(?:mW)?/\d+(?:mW)?(?=\s|$)")  # now/average, in mW
US_STAMP = re.compile(
    r"(\d\d)-(\d\d)-(\d{4}) (\d\d:\d\d:\d\d)"
)  # of tegrastats, JetPack 5 and later
ISO_STAMP = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?"
)
WATTS = {  # columns of CSV logs, and W per unit: jtop's are mW
    **{"Power TOT": 1e-3, "Power_TOT": 1e-3, "power cur": 1e-3, "power_mw": 1e-3},
    **{"power.draw [W]": 1.0, "power.draw.instant [W]": 1.0, "power.draw.average [W]": 1.0},
    "power_w": 1.0,
}
FIGURE = re.compile(r"(\d+(?:\.\d+)?)\s*(mW|W)?")  # a cell may say its own unit
UNITS = {"W": 1.0, "mW": 1e-3}
SEVERAL = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "name")  # of a GPU
LEAST_W, MOST_W = 0.02, 3000.0  # of a microcontroller, of a server
EPOCHS = {13: 1e3, 16: 1e6, 19: 1e9}  # digits of ms, us and ns since 1970, and how many in a s
QUARTER_S = 900.0  # zones lie a multiple of it apart
LATE_S = 0.5  # between the end of a timed loop and the row's time stamp, at most
CLEAR = 0.1  # share of the mean power by which the best shift must stand out


@dataclass(frozen=True)
class PowerLog:
    """Readings `watts` (n,) at `at_s` (n,), seconds since 1970; `fine`: with fractions of one."""

    path: Path
    kind: str
    at_s: Floats
    watts: Floats
    fine: bool
    zoned: bool  # the log says of which zone its times are


@dataclass(frozen=True)
class Imported:
    """How many rows got their energy, how many lay outside or were too short, the shift found."""

    n_rows: int
    n_left: int
    shift_s: float


def read_power_log(path: Path, rails: Sequence[str] = ()) -> PowerLog:
    """The readings of a log; `rails` add up to the board where no rail measures all of it."""
    try:
        text = read_text(path, limit=MAX_BYTES)
    except InputError:  # UTF-16 of a shell, which the reader of tables knows
        text = ""
    if TEGRASTATS.search(text):
        return _tegrastats(path, text, rails)
    return _table(path)


def with_energy(rows: Sequence[TextRow], log: PowerLog) -> tuple[list[TextRow], Imported]:
    """`rows` with `power_w` and `energy_mj` where they lacked it and the log knows it.

    InputError: no row lies inside the log, or all are too short for its readings.
    """
    wanted = [
        i for i, row in enumerate(rows) if not row.get("energy_mj") and row.get("measured_at")
    ]
    spans = np.array([_span(rows[i], log.path) for i in wanted]).reshape(-1, 2)
    if not len(spans):
        return list(rows), Imported(0, 0, 0.0)
    shift = _shift(log, spans)
    at = log.at_s - shift
    blur = 0.0 if log.fine else 1.0  # a stamp in whole seconds is up to one early
    filled = list(rows)
    for i, (start, end) in zip(wanted, spans, strict=True):
        inside = (at >= start + 1) & (at + blur <= end - LATE_S)  # a row's stamp is up to 1 s early
        if inside.sum() >= 2:
            filled[i] = _filled(rows[i], float(log.watts[inside].mean()), log)
    n = sum(new is not old for new, old in zip(filled, rows, strict=True))
    if not n:
        longest, every = float(np.ptp(spans, axis=1).max()), float(np.median(np.diff(at)))
        raise InputError(
            f"{log.path} has no two readings surely inside a row: the longest was timed for "
            f"{longest:.1f} s and the log has one in {every:.2g} s; measure with more `seconds` "
            "(6 or more), or log more often"
        )
    return filled, Imported(n, len(wanted) - n, shift)


def _span(row: TextRow, path: Path) -> tuple[float, float]:
    """When the timed loop of a row began and ended, in seconds since 1970."""
    end = _stamp(row["measured_at"])
    try:
        seconds = float(row["n_runs"]) * float(row["latency_ms"]) / 1e3
    except (KeyError, ValueError):
        end = None
    if end is None:
        raise InputError(
            f"a row says measured_at {row['measured_at'][:40]!r} and n_runs "
            f"{row.get('n_runs', '')!r}; {path} cannot be lined up with it"
        )
    return end[0] - seconds, end[0]


def _filled(row: TextRow, watts: float, log: PowerLog) -> TextRow:
    note = f"energy from {log.path.name} ({log.kind})"
    notes = "; ".join(filter(None, (row.get("notes"), note)))
    energy = watts * float(row["latency_ms"])
    return row | {"power_w": f"{watts:.6g}", "energy_mj": f"{energy:.6g}", "notes": notes}


def _shift(log: PowerLog, spans: Floats) -> float:
    """Seconds that the log's clock is ahead of UTC; InputError: it does not overlap the rows."""
    quarters = np.zeros(1) if log.zoned else np.arange(-56.0, 57.0)
    shifts: Floats = QUARTER_S * quarters
    first, last = log.at_s[0] - shifts[:, None], log.at_s[-1] - shifts[:, None]
    covered = ((first <= spans[:, 0]) & (spans[:, 1] <= last)).sum(axis=1)
    if not covered.max():
        raise InputError(
            f"{log.path} runs from {_show(log.at_s[0])} to {_show(log.at_s[-1])}, the rows were "
            f"measured from {_show(spans.min())} to {_show(spans.max())} UTC: log while measuring"
        )
    possible = shifts[covered == covered.max()]
    if len(possible) == 1:
        return float(possible[0])
    gains = np.array([_gain(log, spans, shift) for shift in possible])
    best, second = np.sort(gains)[[-1, -2]]
    if not best - second > CLEAR * log.watts.mean():
        raise InputError(
            f"{log.path} does not say of which zone its times are, and {len(possible)} zones would "
            "fit: log in UTC (`TZ=UTC tegrastats`), with a Z behind the time"
        )
    return float(possible[gains.argmax()])


def _gain(log: PowerLog, spans: Floats, shift: float) -> float:
    """How much more power there was while rows were measured than before and after, in W."""
    at = log.at_s - shift
    busy = (at >= spans.min()) & (at <= spans.max())
    if busy.all() or not busy.any():
        return 0.0
    return float(log.watts[busy].mean() - log.watts[~busy].mean())


def _tegrastats(path: Path, text: str, rails: Sequence[str]) -> PowerLog:
    stamps, watts, seen, stamped = [], [], "", False
    for line in text.splitlines():
        if not TEGRASTATS.search(line):
            continue
        before = line[: line.index("RAM ")]  # of the tool itself, or of what it was piped through
        found = {name: int(mw) / 1e3 for name, mw in RAIL.findall(line)}
        seen = seen or ", ".join(found)
        total = next(([n] for n in RAILS_OF_ALL if n in found), list(rails))
        stamp = _stamp(before)
        stamped |= stamp is not None
        if stamp is not None and total and all(name in found for name in total):
            stamps.append(stamp)
            watts.append(sum(found[name] for name in total))
    if len(watts) < 2 and not stamped:
        raise InputError(
            f"{path} is of tegrastats without time stamps (before JetPack 5): start it as "
            '`tegrastats | while read l; do echo "$(date -u +%FT%T.%3NZ) $l"; done`'
        )
    if len(watts) < 2:
        raise InputError(
            f"{path} has no power of the whole board ({' or '.join(RAILS_OF_ALL)}, or "
            f"{' + '.join(rails) or 'the rails of the profile'}); its lines have "
            f"{seen or 'no rail: run tegrastats as root'}"
        )
    return _log(path, "tegrastats", stamps, watts)


def _table(path: Path) -> PowerLog:
    """A CSV of jtop's logger, of nvidia-smi, or any with a time and a power."""
    known = ", ".join(WATTS)
    try:
        cells = read_cells(path, ("time or timestamp", " or ".join(WATTS)))
    except TableError as error:
        raise InputError(
            f"{error}; a power log is tegrastats' output, or a CSV with `time` and one of {known}"
        ) from None
    column = next(name for name in WATTS if name in cells)
    for name in SEVERAL:
        if name in cells and cells[name].nunique() > 1:
            raise InputError(
                f"{path} is of several GPUs ({name} {', '.join(cells[name].unique()[:4])}); log "
                "the one that is measured (`nvidia-smi -i 0`)"
            )
    kind = "nvidia-smi" if "draw" in column else "jtop" if WATTS[column] < 1 else "CSV"
    stamps, watts = [], []
    for when, power in zip(
        cells["time" if "time" in cells else "timestamp"], cells[column], strict=True
    ):
        stamp, figure = _stamp(when), FIGURE.fullmatch(power)
        if "," in power:
            raise InputError(f"{path} has a power of {power[:40]!r}; write it with a decimal point")
        if stamp is not None and figure:
            stamps.append(stamp)
            watts.append(float(figure[1]) * UNITS.get(figure[2], WATTS[column]))
    if not any(FIGURE.fullmatch(power) for power in cells[column]):
        raise InputError(f"{path} has no power: {column} is {cells[column].iloc[0]!r}")
    if len(watts) < 2:
        raise InputError(
            f"{path} has {len(watts)} lines with a time and a power; a time is "
            "2026-01-31 12:00:00, or seconds since 1970"
        )
    return _log(path, kind, stamps, watts)


def _log(
    path: Path, kind: str, stamps: list[tuple[float, bool, bool]], watts: list[float]
) -> PowerLog:
    """The readings in order; a log that was written by two runs may jump back."""
    at = np.array([second for second, _, _ in stamps])
    order = np.argsort(at, kind="stable")
    power = np.array(watts)[order]
    if not power.any():
        raise InputError(f"{path} says 0 W in all {len(power)} readings: no sensor was read")
    if not LEAST_W < np.median(power) < MOST_W:
        raise InputError(
            f"{path} says {np.median(power):.4g} W in its middle reading, which no computer draws; "
            "give it as power_mw (in mW) or power_w (in W)"
        )
    fine, zoned = (any(stamp[i] for stamp in stamps) for i in (1, 2))
    return PowerLog(path, kind, at[order], power, fine, zoned)


def _stamp(text: str) -> tuple[float, bool, bool] | None:
    """Seconds since 1970 as if in UTC, whether with fractions, whether of a known zone."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text).strip(" []\t")
    if re.fullmatch(r"\d{10}(?:\.\d+)?|\d{13}|\d{16}|\d{19}", text):
        since = float(text) / (EPOCHS.get(len(text), 1.0) if text.isdecimal() else 1.0)
        return since, len(text) > 10, True
    if us := US_STAMP.match(text):
        day, fraction, zone = f"{us[3]}-{us[1]}-{us[2]} {us[4]}", None, None
    elif iso := ISO_STAMP.match(text):
        day, fraction, zone = f"{iso[1]}-{iso[2]}-{iso[3]} {iso[4]}", iso[5], iso[6]
    else:
        return None
    try:
        when = datetime.fromisoformat(day + (zone or "").replace("Z", "+00:00"))
    except ValueError:  # a 13th month, 25 hours
        return None
    when = when if zone else when.replace(tzinfo=UTC)
    return when.timestamp() + float(fraction or 0), fraction is not None, zone is not None


def _show(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S")
