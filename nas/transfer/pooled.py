"""Several proxies at once for one target, judged on the target's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nas.devices import Device
from nas.transfer.costs import target_costs
from nas.transfer.doubtful import doubtful_rows
from nas.transfer.judgement import Judgement
from nas.transfer.levels import with_clock
from nas.transfer.outlook import asked, outlook_of
from nas.transfer.pool import Pool, proxies_beside
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy
from nas.transfer.source import source_of
from predictors import TransferPredictor, held_out_report, srcc_within
from search_spaces import DvfsLevel, Space

STEP = 0.1  # of a proxy's log cost, to see how much it counts


@dataclass(frozen=True)
class PooledTransfer:
    """A fitted `TransferPredictor` and what its rows say of it."""

    judged: Judgement
    predictor: TransferPredictor


def judge_proxy(
    space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame
) -> dict[str, Judgement]:
    """What checked `rows` of `device` say of a proxy as a search uses it, with what is beside it.

    How much each proxy counts, and how wide intervals would be with more rows, is what a pool of
    them says.
    """
    costs, proxies = target_costs(space, device, proxy, rows), proxies_beside(proxy, device, rows)
    judged = {}
    for name, report in costs.reports.items():
        pooled = pooled_transfer(space, device.levels, proxies, rows, quantity=name).judged
        entry = costs.entries()[name]
        judged[name] = replace(
            pooled,
            report=replace(report, decision=entry["decision"]),
            fallback=entry.get("fallback"),
            doubtful=tuple(costs.doubtful.values()),
        )
    return judged


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
    doubted = doubtful_rows(space, proxies[0], rows)
    rows = rows[~doubted.rows]
    clock, y = rows["clock_mhz"].to_numpy(float), rows[quantity].to_numpy(float)
    names, group = np.unique(rows["subnet"].to_numpy(str), return_inverse=True)
    pool = Pool.of(space, proxies)
    predictor = pool.predictor(many_clocks=len(np.unique(clock)) > 1)
    X = pool.rows(Programs.of_rows(rows, space), clock, group)
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
    own = [srcc_within(y, X[:, c], clock) for c in pool.prior.proxy_columns]
    judged = Judgement(
        report=report,
        source=source_of(rows),
        proxy_srcc={p.name: rank for p, rank in zip(proxies, own, strict=True)},
        proxy_weight=_weights(pool, predictor),
        outlook=outlook_of(pool, predictor),
        doubtful=doubted.words,
    )
    return PooledTransfer(judged, predictor)


def _weights(pool: Pool, predictor: TransferPredictor) -> dict[str, float]:
    """How much the log of the predicted cost rises with the log cost on each proxy, or its line."""
    programs = asked(pool, predictor)
    start = np.log(predictor.predict(programs))
    weights = {}
    columns = zip(pool.proxies, predictor.proxy_columns, predictor.line_shares()[:-1], strict=True)
    for proxy, column, line in columns:
        moved = programs.copy()
        moved[:, column] += STEP
        rise = np.mean(np.log(predictor.predict(moved)) - start) / STEP
        weights[proxy.name] = float(rise + line)
    return weights
