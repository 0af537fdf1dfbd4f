"""Cost predictors in a folder, whichever command made it: programs in, costs with intervals out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import numpy as np
import pandas as pd

from nas.devices import SAME_CLOCK
from nas.pareto.provenance import predicted_from
from nas.transfer.levels import with_clock
from nas.transfer.pool import program_columns
from nas.transfer.pooled import PooledTransfer
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy, load_proxy
from predictors import (
    ArtifactError,
    EnergyPredictor,
    LatencyPredictor,
    TransferPredictor,
    load_predictor,
    load_transfer,
    rows_sha256,
    save_predictor,
    save_transfer,
)
from search_spaces import DvfsLevel, Floats, InputError, Space, read_json

Costs = tuple[Floats, Floats, Floats]  # predicted, and both ends of its interval, each (n,)


class ProxyModel(TypedDict):
    """Where a measured proxy's fitted model lies, and the checksum of its JSON file."""

    folder: str  # relative to the pool's
    sha256: str


class KeptProxy(TypedDict):
    """A proxy of a pool, as its JSON file keeps it; `model` is None for an analytic device."""

    model: ProxyModel | None
    source: str
    n_rows: int


@dataclass(frozen=True)
class TrainedCosts:
    """Of `nas predictor train`: one device at one setting."""

    varying: ClassVar[tuple[str, ...]] = ()  # of a row's setting, that it can predict

    space: Space
    predictor: LatencyPredictor | EnergyPredictor
    source: str
    level: int | None  # of the training rows
    gpu_mhz: float | None = None  # likewise

    def at_level(self, programs: pd.DataFrame, level: int | None) -> pd.DataFrame:
        """`programs` as they are; InputError where they or `level` ask for another level."""
        for mhz in programs.get("gpu_mhz", pd.Series(dtype=float)).dropna():
            if self.gpu_mhz is not None and abs(mhz - self.gpu_mhz) > SAME_CLOCK * self.gpu_mhz:
                raise InputError(
                    f"the predictor knows one clock ({self.gpu_mhz:g} MHz), asked {mhz:g} MHz"
                )
        asked = [level] if level is not None else list(programs.get("level", ()))
        others = [a for a in asked if not pd.isna(a) and a != self.level]
        if others:
            known = "its rows name none" if self.level is None else f"it learned level {self.level}"
            raise InputError(f"the predictor knows one level ({known}), asked {others[0]:g}")
        return programs

    def __call__(self, programs: pd.DataFrame, coverage: float) -> Costs:
        X = Programs.of_rows(programs, self.space).features
        return (self.predictor.predict(X), *self.predictor.predict_interval(X, coverage))

    def learned_from(self, programs: pd.DataFrame, y: Floats) -> bool:
        """Whether the predictor was trained on these rows, or the first of a table that grew."""
        n = self.predictor.n_rows_
        X = Programs.of_rows(programs[:n], self.space).features
        return rows_sha256(X, y[:n]) == self.predictor.rows_sha256_


@dataclass(frozen=True)
class PooledCosts:
    """Of `nas predictor transfer --out`: a target at any of its levels, from several proxies."""

    varying: ClassVar[tuple[str, ...]] = ("level", "gpu_mhz")

    space: Space
    predictor: TransferPredictor
    proxies: list[Proxy]
    levels: list[DvfsLevel]
    source: str

    def at_level(self, programs: pd.DataFrame, level: int | None) -> pd.DataFrame:
        """`programs` with a level in every row: their own, else `level`, else the top one."""
        top = self.levels[-1].level
        if level is not None and not 0 <= level <= top:
            raise InputError(f"the target has levels 0 to {top}, asked {level}")
        own = programs.get("level", pd.Series(np.nan, index=programs.index))
        clock = "gpu_mhz" if self.levels[0].gpu_mhz is not None else "cpu_mhz"
        unnamed = own.isna() & programs.get(clock, own).isna()
        given = own.mask(unnamed, top if level is None else level).astype("Int64")
        return with_clock(programs.assign(level=given), self.levels)

    def __call__(self, programs: pd.DataFrame, coverage: float) -> Costs:
        clock = programs["clock_mhz"].to_numpy(float)
        measured = self.predictor.X_[:, -2]
        if not self.predictor.clock_columns and (clock != measured[0]).any():
            raise InputError(
                f"the target's rows know one clock, {measured[0]:g} MHz; measure some at another "
                f"or ask for its level, not for {clock[clock != measured[0]][0]:g} MHz"
            )
        columns = program_columns(Programs.of_rows(programs, self.space), self.proxies)
        new = self.predictor.X_[:, -1].max() + 1 + pd.factorize(programs["subnet"])[0]
        X = np.column_stack([columns, clock, new])
        return (self.predictor.predict(X), *self.predictor.predict_interval(X, coverage))

    def learned_from(self, programs: pd.DataFrame, y: Floats) -> bool:
        """Whether the target's rows that the transfer was fitted to are among these."""
        del programs
        return bool(np.isin(self.predictor.y_, y).all())


def load_costs(folder: Path, quantity: str, space: Space) -> TrainedCosts | PooledCosts:
    """What `nas predictor train` or `transfer --out` left in `folder`."""
    if (folder / f"transfer_{quantity}.json").is_file():
        return _load_pool(folder, quantity, space)
    predictor = load_predictor(folder, quantity, space)
    about = read_json(folder / f"{quantity}.json")
    source, clock = predicted_from(str(about.get("source"))), about.get("gpu_mhz")
    return TrainedCosts(space, predictor, source, about.get("level"), clock)


def save_pool(
    pooled: PooledTransfer,
    folder: Path,
    space: Space,
    proxies: Sequence[Proxy],
    levels: Sequence[DvfsLevel],
    **about: Any,
) -> None:
    """Write the pool with all that it needs to predict: the proxies' own models, the levels.

    A measured proxy is kept as its fitted model, an analytic one by its name.
    """
    quantity = pooled.judged.report.quantity
    kept: list[KeptProxy] = []
    for i, proxy in enumerate(proxies):
        model: ProxyModel | None = None
        if proxy.predictor is not None:
            where = folder / f"proxies_{quantity}" / str(i)
            save_predictor(proxy.predictor, where, space, source=proxy.source)
            checksum = hashlib.sha256((where / "latency_ms.json").read_bytes()).hexdigest()
            model = {"folder": str(where.relative_to(folder)), "sha256": checksum}
        kept.append({"model": model, "source": proxy.source, "n_rows": proxy.n_rows})
    save_transfer(
        pooled.predictor,
        folder,
        space,
        quantity,
        [proxy.name for proxy in proxies],
        source=pooled.judged.source,
        proxy_models=kept,
        levels=[asdict(level) for level in levels],
        judged=pooled.judged.to_dict(),
        **about,
    )


def _load_pool(folder: Path, quantity: str, space: Space) -> PooledCosts:
    predictor, names = load_transfer(folder, quantity, space)
    sidecar = folder / f"transfer_{quantity}.json"
    about = read_json(sidecar)
    try:
        levels = [DvfsLevel(**level) for level in about["levels"]]
        pairs = zip(names, about["proxy_models"], strict=True)
        proxies = [_load_proxy(folder, space, name, kept) for name, kept in pairs]
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        reason = f"{type(fault).__name__}: {fault}"
        raise ArtifactError(f"{sidecar} is damaged ({reason}); transfer again") from None
    return PooledCosts(space, predictor, proxies, levels, predicted_from(str(about.get("source"))))


def _load_proxy(folder: Path, space: Space, name: str, kept: KeptProxy) -> Proxy:
    if kept["model"] is None:
        return load_proxy(space, name)
    where = folder / kept["model"]["folder"]
    predictor = load_predictor(where, "latency_ms", space)
    found = hashlib.sha256((where / "latency_ms.json").read_bytes()).hexdigest()
    if found != kept["model"]["sha256"]:
        raise ArtifactError(f"{where} holds another proxy than the pool was made with")
    return Proxy(
        name=name,
        source=kept["source"],
        n_rows=kept["n_rows"],
        n_subnets=predictor.n_groups_,
        latency_ms=lambda programs: predictor.predict(programs.features),
        predictor=predictor,
    )
