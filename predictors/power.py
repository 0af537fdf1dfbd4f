"""The power that a program draws at a clock: P = P0 + k f (1 + s max(0, f - f0))^2 u in W.

f is in GHz and u the share of the time that waits for the clock. Below the knee f0 the voltage is
flat, above it rises by s per GHz, and dynamic power goes with its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from predictors.law import NOISE, OUTLIER

Floats = NDArray[np.float64]

USUAL_KNEE, USUAL_RISE = 0.65, 0.3  # part of the top clock, and per GHz: the Jetson boards' fits


@dataclass(frozen=True)
class PowerLaw:
    """The fitted constants; all arguments broadcast."""

    base_w: float
    k_w_per_ghz: float
    knee_ghz: float
    rise_per_ghz: float

    def power_w(self, f_ghz: Floats, share: Floats) -> Floats:
        voltage = 1 + self.rise_per_ghz * np.maximum(0, f_ghz - self.knee_ghz)
        return self.base_w + self.k_w_per_ghz * f_ghz * voltage**2 * share


def fit_power_law(
    f_ghz: Floats,
    share: Floats,
    power_w: Floats,
    *,
    knee_ghz: float | None = None,
    rise_per_ghz: float | None = None,
) -> PowerLaw:
    """Robust fit on log residuals of (n,) rows; a knee or a rise that is given stays as it is.

    Weak priors (half the power is base power, the usual knee and rise) decide only what the rows
    leave open, for example base against dynamic power when all rows have one level.
    """
    scale, top = float(np.median(power_w)), float(np.max(f_ghz))
    usual = np.array([0.5, 0.5, USUAL_KNEE * top, USUAL_RISE])  # first two in units of `scale`
    spread = np.array([0.5, np.inf, 0.2 * top, 0.3])
    lower = np.array([1e-6, 0, 0.3 * top, 0])
    upper = np.array([np.inf, np.inf, top, 2])
    start = usual.copy()
    free = np.array([True, True, knee_ghz is None, rise_per_ghz is None])
    if knee_ghz is not None:
        start[2] = knee_ghz
    if rise_per_ghz is not None:
        start[3] = rise_per_ghz

    def law(theta: Floats) -> PowerLaw:
        values = start.copy()
        values[free] = theta
        base, k, knee, rise = values.tolist()
        return PowerLaw(base * scale, k * scale, knee, rise)

    def residuals(theta: Floats) -> Floats:
        prior = NOISE * ((theta - usual[free]) / spread[free])
        return np.concatenate([np.log(law(theta).power_w(f_ghz, share) / power_w), prior])

    fit = least_squares(
        residuals,
        start[free],
        bounds=(lower[free], upper[free]),
        loss="soft_l1",
        f_scale=OUTLIER,
    )
    return law(fit.x)
