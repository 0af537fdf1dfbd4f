"""What a researcher calls from Python, under `nas.`: search, read, choose, measure, export.

The command line calls the same functions. `import nas` loads none of it; a name is looked up when
it is used. `nas.search`, `nas.devices`, `nas.measure` and `nas.export` are packages too
(`nas/called.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nas.devices import device_names, get_device
from nas.given import check_not_given, whole_number, whole_numbers
from nas.pareto import ParetoTable, read_pareto
from search_spaces import InputError

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from nas.devices import Device
    from nas.export.step import Step
    from nas.measure.listener import Listener as MeasureListener
    from nas.measure.run import Told
    from nas.runtime import Manifest
    from nas.search import SearchSettings
    from nas.search.front.shared_set import SharedContent
    from nas.search.listener import Listener
    from supernets.training import Progress

__all__ = [
    "Measured",
    "ParetoTable",
    "devices",
    "export",
    "get_device",
    "measure",
    "prune",
    "read_pareto",
    "search",
    "search_together",
]


def devices() -> list[str]:
    """The names that `nas.search(device=...)` takes: `host`, the shipped profiles, your own.

    >>> import nas
    >>> nas.devices()[:3]
    ['host', 'agx-orin', 'agx-thor']
    """
    return device_names()


def search(
    device: str | Device,
    *,
    trials: int | None = None,
    out: str | Path | None = None,
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

    `device` is a name of `nas.devices()`, a profile's `.toml` file or an own device; `trials` are
    the subnets to search (1000; with `resume` as many as before). `out` keeps what `nas search
    --out` writes, the study as well; without it nothing stays on the disk. The bounds hold for
    every point; `levels` are the only ones that may be used. `settings` are the other fields of
    `nas.search.SearchSettings`, such as `supernet`, `space` or `sampler` (a name, or any Optuna
    sampler). `listener` is told how far the search is.
    InputError: what cannot be used, in one line.

    >>> import nas
    >>> table = nas.search(device="xavier-nx", trials=100, out="runs/xavier-nx")
    >>> len(table.levels)
    15
    """
    tables, _ = search_together(
        [device],
        trials=trials,
        out=out,
        seed=seed,
        max_error_pct=max_error_pct,
        max_latency_ms=max_latency_ms,
        max_worst_latency_ms=max_worst_latency_ms,
        max_energy_mj=max_energy_mj,
        levels=levels,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        **settings,
    )
    return tables[0]


def search_together(
    devices: Sequence[str | Device],
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> tuple[list[ParetoTable], SharedContent | None]:
    """One search for several devices: the table of each, and the few subnets that serve them all.

    The arguments are those of `nas.search`. What is shared is None for one device.

    >>> import nas
    >>> tables, shared = nas.search_together(["xavier-nx", "nano"], trials=60)
    >>> [table.content["device"]["name"] for table in tables]
    ['xavier-nx', 'nano']
    """
    from nas.search import search_devices

    with TemporaryDirectory() as aside:
        folder = aside if out is None else out
        asked = search_settings(devices, out=folder, resume=resume, **settings)
        return search_devices(asked, resume=resume, overwrite=overwrite, listener=listener)


def search_settings(
    devices: Sequence[str | Device],
    *,
    trials: int | None = None,
    resume: bool = False,
    **named: Any,
) -> SearchSettings:
    """The arguments of a search as its settings: bounds by their names, the rest by theirs.

    How far a resumed search goes is what its folder says, where it is None.
    """
    from nas.search import Bounds, SearchSettings
    from nas.search.folder import extent_of
    from nas.search.settings import EXTENT

    limits = {field.name for field in fields(Bounds)}
    own = {"bounds", "device", "others", "n_trials"}  # given by other names
    known = {field.name for field in fields(SearchSettings)} - own
    if unknown := sorted(set(named) - known - limits):
        raise TypeError(f"search() has no argument {unknown[0]!r}")
    bounds = {name: value for name, value in named.items() if name in limits}
    others = {name: value for name, value in named.items() if name not in limits}
    extent = extent_of(Path(named["out"])) if resume else {}
    if trials is not None:
        extent["n_trials"] = whole_number("trials", trials, 1)
    extent |= {n: v for n in EXTENT if (v := others.pop(n, None)) is not None}
    if isinstance(devices, str) or not devices:
        raise InputError(f"`devices` must be a list of one or more, got {devices!r}")
    first, *more = devices
    return SearchSettings(
        device=first,
        others=tuple(more),
        bounds=Bounds(**bounds),
        **extent,
        **others,
    )


class Measured(NamedTuple):
    """What `nas.measure` gives."""

    rows: pd.DataFrame  # all of the file: the columns are those of docs/reference.md
    told: Told  # the noise of the rows, which are noisy, how far predicted costs are off


def measure(
    device: str | None = None,
    *,
    out: str | Path,
    space: str | None = None,
    of: str | Path | None = None,
    samples: int | None = None,
    levels: Sequence[int] | Literal["all"] | None = None,
    remote: str | None = None,
    seconds: float | None = None,
    repeats: int = 1,
    seed: int = 0,
    listener: MeasureListener | None = None,
    **settings: Any,
) -> Measured:
    """Measure latency and energy on `device`; the rows go into the file `out` as they come.

    Either `samples` subnets of `space` are measured (320), or what `of` asks for: a plan, or the
    points of a `pareto.json`, whose measured costs are then written into it. `levels` are DVFS
    levels, -1 the fastest, or `"all"`; without them a space is measured at the fastest, a file at
    all of its own. `remote`
    (`USER@HOST`) measures on a board over ssh. `seconds` times a row (0.3), `repeats` times each; a
    measurement that was stopped goes on from the file. `settings` are the other fields of
    `nas.measure.settings.MeasureSettings`. InputError: what cannot be used, in one line.

    >>> import nas
    >>> found = nas.measure("host", space="resnet-digits", samples=2, seconds=0.01, out="rows.csv")
    >>> len(found.rows), set(found.rows["source"])
    (10, {'measured'})
    """
    import pandas as pd

    from nas.measure.listener import Silent
    from nas.measure.sampled import measure_sampled
    from nas.measure.settings import MeasureSettings
    from nas.search.measure_of import measure_of

    known = {field.name for field in fields(MeasureSettings)}
    if unknown := sorted(set(settings) - known):
        raise TypeError(f"measure() has no argument {unknown[0]!r}")
    files = ("against", "ofa_lut", "power_log")
    paths = {name: Path(settings[name]) for name in files if settings.get(name)}
    asked = MeasureSettings(
        out=Path(out),
        device=device,
        space=space,
        of=None if of is None else Path(of),
        samples=samples,
        remote=remote,
        seconds=seconds,
        repeats=repeats,
        seed=seed,
        levels=_asked_levels(levels, of),
        **settings | paths,
    )
    told = (measure_sampled if of is None else measure_of)(asked, listener or Silent())
    return Measured(pd.read_csv(out), told)


def _asked_levels(
    levels: Sequence[int] | Literal["all"] | None, of: str | Path | None
) -> tuple[int, ...] | None:
    """As `MeasureSettings` has them: None is all."""
    if levels is None:
        return (-1,) if of is None else None
    return None if isinstance(levels, str) and levels == "all" else whole_numbers("levels", levels)


def export(
    pareto: ParetoTable | str | Path,
    out: str | Path,
    *,
    ids: str | Sequence[str] = (),
    one_latency: bool = False,
    every_subnet: bool = False,
    supernet: str | None = None,
    data: str | Path | None = None,
    bn_cache: str | Path | None = None,
    traces: bool = False,
    half: bool = False,
    precision: str | None = None,
    standalone: bool = False,
    command: str = "",
    step: Step | None = None,
) -> Manifest:
    """Write points of a table as ONNX segments into the new folder `out`, checked, with a manifest.

    `pareto` may be the folder of `nas.prune` too: its network, with kernels for the CPU. Or it is a
    file with one of once-for-all's configurations, of the folder `supernet`.
    `ids` name the points; without them it is the front of all levels, with `one_latency` for every
    clock the ratio of an All-in-One supernet that holds the latency, with `every_subnet` each of a
    few groups or ratios once, at its fastest level. `supernet` is a name of the
    zoo or a folder, without it the one of the table. Batch norm takes its statistics from the
    training images in `data`, from the file `bn_cache`, or from those that ship with the supernet.
    `precision` is fp32, fp16 (`half` says the same) or int8, which is quantised with images of
    `data` and gets temperatures and thresholds of its own. `traces` keeps what every exit says of
    the validation images. All networks share one set of weights; `standalone` puts them into every
    graph, as TensorRT needs it and int8 has it. `step(what, done, total)` is told how far it is.
    InputError: what cannot be used.

    >>> import nas
    >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
    >>> point = table.cheapest(max_error_pct=9)
    >>> manifest = nas.export(table, "board", ids=point["id"])
    >>> manifest.ids == [point["id"]]
    True
    """
    from nas.runtime import Manifest

    try:
        from nas.export import configurations
        from nas.export.asked import plan_asked
        from nas.export.step import no_step
        from nas.export.write import check_asked, write_export
    except ModuleNotFoundError as error:
        raise InputError(
            f"an export needs {error.name}, which is not installed: pip install 'nas[export]'"
        ) from None
    if half and precision not in (None, "fp16"):
        raise InputError(f"`half` and `precision` {precision} were asked; leave one out")
    precision = precision or ("fp16" if half else "fp32")
    check_asked(Path(out), precision)
    if one_latency and every_subnet:
        raise InputError("`one_latency` and `every_subnet` were asked; leave one out")
    if one_latency or every_subnet:
        chosen = configurations.one_latency if one_latency else configurations.every_subnet
        check_not_given({"ids": ids}, f"points; `{chosen.__name__}` chooses them")
        pareto = pareto if isinstance(pareto, ParetoTable) else read_pareto(pareto)
        ids = [point["id"] for point in chosen(pareto)]
    plan = plan_asked(
        pareto if isinstance(pareto, ParetoTable) else Path(pareto),
        supernet,
        precision,
        ids=[ids] if isinstance(ids, str) else ids,
        data=None if data is None else Path(data),
        bn_cache=None if bn_cache is None else Path(bn_cache),
        traces=traces,
        standalone=standalone,
        step=step or no_step,
    )
    return Manifest(str(out), write_export(plan, Path(out), precision, command=command))


def prune(
    net: str | Path | nn.Module,
    out: str | Path,
    *,
    data: str | Path | None = None,
    subnet: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    listener: Callable[[Progress], object] | None = None,
    command: str = "",
    **settings: Any,
) -> dict[str, Any]:
    """Prune a network in blocks while it is trained, and pack it for the kernels into `out`.

    `net` is a supernet (zoo name or folder; `subnet` of it, its largest without),
    `FILE.py:FUNCTION` of yours that returns a trained torch network, or the network itself. That
    stays as it is: a copy is trained, whose weights are `out`/weights.safetensors. `data` are the
    images; `mean` and `std`, per channel, are how they were normalised where a network of yours was
    trained, without them those of `data`. `settings` are fields of
    `supernets.pruning.PruneSettings`, such as `g`, `sparsity`, `epochs` and `method`. A rerun with
    the same `out` goes on where one stopped; `listener` is told every step. Returns what
    `pruned.json` says: accuracy and time, before and after, measured. InputError: what cannot be
    used.
    """
    from nas.files import check_place, exclusive, prepare_folder
    from nas.zoo.networks import normalised
    from nas.zoo.pruned import named_network, prune_folder, read_pruned
    from supernets import bare, bf16_pays, copied, load_dataset
    from supernets.pruning import PruneSettings

    folder = None if data is None else Path(data)
    check_place(Path(out))
    known = {field.name for field in fields(PruneSettings)}
    if unknown := sorted(set(settings) - known):
        raise TypeError(f"prune() has no argument {unknown[0]!r}")
    name = str(net) if isinstance(net, str | PathLike) else None
    if name is not None:
        network, images = named_network(name, subnet, folder, mean, std)
    else:
        network = copied(bare(net, "`net`, where it is no name or path,"))
        images = normalised(load_dataset(folder), mean, std)
    asked = PruneSettings(**{"bf16": bf16_pays(), **settings})
    steps = prune_folder(
        *(network, images, asked, Path(out)), name=name, subnet=subnet, command=command
    )
    prepare_folder(Path(out))
    with exclusive(Path(out), "pruning"):
        for progress in steps:
            if listener:
                listener(progress)
    return read_pruned(Path(out))
