"""`nas search`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nas.pareto import ParetoTable
    from nas.search.front.shared_set import SharedContent

RENAMED = {"samples": "n_target_rows", "points": "n_points"}
SHOWN = ("device", "plan", "resume", "overwrite", "json", "quiet")  # are no settings of a search
TARGET = "Target"
NETWORKS = "What is searched"
COSTS = "Costs of the target"
LIMITS = "Limits"
SEARCH = "Search"
IMAGES = "Accuracy from images"
OUTPUT = "Study and output"  # titles of the help


def search(
    device: Annotated[
        list[str],
        typer.Option(
            help="Target; give it again for several. `nas devices` lists them.",
            rich_help_panel=TARGET,
        ),
    ],
    power_mode: Annotated[
        str | None,
        typer.Option(
            help="One that `nas devices NAME` lists; its usual one.", rich_help_panel=TARGET
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="tensorrt, pytorch, onnxruntime, ncnn, ...: one that `nas devices NAME` lists.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="fp32|fp16|int8",
            help="Arithmetic; the usual one of the device.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per inference.", rich_help_panel=TARGET)] = 1,
    supernet: Annotated[
        str, typer.Option(help="Name from the zoo, or a folder.", rich_help_panel=NETWORKS)
    ] = "auto",
    space: Annotated[
        str | None, typer.Option(help="Space without a supernet.", rich_help_panel=NETWORKS)
    ] = None,
    accuracy_table: Annotated[
        Path | None,
        typer.Option(help="CSV `subnet, top1_error_pct` for --space.", rich_help_panel=NETWORKS),
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(
            help="Whose rows predict the target: auto (those shipped), a device, a file.",
            rich_help_panel=COSTS,
        ),
    ] = "auto",
    measurements: Annotated[
        Path | None,
        typer.Option(help="Rows measured on the target (CSV or Parquet).", rich_help_panel=COSTS),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="Only write the rows to measure on the target, then stop.", rich_help_panel=COSTS
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            help="Rows of the target that correct the proxy, 8 or more.", rich_help_panel=COSTS
        ),
    ] = 24,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Subnets to search: 1000, with --resume as many as before.", rich_help_panel=SEARCH
        ),
    ] = None,
    sampler: Annotated[
        str,
        typer.Option(
            metavar="nsga2|surrogate|optuna:NAME",
            help="surrogate: fewer subnets, chosen by a model; NAME as in optuna:TPESampler.",
            rich_help_panel=SEARCH,
        ),
    ] = "nsga2",
    population: Annotated[
        int, typer.Option(help="Subnets of a generation.", rich_help_panel=SEARCH)
    ] = 50,
    objectives: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="latency_worst_ms|params",
            help="Minimise this as well as error, latency and energy.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    clocks: Annotated[
        str,
        typer.Option(
            metavar="gpu|all",
            help="all: CPU and memory clocks are searched too.",
            rich_help_panel=TARGET,
        ),
    ] = "gpu",
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same file.", rich_help_panel=SEARCH)
    ] = 0,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Mean over the images.", rich_help_panel=LIMITS)
    ] = None,
    max_worst_latency_ms: Annotated[
        float | None, typer.Option(help="Of an image that takes no exit.", rich_help_panel=LIMITS)
    ] = None,
    max_energy_mj: Annotated[
        float | None, typer.Option(help="Mean over the images.", rich_help_panel=LIMITS)
    ] = None,
    max_error_pct: Annotated[
        float | None, typer.Option(help="Images answered wrongly.", rich_help_panel=LIMITS)
    ] = None,
    max_params: Annotated[
        float | None,
        typer.Option(
            help="Weights of the subnet with its exits, as in 250000.", rich_help_panel=LIMITS
        ),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="DVFS levels that may be used: `0,4,8-14`, `0,3,-1` (-1: fastest) or `all`.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop once so many generations add less than 0.1 % of hypervolume.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    warm_start: Annotated[
        Path | None,
        typer.Option(
            help="An earlier pareto.json: its subnets come first.", rich_help_panel=SEARCH
        ),
    ] = None,
    instant: Annotated[
        bool,
        typer.Option(
            "--instant",
            help="No search: a trained optimiser proposes 100 subnets. Pays where scoring is slow; "
            "with the zoo a search is as fast.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    optimiser: Annotated[
        Path | None,
        typer.Option(
            help="Folder of it for --instant; trained there if missing.", rich_help_panel=SEARCH
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images: verify the points on the test split.", rich_help_panel=IMAGES),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            help="Run every subnet on validation images of --data.",
            rich_help_panel=IMAGES,
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT|local",
            help="--evaluate on a Ray cluster.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    ray_async: Annotated[
        bool,
        typer.Option(
            "--ray-async", help="Wait for no slow node; not reproducible.", rich_help_panel=IMAGES
        ),
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna database URL, or a file NAME.journal.", rich_help_panel=OUTPUT),
    ] = None,
    study: Annotated[
        str, typer.Option(help="Name of the study in --storage.", rich_help_panel=OUTPUT)
    ] = "nas",
    points: Annotated[
        int | None,
        typer.Option(help="Points kept per level, 5 or more: 24.", rich_help_panel=OUTPUT),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; runs/DEVICE without it.", rich_help_panel=OUTPUT)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out.", rich_help_panel=OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run there.", rich_help_panel=OUTPUT)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print pareto.json.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress, no table.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Find subnet, exits and clocks: one Pareto set per DVFS level of a device.

    Example: `nas search --device xavier-nx --out runs/xavier-nx`
    """
    given = dict(locals())
    if not quiet:  # before libraries are loaded, which takes seconds
        print(f"nas search for {', '.join(device)}", file=sys.stderr, flush=True)
    from nas.cli.output import console, waiting
    from nas.cli.search_screen import SearchScreen
    from search_spaces import InputError

    if resume and overwrite:
        raise InputError("`resume` and `overwrite` exclude each other; give one of them")
    log = console(quiet=quiet)
    if plan is not None:
        with waiting(log, "choosing the rows to measure"):
            from nas.api import search_settings
            from nas.cli.plan import print_plan

            asked = _arguments(given)
            print_plan(search_settings(device, **asked), plan, log)
        return
    with SearchScreen(log) as screen:
        from nas.api import search_settings
        from nas.search import search_devices

        settings = search_settings(device, resume=resume, **_arguments(given))
        screen.ask(settings.n_trials)
        tables, shared = search_devices(
            settings, resume=resume, overwrite=overwrite, listener=screen
        )
    folder, files = settings.folder, "pareto.json, pareto.csv, report.html"
    journal = "" if instant or storage else ", study.journal"
    if shared is None:
        log.print(f"files: {folder}/{files}{journal}", soft_wrap=True, markup=False)
    else:
        told = f"files: {folder}/shared.json, report.html{journal}, DEVICE/{{{files}}}"
        log.print(told, soft_wrap=True, markup=False)
    if json or not quiet:
        _print(tables, shared, folder, data, json=json)


def search_folder(devices: list[str]) -> Path:
    """Where a search without `--out` writes."""
    return Path("runs") / "+".join(Path(name).stem for name in devices)


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The command's options as the arguments of `nas.search`, most of which have their names."""
    from nas.cli.options import parse_levels
    from nas.cli.output import command_line
    from nas.pareto import OBJECTIVES

    levels = given["levels"]
    changed = {
        "out": given["out"] or search_folder(given["device"]),
        "levels": None if levels is None else parse_levels(levels),
        "objectives": (*OBJECTIVES, *(given["objectives"] or ())),
        "evaluate": given["evaluate"] or given["ray"] is not None,
        "command": command_line(),
    }
    return {str(RENAMED.get(k, k)): v for k, v in (given | changed).items() if k not in SHOWN}


def _print(
    tables: list[ParetoTable],
    shared: SharedContent | None,
    folder: Path,
    data: Path | None,
    *,
    json: bool,
) -> None:
    from nas.cli.output import print_json
    from nas.cli.tables import print_result, print_shared

    if json and shared is None:
        print_json(tables[0].content)
    elif json:
        print_json({"shared": shared, "devices": [table.content for table in tables]})
    else:
        if shared is not None:
            print_shared(shared)
        for number, table in enumerate(tables):
            home = folder if shared is None else folder / table.content["device"]["name"]
            files = home / "pareto.json", home / "report.html"
            print_result(table, *files, legend=number == 0, data=data)
