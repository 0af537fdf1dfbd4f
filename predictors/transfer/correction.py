"""How many times more a program costs than the law says, told by a pool of proxies.

The law maps one proxy and knows the clock; the pool knows several proxies and features, at one
clock. Rows are brought to their mean clock by the law and teach the pool; what pool and law say of
a program there is mixed, and the law says how it goes on over the clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from predictors.cost.law import LatencyLaw, left_out_errors
from predictors.transfer.mixture import shares_of
from predictors.transfer.pooled import TransferPredictor
from search_spaces import Floats

FIRST_SHARES = (0.1, 0.9)  # of the law and the pool, before rows said anything


@dataclass(frozen=True)
class Correction:
    """A pool that was fitted beside a law, and the share of the pool in what is predicted."""

    pool: TransferPredictor
    law: LatencyLaw
    f_ghz: float  # the mean clock of the rows
    share: float

    @classmethod
    def of(
        cls,
        pool: TransferPredictor,
        X: ArrayLike,
        law: LatencyLaw,
        h: Floats,
        f_ghz: Floats,
        latency_ms: Floats,
        kernels: Floats,
    ) -> Self:
        """From the rows (n,) that `law` was fitted to; X (n, features) is what `pool` sees.

        The shares are those that predict left-out subnets best, near the usual ones.
        """
        mean = float(np.exp(np.log(f_ghz).mean()))
        at_mean = law.latency_ms(h, np.array(mean), kernels) / law.latency_ms(h, f_ghz, kernels)
        fitted = clone(pool).fit(X, latency_ms * at_mean)
        groups = fitted.groups()
        errors = [
            left_out_errors(law, h, f_ghz, latency_ms, kernels, groups),
            fitted.left_out_errors(),
        ]
        return cls(fitted, law, mean, float(shares_of(errors, FIRST_SHARES, groups)[1]))

    def times(self, X: ArrayLike, h: Floats, kernels: Floats) -> Floats:
        """(n,) what programs cost in parts of what the law says, at every clock."""
        by_law = self.law.latency_ms(h, np.array(self.f_ghz), kernels)
        times: Floats = (self.pool.predict(X) / by_law) ** self.share
        return times
