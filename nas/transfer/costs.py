"""Latency and energy of any program on the target: proxies -> few target rows -> every level."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd

from nas.devices import SAME_CLOCK, Device, Simulates, VoltageKnown
from nas.pareto.provenance import ON_SIMULATED, SCALED, predicted_from
from nas.pareto.records import PredictorEntry, TargetRow
from nas.transfer.doubtful import doubtful_rows
from nas.transfer.levels import clocks_mhz, own_level, simulated_at, with_clock
from nas.transfer.outlook import Outlook, outlook_of
from nas.transfer.pool import Pool, proxies_beside
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy
from nas.transfer.source import source_of
from predictors import (
    MonotoneTransfer,
    ScaledModel,
    TransferReport,
    held_out_report,
    transfer_report,
)
from search_spaces import Bools, DvfsLevel, Floats, Genes, Space

COVERED = 1 / 3
"""Of the range of clocks: what rows know of less is no law of all clocks.

Chosen on Jetson Nano and TX2, judged on Xavier NX and AGX Orin, all simulated.
"""
COMPARED = ("subnet", "heads", "gpu_mhz", "cpu_mhz", "latency_ms", "energy_mj", "source")


@dataclass(frozen=True)
class TargetCosts:
    """`costs(genes, programs)`: latency and energy `(n, programs, L)` on the target."""

    space: Space
    predict: Callable[[Programs], tuple[Floats, Floats | None]]
    """latency_ms and energy_mj `(n, L)` of n programs; no energy where the target has no source"""
    latency_source: str
    energy_source: str | None
    reports: dict[str, TransferReport]  # what the target rows say of the proxy
    fallbacks: dict[str, TransferReport]  # and of the model, where it predicts in its place
    latency_interval_log: Floats  # (2, L), 90 %, of log(true / predicted)
    doubtful: Mapping[int, str] = field(default_factory=dict)
    """Numbers of the rows that contradict the others and do not count, and why."""
    outlook: Callable[[], Outlook | None] = lambda: None
    """Where several proxies predict; it takes as long as the fit, so it is made where asked for."""

    def entries(self) -> dict[str, PredictorEntry]:
        """The `predictors` of `pareto.json`."""
        entries = {n: cast(PredictorEntry, r.to_dict()) for n, r in self.reports.items()}
        for name, report in self.fallbacks.items():
            entries[name]["fallback"] = {
                "model": report.proxy,
                "srcc": report.to_dict()["srcc"],  # None, not NaN, where no clock has two rows
                "mape_pct": report.mape_pct,
            }
        if entries["latency_ms"]["decision"] == "no-go":  # the proxy is dropped as a whole
            for entry in entries.values():
                entry["decision"] = "no-go"
        return entries

    def advice(self, device: str) -> list[str]:
        """Whether proxies behave like the device, and what more rows of it would give."""
        go = "latency_ms" not in self.fallbacks
        outlook = self.outlook()
        return [] if outlook is None else outlook.lines(device, go=go)

    def __call__(self, genes: Genes, programs: Bools) -> tuple[Floats, Floats]:
        """Costs of every program (rows of `programs`) of every subnet; 0 for unknown energy."""
        latency, energy = self.predict(Programs.of_each(self.space, genes, programs))
        shape = (len(genes), len(programs), latency.shape[1])
        known = np.zeros_like(latency) if energy is None else energy
        return latency.reshape(shape), known.reshape(shape)

    def compare(self, rows: pd.DataFrame, levels: Sequence[DvfsLevel]) -> list[TargetRow]:
        """The target rows beside what the model fitted to them says, for the report."""
        rows = with_clock(rows, levels)
        latency, energy = self.predict(Programs.of_rows(rows, self.space))
        index = own_level(rows["clock_mhz"].to_numpy(), clocks_mhz(levels))
        kept = rows[[c for c in COMPARED if c in rows]].copy()
        kept["predicted_latency_ms"] = latency[index]
        if energy is not None:
            kept["predicted_energy_mj"] = energy[index]
        found: list[TargetRow] = json.loads(kept.to_json(orient="records", double_precision=6))
        for number, words in self.doubtful.items():
            found[number]["doubtful"] = words
        return found


@dataclass(frozen=True)
class _Seen:
    """Programs as the proxy, a pool and the device's own model see them; each is asked once."""

    programs: Programs
    proxy: Proxy
    pool: Pool | None
    model: Simulates | None

    @cached_property
    def proxy_ms(self) -> Floats:
        """(n,)"""
        return self.proxy.latency_ms(self.programs)

    @cached_property
    def pooled(self) -> Floats | None:
        """(n, columns) of subnets that were never measured; the pool is asked at one clock."""
        return None if self.pool is None else self.pool.rows(self.programs, 1.0, -1)

    @cached_property
    def simulated(self) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, L)`."""
        assert self.model is not None
        return self.model.cost(self.programs.operators)


Latency = Callable[[_Seen], Floats]  # latency_ms (n, L)
Energy = Callable[[_Seen, Floats], Floats]  # energy_mj (n, L), given the latency


def target_costs(space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame) -> TargetCosts:
    """Fit the costs of `device` from `rows` measured (or simulated) on it.

    Every quantity goes through the monotone transfer where the rows cover the clocks or the
    device has one level, and the held-out ranks say "go"; from measured rows a pool of the proxy
    and all analytic models corrects it. Where they do not, the analytic model of the device scaled
    to the rows predicts, and the source says so.
    """
    fit = _Fit(space, device, proxy, with_clock(rows, device.levels))
    latency, latency_source = fit.latency()
    energy, energy_source = fit.energy()

    def predict(programs: Programs) -> tuple[Floats, Floats | None]:
        seen = _Seen(programs, proxy, fit.pool, fit.model)
        latency_ms = latency(seen)
        return latency_ms, None if energy is None else energy(seen, latency_ms)

    return TargetCosts(
        space,
        predict,
        latency_source,
        energy_source,
        fit.reports,
        fit.fallbacks,
        fit.interval_log(),
        fit.doubtful,
        fit.outlook,
    )


class _Fit:
    """One fit of both quantities; they share the rows, the proxy and the leave-out report."""

    def __init__(self, space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame) -> None:
        self.device = device
        doubted = doubtful_rows(space, proxy, rows, device)
        self.doubtful = dict(zip(np.flatnonzero(doubted.rows).tolist(), doubted.words, strict=True))
        self.rows = rows = rows[~doubted.rows]
        self.clock, self.clocks = rows["clock_mhz"].to_numpy(), clocks_mhz(device.levels)
        self.source = predicted_from(source_of(rows))
        has_model = isinstance(device, Simulates) and not space.measured_alone
        self.model = cast(Simulates, device) if has_model else None
        subnets = pd.factorize(rows["subnet"])[0]
        beside = [proxy] if space.measured_alone else proxies_beside(proxy, device, rows)
        self.pool = Pool.of(space, beside) if len(beside) > 1 else None
        self.seen = _Seen(Programs.of_rows(rows, space), proxy, self.pool, self.model)
        h, kernels = self.seen.proxy_ms, self.seen.programs.kernels
        costs = rows["latency_ms"].to_numpy(), self._energy_column()
        X = None if self.pool is None else self.pool.rows(self.seen.programs, self.clock, subnets)
        knee, rise = device.voltage_knee if isinstance(device, VoltageKnown) else (None, None)
        predictor = None if self.pool is None else self.pool.predictor(many_clocks=False)
        transfer = MonotoneTransfer(knee_ghz=knee, rise_per_ghz=rise, pool=predictor)
        self.transfer = transfer.fit(h, self.clock, *costs, kernels, X)
        models = f" and {len(beside) - 1} analytic models" if self.pool else ""
        self.reports = transfer_report(
            h,
            self.clock,
            *costs,
            subnets=rows["subnet"].to_numpy(),
            proxy=proxy.name + models,
            n_proxy_rows=proxy.n_rows,
            kernels=kernels,
            X=X,
            transfer=transfer,
        )
        self.fallbacks: dict[str, TransferReport] = {}

    def _energy_column(self) -> Floats | None:
        energy = self.rows.get("energy_mj")
        return None if energy is None or energy.isna().all() else energy.to_numpy(dtype=float)

    def latency(self) -> tuple[Latency, str]:
        """How latency is predicted, and its provenance."""
        if self._transfers("latency_ms") or self.model is None:
            return self._transferred, self.source
        scaled = self._scaled("latency_ms")
        assert scaled is not None  # every row has a latency
        return lambda seen: scaled.predict(seen.simulated[0]), SCALED

    def energy(self) -> tuple[Energy | None, str | None]:
        """How energy is predicted, and its provenance; (None, None) if nobody knows."""
        if self._transfers("energy_mj"):
            return self._power_transferred, self.source
        if self.model is None:  # nothing to fall back on: say no-go, go on
            known = "energy_mj" in self.reports
            return (self._power_transferred, self.source) if known else (None, None)
        scaled = self._scaled("energy_mj")
        if scaled is None:
            return _power_of_model, SCALED
        return lambda seen, latency_ms: scaled.predict(seen.simulated[1]), SCALED

    def _transfers(self, name: str) -> bool:
        """Whether the rows cover the clocks and their held-out ranks say go."""
        if name not in self.reports:
            return False
        # energy is latency times power: a proxy whose latency does not transfer serves neither
        go = all(self.reports[n].decision == "go" for n in (name, "latency_ms"))
        return go and (len(self.clocks) == 1 or self._covers(self.clock[self.rows[name].notna()]))

    def _covers(self, clock: Floats) -> bool:
        """Whether the clocks (n,) of rows are far enough apart, and up to fast enough ones.

        Neighbours hold more noise than law. Slow clocks do not show what waits for the memory, so
        that fast ones are not told from them; slow ones are told from fast ones.
        """
        least = COVERED * np.ptp(self.clocks)
        return bool(np.ptp(clock) >= least and clock.max() >= self.clocks.max() - least)

    def _transferred(self, seen: _Seen) -> Floats:
        h, kernels = seen.proxy_ms[:, None], seen.programs.kernels[:, None]
        return self.transfer.predict(h, self.clocks, kernels, seen.pooled)

    def _power_transferred(self, seen: _Seen, latency_ms: Floats) -> Floats:
        h, kernels = seen.proxy_ms[:, None], seen.programs.kernels[:, None]
        return latency_ms * self.transfer.predict_power(h, self.clocks, kernels)

    def _scaled(self, name: str) -> ScaledModel | None:
        """The device's model, scaled to the rows that hold this quantity; None of too few."""
        if name not in self.reports or self.model is None:
            return None
        column = ("latency_ms", "energy_mj").index(name)
        model = simulated_at(self.device, self.seen.programs.operators, self.clock)[column]
        cost = self.rows[name].to_numpy(dtype=float)
        known = ~np.isnan(cost)
        self.fallbacks[name] = held_out_report(
            ScaledModel(),
            model[known],
            cost[known],
            self.clock[known],
            subnets=self.rows["subnet"].to_numpy()[known],
            quantity=name,
            proxy=f"analytic model of {self.device.name}, scaled to the rows",
            n_proxy_rows=0,
        )
        return ScaledModel().fit(model[known], cost[known])

    def outlook(self) -> Outlook | None:
        """Whether the pool behaves like the device, and what more rows would give."""
        correction = self.transfer.correction_
        return (
            None
            if self.pool is None or correction is None
            else outlook_of(self.pool, correction.pool)
        )

    def interval_log(self) -> Floats:
        """The interval (2, L) of the latency: held-out rows, and what the device model may be off.

        Held-out rows tell nothing of clocks that no row has: where the model predicts, it may be
        off there by its uncertainty, and by as much again at e times the nearest clock of a row.
        (How much wider was chosen on Nano and TX2, judged on Xavier NX and AGX Xavier, simulated.)
        Nor can rows that a model simulated tell how far it is from the board; its profile does.
        """
        scaled = self.fallbacks.get("latency_ms")
        low, high = (scaled or self.reports["latency_ms"]).interval_log
        ends = np.tile([[low], [high]], len(self.clocks))
        if self.model is None:
            return ends
        off = np.log1p(self.model.uncertainty)
        if scaled is not None:
            away = np.abs(np.log(self.clocks / self.clock[:, None])).min(axis=0)
            ends += [[-off], [off]] * np.where(away > SAME_CLOCK, 1 + away, 0)
        if self.source == ON_SIMULATED:
            ends = np.stack([np.minimum(ends[0], -off), np.maximum(ends[1], off)])
        return ends


def _power_of_model(seen: _Seen, latency_ms: Floats) -> Floats:
    """Energy that the rows lack: the model's power for the predicted latency."""
    latency, energy = seen.simulated
    return energy / latency * latency_ms
