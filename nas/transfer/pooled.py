"""Several proxies at once for one target, judged on the target's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.base import clone

from nas.devices import Device
from nas.transfer.costs import target_costs
from nas.transfer.doubtful import doubtful_rows
from nas.transfer.judgement import Judgement
from nas.transfer.levels import with_clock
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy
from nas.transfer.source import source_of
from predictors import (
    CostPrior,
    TransferPredictor,
    choose_rows,
    held_out_report,
    learn_prior,
    srcc_within,
)
from search_spaces import DvfsLevel, Floats, Space, feature_blocks

N_POOL = 600  # programs that proxies are compared on
MORE_ROWS = (8, 24)
STEP = 0.1  # of a proxy's log cost, to see how much it counts


@dataclass(frozen=True)
class PooledTransfer:
    """A fitted `TransferPredictor` and what its rows say of it."""

    judged: Judgement
    predictor: TransferPredictor


def judge_proxy(
    space: Space, device: Device, proxy: Proxy, rows: pd.DataFrame
) -> dict[str, Judgement]:
    """What checked `rows` of `device` say of one proxy behind the monotone map of a search.

    How wide intervals would be with more rows is what a pool of this one proxy says.
    """
    costs = target_costs(space, device, proxy, rows)
    judged = {}
    for name, report in costs.reports.items():
        alone = pooled_transfer(space, device.levels, [proxy], rows, quantity=name).judged
        entry = costs.entries()[name]
        judged[name] = Judgement(
            report=replace(report, decision=entry["decision"]),
            source=alone.source,
            proxy_srcc=alone.proxy_srcc,
            proxy_weight=alone.proxy_weight,
            width_pct=alone.width_pct,
            fallback=entry.get("fallback"),
            doubtful=tuple(costs.doubtful.values()),
            pool_srcc=alone.pool_srcc,
            n_subnets=alone.n_subnets,
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
    columns = program_columns(Programs.of_rows(rows, space), proxies)
    pool = _pool(space, proxies)
    prior = _prior(space, proxies, pool)
    n, many_clocks = columns.shape[1], len(np.unique(clock)) > 1
    predictor = TransferPredictor(
        prior.proxy_columns, (n,) if many_clocks else (), n + 1, prior=prior
    )
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
    asked = _asked(pool, X, clock)
    own = [srcc_within(y, columns[:, c], clock) for c in prior.proxy_columns]
    judged = Judgement(
        report=report,
        source=source_of(rows),
        proxy_srcc={p.name: rank for p, rank in zip(proxies, own, strict=True)},
        proxy_weight=_weights(predictor, proxies, asked),
        width_pct=_widths(predictor, X, y, pool, asked),
        doubtful=doubted.words,
        pool_srcc=srcc_within(y, predictor.proxies_alone(), clock),
        n_subnets=len(names),
    )
    return PooledTransfer(judged, predictor)


def program_columns(programs: Programs, proxies: Sequence[Proxy]) -> Floats:
    """Features of programs and their log latency on every proxy, `(n, features + proxies)`."""
    logs = [np.log(proxy.latency_ms(programs)) for proxy in proxies]
    return np.column_stack([programs.features, *logs])


def _pool(space: Space, proxies: Sequence[Proxy]) -> Floats:
    """Programs from small to large, up to a random exit each."""
    rng = np.random.default_rng(0)
    genes = space.sample_spread(N_POOL, rng, repeats=True)
    deepest = rng.integers(0, space.n_exits + 1, len(genes))
    heads = np.arange(space.n_exits + 1) <= deepest[:, None]
    return program_columns(Programs(space, genes, heads), proxies)


def _prior(space: Space, proxies: Sequence[Proxy], pool: Floats) -> CostPrior:
    n = pool.shape[1]
    return learn_prior(
        pool,
        proxy_columns=tuple(range(n - len(proxies), n)),
        families=[p.name for p in proxies],
        blocks=list(feature_blocks(space).values()),
    )


def _asked(pool: Floats, X: Floats, clock: Floats) -> Floats:
    """The pool as subnets that were never measured, at the middle of the measured clocks."""
    middle = np.sort(clock)[len(clock) // 2]
    groups = X[:, -1].max() + 1 + np.arange(len(pool))
    return np.column_stack([pool, np.full(len(pool), middle), groups])


def _weights(
    predictor: TransferPredictor, proxies: Sequence[Proxy], asked: Floats
) -> dict[str, float]:
    """How much the log of the predicted cost rises with the log cost on each proxy, or its line."""
    start = np.log(predictor.predict(asked))
    weights = {}
    columns = zip(proxies, predictor.proxy_columns, predictor.line_shares()[:-1], strict=True)
    for proxy, column, line in columns:
        moved = asked.copy()
        moved[:, column] += STEP
        rise = np.mean(np.log(predictor.predict(moved)) - start) / STEP
        weights[proxy.name] = float(rise + line)
    return weights


def _widths(
    predictor: TransferPredictor, X: Floats, y: Floats, pool: Floats, asked: Floats
) -> dict[int, float]:
    """Half widths of intervals in percent now and with more rows, if those are as predicted."""
    order = choose_rows(predictor.prior_, pool, max(MORE_ROWS))
    predicted = predictor.predict(asked)
    widths = {}
    for more in (0, *MORE_ROWS):
        fitted, given = predictor, order[:more]
        if more:
            more_X, more_y = np.concatenate([X, asked[given]]), np.append(y, predicted[given])
            fitted = clone(predictor).fit(more_X, more_y)
        low, high = fitted.predict_interval(asked)
        widths[more] = float(50 * np.median(high - low) / np.median(predicted))
    return widths
