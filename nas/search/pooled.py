"""Several proxies at once for one target, judged on the target's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.search.costs import with_clock
from nas.search.proxy import Proxy
from predictors import (
    TransferPredictor,
    TransferReport,
    choose_rows,
    genes_and_heads,
    held_out_report,
    learn_prior,
    srcc_within,
)
from search_spaces import DvfsLevel, Genes, Space, encode, feature_blocks

N_POOL = 600  # programs that proxies are compared on
MORE_ROWS = (8, 24)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PooledTransfer:
    """A fitted `TransferPredictor` and what its rows say of it."""

    report: TransferReport
    predictor: TransferPredictor
    proxy_srcc: dict[str, float]  # rank correlation of every proxy with the rows, within clocks
    width_pct: dict[int, float]  # half a 90 % interval, by rows more than now; predicted

    def to_dict(self) -> dict[str, Any]:
        """For `--json`; NaN becomes None."""
        ranks = {k: None if np.isnan(v) else v for k, v in self.proxy_srcc.items()}
        return self.report.to_dict() | {
            "proxies": ranks,
            "interval_half_width_pct": {str(k): round(v, 2) for k, v in self.width_pct.items()},
        }


def pooled_transfer(
    space: Space,
    levels: list[DvfsLevel],
    proxies: Sequence[Proxy],
    rows: pd.DataFrame,
    *,
    quantity: str = "latency_ms",
) -> PooledTransfer:
    """Fit and judge `quantity` of the checked target `rows` from all `proxies` together."""
    rows = with_clock(rows, levels)
    rows = rows[rows[quantity].notna()]
    clock, y = rows["clock_mhz"].to_numpy(float), rows[quantity].to_numpy(float)
    genes, heads = genes_and_heads(rows, space)
    names, group = np.unique(rows["subnet"].to_numpy(str), return_inverse=True)
    columns = _columns(space, proxies, genes, heads)
    pool = _pool(space, proxies)
    proxy_columns = tuple(range(columns.shape[1] - len(proxies), columns.shape[1]))
    blocks = list(feature_blocks(space).values())
    prior = learn_prior(
        pool, proxy_columns=proxy_columns, families=[p.name for p in proxies], blocks=blocks
    )
    n = columns.shape[1]
    many_clocks = len(np.unique(clock)) > 1
    predictor = TransferPredictor(proxy_columns, (n,) if many_clocks else (), n + 1, prior=prior)
    X = np.column_stack([columns, clock, group])
    report = held_out_report(
        predictor,
        X,
        y,
        clock,
        subnets=names[group],
        quantity=quantity,
        proxy=", ".join(p.name for p in proxies),
        n_proxy_rows=sum(p.n_rows for p in proxies),
    )
    predictor.fit(X, y)
    ranks = {
        p.name: srcc_within(y, columns[:, c], clock)
        for p, c in zip(proxies, proxy_columns, strict=True)
    }
    widths = _widths(predictor, X, y, pool, clock)
    return PooledTransfer(report, predictor, ranks, widths)


def _columns(
    space: Space, proxies: Sequence[Proxy], genes: Genes, heads: NDArray[np.bool_]
) -> Floats:
    """Features of programs and their log latency on every proxy."""
    logs = [np.log(p.latency_ms(genes, heads)) for p in proxies]
    return np.column_stack([encode(space, genes, heads), *logs])


def _pool(space: Space, proxies: Sequence[Proxy]) -> Floats:
    """Programs from small to large, up to a random exit each."""
    rng = np.random.default_rng(0)
    genes = space.sample_spread(N_POOL, rng)
    deepest = rng.integers(0, space.n_exits + 1, len(genes))
    heads = np.arange(space.n_exits + 1) <= deepest[:, None]
    return _columns(space, proxies, genes, heads)


def _widths(
    predictor: TransferPredictor, X: Floats, y: Floats, pool: Floats, clock: Floats
) -> dict[int, float]:
    """Half widths of intervals in percent now and with more rows, if those are as predicted."""
    # Subnets of the pool are new ones, at the clock in the middle of the measured ones.
    middle = np.sort(clock)[len(clock) // 2]
    groups = X[:, -1].max() + 1 + np.arange(len(pool))
    asked = np.column_stack([pool, np.full(len(pool), middle), groups])
    order = choose_rows(predictor.prior_, pool, max(MORE_ROWS))
    predicted = predictor.predict(asked)
    widths = {}
    for more in (0, *MORE_ROWS):
        given = asked[order[:more]]
        fitted = TransferPredictor(**predictor.get_params())
        fitted.fit(np.concatenate([X, given]), np.concatenate([y, predicted[order[:more]]]))
        low, high = fitted.predict_interval(asked)
        widths[more] = float(50 * np.median(high - low) / np.median(predicted))
    return widths
