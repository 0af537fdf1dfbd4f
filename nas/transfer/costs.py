"""Latency and energy of any program on the target: proxy -> few target rows -> every level."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd

from nas.devices import Device, Simulates, VoltageKnown
from nas.pareto.records import Fallback, PredictorEntry, TargetRow
from nas.transfer.proxy import Proxy
from nas.transfer.source import ON_SIMULATED, SCALED, predicted_from, source_of
from predictors import (
    MonotoneTransfer,
    ScaledModel,
    TransferReport,
    genes_and_heads,
    held_out_report,
    transfer_report,
)
from search_spaces import Bools, DvfsLevel, Floats, Genes, InputError, Ints, Space

COMPARED = ("subnet", "heads", "gpu_mhz", "cpu_mhz", "latency_ms", "energy_mj", "source")


@dataclass(frozen=True)
class TargetCosts:
    """`costs(genes, programs)`: latency and energy `(n, programs, L)` on the target."""

    space: Space
    latency: Callable[[Genes, Bools], Floats]  # programs row by row -> (m, L)
    energy: Callable[[Genes, Bools], Floats] | None
    latency_source: str
    energy_source: str | None
    reports: dict[str, TransferReport]  # what the target rows say of the proxy
    fallbacks: dict[str, TransferReport]  # and of the model, where it predicts in its place
    latency_interval_log: tuple[float, float]  # 90 %, of log(true / predicted)

    def entries(self) -> dict[str, PredictorEntry]:
        """The `predictors` of `pareto.json`."""
        entries: dict[str, PredictorEntry] = {
            name: cast(PredictorEntry, report.to_dict()) for name, report in self.reports.items()
        }
        for name, report in self.fallbacks.items():
            kept: Fallback = {
                "model": report.proxy,
                "srcc": report.srcc,
                "mape_pct": report.mape_pct,
            }
            entries[name]["fallback"] = kept
        if entries["latency_ms"]["decision"] == "no-go":  # the proxy is dropped as a whole
            for entry in entries.values():
                entry["decision"] = "no-go"
        return entries

    def __call__(self, genes: Genes, programs: Bools) -> tuple[Floats, Floats]:
        rows = np.repeat(genes, len(programs), axis=0)
        heads = np.tile(programs, (len(genes), 1))
        latency = self.latency(rows, heads)
        shape = (len(genes), len(programs), latency.shape[1])
        energy = self.energy(rows, heads) if self.energy else np.zeros_like(latency)
        return latency.reshape(shape), energy.reshape(shape)

    def compare(self, rows: pd.DataFrame, levels: list[DvfsLevel]) -> list[TargetRow]:
        """The target rows beside what the model fitted to them says, for the report."""
        rows = with_clock(rows, levels)
        genes, heads = genes_and_heads(rows, self.space)
        index = _own_level(rows["clock_mhz"].to_numpy(), clocks_mhz(levels))
        kept = rows[[c for c in COMPARED if c in rows]].copy()
        kept["predicted_latency_ms"] = self.latency(genes, heads)[index]
        if self.energy:
            kept["predicted_energy_mj"] = self.energy(genes, heads)[index]
        found: list[TargetRow] = json.loads(kept.to_json(orient="records", double_precision=6))
        return found


def kernel_counts(space: Space, genes: Genes, heads: Bools) -> Ints:
    """Kernels that every program starts `(n,)`: its operators, as a compiler fuses them."""
    return space.operators(genes, heads).present.sum(axis=1)


def clocks_mhz(levels: list[DvfsLevel]) -> Floats:
    """The clock that names each level, `(L,)`."""
    return np.array([level.clock_mhz for level in levels])


def _own_level(clock_mhz: Floats, clocks: Floats) -> tuple[Ints, Ints]:
    """Index of each row's own level, the nearest in clock, into costs `(rows, L)`."""
    nearest = np.abs(clocks - clock_mhz[:, None]).argmin(axis=1)
    return np.arange(len(nearest)), nearest


def with_clock(rows: pd.DataFrame, levels: list[DvfsLevel]) -> pd.DataFrame:
    """`rows` with a `clock_mhz` column, from their own clock or from their level's."""
    clocks = clocks_mhz(levels)
    column = "gpu_mhz" if levels[0].gpu_mhz is not None else "cpu_mhz"
    clock = rows[column] if column in rows else pd.Series(np.nan, index=rows.index)
    if "level" in rows:
        known = rows["level"].dropna().astype(int)
        if len(known) and not known.between(0, len(levels) - 1).all():
            raise InputError(
                f"the measured rows name level {known.max()}, the device has levels "
                f"0 to {len(levels) - 1} in this power mode"
            )
        clock = clock.fillna(known.map(dict(enumerate(clocks))))
    if clock.isna().any():
        raise InputError(f"measured rows need {column} or level in every row")
    return rows.assign(clock_mhz=clock.astype(float))


def target_costs(space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame) -> TargetCosts:
    """Fit the costs of `device` from `rows` measured (or simulated) on it.

    Every quantity goes through the monotone transfer where the rows know it at two clocks or the
    device has one level, and the held-out ranks say "go". Where they do not, the analytic model of
    the device scaled to the rows predicts, and the source says so.
    """
    rows = with_clock(rows, device.levels)
    fit = _Fit(space, device, proxy, rows)
    energy, energy_source = fit.quantity("energy_mj")
    return TargetCosts(
        space,
        fit.latency,
        energy,
        fit.latency_source,
        energy_source,
        fit.reports,
        fit.fallbacks,
        fit.interval_log(),
    )


class _Fit:
    """One fit of both quantities; they share the rows, the proxy and the leave-out report."""

    def __init__(self, space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame) -> None:
        self.space, self.device, self.rows = space, device, rows
        self.genes, self.heads = genes_and_heads(rows, space)
        self.clock = rows["clock_mhz"].to_numpy()
        self.clocks = clocks_mhz(device.levels)
        self.proxy = proxy
        self.source = predicted_from(source_of(rows))
        self.model = device if isinstance(device, Simulates) else None
        self.h = proxy.latency_ms(self.genes, self.heads)
        latency = rows["latency_ms"].to_numpy()
        energy = self._energy_column()
        knee, rise = device.voltage_knee if isinstance(device, VoltageKnown) else (None, None)
        transfer = MonotoneTransfer(knee_ghz=knee, rise_per_ghz=rise)
        self.kernels = kernel_counts(space, self.genes, self.heads)
        self.transfer = transfer.fit(self.h, self.clock, latency, energy, self.kernels)
        self.reports = transfer_report(
            self.h,
            self.clock,
            latency,
            energy,
            subnets=rows["subnet"].to_numpy(),
            proxy=proxy.name,
            n_proxy_rows=proxy.n_rows,
            kernels=self.kernels,
            transfer=transfer,
        )
        self.fallbacks: dict[str, TransferReport] = {}
        self.latency, self.latency_source = self.quantity("latency_ms")

    def _energy_column(self) -> Floats | None:
        energy = self.rows.get("energy_mj")
        return None if energy is None or energy.isna().all() else energy.to_numpy(dtype=float)

    def quantity(self, name: str) -> tuple[Any, Any]:
        """A function (genes, heads) -> (m, L) and its provenance; (None, None) if nobody knows."""
        report = self.reports.get(name)
        covered = report is not None and self._covers_clocks(name)
        # energy is latency times power: a proxy whose latency does not transfer serves neither
        go = all(r.decision == "go" for r in (report, self.reports["latency_ms"]) if r)
        if report is not None and covered and go:
            return self._through_proxy(name), self.source
        if self.model is not None:
            return self._through_model(name, self.model)
        if report is None:
            return None, None
        return self._through_proxy(name), self.source  # no model to fall back on: say no-go, go on

    def _covers_clocks(self, name: str) -> bool:
        seen = self.rows[self.rows[name].notna()]["clock_mhz"].nunique()
        return seen >= 2 or len(self.clocks) == 1

    def _through_proxy(self, name: str) -> Callable[[Genes, Bools], Floats]:
        transfer = self.transfer
        predict = transfer.predict if name == "latency_ms" else transfer.predict_energy

        def costs(genes: Genes, heads: Bools) -> Floats:
            h, kernels = (
                self.proxy.latency_ms(genes, heads),
                kernel_counts(self.space, genes, heads),
            )
            return predict(h[:, None], self.clocks, kernels[:, None])

        return costs

    def _through_model(self, name: str, device: Simulates) -> tuple[Any, str]:
        """The analytic model, scaled to the rows that hold this quantity."""
        column = 0 if name == "latency_ms" else 1
        simulate = device.cost
        operators = self.space.operators(self.genes, self.heads)
        model = simulate(operators)[column][_own_level(self.clock, self.clocks)]
        unknown = pd.Series(np.nan, index=self.rows.index)
        known = self.rows.get(name, unknown).to_numpy(dtype=float)
        seen = ~np.isnan(known)
        if not seen.any():
            return partial(self._power_of_model, device), SCALED
        scaled = ScaledModel().fit(model[seen], known[seen])
        self.fallbacks[name] = held_out_report(
            ScaledModel(),
            model[seen],
            known[seen],
            self.clock[seen],
            subnets=self.rows["subnet"].to_numpy()[seen],
            quantity=name,
            proxy=f"analytic model of {self.device.name}, scaled to the rows",
            n_proxy_rows=0,
        )
        return (lambda g, h: scaled.predict(simulate(self.space.operators(g, h))[column])), SCALED

    def _power_of_model(self, device: Simulates, genes: Genes, heads: Bools) -> Floats:
        """Energy that the rows lack: the model's power for the predicted latency."""
        latency, energy = device.cost(self.space.operators(genes, heads))
        return energy / latency * self.latency(genes, heads)

    def interval_log(self) -> tuple[float, float]:
        """The interval of the latency: held-out rows, and what the device model itself may be off.

        Rows that a model simulated cannot tell how far it is from the board; its profile does.
        """
        low, high = self.fallbacks.get("latency_ms", self.reports["latency_ms"]).interval_log
        if self.source == ON_SIMULATED and self.model is not None:
            off = float(np.log1p(self.model.uncertainty))
            low, high = min(low, -off), max(high, off)
        return low, high
