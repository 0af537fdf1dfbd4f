"""Whether a pool of proxies behaves like a device, and what more of its rows would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from nas.transfer.pool import Pool
from predictors import GO_SRCC, TransferPredictor, choose_rows, srcc_within
from search_spaces import Floats

MORE_ROWS = (8, 24)
MIN_SUBNETS = 10  # fewer cannot tell whether proxies behave like a device


@dataclass(frozen=True)
class Outlook:
    """What the rows of a device say beside their costs."""

    pool_srcc: float  # what proxies alone say of each subnet, from the others' rows
    n_subnets: int
    width_pct: dict[int, float]  # half a 90 % interval, by rows more than now; predicted

    @property
    def fits(self) -> bool | None:
        """Whether the proxies, mixed as the rows ask, behave like this device; None: too few rows.

        On 57 measured device settings, families left out, the answer is wrongly no for 6 % of the
        devices that a pool explains, and wrongly yes for a sixth of the others, from 30 rows; for
        21 % and a quarter at ten (`benchmarks/transfer_unlike.py`).
        """
        if self.n_subnets < MIN_SUBNETS or np.isnan(self.pool_srcc):
            return None
        return self.pool_srcc >= GO_SRCC

    @property
    def rank(self) -> str:
        """Of a pool that does not fit."""
        return f"ranks of {self.pool_srcc:.2f} where {GO_SRCC:g} is asked for"

    @property
    def more(self) -> str:
        """Now, and with more rows."""
        now, more = self.width_pct[0], max(self.width_pct)
        return f"±{now:.0f} %; {more} rows more would give ±{self.width_pct[more]:.0f} %"

    def lines(self, device: str, *, go: bool) -> list[str]:
        """A warning where no proxy behaves like `device`; what more rows would give."""
        who = f"latency of {device} is" if go else f"with a go, latency of {device} would be"
        lines = [f"note: {who} predicted within {self.more}"]
        if self.fits is False:
            unlike = f"no proxy behaves like {device} ({self.rank})"
            lines.insert(0, f"warning: {unlike}" + ": its own rows count most" * go)
        return lines


def outlook_of(pool: Pool, predictor: TransferPredictor) -> Outlook:
    """Of a fitted `pool.predictor`."""
    clock, subnets = predictor.X_[:, -2], predictor.groups()
    rank = srcc_within(predictor.y_, predictor.proxies_alone(), clock)
    return Outlook(rank, len(np.unique(subnets)), _widths(pool, predictor))


def asked(pool: Pool, predictor: TransferPredictor) -> Floats:
    """The pool's programs as subnets never measured, at the middle of the measured clocks."""
    clock, subnets = np.sort(predictor.X_[:, -2]), predictor.X_[:, -1].max() + 1
    n = len(pool.columns)
    middle = np.full(n, clock[len(clock) // 2])
    return np.column_stack([pool.columns, middle, subnets + np.arange(n)])


def _widths(pool: Pool, predictor: TransferPredictor) -> dict[int, float]:
    """Half widths of intervals in percent, if rows more are as predicted; more never widen them.

    More rows are taken to miss intervals as those that there are, or five fits more would judge
    what the predictor itself has said.
    """
    programs = asked(pool, predictor)
    order = choose_rows(pool.prior, pool.columns, max(MORE_ROWS))
    predicted, now = predictor.predict(programs), predictor.deviation(programs)
    low, high = predictor.predict_interval(programs)
    width = 50 * np.median(high - low) / np.median(predicted)
    widths = {0: float(width)}
    for more in MORE_ROWS:
        X = np.concatenate([predictor.X_, programs[order[:more]]])
        y = np.append(predictor.y_, predicted[order[:more]])
        then = clone(predictor).fit(X, y).deviation(programs)
        widths[more] = min(*widths.values(), float(width * np.median(then) / np.median(now)))
    return widths
