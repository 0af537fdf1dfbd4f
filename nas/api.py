"""What a researcher calls from Python, under `nas.`: search, read, choose, export.

`import nas` loads none of it; a name is looked up when it is used. `nas.search`, `nas.devices`,
`nas.measure` and `nas.export` are the packages behind these functions, so that none of the
functions has such a name: `nas.search` could be a function here and a package there, depending on
what was imported before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nas.devices import device_names, get_device
from nas.pareto import ParetoTable, read_pareto
from search_spaces import InputError

if TYPE_CHECKING:
    from nas.devices import Device
    from nas.runtime import Manifest
    from nas.search.listener import Listener

__all__ = [
    "ParetoTable",
    "device_names",
    "export_points",
    "get_device",
    "read_pareto",
    "search_pareto",
]


def search_pareto(
    device: str | Device,
    *,
    out: str | Path | None = None,
    n_trials: int = 1000,
    seed: int = 0,
    max_error_pct: float | None = None,
    max_latency_ms: float | None = None,
    max_worst_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    levels: Sequence[int] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> ParetoTable:
    """Search subnets, exits and clocks for `device`: a Pareto set per DVFS level.

    `device` is a name of `device_names()`, a profile's `.toml` file or an own device. `out` keeps
    what `nas search --out` writes, the study as well; without it nothing stays on the disk. The
    bounds hold for every point; `levels` are the only ones that may be used. `settings` are the
    other fields of `nas.search.SearchSettings`, such as `supernet`, `space` or `sampler`.
    `listener` is told how far the search is. InputError: what cannot be used, in one line.

    >>> import nas
    >>> table = nas.search_pareto("xavier-nx", n_trials=100, out="runs/xavier-nx")
    >>> len(table.levels)
    15
    """
    from nas.search import Bounds, SearchSettings, run_search

    known = {field.name for field in fields(SearchSettings)}
    if unknown := sorted(set(settings) - known):
        raise TypeError(f"search_pareto() has no argument {unknown[0]!r}")
    allowed = None if levels is None else tuple(levels)
    bounds = Bounds(
        max_error_pct, max_latency_ms, max_worst_latency_ms, max_energy_mj, levels=allowed
    )
    with TemporaryDirectory() as aside:
        asked = SearchSettings(
            device=device,
            out=aside if out is None else out,
            n_trials=n_trials,
            seed=seed,
            bounds=bounds,
            **settings,
        )
        return run_search(asked, resume=resume, overwrite=overwrite, listener=listener)


def export_points(
    pareto: ParetoTable | str | Path,
    out: str | Path,
    *,
    ids: Sequence[str] = (),
    supernet: str | None = None,
    data: str | Path | None = None,
    bn_cache: str | Path | None = None,
    traces: bool = False,
    half: bool = False,
    command: str = "",
) -> Manifest:
    """Write points of a table as ONNX segments into the new folder `out`, checked, with a manifest.

    `ids` name the points; without them it is the front of all levels. `supernet` is a name of the
    zoo or a folder, without it the one of the table. Batch norm takes its statistics from the
    training images in `data` or from the file `bn_cache`. `half` is arithmetic in float16; `traces`
    keeps what every exit says of the validation images. InputError: what cannot be used.

    >>> import nas
    >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
    >>> point = table.cheapest(max_error_pct=9)
    >>> manifest = nas.export_points(table, "board", ids=[point["id"]], bn_cache=BN_CACHE)
    >>> manifest.ids == [point["id"]]
    True
    """
    from nas.runtime import Manifest
    from nas.zoo.folder import supernet_folder

    try:
        from nas.export import plan_export, write_export
    except ModuleNotFoundError as error:
        raise InputError(
            f"an export needs {error.name}, which is not installed: pip install 'nas[export]'"
        ) from None
    table = pareto if isinstance(pareto, ParetoTable) else read_pareto(pareto)
    described = table.content["supernet"]
    if described is None:
        raise InputError("`pareto` is of a space that comes with tables alone: nothing to export")
    plan = plan_export(
        table,
        supernet_folder(supernet or described["name"]),
        ids=ids,
        data=None if data is None else Path(data),
        bn_cache=None if bn_cache is None else Path(bn_cache),
        traces=traces,
    )
    return Manifest(str(out), write_export(plan, Path(out), half=half, command=command))
