"""From a proxy device to a target with few measured rows, and what to do when that fails."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from predictors.cost.law import fit_latency_law
from predictors.cost.power import fit_power_law
from predictors.transfer.correction import Correction
from predictors.transfer.pooled import TransferPredictor
from search_spaces import Floats


class MonotoneTransfer(BaseEstimator):
    """Target latency and energy from the proxy's latency, kernel counts and the target's clock.

    Latency follows `predictors.cost.law`: at every clock it rises strictly with the proxy's
    latency, so programs of equally many kernels keep the proxy's ranking; without `kernels` all do.
    Energy is latency times `predictors.cost.power`, whose share of the clock may fall as h rises:
    nothing forces energy to rise. On a CPU target the clock is the CPU's.

    With a `pool` of proxies, a program also costs so many times what the law says, at every clock
    (`predictors.transfer.correction`), and then the ranking is the proxy's no more.
    """

    def __init__(
        self,
        *,
        knee_ghz: float | None = None,
        rise_per_ghz: float | None = None,
        pool: TransferPredictor | None = None,
    ) -> None:
        self.knee_ghz, self.rise_per_ghz, self.pool = knee_ghz, rise_per_ghz, pool

    def fit(
        self,
        h: ArrayLike,
        clock_mhz: ArrayLike,
        latency_ms: ArrayLike,
        energy_mj: ArrayLike | None = None,
        kernels: ArrayLike = 0.0,
        X: ArrayLike | None = None,
    ) -> Self:
        """Learn from the proxy's `h` (n,) in ms and the target's rows, (n,) or one clock for all.

        `energy_mj` may hold NaN where energy was not measured; `kernels` is the number of kernels
        of each program; 0 leaves them out. X (n, features) is what the `pool` sees of them.
        """
        h, t = _positive(h, "h"), _positive(latency_ms, "latency_ms")
        k = np.broadcast_to(np.asarray(kernels, dtype=float), t.shape)
        f = np.broadcast_to(_positive(clock_mhz, "clock_mhz") / 1e3, t.shape)
        self.latency_law_ = fit_latency_law(h, f, t, k)
        self.correction_ = None
        if self.pool is not None and X is not None:
            self.correction_ = Correction.of(self.pool, X, self.latency_law_, h, f, t, k)
        self.power_law_ = None
        if energy_mj is not None:
            energy = np.asarray(energy_mj, dtype=float)
            seen = ~np.isnan(energy)
            power_w = _positive(energy[seen], "energy_mj") / t[seen]
            share = self.latency_law_.clocked_share(h[seen], f[seen], k[seen])
            self.power_law_ = fit_power_law(
                f[seen], share, power_w, knee_ghz=self.knee_ghz, rise_per_ghz=self.rise_per_ghz
            )
        return self

    def predict(
        self,
        h: ArrayLike,
        clock_mhz: ArrayLike,
        kernels: ArrayLike = 0.0,
        X: ArrayLike | None = None,
    ) -> Floats:
        """latency_ms; `h`, clock and kernels broadcast, for example (n, 1) with (levels,).

        X (n, features) are the same programs as the `pool` sees them.
        """
        check_is_fitted(self)
        h, f = _positive(h, "h"), _positive(clock_mhz, "clock_mhz") / 1e3
        k = np.asarray(kernels, dtype=float)
        latency_ms = self.latency_law_.latency_ms(h, f, k)
        if self.correction_ is None or X is None:
            return latency_ms
        times = self.correction_.times(X, h.ravel(), np.broadcast_to(k, h.shape).ravel())
        return latency_ms * times.reshape(h.shape)

    def predict_energy(
        self,
        h: ArrayLike,
        clock_mhz: ArrayLike,
        kernels: ArrayLike = 0.0,
        X: ArrayLike | None = None,
    ) -> Floats:
        """energy_mj; arguments as in `predict`. ValueError without energy in `fit`."""
        return self.predict(h, clock_mhz, kernels, X) * self.predict_power(h, clock_mhz, kernels)

    def predict_power(self, h: ArrayLike, clock_mhz: ArrayLike, kernels: ArrayLike = 0.0) -> Floats:
        """power_w; all arguments broadcast. ValueError without energy in `fit`."""
        check_is_fitted(self)
        if self.power_law_ is None:
            raise ValueError("predict_power needs `energy_mj` in `fit`; none was given")
        h, f = _positive(h, "h"), _positive(clock_mhz, "clock_mhz") / 1e3
        k = np.asarray(kernels, dtype=float)
        return self.power_law_.power_w(f, self.latency_law_.clocked_share(h, f, k))


class ScaledModel(BaseEstimator):
    """An analytic model's cost, corrected to measured rows: log cost = alpha + beta log(model).

    beta lies in [0.5, 1.5] and is shrunk to 1 as by a prior of deviation `slope_sd` against rows
    of log error `noise`, so that few rows mostly move the scale. Levels without rows are corrected
    like those with rows.
    """

    def __init__(self, *, slope_sd: float = 0.2, noise: float = 0.1) -> None:
        self.slope_sd, self.noise = slope_sd, noise

    def fit(self, model: ArrayLike, cost: ArrayLike) -> Self:
        """Learn from the model's cost and the measured cost of the same rows, both (n,)."""
        x, y = np.log(_positive(model, "model")), np.log(_positive(cost, "cost"))
        centred = x - x.mean()

        def residuals(theta: Floats) -> Floats:
            prior = self.noise / self.slope_sd * (theta[1] - 1)
            return np.append(theta[0] + theta[1] * centred - y, prior)

        start = [float(np.median(y - centred)), 1.0]
        bounds = ([-np.inf, 0.5], [np.inf, 1.5])
        fit = least_squares(residuals, start, bounds=bounds, loss="soft_l1", f_scale=self.noise)
        self.beta_ = float(fit.x[1])
        self.alpha_ = float(fit.x[0] - self.beta_ * x.mean())
        return self

    def predict(self, model: ArrayLike) -> Floats:
        """The cost in the unit of the measured rows, for a model's cost of any shape."""
        check_is_fitted(self)
        return np.exp(self.alpha_ + self.beta_ * np.log(_positive(model, "model")))


def _positive(values: ArrayLike, name: str) -> Floats:
    values = np.asarray(values, dtype=float)
    bad = ~(np.isfinite(values) & (values > 0))
    if not values.size or bad.any():
        found = values[bad].flat[0] if values.size else "no values"
        raise ValueError(f"{name} must be positive and finite, got {found}")
    return values
