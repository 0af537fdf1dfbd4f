"""`nas govern`: one program that chooses subnet, exits and clock, on a board or simulated."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from nas.given import check_not_given, whole_number

KEPT = "What is asked of it"
SIMULATED = "Simulated"
BOARD = "On a board"  # titles of the help
WIDE = 110  # columns of a terminal that has room for all figures
LEGEND = (
    "a: the largest subnet; b: the cheapest single subnet that meets the floor; best fixed: one "
    "choice in hindsight; bound: knows all frames and switches for free"
)
NO_B = (
    "no rows with b: the table has no subnet without early exits within the floor; one that is "
    "exported with `--traces` has them"
)


def govern(
    manifest: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of `nas export`; on a board once for each model that shares it."),
    ] = None,
    pareto: Annotated[Path | None, typer.Option(help="pareto.json: to simulate only.")] = None,
    target_ms: Annotated[
        list[float] | None,
        typer.Option(
            help="From a frame's arrival to its last answer; one for all models, or one each.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    floor_error_pct: Annotated[
        list[float] | None,
        typer.Option(
            help="Largest error, one for all models, or one each; without it the largest "
            "subnet's + 1 point, on a board any.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    power_w: Annotated[
        float | None,
        typer.Option(help="Whole board, while a frame runs.", rich_help_panel=KEPT),
    ] = None,
    energy_mj: Annotated[
        float | None, typer.Option(help="Whole board, of one image.", rich_help_panel=KEPT)
    ] = None,
    temperature_c: Annotated[
        float | None, typer.Option(help="Slower clocks above it.", rich_help_panel=KEPT)
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            metavar="time|accuracy|energy", help="What is kept longest.", rich_help_panel=KEPT
        ),
    ] = "time",
    simulate: Annotated[
        str | None,
        typer.Option(
            help="A load by name (bursts, constant, changing, ...).", rich_help_panel=SIMULATED
        ),
    ] = None,
    arrivals: Annotated[
        Path | None,
        typer.Option(
            help="Lines `ms,images` that arrive instead of the load's own.",
            rich_help_panel=SIMULATED,
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="To compare with: a kernel's governor, best fixed, ...", rich_help_panel=SIMULATED
        ),
    ] = None,
    traces: Annotated[
        Path | None,
        typer.Option(
            help="traces.npz of `nas export --traces`; the manifest's own.",
            rich_help_panel=SIMULATED,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed draws the same frames.", show_default="0", rich_help_panel=SIMULATED
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Time lines as HTML.", rich_help_panel=SIMULATED)
    ] = None,
    period_ms: Annotated[
        list[float] | None,
        typer.Option(
            help="A frame every so often (100); one for all models, or one each.",
            rich_help_panel=BOARD,
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help=".npy of uint8 images (N, C, H, W); one for all models, or one each.",
            rich_help_panel=BOARD,
        ),
    ] = None,
    n_images: Annotated[
        list[int] | None,
        typer.Option(
            help="Images of a frame (1); one for all models, or one each.", rich_help_panel=BOARD
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Where its state is written, as JSON.",
            show_default="governor.json",
            rich_help_panel=BOARD,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Of Prometheus text; 0: none.", show_default="0", rich_help_panel=BOARD),
    ] = None,
    memory_mb: Annotated[
        float | None,
        typer.Option("--memory", help="MB of prepared networks.", rich_help_panel=BOARD),
    ] = None,
    root: Annotated[Path, typer.Option(help="Root of the board's files.", hidden=True)] = Path("/"),
    seconds: Annotated[float, typer.Option(help="How long; 0 on a board: until Ctrl-C.")] = 60.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the rows.")] = False,
) -> None:
    """Choose subnet, exits and clock for every frame: in time, within the floor, least energy.

    Example: `nas govern --pareto runs/xavier-nx/pareto.json --simulate bursts`

    On the board: `nas govern --manifest board --target-ms 20 --floor-error-pct 9`

    Two models: `nas govern --manifest A --manifest B --target-ms 20 --target-ms 90`
    """
    from nas.board.control.sysfs import BoardError
    from nas.runtime.manifest import ManifestError
    from nas.runtime.policies import Demands
    from nas.start.govern import check_positive, one_each
    from search_spaces import InputError

    folders = manifest or []
    if bool(folders) == (pareto is not None):
        raise InputError("give `manifest` (a folder of nas export) or `pareto`, one of them")
    if not 0 <= seconds < float("inf"):
        raise InputError(f"`seconds` must be 0 or more, got {seconds:g}")
    simulated = simulate is not None or arrivals is not None
    if simulated:
        check_not_given(
            {"period_ms": period_ms, "images": images, "n_images": n_images},
            "a board: a simulated load is known by its name, or in `arrivals`",
        )
        check_not_given(
            {"state": state, "port": port, "memory_mb": memory_mb},
            "a board: leave it out of a simulation",
        )
        if seconds == 0:
            raise InputError(
                "`seconds` must be above 0 in a simulation, got 0; 0 is for a board, until Ctrl-C"
            )
    else:
        check_not_given(
            {"baseline": baseline, "traces": traces, "report": report, "seed": seed},
            "a simulation: give `simulate` too",
        )
    try:
        check_positive(
            target_ms=target_ms or [],
            floor_error_pct=floor_error_pct or [],
            power_w=[power_w],
            energy_mj=[energy_mj],
            temperature_c=[temperature_c],
        )
        n = max(len(folders), 1)
        targets = one_each("target_ms", target_ms or [0.0], n)
        floors = one_each("floor_error_pct", floor_error_pct or [0.0], n)
        asked = [
            Demands(target, floor, power_w, energy_mj, temperature_c, policy)
            for target, floor in zip(targets, floors, strict=True)
        ]
        if simulated:
            from nas.cli.govern_simulate import Asked, simulate_governor
            from nas.cli.output import Steps, console

            if len(folders) > 1:
                raise InputError(
                    "`simulate` takes one `manifest`; loads of two models: odroid-two, nx-two"
                )
            drawn = whole_number("seed", seed or 0, 0)
            load = Asked(simulate or "constant", arrivals, traces, seconds, drawn)
            folder = folders[0] if folders else None
            with Steps(console(quiet=quiet)) as steps:
                found = simulate_governor(
                    folder, pareto, load, asked[0], baseline or [], report, steps
                )
            show(found, quiet=quiet, as_json=json)
            if report is not None:
                log, path = console(quiet=quiet or json), shlex.quote(str(report))
                log.print(f"open: {path}", soft_wrap=True, markup=False)
            return
        if not folders or target_ms is None:
            raise InputError(
                "a board needs `manifest` and `target_ms`; to look without one, give `simulate`"
            )
        from nas.cli.govern_board import Running, govern_board

        frames = period_ms or [100.0], images or [], n_images or [1]
        written = state or Path("governor.json")
        running = Running(*frames, seconds, written, port or 0, root, memory_mb)
        govern_board(folders, asked, running, quiet=quiet)
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install {error.name}") from None
    except (ManifestError, BoardError) as fault:
        raise InputError(str(fault)) from None


def show(rows: list[dict[str, object]], *, quiet: bool, as_json: bool) -> None:
    """The rows as a table, or as JSON."""
    from nas.cli.output import console, print_json

    if as_json:
        print_json(rows)
        return
    from rich import box
    from rich.table import Table

    log = console(quiet=quiet)
    columns = {
        "agent": "governor",
        "mj_per_frame": "mJ",
        "late_pct": "late %",
        "error_pct": "error %",
    }
    if log.width >= WIDE:
        columns |= {"mj_above_idle": "above idle", "switches_per_s": "clock/s"}
        columns |= {"drops_per_s": "drops/s", "changes_per_s": "config/s"}
    table = Table(box=box.SIMPLE_HEAD)
    for name, title in columns.items():
        left = name == "agent"
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(title, justify=justify, no_wrap=not left)
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        shown = [f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells]
        table.add_row(*("-" if c is None else text for c, text in zip(cells, shown, strict=True)))
    log.print("SIMULATED: energy of the whole board per completed frame, mJ", style="bold")
    log.print(table)
    log.print(LEGEND, markup=False)
    agents = [str(row["agent"]) for row in rows]
    if any(a.endswith(" + a") for a in agents) and not any(a.endswith(" + b") for a in agents):
        log.print(NO_B, style="yellow", markup=False)
