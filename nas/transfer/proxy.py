"""The proxy: a device that many programs were measured on, turned into a latency predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd

from nas.devices import AnalyticDevice, load_profile, profile_names
from nas.devices.names import meant
from nas.pareto.provenance import SIMULATED
from nas.transfer.known import device_of_rows
from nas.transfer.plausible import CLOCKS, check_one_setting, check_rows_alone
from nas.transfer.programs import Programs
from nas.transfer.source import source_of
from nas.words import counted
from predictors import LatencyPredictor, read_rows
from search_spaces import Floats, InputError, Space

ANALYTIC_HOST = "x86-cpu"


@dataclass(frozen=True)
class Proxy:
    """A device whose `latency_ms(programs)` `(n,)` of any programs is known."""

    name: str
    source: str  # of the rows it was learned from
    n_rows: int
    n_subnets: int
    latency_ms: Callable[[Programs], Floats]
    predictor: LatencyPredictor | None = None  # of measured rows; a file can keep it

    def described(self, space: str) -> str:
        """What it rests on, and where that is a model, how to do better; `space` names programs."""
        if self.n_rows:
            rows = counted(self.n_rows, f"{self.source} row")
            return f"{rows} of {counted(self.n_subnets, 'subnet')}"
        return (
            f"an analytic model ({self.source}); measured rows are better: "
            f"`nas measure --device host --space {space} --out rows.csv`, "
            "then `nas search --proxy rows.csv`"
        )


def load_proxy(space: Space, choice: str, measured_as: str = "SUPERNET") -> Proxy:
    """The proxy named `choice`: bundled rows, a file of rows, or an analytic device.

    `auto` takes the bundled rows of the space, and the analytic host where there are none.
    `measured_as` is what `nas measure --space` takes for its programs.
    """
    if space.measured_alone and choice in ("auto", "host", *profile_names()):
        raise InputError(
            "no analytic model has a figure for the pruned layers of this space: measure "
            f"programs, `nas measure --device host --space {measured_as} --out rows.csv`, and give "
            "`proxy` rows.csv"
        )
    # the name of a space that is measured alone may be longer than that of a file
    bundled = files("nas.devices") / "proxies" / f"{space.name}-host.csv"
    if choice in ("auto", "host") and bundled.is_file():
        path = Path(str(bundled))
        return _measured(space, read_rows(path, space))
    if choice == "auto":
        return model_proxy(AnalyticDevice(load_profile(ANALYTIC_HOST)))
    if choice in profile_names():
        return model_proxy(AnalyticDevice(load_profile(choice)))
    path = Path(choice)
    if not path.exists() and not path.suffix:
        raise InputError(
            f"`proxy` {choice} is neither a file of rows nor a device that `nas devices` lists"
            f"{meant(choice, profile_names())}"
        )
    rows = check_rows_alone(path, read_rows(path, space, lines=True), space)
    check_one_setting(path, rows)
    wanders = device_of_rows(rows) is None  # nobody holds the CPU clock of this machine
    clocks = [column for column in CLOCKS if not (wanders and column == "cpu_mhz")]
    check_one_setting(path, rows, clocks, "keep the rows of one")
    return _measured(space, rows.reset_index(drop=True))


def _measured(space: Space, rows: pd.DataFrame) -> Proxy:
    """XGBoost on the log latency of measured rows."""
    X, y = Programs.of_rows(rows, space).features, rows["latency_ms"].to_numpy()
    predictor = LatencyPredictor(n_folds=0).fit(X, y, rows["subnet"])
    host = rows["host"].iloc[0] if "host" in rows else ""
    return Proxy(
        name=f"{rows['device'].iloc[0]} ({host})" if host else str(rows["device"].iloc[0]),
        source=source_of(rows),
        n_rows=len(rows),
        n_subnets=rows["subnet"].nunique(),
        latency_ms=lambda programs: predictor.predict(programs.features),
        predictor=predictor,
    )


def model_proxy(device: AnalyticDevice) -> Proxy:
    """The analytic model of a device at its top level."""
    top = device.at(device.levels[-1:])
    return Proxy(
        name=device.name,
        source=SIMULATED,
        n_rows=0,
        n_subnets=0,
        latency_ms=lambda programs: top.cost(programs.operators)[0][:, 0],
    )
