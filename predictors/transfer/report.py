"""Whether a transfer can be trusted: every subnet is predicted from the rows of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from sklearn.base import BaseEstimator, clone

from predictors.metrics import mape_pct, srcc_within, srcc_within_interval
from predictors.table import MIN_TARGET_SUBNETS
from predictors.transfer.monotone import MonotoneTransfer
from search_spaces import Bools, Floats, Ints

Mask = Bools
Decision = Literal["go", "no-go"]

GO_SRCC = 0.8  # the lower end of the interval must reach this
COVERAGE = 0.9  # of both intervals
SHOW_TAILS = 19  # subnets whose outermost are a twentieth each: Weibull's ranks i / (n + 1)
MOST_FITS = 10  # where there are more subnets, a tenth of them is left out at a time


class TransferEntry(TypedDict):
    """A report as JSON; what could not be told is None."""

    proxy: str
    n_proxy_rows: int
    n_target_rows: int
    srcc: float | None
    srcc_interval: list[float | None]
    mape_pct: float
    decision: Decision


@dataclass(frozen=True)
class TransferReport:
    """Held-out quality of one quantity; ranks are compared within a DVFS level only."""

    quantity: str
    proxy: str
    n_proxy_rows: int
    n_target_rows: int
    srcc: float  # mean over levels; NaN where no level can be ranked
    srcc_interval: tuple[float, float]  # NaN also of energy that few of the subnets have
    mape_pct: float
    decision: Decision
    interval_log: tuple[float, float]  # of log(measured / predicted): a prediction's interval
    measured: Floats = field(repr=False, compare=False)  # (n,), and beside it
    predicted: Floats = field(repr=False, compare=False)  # from the rows of other subnets

    def to_dict(self) -> TransferEntry:
        """The `predictors` entry of `pareto.json`; NaN becomes None."""
        return {
            "proxy": self.proxy,
            "n_proxy_rows": self.n_proxy_rows,
            "n_target_rows": self.n_target_rows,
            "srcc": _or_none(self.srcc),
            "srcc_interval": [_or_none(end) for end in self.srcc_interval],
            "mape_pct": self.mape_pct,
            "decision": self.decision,
        }


def transfer_report(
    h: ArrayLike,
    clock_mhz: ArrayLike,
    latency_ms: ArrayLike,
    energy_mj: ArrayLike | None = None,
    *,
    subnets: ArrayLike,
    proxy: str,
    n_proxy_rows: int,
    kernels: ArrayLike = 0.0,
    X: ArrayLike | None = None,
    transfer: MonotoneTransfer | None = None,
) -> dict[str, TransferReport]:
    """Reports of `latency_ms` and `energy_mj`, from rows (n,) named by `subnets`.

    `transfer` is refitted without each subnet in turn, or each tenth of many; the one passed in
    stays as it is. X (n, features) is what its pool sees of the rows. Energy may hold NaN; without
    subnets that have it in two of the parts that are left out, its report is left out.
    """
    h, t = np.asarray(h, dtype=float), np.asarray(latency_ms, dtype=float)
    f, names = np.broadcast_to(np.asarray(clock_mhz, dtype=float), t.shape), np.asarray(subnets)
    k = np.broadcast_to(np.asarray(kernels, dtype=float), t.shape)
    columns = None if X is None else np.asarray(X, dtype=float)
    estimator = MonotoneTransfer() if transfer is None else transfer
    about: dict[str, Any] = {"proxy": proxy, "n_proxy_rows": n_proxy_rows}

    energy = np.full(t.shape, np.nan) if energy_mj is None else np.asarray(energy_mj, dtype=float)
    seen = ~np.isnan(energy)
    has_energy = len(np.unique(_parts(names)[seen])) > 1  # some stays when a part is left out

    def costs(train: Mask, test: Mask) -> Floats:
        fitted = clone(estimator)
        known = energy[train] if has_energy else None
        seen, new = (None, None) if columns is None else (columns[train], columns[test])
        fitted.fit(h[train], f[train], t[train], known, k[train], seen)
        asked = h[test], f[test], k[test], new
        latency = fitted.predict(*asked)
        return np.stack([latency, fitted.predict_energy(*asked)] if has_energy else [latency])

    predicted = leave_subnet_out(costs, names)
    reports = {"latency_ms": _report("latency_ms", t, predicted[0], f, names, **about)}
    if has_energy:
        about["least_subnets"] = min(MIN_TARGET_SUBNETS, len(np.unique(names)))
        reports["energy_mj"] = _report(
            "energy_mj", energy[seen], predicted[1][seen], f[seen], names[seen], **about
        )
    return reports


def held_out_report(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    clock_mhz: ArrayLike,
    *,
    subnets: ArrayLike,
    quantity: str,
    proxy: str,
    n_proxy_rows: int,
) -> TransferReport:
    """The report of any estimator of costs y (n,) from rows X, refitted as in `transfer_report`."""
    X, y, names = np.asarray(X, float), np.asarray(y, float), np.asarray(subnets)
    f = np.broadcast_to(np.asarray(clock_mhz, dtype=float), y.shape)
    predicted = leave_subnet_out(
        lambda train, test: clone(estimator).fit(X[train], y[train]).predict(X[test]), names
    )
    about: dict[str, Any] = {"proxy": proxy, "n_proxy_rows": n_proxy_rows}
    return _report(quantity, y, predicted, f, names, **about)


def leave_subnet_out(fit_predict: Callable[[Mask, Mask], Floats], subnets: NDArray[Any]) -> Floats:
    """Predictions (..., n) of every row by `fit_predict(train, test)` without the row's subnet."""
    n_subnets, of = len(np.unique(subnets)), _parts(subnets)
    if n_subnets < 2:
        raise ValueError(f"leaving a subnet out needs at least 2 subnets, got {n_subnets}")
    tests = [of == part for part in range(min(n_subnets, MOST_FITS))]
    parts = [fit_predict(~test, test) for test in tests]
    predicted = np.empty((*parts[0].shape[:-1], len(subnets)))
    for test, part in zip(tests, parts, strict=True):
        predicted[..., test] = part
    return predicted


def _parts(subnets: NDArray[Any]) -> Ints:
    """Which of the parts that are left out in turn every row belongs to, (n,)."""
    part: Ints = np.unique(subnets, return_inverse=True)[1] % MOST_FITS
    return part


def _report(
    quantity: str,
    measured: Floats,
    predicted: Floats,
    clock_mhz: Floats,
    subnets: NDArray[Any],
    *,
    proxy: str,
    n_proxy_rows: int,
    least_subnets: int = 2,
) -> TransferReport:
    interval = float("nan"), float("nan")
    if len(np.unique(subnets)) >= least_subnets:  # fewer are in order by chance
        interval = srcc_within_interval(
            measured, predicted, clock_mhz, subnets, confidence=COVERAGE
        )
    return TransferReport(
        quantity=quantity,
        proxy=proxy,
        n_proxy_rows=n_proxy_rows,
        n_target_rows=len(measured),
        srcc=srcc_within(measured, predicted, clock_mhz),
        srcc_interval=interval,
        mape_pct=mape_pct(measured, predicted),
        decision="go" if interval[0] >= GO_SRCC else "no-go",
        interval_log=error_interval(np.log(measured / predicted), subnets),
        measured=measured,
        predicted=predicted,
    )


def error_interval(log_errors: Floats, subnets: NDArray[Any]) -> tuple[float, float]:
    """Interval of a further subnet's log error, from held-out errors (n,) of `subnets`.

    The tails of few subnets lie beyond their outermost errors, so it is at least Student's from one
    error of each, the root mean square of its rows. Of 8 subnets measured on each of six devices it
    holds 0.91 of the others, the outermost errors alone 0.82.
    """
    tails = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    low, high = np.quantile(log_errors, tails, method="weibull").tolist()
    names, subnet, n_rows = np.unique(subnets, return_inverse=True, return_counts=True)
    n = len(names)
    if n >= SHOW_TAILS:
        return low, high
    squared = np.mean(np.bincount(subnet, log_errors**2) / n_rows)
    half = float(student.ppf(tails[1], n - 1) * np.sqrt(squared * (1 + 1 / n)))
    return min(low, -half), max(high, half)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
