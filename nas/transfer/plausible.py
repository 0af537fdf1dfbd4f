"""Rows from outside, held against what is known of their device before anything rests on them.

A figure in another unit ranks programs as well as the right one: only its size gives it away. So
latency is compared with the device's model, energy over latency with the power that the board can
draw, and clocks with the board's table. Figures of a whole table are judged by their middle row,
then every row against the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nas.devices import Device
from nas.transfer.board_clocks import Say, with_board_clocks
from nas.transfer.contradictions import program_numbers, slow_part, throttled, twice
from nas.transfer.known import Known, device_of_rows, known_of, the_one
from nas.transfer.levels import with_clock
from predictors import TableError
from search_spaces import Bools, Floats, InputError, Space

REFUSED, WARNED = 100.0, 5.0  # times off the model; no model here is off by as much as the first
REFUSED_OF_ITS_LIKE = 10.0  # times faster than the fastest device known
OTHER_TIMES = {1e-3: "seconds", 1e3: "microseconds", 1e6: "nanoseconds"}
OTHER_ENERGIES = {1e-3: "joules", 1e3: "microjoules", 1e6: "nanojoules"}
COLUMNS = {"seconds": "latency_s", "microseconds": "latency_us", "nanoseconds": "latency_ns"}
COLUMNS |= {"joules": "energy_j", "microjoules": "energy_uj", "nanojoules": "energy_nj"}
CLOCKS = ("level", "gpu_mhz", "cpu_mhz")
SETTING = ("batch", "backend", "precision")  # what costs hold for, besides device and clocks
IDLE_SHARE = 0.6  # of a profile's idle power; less is one rail, or the part above idle
UNIT = 0.35  # in log: how near to 1,000 two groups of rows lie apart whose unit differs
MOST_ODD = 0.25  # share of rows of odd power; more are no slips of measuring
AGREE = 3.0  # times that power and energy over latency of one row may differ


def warn(line: str) -> None:
    """A marked line beside a command's output."""
    print(f"warning: {line}", file=sys.stderr)


def check_rows(
    path: Path, rows: pd.DataFrame, space: Space, device: Device | None, say: Say = warn
) -> pd.DataFrame:
    """Checked `rows` of one device, whose index are lines of `path`; clocks as the board has them.

    TableError: a clock that the board does not have, figures that can only be in another unit, rows
    of several settings. `say` gets a line for what is merely odd. Without a `device` rows are held
    against all that are known.
    """
    if device is not None:
        _check_setting(path, rows, device, say)
        _check_levels(path, rows, device)
        rows = with_board_clocks(path, rows, device, say)
    known = known_of(rows, space, device)
    _check_latency(path, rows, known, say)
    _check_times(path, rows)
    _check_power(path, rows, known, say)
    clock = rows["clock_mhz"] if device is None else with_clock(rows, device.levels)["clock_mhz"]
    _say_contradictions(path, rows.assign(clock_mhz=clock), known, say)
    return rows


def check_rows_alone(path: Path, rows: pd.DataFrame, space: Space, say: Say = warn) -> pd.DataFrame:
    """`check_rows` against the devices that the rows themselves name."""
    parts = [_checked_alone(path, own, space, say) for _, own in rows.groupby("device", sort=False)]
    return pd.concat(parts).sort_index(kind="stable")


def _checked_alone(path: Path, rows: pd.DataFrame, space: Space, say: Say) -> pd.DataFrame:
    device = device_of_rows(rows)
    if device is None or any(len(rows[c].unique()) > 1 for c in SETTING if c in rows):
        clock = rows["gpu_mhz"] if "gpu_mhz" in rows else rows["level"]
        check_rows(path, rows.assign(clock_mhz=clock), space, None, say)
        return rows
    try:
        return check_rows(path, rows, space, device, say)
    except TableError:
        raise
    except InputError:  # levels of another power mode: no level to compare with
        return rows


def check_one_setting(
    path: Path,
    rows: pd.DataFrame,
    columns: Iterable[str] = ("device", *SETTING, "threads"),
    remedy: str = "split the file",
) -> None:
    """TableError unless each of `columns` has one value; `remedy` is what to do about several.

    Older rows leave cells empty, which may be anything; beside a clock an empty one is another.
    """
    for column in (c for c in columns if c in rows):
        values = rows[column].replace("", np.nan).unique()
        values = values if column in CLOCKS else values[~pd.isna(values)]
        if len(values) > 1:
            found = ", ".join(map(str, values[:4]))
            raise TableError(
                f"{path} mixes {len(values)} values of {column} ({found}); costs hold for one: "
                f"{remedy}"
            )


def _check_setting(path: Path, rows: pd.DataFrame, device: Device, say: Say) -> None:
    """Whether all rows are of one setting, and that the device's."""
    check_one_setting(path, rows)
    wanted = {column: str(getattr(device, column)) for column in (*SETTING, "power_mode")}
    for column, asked in {"device": device.name, **wanted}.items():
        own = the_one(rows, column)
        if own not in (None, asked):
            clocks = "at the GPU clocks asked, with all others " if column == "power_mode" else ""
            words = f"{path}: rows are of {column} {own}, asked is {asked}"
            say(f"{words}: costs are {clocks or 'those '}of {own}")
    modes = rows.get("power_mode", pd.Series(dtype=str)).dropna().unique().tolist()
    if len(modes) > 1:
        say(
            f"{path} mixes {len(modes)} values of power_mode ({', '.join(map(str, modes))}), asked "
            f"is {device.power_mode}: costs lie between those of each; split the file"
        )


def _check_levels(path: Path, rows: pd.DataFrame, device: Device) -> None:
    top = len(device.levels) - 1
    for line, level in rows["level"].dropna().items() if "level" in rows else ():
        if level > top:
            raise InputError(
                f"{path} line {line}: level {level:g}; {device.name} has levels 0 to {top} in this "
                "power mode, 0 is the slowest clock; are they counted from 1?"
            )


def _check_latency(path: Path, rows: pd.DataFrame, known: Known, say: Say) -> None:
    """Whether the rows could be what is known of the same programs."""
    latency = rows["latency_ms"].to_numpy(dtype=float)
    off = known.times_off(latency)
    _check_mixed(path, rows, off, "latency_ms", OTHER_TIMES)
    ratio = float(np.median(off))
    low, high = np.median(known.low_ms), np.median(known.high_ms)
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    words = (
        f"{path}: latency_ms has a median of {np.median(latency):.3g} ms, {span} ms by "
        f"{known.whose} for the same programs"
    )
    least = 1 / (REFUSED if low == high else REFUSED_OF_ITS_LIKE)
    if not least < ratio < REFUSED:
        raise TableError(f"{words}{_likely(ratio, OTHER_TIMES)}")
    if not 1 / WARNED < ratio < WARNED:
        say(f"{words}: {max(ratio, 1 / ratio):.1f} times off{_of_batch(rows, ratio)}")


def _check_times(path: Path, rows: pd.DataFrame) -> None:
    """TableError where another time of most rows can only be in another unit than their latency.

    On a machine with eight processes to a core the 95th percentile was 90 times the median.
    """
    for column, low, high in (("latency_p95_ms", 0.2, 500.0), ("decision_ms", 0.0, 10.0)):
        if column not in rows:
            continue
        ratio = (pd.to_numeric(rows[column], errors="coerce") / rows["latency_ms"]).dropna()
        if len(ratio) and not low <= ratio.median() <= high:
            raise TableError(
                f"{path}: {column} is {ratio.median():.3g} times latency_ms in the middle row; one "
                "of the two is in another unit"
            )


def _of_batch(rows: pd.DataFrame, ratio: float) -> str:
    batch = float(the_one(rows, "batch") or 1)
    if batch > 1:
        if 0.5 < ratio * batch < 2:
            return f"; is it the time of one image? batch is {batch:g}, costs are of all of it"
        return f"; batch is {batch:g}, costs are of the whole batch"
    return "; are unit, batch, backend and precision those that were measured?"


def _check_power(path: Path, rows: pd.DataFrame, known: Known, say: Say) -> None:
    """Whether energy over latency is a power that the device can draw, and the one it says."""
    if "energy_mj" not in rows or rows["energy_mj"].isna().all():
        return
    seen = rows["energy_mj"].notna().to_numpy()
    own = rows[seen]
    power = own["energy_mj"] / own["latency_ms"]
    off = power.to_numpy(dtype=float) / known.row_w[seen]
    _check_mixed(path, own, off, "energy_mj", OTHER_ENERGIES)
    _check_stated(path, own, power, say)
    low, high = known.power_w
    middle = float(power.median())
    whose = known.whose.removeprefix("the model of ") if known.is_this_device else "a computer"
    draws = f"{whose} draws {low:g} to {high:g} W"
    words = f"{path}: energy_mj over latency_ms is {middle:.3g} W in the middle row, {draws}"
    slack = 30.0 if known.is_this_device else 1.0
    if not low / slack < middle < high * min(slack, 10.0):
        raise TableError(f"{words}{_likely(middle / (low * high) ** 0.5, OTHER_ENERGIES)}")
    if not known.is_this_device:
        return
    if not IDLE_SHARE * low < middle < high * 2:
        say(f"{words}; is it the energy of the whole board, idle power included, in mJ?")
        return
    odd = (power < IDLE_SHARE * low) | (power > high * 2)
    if odd.any():
        words = (
            f"{path}: {_lines(list(own.index[odd]))}: energy_mj over latency_ms is "
            f"{power[odd].iloc[0]:.3g} W, {draws}"
        )
        if odd.mean() > MOST_ODD:
            raise TableError(
                f"{words}, in {odd.sum()} of {len(odd)} rows; is the column an energy of one run, "
                "in mJ, and latency_ms of the same?"
            )
        say(f"{words}; measure again")


def _check_stated(path: Path, rows: pd.DataFrame, power: pd.Series, say: Say) -> None:
    """Whether the power that rows state is their energy over their latency."""
    if "power_w" not in rows:
        return
    ratio = (power / rows["power_w"]).dropna()
    odd = ratio.index[(ratio > AGREE) | (ratio < 1 / AGREE)]
    if not len(odd):
        return
    words = (
        f"{path} {_lines(list(odd))}: energy_mj over latency_ms is {power[odd[0]]:.3g} W, power_w "
        f"says {rows['power_w'][odd[0]]:.3g}"
    )
    if len(odd) > len(ratio) / 2:
        raise TableError(f"{words}; one of the three is in another unit")
    say(f"{words}; measure again")


def _check_mixed(
    path: Path, rows: pd.DataFrame, off: Floats, column: str, units: dict[float, str]
) -> None:
    """TableError where some rows are a unit's factor off the others."""
    logs = np.log(off)
    order = np.sort(logs)
    if len(order) < 2 or np.diff(order).max() < np.log(30):
        return
    cut = order[np.diff(order).argmax()] + 1e-9
    below: Bools = logs <= cut
    apart = float(np.median(logs[~below]) - np.median(logs[below]))
    few = below if below.sum() <= (~below).sum() else ~below
    factor = next((f for f in units if abs(apart - abs(np.log(f))) < UNIT), None)
    if factor is None:
        return  # several times off, by no unit: `doubtful_rows` judges them
    larger = {1e-3: 1e3}.get(factor, factor)
    raise TableError(
        f"{path} {_lines(list(rows.index[few]))}: {column} is {np.exp(apart):.3g} times "
        f"{'below' if few is below else 'above'} that of the other rows: the units are mixed "
        f"(a factor of {larger:g})"
    )


def _likely(ratio: float, units: dict[float, str]) -> str:
    """The unit that a factor speaks of, and the column's name that says so."""
    factor = min(units, key=lambda f: abs(np.log(ratio / f)))
    off = f": {max(ratio, 1 / ratio):.2g} times off"
    if abs(np.log(ratio / factor)) > np.log(30):
        return f"{off}, which no unit explains; look at the file"
    return f"{off}, it looks like {units[factor]}; name the column {COLUMNS[units[factor]]}"


def _say_contradictions(path: Path, rows: pd.DataFrame, known: Known, say: Say) -> None:
    """Name rows that a faster clock slows down, the slow part of a clock, those measured twice.

    TableError where that is so for nearly all of them: the levels are counted the other way.
    """
    slower, several = throttled(rows), twice(rows)
    n_compared = len(rows) - program_numbers(rows).nunique()
    if n_compared >= 4 and len(slower) >= 0.8 * n_compared:
        raise TableError(
            f"{path}: programs are slower at every faster clock; level 0 is the slowest clock: are "
            "levels counted from the fastest, or clocks of other rows?"
        )
    part = rows.index[slow_part(rows, known.low_ms)].tolist() if known.is_this_device else []
    for lines, what in (
        (slower, "a faster clock is slower: the board was throttled, or the clock was not held"),
        (part, "slower than the other rows of their clock: the board was throttled meanwhile"),
        (several, "the same measurement has several values"),
    ):
        if lines:
            say(f"{path}: {_lines(lines)}: {what}; measure again (`nas measure --of`)")


def _lines(lines: Sequence[object]) -> str:
    shown = ", ".join(map(str, lines[:8]))
    return f"line{'s' * (len(lines) > 1)} {shown}{', ...' if len(lines) > 8 else ''}"
