"""A device computed from its profile: the stand-in while no board is attached.

Every operator takes the p-norm of its compute and its memory time, and every kernel some time to
start and drain; kernels are issued by the host meanwhile, and the slower side decides:

    t = max(n dispatch(f_cpu), sum ((F / peak f eta)^p + (B / bw)^p)^(1/p) + n kernel / f) + fixed

Power is P = base + k f v(f)^2 activity, v(f) = 1 + s max(0, f - f0): the voltage is flat below f0.
Energy per inference is then lowest at an inner clock for networks that compute: below it the base
power is paid for too long, above it the voltage rises. Small subnets are bound by kernel starts
(`launch_share`), draw less and may have their optimum elsewhere. All figures are `simulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.devices.profile import Profile
from search_spaces import InputError, Operators, Space, Subnet, format_heads

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
Floats = NDArray[np.float64]


class AnalyticDevice:
    """A profile at one power mode, with one backend, precision and batch size."""

    source = "simulated"

    def __init__(
        self,
        profile: Profile,
        *,
        backend: str | None = None,
        precision: str | None = None,
        batch: int = 1,
        power_mode: str | None = None,
    ) -> None:
        self.profile, self.name, self.processor = profile, profile.name, profile.processor
        self.backend = _known(backend or profile.default_backend, profile.backends, "backend")
        self.precision = _known(precision or profile.default_precision, profile.peak, "precision")
        self.batch = batch
        self.power_mode = profile.mode(power_mode).name
        self.levels = profile.levels(power_mode)
        self.decision_ms = profile.decision_ms

    @property
    def voltage_knee(self) -> tuple[float, float]:
        """Knee in GHz and relative rise per GHz above it, for a transfer to this device."""
        return self.profile.power.knee_ghz, self.profile.power.rise_per_ghz

    def cost(self, operators: Operators) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, L)` of n programs at every level."""
        work, _, _, total = self._times(operators)
        busy = work / total
        power = self.profile.power
        f = self._clocks() / 1e3
        voltage = 1 + power.rise_per_ghz * np.maximum(0, f - power.knee_ghz)
        activity = busy + (1 - busy) * power.idle_share
        watts = power.base_w + power.k_w_per_ghz * f * voltage**2 * activity
        return total, total * watts

    def launch_share(self, operators: Operators) -> Floats:
        """Share of the time that goes into starting kernels, `(n, L)`."""
        _, start, dispatch, total = self._times(operators)
        return np.maximum(start, dispatch) / total

    def measure(
        self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = -1
    ) -> dict[str, Any]:
        """One simulated row of the program (`subnet`, `heads`)."""
        asked = np.zeros((1, space.n_exits + 1), dtype=bool)
        asked[0, list(heads)] = True
        latency, energy = self.cost(space.operators(space.genes([subnet]), asked))
        at = self.levels[level]
        return {
            "space": space.name,
            "subnet": str(subnet),
            "heads": format_heads(heads),
            "device": self.name,
            "level": at.level,
            "gpu_mhz": at.gpu_mhz,
            "cpu_mhz": at.cpu_mhz,
            "emc_mhz": at.emc_mhz,
            "power_mode": self.power_mode,
            "processor": self.processor,
            "backend": self.backend,
            "precision": self.precision,
            "batch": self.batch,
            "latency_ms": float(latency[0, level]),
            "energy_mj": float(energy[0, level]),
            "power_w": float(energy[0, level] / latency[0, level]),
            "source": self.source,
        }

    def _clocks(self) -> Floats:
        return np.array([level.clock_mhz for level in self.levels])

    def _times(self, operators: Operators) -> tuple[Floats, Floats, Floats, Floats]:
        """Milliseconds `(n, L)`: kernels at work, their starts, the host's dispatch, the total."""
        backend, mhz = self.profile.backends[self.backend], self._clocks()
        conv = np.array([kind == "conv" for kind in operators.kinds])
        per_slot = np.where(conv, backend.kernels_per_conv, 1)
        n_kernels = (operators.present * per_slot).sum(axis=1)[:, None]
        start = n_kernels * backend.kernel_us / 1e3 * (backend.reference_mhz / mhz)
        work = self._work_ms(operators, mhz)
        dispatch = n_kernels * backend.dispatch_us / 1e3 * self._cpu_slowdown()
        total = np.maximum(work + start, dispatch) + backend.fixed_us / 1e3
        return work, start, np.broadcast_to(dispatch, total.shape), total

    def _work_ms(self, operators: Operators, mhz: Floats) -> Floats:
        """Compute and memory time of all kernels, joined per operator by the p-norm."""
        backend, memory = self.profile.backends[self.backend], self.profile.memory
        flop = 2.0 * operators.macs * self.batch
        rate = self.profile.peak[self.precision] * backend.efficiency * mhz * 1e3  # per ms
        moved = (operators.elements_moved - operators.params) * self.batch + operators.params
        emc = self.levels[0].emc_mhz or backend.reference_mhz
        per_ms = memory.bytes_per_clock * emc * 1e3 * memory.usable
        memory_ms = moved * BYTES[self.precision] / per_ms
        columns = [
            ((flop / r) ** backend.p + memory_ms**backend.p).clip(1e-300) ** (1 / backend.p)
            for r in rate
        ]
        return np.stack([c.sum(axis=1) for c in columns], axis=1)

    def _cpu_slowdown(self) -> float | Floats:
        """How much slower the host dispatches than in the default mode."""
        default = self.profile.levels()[-1].cpu_mhz
        if self.processor == "cpu" or default is None:
            return self.profile.backends[self.backend].reference_mhz / self._clocks()
        return default / (self.levels[-1].cpu_mhz or default)


def _known(name: str, choices: Any, what: str) -> str:
    if name not in choices:
        raise InputError(f"unknown {what} {name!r}; the device has {', '.join(choices)}")
    return name
