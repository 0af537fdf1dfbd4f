"""Proxies side by side: what programs cost on each, and what a new device is likely to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from nas.devices import AnalyticDevice, Device, load_profile, profile_names
from nas.pareto.provenance import SIMULATED
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy, model_proxy
from nas.transfer.source import source_of
from predictors import CostPrior, TransferPredictor, learn_prior
from search_spaces import Floats, Ints, Space, feature_blocks

N_POOL = 600  # programs that proxies are compared on


@dataclass(frozen=True)
class Pool:
    """Proxies, the programs `(N_POOL, columns)` they were compared on, and what that taught."""

    proxies: tuple[Proxy, ...]
    columns: Floats
    prior: CostPrior

    @classmethod
    def of(cls, space: Space, proxies: Sequence[Proxy]) -> Self:
        """Compared on programs from small to large, up to a random exit each."""
        rng = np.random.default_rng(0)
        genes = space.sample_spread(N_POOL, rng, repeats=True)
        deepest = rng.integers(0, space.n_exits + 1, len(genes))
        heads = np.arange(space.n_exits + 1) <= deepest[:, None]
        columns = program_columns(Programs(space, genes, heads), proxies)
        n = columns.shape[1]
        prior = learn_prior(
            columns,
            proxy_columns=tuple(range(n - len(proxies), n)),
            families=[p.name for p in proxies],
            blocks=list(feature_blocks(space).values()),
        )
        return cls(tuple(proxies), columns, prior)

    def rows(self, programs: Programs, clock_mhz: Floats | float, subnets: Ints | int) -> Floats:
        """What `predictor` sees `(n, columns + 2)`: programs, their clocks, numbers of subnets."""
        columns, n = program_columns(programs, self.proxies), len(programs)
        return np.column_stack([columns, np.full(n, clock_mhz), np.full(n, subnets)])

    def predictor(self, *, many_clocks: bool) -> TransferPredictor:
        """Not fitted; without `many_clocks` it takes all rows to be at one."""
        n = self.columns.shape[1]
        clock_columns = (n,) if many_clocks else ()
        return TransferPredictor(self.prior.proxy_columns, clock_columns, n + 1, prior=self.prior)


def program_columns(programs: Programs, proxies: Sequence[Proxy]) -> Floats:
    """Features of programs and their log latency on every proxy, `(n, features + proxies)`."""
    logs = [np.log(proxy.latency_ms(programs)) for proxy in proxies]
    return np.column_stack([programs.features, *logs])


def proxies_beside(proxy: Proxy, device: Device, rows: pd.DataFrame) -> list[Proxy]:
    """`proxy`, and for measured `rows` of `device` the analytic models of all devices, its own too.

    Rows that its own model made would be compared with themselves.
    """
    if SIMULATED in source_of(rows):
        return [proxy]
    own = [device] if isinstance(device, AnalyticDevice) else []
    known = [AnalyticDevice(load_profile(n), batch=device.batch) for n in profile_names()]
    models = [*own, *(model for model in known if model.name != device.name)]
    return [proxy, *(model_proxy(m) for m in models if m.name != proxy.name)]
