"""`nas measure`: rows of real or simulated cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def measure(
    out: Annotated[Path, typer.Option(help="CSV of rows; a file that exists is continued.")],
    device: Annotated[
        str | None, typer.Option(help="`host`, or a profile that `nas devices` lists.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Search space; `nas spaces` lists them.")
    ] = None,
    of: Annotated[
        Path | None,
        typer.Option(help="Measure what this asks for: a plan, or a pareto.json to verify."),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Points per level, spread over the front (--of pareto.json).")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Subnets, from small to large.", show_default="320")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            "--levels",
            "--level",
            help="DVFS levels: `0,4,8-14`, `0,3,-1` (-1: fastest) or `all`.",
            show_default="-1; those of --of",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="On host pytorch, pytorch-compiled, onnxruntime, kernels, tensorrt; `a,b`: both."
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="fp32|fp16|int8", help="`a,b`: both.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Images per call; `1,8`: both.", show_default="1")
    ] = None,
    power_mode: Annotated[str | None, typer.Option(help="Power mode of a profile.")] = None,
    remote: Annotated[
        str | None, typer.Option(help="USER@HOST: measure on this board over ssh.")
    ] = None,
    sudo: Annotated[
        bool, typer.Option("--sudo", help="Root on the board by `sudo -n`, to set clocks.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|HOST:PORT|local", help="Nodes of a Ray cluster measure (host)."),
    ] = None,
    repeat: Annotated[int, typer.Option(help="Times that every row is measured.")] = 1,
    per_operator: Annotated[
        bool, typer.Option("--per-operator", help="Measure operators alone: a look-up table.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="Rows of whole programs to compare the table with (--per-operator)."),
    ] = None,
    ofa_lut: Annotated[
        Path | None,
        typer.Option(help="Measure once-for-all's blocks; write DIR/224_lookup_table.yaml."),
    ] = None,
    redo_noisy: Annotated[
        bool, typer.Option("--redo-noisy", help="Measure noisy rows of the file again.")
    ] = False,
    power_log: Annotated[
        Path | None,
        typer.Option(help="Log of tegrastats, jtop or nvidia-smi: energy for rows without it."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Timed seconds per row; on a board 2 at least, with a sensor 5.",
            show_default="0.3",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (host).", show_default="1")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which subnets are drawn, in which order.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The noise as JSON on stdout.")] = False,
) -> None:
    """Measure programs of sampled subnets: every single exit, and all exits together.

    Rows are appended as they are measured, in random order; a killed run goes on where it stopped.
    Ends with how noisy the rows are, and which to measure again.

    With `--of` the programs are those of a file, on its device: of a plan (`nas search --plan`),
    for `nas search --measurements`; or what the points of a pareto.json run, whose costs are then
    put beside the predicted ones, on the screen, in the file and in its report.html.

    `--power-log` adds energy to rows that were measured without a sensor: start the tool, measure
    with `--seconds 6` or more, then give the same command with its log.

    Example: `nas measure --device host --space resnet-cifar --repeat 2 --out rows.csv`

    Example: `nas measure --of runs/nx/pareto.json --remote me@board --points 5 --out rows.csv`
    """
    from nas.api import measure as measure_rows
    from nas.cli.options import parse_levels, parse_names, parse_numbers
    from nas.cli.output import command_line, console, print_json, print_next
    from nas.zoo.folder import is_evaluated, to_evaluate
    from nas.zoo.published import WEIGHTS

    with _Screen(console(quiet=quiet)) as screen:
        told = measure_rows(
            device,
            out=out,
            space=space,
            of=of,
            n_points=points,
            samples=samples,
            levels=None if levels is None else parse_levels(levels) or "all",
            backends=parse_names(backend),
            precisions=parse_names(precision),
            batches=parse_numbers("batch", batch),
            power_mode=power_mode,
            remote=remote,
            sudo=sudo,
            ray=ray,
            repeats=repeat,
            per_operator=per_operator,
            against=against,
            ofa_lut=ofa_lut,
            redo_noisy=redo_noisy,
            power_log=power_log,
            seconds=seconds,
            threads=threads,
            seed=seed,
            command=command_line(),
            listener=screen,
        ).told
    if json:
        print_json(told)
    elif space is not None and (Path(space) / WEIGHTS).is_file() and not per_operator:
        rows = "--proxy" if device == "host" else "--measurements"  # of the target itself
        given = ["--device", device or "host", "--supernet", space, rows, out]
        if not is_evaluated(Path(space)):  # without accuracies a search is refused
            print_next(console(quiet=quiet), *to_evaluate(Path(space)))
        print_next(console(quiet=quiet), "search", *given)


class _Screen:
    """Draws what measuring reports: remarks, and a bar for the rows."""

    def __init__(self, log: Console) -> None:
        from nas.cli.output import end, progress

        self.end, self.log, self.bar = end, log, progress(log)
        self.task = self.bar.add_task("measure", total=None, note="", visible=False)

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end(self.bar)

    def say(self, text: str) -> None:
        self.end(self.bar)
        self.log.print(text, soft_wrap=True, markup=False)

    def row(self, done: int, total: int, note: str) -> None:
        self.bar.update(self.task, completed=done, total=total, note=note, visible=True)
