"""A look-up table of operators against whole programs: how far the sum is off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nas.devices import Device, Machine, MachineDevice
from nas.measure.jobs import Program, unique_operators
from nas.measure.table import TextRow
from predictors import (
    LutPredictor,
    Operator,
    genes_and_heads,
    mape_pct,
    programs_of,
    read_rows,
    srcc,
)
from search_spaces import InputError, Space

N_FITTED = 10  # programs that the two numbers of a LutPredictor are learned from
MIN_ROWS = 2 * N_FITTED


@dataclass(frozen=True)
class LutError:
    """The error of sums of operators on `n_rows` whole programs of one setting."""

    setting: str
    n_rows: int
    measured_to_sum: float  # median of measured / plain sum
    sum_mape_pct: float
    fitted_mape_pct: float  # of scale x sum + time per kernel, on rows it was not fitted to
    fitted_srcc: float
    scale: float
    kernel_us: float

    def line(self) -> str:
        return (
            f"{self.setting}: {self.n_rows} programs take {self.measured_to_sum:.2f} times the sum "
            f"of their operators (MAPE {self.sum_mape_pct:.1f} %); {self.scale:.2f} x sum + "
            f"{self.kernel_us:.1f} us per kernel, fitted to {N_FITTED} of them: MAPE "
            f"{self.fitted_mape_pct:.1f} %, rank correlation {self.fitted_srcc:.4f} on the others"
        )


def machines(devices: Sequence[Device]) -> list[MachineDevice]:
    """`devices` as machines; InputError where one is none and runs no operator alone."""
    for device in devices:
        if not isinstance(device, Machine):
            raise InputError(f"{device.name} cannot run operators alone; the device host can")
    return [device for device in devices if isinstance(device, Machine)]


def operators_and_programs(
    hosts: Sequence[MachineDevice], space: Space, sampled: Sequence[Program], against: Path | None
) -> tuple[list[Operator], list[pd.DataFrame]]:
    """What to measure alone, and for each host the rows of `against` to compare with.

    The operators are those of the programs in `against`, without it those of the sampled ones.
    """
    if against is None:
        return unique_operators(space, sampled), []
    whole = [whole_programs(against, space, host) for host in hosts]
    return unique_operators(space, [p for rows in whole for p in programs_in(rows, space)]), whole


def whole_programs(path: Path, space: Space, device: MachineDevice) -> pd.DataFrame:
    """The programs that `device` measured in the same setting, each the median of its repeats.

    InputError where `path` holds too few of them.
    """
    rows = read_rows(path, space)
    if "heads" not in rows:
        rows["heads"] = ""
    for name, wanted in setting(device).items():
        if name in rows:
            rows = rows[rows[name].astype(str) == wanted]
    programs = rows.groupby(["subnet", "heads"], sort=False)[["latency_ms"]].median().reset_index()
    if len(programs) < MIN_ROWS:
        raise InputError(
            f"{path} has {len(programs)} programs on {describe(device)}, a comparison takes "
            f"{MIN_ROWS}; measure them with the same options without `per_operator`"
        )
    return programs


def setting(device: MachineDevice) -> dict[str, str]:
    """The columns that rows of one setting share."""
    names = ("backend", "precision", "batch", "threads")
    return {"device": device.name} | {name: str(getattr(device, name)) for name in names}


def describe(device: MachineDevice) -> str:
    """The device and how it runs programs, in one line."""
    return ", ".join(f"{name} {value}" for name, value in setting(device).items())


def programs_in(rows: pd.DataFrame, space: Space) -> list[Program]:
    """The distinct programs of checked rows."""
    genes, heads = genes_and_heads(rows, space)
    listed = zip(space.subnets(genes), heads, strict=True)
    return list(dict.fromkeys((s, tuple(np.flatnonzero(h).tolist())) for s, h in listed))


def own_entries(entries: Iterable[TextRow], device: MachineDevice) -> list[TextRow]:
    """The rows of operators that `device` measured in its setting."""
    wanted = setting(device)
    operators = (row for row in entries if row.get("operator"))
    return [row for row in operators if all(str(row.get(n)) == v for n, v in wanted.items())]


def lut_of(entries: Iterable[TextRow], device: MachineDevice) -> dict[str, float]:
    """Milliseconds of every operator that `device` measured, the median of its repeats."""
    times: dict[str, list[float]] = {}
    for row in own_entries(entries, device):
        times.setdefault(row["operator"], []).append(float(row["latency_ms"]))
    return {operator: float(np.median(ms)) for operator, ms in times.items()}


def lut_error(
    space: Space,
    entries: Iterable[TextRow],
    rows: pd.DataFrame,
    device: MachineDevice,
    *,
    seed: int = 0,
) -> LutError:
    """How well the table's `entries` predict the whole programs in `rows`."""
    listed = programs_of(space.operators(*genes_and_heads(rows, space)))
    y = rows["latency_ms"].to_numpy(dtype=float)
    model = LutPredictor(lut_of(entries, device))
    sums = model.sums(listed)
    order = np.random.default_rng(seed).permutation(len(y))
    few, others = order[:N_FITTED], order[N_FITTED:]
    model.fit([listed[i] for i in few], y[few])
    predicted = model.predict([listed[i] for i in others])
    return LutError(
        setting=describe(device),
        n_rows=len(y),
        measured_to_sum=float(np.median(y / sums)),
        sum_mape_pct=mape_pct(y, sums),
        fitted_mape_pct=mape_pct(y[others], predicted),
        fitted_srcc=srcc(y[others], predicted),
        scale=model.scale_,
        kernel_us=1e3 * model.kernel_ms_,
    )
