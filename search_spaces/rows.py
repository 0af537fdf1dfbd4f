"""A measured row: what a device needed for one program at one setting of its clocks.

Files hold rows as CSV or Parquet: a column for each field of `Row`, an empty cell for None; columns
that are not ours are kept. This is the one place that names the columns; a test compares the lists
below with `Row`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict

from search_spaces.dvfs import DvfsLevel
from search_spaces.exits import format_heads
from search_spaces.space import Space
from search_spaces.subnet import Subnet

__all__ = [
    "ROW_CLOCKS",
    "ROW_KEY",
    "ROW_POSITIVE",
    "ROW_REQUIRED",
    "ROW_WHOLE",
    "Row",
    "asked_row",
    "new_row",
    "operator_columns",
    "program_columns",
]

ROW_REQUIRED = ("space", "subnet", "device", "gpu_mhz or level", "latency_ms")
ROW_CLOCKS = ("gpu_mhz", "cpu_mhz", "emc_mhz")
ROW_POSITIVE = (
    *ROW_CLOCKS,
    "latency_p95_ms",
    "energy_mj",
    "power_w",
)  # checked where they are given
ROW_WHOLE = {"level": 0, "batch": 1, "n_runs": 1}  # whole numbers, and the least value of each
ROW_KEY = (
    *("space", "subnet", "heads", "operator", "device", "level", "power_mode"),
    *("backend", "precision", "batch", "threads", "clocks", "repeat"),
)
"""The columns that say which measurement a row is."""


class Row(TypedDict, total=False):
    """The columns of a row. None: the device has no such thing, or it is not known."""

    space: str
    subnet: str
    heads: str  # exits whose heads run, `0+2`
    operator: str  # instead of subnet and heads: one operator alone
    device: str
    level: int | None  # number of the DVFS level, 0 is the slowest clock
    gpu_mhz: float | None
    cpu_mhz: float | None
    emc_mhz: float | None
    power_mode: str | None
    processor: str
    backend: str
    precision: str
    calibration: str | None  # data that int8 ranges are from
    batch: int  # images per call; costs are those of the whole batch
    threads: int | None
    clocks: str  # clocks of a point's own, `cpu_mhz:1190`
    latency_ms: float  # median over `n_runs` calls
    latency_p90_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    n_runs: int
    warmup_drift_pct: float | None  # change between the last two windows of the warm-up
    energy_mj: float
    power_w: float
    idle_w: float  # at the same clocks, with nothing to do
    energy_dynamic_mj: float  # energy_mj without the idle power
    latency_uncertainty_rel: float
    energy_uncertainty_rel: float
    decision_ms: float  # one decision at an early exit
    pinned: str  # clocks that were held, `cpu+gpu`
    attempts: int
    rejected: str  # why earlier attempts were thrown away
    notes: str
    source: str  # measured, simulated, published
    measured_at: str  # ISO 8601, UTC
    host: str  # the computer that measured
    repeat: int


class Measuring(Protocol):
    """What a row says of the device that it was measured on."""

    @property
    def name(self) -> str: ...
    @property
    def power_mode(self) -> str | None: ...
    @property
    def processor(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def threads(self) -> int | None: ...


def program_columns(space: Space, subnet: Subnet, heads: Sequence[int]) -> Row:
    """What is measured: the trunk up to the deepest of `heads`, with those heads."""
    return {"space": space.name, "subnet": str(subnet), "heads": format_heads(heads)}


def operator_columns(space: Space, operator: str) -> Row:
    """What is measured: one operator alone, an entry of a look-up table."""
    return {"space": space.name, "operator": operator}


def new_row(what: Row, device: Measuring, at: DvfsLevel) -> Row:
    """A row without costs: `what` is measured on `device` at the level `at`."""
    return what | {
        "device": device.name,
        "level": at.level,
        "gpu_mhz": at.gpu_mhz,
        "cpu_mhz": at.cpu_mhz,
        "emc_mhz": at.emc_mhz,
        "power_mode": device.power_mode,
        "processor": device.processor,
        "backend": device.backend,
        "precision": device.precision,
        "batch": device.batch,
        "threads": device.threads,
    }


def asked_row(what: Row, device: Measuring, at: DvfsLevel) -> Row:
    """`new_row` without clocks: those that `device` then finds may be others."""
    row = new_row(what, device, at)
    del row["gpu_mhz"], row["cpu_mhz"], row["emc_mhz"]
    return row
