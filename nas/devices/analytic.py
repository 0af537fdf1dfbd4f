"""A device computed from its profile: the stand-in while no board is attached.

Every operator takes the p-norm of its compute and its memory time, and every kernel some time to
start and drain; kernels are issued by the host meanwhile, and the slower side decides:

    t = max(n dispatch(f_cpu), sum ((F / peak f eta)^p + (B / bw)^p)^(1/p) + n kernel / f) + fixed

A start of `kernel_us` is also what keeps a small kernel from filling the processor: with half-rate
work F0 = peak f eta kernel, F / (peak f eta) + kernel / f equals F / (peak f eta F / (F + F0)).

Power is P = base + k f v(f)^2 activity + traffic, v(f) = 1 + s max(0, f - f0): the voltage is flat
below f0, activity counts the time that waits for arithmetic, traffic is bytes per second. Energy
per inference is then lowest at an inner clock for networks that compute: below it the base power is
paid for too long, above it the voltage rises. Small subnets are bound by kernel starts
(`launch_share`), draw less and may have their optimum elsewhere. All figures are `simulated`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.devices.profile import BYTES, Precision, Profile
from search_spaces import InputError, Operators, Space, Subnet, format_heads

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
        wanted = precision or profile.default_precision
        self.precision: Precision = _known(wanted, profile.peak, "precision")
        if batch < 1:
            raise InputError(f"batch must be at least 1, got {batch}")
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
        _, computing, _, _, total = self._times(operators)
        busy = computing / total
        power = self.profile.power
        f = self._clocks() / 1e3
        voltage = 1 + power.rise_per_ghz * np.maximum(0, f - power.knee_ghz)
        activity = busy + (1 - busy) * power.idle_share
        gb_per_s = self._bytes(operators).sum(axis=1)[:, None] / total / 1e6
        watts = power.base_w + power.k_w_per_ghz * f * voltage**2 * activity
        watts = watts + power.w_per_gb_s * gb_per_s
        return total, total * watts

    def launch_share(self, operators: Operators) -> Floats:
        """Share of the time that goes into starting kernels, `(n, L)`."""
        _, _, start, dispatch, total = self._times(operators)
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

    def _times(self, operators: Operators) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Milliseconds `(n, L)`: work, its arithmetic part, starts, host dispatch, the total."""
        backend, mhz = self.profile.backends[self.backend], self._clocks()
        conv = np.array([kind in ("conv", "depthwise") for kind in operators.kinds])
        per_slot = np.where(conv, backend.kernels_per_conv, 1)
        n_kernels = (operators.present * per_slot).sum(axis=1)[:, None]
        start = n_kernels * backend.kernel_us / 1e3 * (backend.reference_mhz / mhz)
        work, computing = self._work_ms(operators, mhz)
        dispatch = n_kernels * backend.dispatch_us / 1e3 * self._cpu_slowdown()
        total = np.maximum(work + start, dispatch) + backend.fixed_us / 1e3
        return work, computing, start, np.broadcast_to(dispatch, total.shape), total

    def _work_ms(self, operators: Operators, mhz: Floats) -> tuple[Floats, Floats]:
        """Time of all kernels, and how much of it waits for arithmetic rather than for memory.

        Per operator t = (c^p + m^p)^(1/p); the share (c / t)^p is how fast t falls with the clock.
        One level at a time, so that nothing of size n x slots x L is held.
        """
        backend, memory = self.profile.backends[self.backend], self.profile.memory
        flop = 2.0 * operators.macs * self.batch
        rate = self.profile.peak[self.precision] * backend.efficiency * mhz * 1e3  # per ms
        emc = self.levels[0].emc_mhz or backend.reference_mhz
        memory_ms = self._bytes(operators) / (memory.bytes_per_clock * emc * 1e3 * memory.usable)
        work = np.empty((len(flop), len(mhz)))
        computing = np.empty_like(work)
        for level, r in enumerate(rate):
            compute_p = (flop / r) ** backend.p
            both_p = (compute_p + memory_ms**backend.p).clip(1e-300)  # absent slots: no 0 / 0
            t = both_p ** (1 / backend.p)
            work[:, level] = t.sum(axis=1)
            computing[:, level] = (t * compute_p / both_p).sum(axis=1)
        return work, computing

    def _bytes(self, operators: Operators) -> Floats:
        """Bytes that every operator moves, `(n, slots)`; weights are read once per batch."""
        moved = (operators.elements_moved - operators.params) * self.batch + operators.params
        return moved * np.float64(BYTES[self.precision])

    def _cpu_slowdown(self) -> float | Floats:
        """How much slower the host dispatches than in the default mode."""
        default = self.profile.levels()[-1].cpu_mhz
        if self.processor == "cpu" or default is None:
            return self.profile.backends[self.backend].reference_mhz / self._clocks()
        return default / (self.levels[-1].cpu_mhz or default)


def _known(name: str, choices: Mapping[Any, object], what: str) -> Any:
    """The key `name` of `choices`; InputError lists them."""
    if name not in choices:
        raise InputError(f"unknown {what} {name!r}; the device has {', '.join(choices)}")
    return name
