"""`nas report`: look at one result, or at several together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    pareto: Annotated[
        list[Path], typer.Option(help="A pareto.json of `nas search`; again for several.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default beside the one result.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write only.")] = False,
) -> None:
    """Print what to run and every level, and write the HTML report.

    Several results become one page: a limit is answered by the cheapest point of them all.

    Example: `nas report --pareto runs/xavier-nx/pareto.json`
    """
    from nas.cli.tables import print_result
    from nas.files import check_apart
    from nas.pareto import read_pareto
    from nas.report import write_report
    from search_spaces import InputError

    if out is None and len(pareto) > 1:
        raise InputError("several `pareto` need `out`, the file of the page about them all")
    check_apart("out", out, *pareto)
    tables = [read_pareto(path) for path in pareto]
    if empty := [path for table, path in zip(tables, pareto, strict=True) if not table.points]:
        raise InputError(f"{empty[0]} has no points: there is nothing to run; search again")
    out = out or pareto[0].with_name("report.html")
    write_report(tables, pareto, out)
    if not quiet:
        for number, (table, path) in enumerate(zip(tables, pareto, strict=True)):
            print_result(table, path, out, legend=number == 0)
