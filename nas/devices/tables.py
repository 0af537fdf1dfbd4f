"""The tables of a device profile: clocks, processors, memory, power, runtimes, paths."""

from __future__ import annotations

import posixpath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

Clocks = tuple[PositiveFloat, ...]
Share = Field(ge=0, le=1)
Precision = Literal["fp32", "fp16", "int8"]
Processor = Literal["gpu", "cpu"]
Status = Literal["published", "derived", "assumed"]
CLOCKS = ("gpu_mhz", "cpu_mhz", "emc_mhz")  # clock tables of a profile
BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


def _below_sys(path: str) -> str:
    """A board's agent, which may be root, reads and writes these files."""
    if not path.isprintable() or not posixpath.normpath(path).startswith("/sys/"):
        raise ValueError(f"must be a path below /sys, got {path!r}")
    return path


SysPath = Annotated[str, AfterValidator(_below_sys)]


class Part(BaseModel):
    """A table of a profile: every key is known, nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PowerMode(Part):
    """Online cores and the highest clocks that a mode allows; None where the device has no such."""

    name: str
    cores: int = Field(ge=1)
    cpu_max_mhz: PositiveFloat | None = None
    gpu_max_mhz: PositiveFloat | None = None
    emc_max_mhz: PositiveFloat | None = None
    tpc_pg_mask: int | None = None  # units of the GPU that are off; a change needs a reboot


class Unit(Part):
    """The GPU, or the cores of one kind; `peak` and `k_w_per_ghz` are of one core on a CPU.

    `peak` counts operations per clock, 2 per MAC. Switching power is k f (1 + rise max(0, f -
    knee))^2 with f in GHz: the voltage is flat below the knee.
    """

    units: str
    cache_kib: PositiveFloat
    peak: dict[Precision, PositiveFloat]
    k_w_per_ghz: PositiveFloat
    knee_ghz: PositiveFloat
    rise_per_ghz: float = Field(ge=0)


class Memory(Part):
    """Main memory: nominal rate at the highest clock; what programs can draw at every `emc_mhz`."""

    peak_gb_per_s: PositiveFloat
    gb_per_s: Clocks = Field(min_length=1)


class Power(Part):
    """What the board draws besides switching, and the shares of switching that are always there.

    `wait_share` while a processor starts kernels or waits for memory, `idle_share` while it has
    nothing to do at a pinned clock; `w_per_emc_ghz` is how `base_w`, which holds at the highest
    memory clock, falls with it without any traffic; `idle_w` and `max_w` are for the screen.
    """

    base_w: PositiveFloat
    wait_share: float = Share
    idle_share: float = Share
    w_per_gb_s: float = Field(ge=0)
    w_per_emc_ghz: float = Field(default=0, ge=0)
    idle_w: PositiveFloat
    max_w: PositiveFloat
    uncertainty: float = Field(ge=0)


class Efficiency(Part):
    """Share of the peak that each kind of operator reaches.

    A 3 x 3 convolution may be above its arithmetic's share: Winograd's algorithm multiplies less.
    `conv` is every other convolution with a window: 5 x 5, 7 x 7, 1 x 7.
    """

    conv3x3: float = Field(gt=0, le=5)
    conv: float = Field(gt=0, le=1)
    pointwise: float = Field(gt=0, le=1)
    depthwise: float = Field(gt=0, le=1)
    linear: float = Field(gt=0, le=1)


class Backend(Part):
    """How a runtime uses a processor; `precision` holds a factor on `efficiency` for each.

    `start_us` of every kernel holds at `start_mhz` of the processor, `dispatch_us` at
    `dispatch_mhz` of the CPU that issues kernels to a GPU; `transfer_us` is once per inference.
    `cluster` names a second kind of CPU cores: a table of `cores`, with its clocks in `clusters`.
    """

    processor: Processor
    cluster: str | None = None
    threads: PositiveInt = 1
    parallel: float = Field(default=1, ge=0, le=1)
    efficiency: Efficiency
    precision: dict[Precision, PositiveFloat] = Field(min_length=1)
    reread_per_mac: float = Field(ge=0)
    kernels_per_conv: int = Field(ge=1)
    start_us: float = Field(ge=0)
    start_mhz: PositiveFloat
    dispatch_us: float = Field(default=0, ge=0)
    dispatch_mhz: PositiveFloat | None = None
    transfer_us: float = Field(ge=0)
    p: float = Field(ge=1)
    uncertainty: float = Field(ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Backend:
        if self.dispatch_us and self.dispatch_mhz is None:
            raise ValueError("dispatch_us needs dispatch_mhz, the CPU clock it holds at")
        if self.processor == "cpu" and self.dispatch_us:
            raise ValueError("a CPU starts its own kernels: give start_us, not dispatch_us")
        return self


class Rails(Part):
    """Power sensors: rails at each address, and those that add up to the whole board."""

    sensor: str
    total: tuple[str, ...] = ()
    at: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class Sysfs(Part):
    """Where one generation of the system software keeps what can be read and set."""

    gpu_devfreq: tuple[SysPath, ...] = ()
    gpu_load: SysPath | None = None
    gpu_railgate: SysPath | None = None
    gpu_tpc_mask: SysPath | None = None
    cpu_policies: tuple[SysPath, ...] = ()
    emc_cap: SysPath | None = None
    emc_debug: SysPath | None = None
    power: tuple[SysPath, ...] = ()


class Thermal(Part):
    """Types of the thermal zones; `ignore` names those that show no temperature."""

    zones: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


def allowed(clocks: Clocks, cap: float | None) -> list[float]:
    """Clocks up to `cap`: a cap between two entries rounds down, as the drivers do."""
    return [f for f in clocks if cap is None or f <= cap + 1e-6]


def within(figure: str, name: str) -> bool:
    """Whether `name` is the figure or a table that holds it."""
    return figure == name or figure.startswith(name + ".")
