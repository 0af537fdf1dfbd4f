"""`nas supernet calibrate`: batch-norm statistics for the points of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Data, Quiet
from nas.words import counted


def calibrate(
    name: Annotated[str, typer.Argument(help="Name from the zoo, or a folder.")],
    pareto: Annotated[
        list[Path],
        typer.Option(help="pareto.json of a search with this supernet; again for another."),
    ],
    out: Annotated[Path, typer.Option(help="File for the statistics (nas.bn/1).")],
    data: Data = None,
    images: Annotated[int, typer.Option(min=1, help="Training images, 2000 at most.")] = 2000,
    samples: Annotated[
        int, typer.Option(min=0, help="Random subnets on top: others are predicted from all.")
    ] = 0,
    quiet: Quiet = False,
) -> None:
    """Measure the batch-norm statistics of every point, so that switching needs no images.

    Example: `nas supernet calibrate mynet --pareto run/pareto.json --data myimages --out bn.st`
    """
    from nas.cli.output import command_line, console, print_next, progress
    from nas.files import check_apart
    from nas.pareto import read_pareto
    from nas.zoo.calibrated import calibrate_points
    from nas.zoo.folder import supernet_folder

    check_apart("out", out, *pareto)
    tables = [read_pareto(path) for path in pareto]
    run = calibrate_points(
        *(tables, supernet_folder(name), data, out),
        n_images=images,
        n_samples=samples,
        command=command_line(),
    )
    log = console(quiet=quiet)
    with progress(log) as bar:
        task = bar.add_task("calibrate", total=None, note="")
        for done, total in run:
            bar.update(task, completed=done, total=total)
    log.print(f"statistics of {counted(total, 'subnet')} in {out}", soft_wrap=True, markup=False)
    given = ["--pareto", pareto[0], "--supernet", name, "--bn-cache", out]
    print_next(log, "export", *given, "--out", "board")
