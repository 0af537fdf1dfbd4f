"""The power that a program draws at a clock: P = P0 + k f (1 + s max(0, f - f0))^2 u in W.

f is in GHz and u the share of the time that waits for the clock. Below the knee f0 the voltage is
flat, above it rises by s per GHz, and dynamic power goes with its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from predictors.cost.law import NOISE, OUTLIER
from search_spaces import Floats


@dataclass(frozen=True)
class PowerShape:
    """What boards have in common: the law in parts of its own power and clock at the top."""

    base_share: float  # of the power at the top clock
    knee_share: float  # of the top clock
    voltage_ratio: float  # at the top clock against below the knee


# Means and spreads of fits to Jetson Nano, Xavier NX and TX2 (`benchmarks/clocks.py`).
USUAL = PowerShape(0.29, 0.65, 1.37)
SPREAD = PowerShape(0.1, 0.1, 0.2)


@dataclass(frozen=True)
class PowerLaw:
    """The fitted constants; all arguments broadcast."""

    base_w: float
    k_w_per_ghz: float
    knee_ghz: float
    rise_per_ghz: float

    def power_w(self, f_ghz: Floats, share: Floats) -> Floats:
        voltage = 1 + self.rise_per_ghz * np.maximum(0, f_ghz - self.knee_ghz)
        power_w: Floats = self.base_w + self.k_w_per_ghz * f_ghz * voltage**2 * share
        return power_w


def fit_power_law(
    f_ghz: Floats,
    share: Floats,
    power_w: Floats,
    *,
    knee_ghz: float | None = None,
    rise_per_ghz: float | None = None,
    usual: PowerShape = USUAL,
    spread: PowerShape = SPREAD,
) -> PowerLaw:
    """Robust fit on log residuals of (n,) rows; a knee or a rise that is given stays as it is.

    Weak priors around the `usual` shape, as wide as `spread`, decide only what the rows leave open,
    for example base against dynamic power when all rows have one level, or the knee between three
    clocks.
    """
    scale, top = float(np.max(power_w)), float(np.max(f_ghz))
    start = np.array([usual.base_share, 0.5, usual.knee_share, usual.voltage_ratio])
    widths = np.array([spread.base_share, np.inf, spread.knee_share, spread.voltage_ratio])
    lower, upper = np.array([1e-6, 0, 0.3, 1]), np.array([np.inf, np.inf, 0.95, 3])

    def law(theta: Floats) -> PowerLaw:
        base, k, knee, ratio = theta.tolist()
        knee = knee * top if knee_ghz is None else knee_ghz
        rise = (ratio - 1) / max(top - knee, 0.05 * top) if rise_per_ghz is None else rise_per_ghz
        return PowerLaw(base * scale, k * scale / top, knee, rise)

    def residuals(theta: Floats) -> Floats:
        prior = NOISE * ((theta - start) / widths)
        return np.concatenate([np.log(law(theta).power_w(f_ghz, share) / power_w), prior])

    fit = least_squares(residuals, start, bounds=(lower, upper), loss="soft_l1", f_scale=OUTLIER)
    return law(fit.x)
