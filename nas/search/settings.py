"""What one search is asked to do: flat, typed, without knowledge of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import same_file, sha256_of
from nas.given import whole_number
from nas.pareto import OBJECTIVES
from nas.search.score.bounds import Bounds
from nas.search.score.quantities import objectives_named
from search_spaces import InputError, Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.devices import Device
    from predictors import AccuracyTable

SAMPLERS = ("nsga2", "surrogate")
ALIASES = {"generations": "nsga2"}  # the name that it had
OPTUNA = "optuna:"  # before the name of a class of `optuna.samplers`
CLOCKS = ("gpu", "all")
PATHS = ("out", "accuracy_table", "measurements", "data", "optimiser", "warm_start")
LEAST = {  # of whole numbers
    **{"n_trials": 1, "n_target_rows": 8, "n_points": 5, "batch": 1, "patience": 1},
    **{"population": 2, "seed": 0},
}
EXTENT = ("n_trials", "n_points", "patience")
"""How far a search goes: a resumed run that is asked for nothing else goes on with what it had."""
FREE = {*EXTENT, "out", "data", "command", "storage", "optimiser", "study", "ray"}
"""What a resumed run may have otherwise."""
CONTENT = "content of "  # before the name of what a file holds


@dataclass(frozen=True)
class SearchSettings:
    """Inputs of `nas.search.run.search_devices`; paths are read, names are looked up there.

    Where a device, a space or a sampler is named, an own object goes in as well; a table of
    accuracies is a file or an `AccuracyTable`.
    """

    device: str | Device
    out: Path | str
    supernet: str = "auto"
    space: str | Space | None = None
    accuracy_table: Path | AccuracyTable | None = None
    power_mode: str | None = None
    backend: str | None = None
    precision: str | None = None
    batch: int = 1
    proxy: str = "auto"
    measurements: Path | None = None
    n_target_rows: int = 24
    n_trials: int = 1000
    population: int = 50
    sampler: str | BaseSampler = "nsga2"
    clocks: str = "gpu"
    n_points: int = 24
    patience: int | None = None
    bounds: Bounds = field(default_factory=Bounds)
    storage: str | None = None
    study: str = "nas"
    evaluate: bool = False
    ray: str | None = None
    ray_async: bool = False
    data: Path | None = None
    seed: int = 0
    command: str = ""
    instant: bool = False
    optimiser: Path | None = None
    others: tuple[str | Device, ...] = ()  # devices that the same search serves as well
    warm_start: Path | None = None
    objectives: tuple[str, ...] = OBJECTIVES  # names in `nas.search.score.quantities`

    def __post_init__(self) -> None:
        for name in PATHS:
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, Path(value))
        for name in ("device", "supernet", "proxy"):  # a file or folder, where names go too
            if isinstance(value := getattr(self, name), PathLike):
                object.__setattr__(self, name, str(value))
        for name in ("supernet", "proxy"):
            if not isinstance(value := getattr(self, name), str):
                raise InputError(f"`{name}` must be a name, a file or a folder, got {value!r}")
        for name, least in LEAST.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, least))
        self._check_sampler()
        if self.optimiser is not None and not self.instant:
            raise InputError("`optimiser` belongs to `instant=True`; give both")
        if self.clocks not in CLOCKS:
            raise InputError(f"`clocks` must be {' or '.join(CLOCKS)}, got {self.clocks!r}")
        if (self.space is None) != (self.accuracy_table is None):
            raise InputError(
                "`space` and `accuracy_table` belong together: a space without a supernet needs "
                "the accuracies of its subnets as a table"
            )
        objectives_named(self.objectives)
        if self.measurements is not None and same_file(self.measurements, self.proxy):
            raise InputError(
                f"`proxy` learns from the rows of `measurements`, {self.proxy}, and could not be "
                "judged by them: leave out `proxy`, or give it rows of other subnets"
            )
        self._check_evaluation()
        self._check_kind()

    def _check_sampler(self) -> None:
        if not isinstance(self.sampler, str):
            if isinstance(self.sampler, type) or not hasattr(self.sampler, "sample_independent"):
                raise InputError(
                    f"`sampler` must be a name or a sampler of Optuna's, got {self.sampler!r}"
                )
            return
        if self.sampler.startswith(OPTUNA):
            return
        object.__setattr__(self, "sampler", ALIASES.get(self.sampler, self.sampler))
        if self.sampler not in SAMPLERS:
            known = f"{', '.join(SAMPLERS)} or {OPTUNA}NAME"
            raise InputError(f"`sampler` must be {known}, got {self.sampler!r}")

    def _check_evaluation(self) -> None:
        if self.ray_async and self.ray is None:
            raise InputError("`ray_async=True` needs `ray` auto, HOST:PORT or local")
        if self.ray is not None and not self.evaluate:
            raise InputError("`ray` evaluates subnets on images: `evaluate` must be on")
        if self.evaluate and self.data is None:
            option = "`evaluate`" if self.ray is None else "`ray`"
            raise InputError(
                f"{option} runs every subnet on the validation images: name them with `data`"
            )

    def _check_kind(self) -> None:
        """Refuse what a kind of search does not have."""
        if self.others and self.instant:
            raise InputError("`instant` proposes for one device; give one `device`, or search")
        if self.others and self.clocks != "gpu":
            raise InputError(
                f"`clocks` {self.clocks} searches the clocks of one device; "
                "give one `device`, or leave it at `clocks` gpu"
            )
        if self.instant and self.warm_start is not None:
            raise InputError("`warm_start` begins a search, `instant` makes none; give one of them")

    @property
    def devices(self) -> tuple[str | Device, ...]:
        """All targets of the search."""
        return (self.device, *self.others)

    @property
    def folder(self) -> Path:
        """`out` as a path."""
        return Path(self.out)

    @property
    def device_names(self) -> list[str]:
        return [d if isinstance(d, str) else d.name for d in self.devices]

    def fingerprint(self) -> dict[str, Any]:
        """What must not change between a run and its resumption."""
        named = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in FREE}
        return named | self._contents()

    def extent(self) -> dict[str, int | None]:
        """How far the search goes."""
        return {name: getattr(self, name) for name in EXTENT}

    def _contents(self) -> dict[str, list[str]]:
        """Checksums of the files that are named, which may hold something else later."""
        given = {
            name: [getattr(self, name)] for name in ("accuracy_table", "measurements", "proxy")
        }
        files = {
            name: [Path(x) for x in values if isinstance(x, str | Path) and Path(x).is_file()]
            for name, values in {**given, "device": list(self.devices)}.items()
        }
        return {
            CONTENT + name: list(map(sha256_of, found)) for name, found in files.items() if found
        }


def differing(found: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> list[str]:
    """What a run that wrote down `found` had otherwise; older versions did not write everything."""
    wanted = json.loads(json.dumps(fingerprint))  # as it comes back: a tuple is a list
    older = {"objectives": list(OBJECTIVES)}
    written = older | {
        **found,
        "sampler": ALIASES.get(str(found.get("sampler")), found.get("sampler")),
    }
    unknown = {name for name in wanted if name.startswith(CONTENT) and name not in written}
    return [n for n, value in wanted.items() if n not in unknown and written.get(n) != value]


def _plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Bounds):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    for name in ("name", "digest"):  # of an object of the user
        if hasattr(value, name):
            return getattr(value, name)
    return type(value).__name__
