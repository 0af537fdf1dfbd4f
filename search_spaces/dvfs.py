"""DVFS levels: the clocks at which a device can run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DvfsLevel:
    """One clock setting; level 0 is the slowest. A clock that the device lacks is None."""

    level: int
    gpu_mhz: float | None
    cpu_mhz: float | None
    emc_mhz: float | None
    power_mode: str | None = None

    @property
    def clock_mhz(self) -> float:
        """The clock that names the level: the GPU's, or the CPU's on a CPU target."""
        clock = self.gpu_mhz if self.gpu_mhz is not None else self.cpu_mhz
        if clock is None:
            raise ValueError(f"level {self.level} has neither a GPU nor a CPU clock")
        return clock

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
