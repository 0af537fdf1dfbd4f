"""A device computed from its profile: the stand-in while no board is attached.

Every operator takes the p-norm of its compute and its memory time, and every kernel some time to
start and drain; the host issues kernels meanwhile, and the slower side decides:

    t = max(n dispatch / f_cpu, sum ((F / peak eta f)^p + (B / bw(emc))^p)^(1/p) + n start / f)
        + transfer

B is what an operator reads and writes once and, as far as that exceeds the cache, what its tiles
read again: tiles of w x w results load 2 / w values per MAC. Kernels that a runtime does not fuse
move the result twice more each. A start is also what keeps a small kernel from filling the
processor: with half-rate work F0 = peak f eta start, F / (peak f eta) + start / f equals
F / (peak f eta F / (F + F0)).

Power is P = base + k f v(f)^2 activity + memory + CPU, v(f) = 1 + s max(0, f - f0): the voltage is
flat below f0; base falls with the memory clock, memory is traffic; activity is 1 while the
processor computes and a smaller share while it waits or has nothing to do. Energy per inference is
then lowest at an inner clock for networks that compute: below it the base power is paid for too
long, above it the voltage rises. Small subnets are bound by kernel starts (`launch_share`), draw
less and may have their optimum elsewhere.

Every constant is in the profile. All figures are `simulated`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from nas.devices.names import meant
from nas.devices.profile import Profile
from nas.devices.tables import BYTES, Precision, Unit
from nas.given import whole_number
from search_spaces import DvfsLevel, Floats, InputError, Ints, Operators, Row, Space, Subnet
from search_spaces.rows import new_row, program_columns

Key = TypeVar("Key", bound=str)
TINY = np.finfo(float).tiny  # absent slots: no 0 / 0


class Times(NamedTuple):
    """Milliseconds `(n, L)` of n programs at L levels, and the bytes `(n, 1)` they move."""

    computing: Floats  # part of `work` that waits for arithmetic
    work: Floats
    start: Floats
    dispatch: Floats
    total: Floats
    moved: Floats


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
        threads: int | None = None,
    ) -> None:
        self.profile, self.name = profile, profile.name
        self.backend = _known(backend or profile.default_backend, profile.backends, "backend")
        self.runtime = profile.backends[self.backend]
        self.processor = self.runtime.processor
        self.precision: Precision = _precision(profile, self.backend, precision)
        self.batch = whole_number("batch", batch, 1)
        mode = profile.mode(power_mode)
        self.power_mode, most = mode.name, min(self.runtime.threads, mode.cores)
        self.threads = most if threads is None else threads
        if not 1 <= self.threads <= most:
            raise InputError(f"`threads` of {self.name} must be 1 to {most}, got {threads}")
        self.levels = profile.levels(power_mode, self.processor, self.runtime.cluster)
        self.decision_ms = profile.decision_ms

    def __repr__(self) -> str:
        about = f"{self.backend}, {self.precision}, batch {self.batch}, {len(self.levels)} levels"
        return f"AnalyticDevice({self.name}: {about})"

    @property
    def settings(self) -> list[DvfsLevel]:
        """Every setting of all clocks that the power mode allows, each with its level's number."""
        return self.profile.settings(self.power_mode, self.processor, self.runtime.cluster)

    def at(self, settings: Sequence[DvfsLevel]) -> AnalyticDevice:
        """The same device with `settings` for its levels: costs `(n, settings)`."""
        twin = copy.copy(self)
        twin.levels = list(settings)
        return twin

    @property
    def uncertainty(self) -> float:
        """Relative, of a latency."""
        return self.runtime.uncertainty

    @property
    def energy_uncertainty(self) -> float:
        """Relative, of an energy: that of the latency and that of the power, independent."""
        return float(np.hypot(self.uncertainty, self.profile.power.uncertainty))

    @property
    def voltage_knee(self) -> tuple[float, float]:
        """Knee in GHz and relative rise per GHz above it, for a transfer to this device."""
        return self._unit.knee_ghz, self._unit.rise_per_ghz

    def cost(self, operators: Operators) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, L)` of n programs at every level.

        InputError where layers are pruned: their time does not go with their MACs.
        """
        times = self._times(operators)
        return times.total, times.total * self._watts(times)

    def idle_w(self) -> Floats:
        """Power `(L,)` with clocks pinned and nothing to run."""
        power = self.profile.power
        return self._base_w() + power.idle_share * self._switching(self._unit, self._clocks())

    def launch_share(self, operators: Operators) -> Floats:
        """Share of the time that goes into starting kernels, `(n, L)`."""
        times = self._times(operators)
        return np.maximum(times.start, times.dispatch) / times.total

    def measure(self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = -1) -> Row:
        """One simulated row of the program (`subnet`, `heads`) at a level, -1 the fastest."""
        if not heads or not set(heads) <= set(range(space.n_exits + 1)):
            raise InputError(f"`heads` must be some of 0 to {space.n_exits}, got {list(heads)}")
        if not -len(self.levels) <= level < len(self.levels):
            raise InputError(
                f"{self.name} has levels 0 to {len(self.levels) - 1}, got `level` {level}"
            )
        asked = np.zeros((1, space.n_exits + 1), dtype=bool)
        asked[0, list(heads)] = True
        there = self.at([self.levels[level]])
        latency, energy = there.cost(space.operators(space.genes([subnet]), asked))
        row = new_row(program_columns(space, subnet, heads), self, self.levels[level])
        return row | {
            "latency_ms": float(latency[0, 0]),
            "energy_mj": float(energy[0, 0]),
            "power_w": float(energy[0, 0] / latency[0, 0]),
            "latency_uncertainty_rel": self.uncertainty,
            "energy_uncertainty_rel": self.energy_uncertainty,
            "source": self.source,
        }

    @property
    def _unit(self) -> Unit:
        unit = self.profile.unit(self.runtime)
        assert unit is not None  # the profile was checked
        return unit

    def _clocks(self) -> Floats:
        return np.array([level.clock_mhz for level in self.levels])

    def _times(self, operators: Operators) -> Times:
        if operators.any_pruned:
            raise InputError(
                f"the model of {self.name} has no figure for pruned layers: `nas measure` measures "
                "them, `nas search --proxy ROWS.csv` takes what it measured"
            )
        runtime, mhz = self.runtime, self._clocks()
        conv = np.array([kind in ("conv", "depthwise") for kind in operators.kinds])
        per_slot = np.where(conv, runtime.kernels_per_conv, 1)
        n_kernels = (operators.present * per_slot).sum(axis=1)[:, None]
        start = n_kernels * runtime.start_us / 1e3 * (runtime.start_mhz / mhz)
        dispatch = n_kernels * self._dispatch_ms()
        moved = self._bytes(operators)
        unfused = self._elements((per_slot - 1) * 2 * operators.c_out * operators.side_out**2)
        work, computing = self._work_ms(operators, moved, mhz)
        work = work + unfused.sum(axis=1)[:, None] / self._bytes_per_ms()
        total = np.maximum(work + start, dispatch) + runtime.transfer_us / 1e3
        all_moved = (moved + unfused).sum(axis=1)[:, None]
        return Times(computing, work, start, dispatch, total, all_moved)

    def _work_ms(self, operators: Operators, moved: Floats, mhz: Floats) -> tuple[Floats, Floats]:
        """Time of all operators, and how much of it waits for arithmetic rather than for memory.

        Per operator t = (c^p + m^p)^(1/p); the share (c / t)^p is how fast t falls with the clock.
        One pair of clock and bandwidth at a time, so that nothing of size n x slots x L is held.
        """
        p = self.runtime.p
        cycles_p = (2.0 * operators.macs * self.batch / self._per_clock(operators)) ** p
        moved_p = moved**p
        pairs = np.stack([mhz, self._bytes_per_ms()], axis=1)
        pairs, own = np.unique(pairs, axis=0, return_inverse=True)
        work = np.empty((len(cycles_p), len(pairs)))
        computing = np.empty_like(work)
        for j, (f, bytes_per_ms) in enumerate(pairs):
            compute_p = cycles_p * (f * 1e3) ** -p
            both_p = compute_p + moved_p * bytes_per_ms**-p
            both_p = both_p.clip(TINY)
            t = both_p ** (1 / p)
            work[:, j] = t.sum(axis=1)
            computing[:, j] = (t * compute_p / both_p).sum(axis=1)
        return work[:, own.ravel()], computing[:, own.ravel()]

    def _per_clock(self, operators: Operators) -> Floats:
        """Operations per clock that each operator reaches, `(n, slots)`."""
        eta, runtime = self.runtime.efficiency, self.runtime
        by_kind = {"conv": eta.conv, "depthwise": eta.depthwise, "linear": eta.linear}
        share = np.array([by_kind.get(kind, 1.0) for kind in operators.kinds])
        conv = np.array([kind == "conv" for kind in operators.kinds])
        share = np.where(conv & (operators.kernel == 1), eta.pointwise, share)
        share = np.where(conv & (operators.kernel == 3), eta.conv3x3, share)
        peak = self._unit.peak[self.precision] * self.threads**runtime.parallel
        reached: Floats = peak * runtime.precision[self.precision] * share
        return reached

    def _bytes(self, operators: Operators) -> Floats:
        """Bytes that every operator moves, `(n, slots)`; weights are read once per batch."""
        once = self._elements(operators.elements_moved - operators.params, operators.params)
        cache = self._unit.cache_kib * 1024
        beyond = np.maximum(0, 1 - cache / np.maximum(once, cache))
        return once + beyond * self.runtime.reread_per_mac * self._elements(operators.macs)

    def _elements(self, per_image: Ints, once: Ints | int = 0) -> Floats:
        """Bytes of a batch."""
        return (per_image * self.batch + once) * np.float64(BYTES[self.precision])

    def _bytes_per_ms(self) -> Floats:
        """What programs can draw from memory at every level, `(L,)`."""
        return np.array([self.profile.gb_per_s(level.emc_mhz) for level in self.levels]) * 1e6

    def _dispatch_ms(self) -> Floats:
        """Time of the host for one kernel at every level, `(L,)`."""
        runtime = self.runtime
        if runtime.dispatch_mhz is None:
            return np.zeros(len(self.levels))
        cpu_mhz = np.array([level.cpu_mhz for level in self.levels], dtype=float)
        return runtime.dispatch_us / 1e3 * runtime.dispatch_mhz / cpu_mhz

    def _base_w(self) -> Floats:
        """Power besides switching at every level, `(L,)`; the profile's holds at the top clock."""
        clocks = self.profile.emc_mhz or (0.0,)
        emc_mhz = [clocks[-1] if at.emc_mhz is None else at.emc_mhz for at in self.levels]
        power = self.profile.power
        return power.base_w - power.w_per_emc_ghz * (clocks[-1] - np.array(emc_mhz)) / 1e3

    def _watts(self, times: Times) -> Floats:
        power, total = self.profile.power, times.total
        busy, running = times.computing / total, (times.work + times.start) / total
        activity = busy + power.wait_share * (running - busy) + power.idle_share * (1 - running)
        watts = self._base_w() + self._switching(self._unit, self._clocks()) * activity
        watts = watts + power.w_per_gb_s * times.moved / total / 1e6
        if self.processor == "cpu":
            return watts
        host_mhz = np.array([level.cpu_mhz for level in self.levels])
        return watts + self._switching(self.profile.cpu, host_mhz) * times.dispatch / total

    def _switching(self, unit: Unit, mhz: Floats) -> Floats:
        """Watts at full activity; of the cores that the backend keeps busy on a CPU."""
        f = mhz / 1e3
        voltage = 1 + unit.rise_per_ghz * np.maximum(0, f - unit.knee_ghz)
        n_units = self.threads if self.processor == "cpu" else 1
        watts: Floats = n_units * unit.k_w_per_ghz * f * voltage**2
        return watts


def _precision(profile: Profile, backend: str, wanted: str | None) -> Precision:
    """The asked precision; by default the profile's, or the first that the backend runs."""
    runs = profile.backends[backend].precision
    default = profile.default_precision if profile.default_precision in runs else next(iter(runs))
    return _known(wanted or default, runs, "precision")


def _known(name: str, choices: Mapping[Key, object], what: str) -> Key:
    """The key `name` of `choices`; InputError lists them."""
    for key in choices:
        if key == name:
            return key
    raise InputError(
        f"unknown {what} {name!r}; the device has {', '.join(choices)}{meant(name, choices)}"
    )
