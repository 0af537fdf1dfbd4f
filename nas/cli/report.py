"""`nas report`: look at a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    pareto: Annotated[Path, typer.Option(help="A pareto.json of `nas search`.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default beside it.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write only.")] = False,
) -> None:
    """Print the knee point of every level and write the HTML report.

    Example: `nas report --pareto runs/xavier-nx/pareto.json`
    """
    from nas.cli.tables import print_result
    from nas.files import prepare_folder
    from nas.pareto import read_pareto
    from nas.report import write_report

    table = read_pareto(pareto)
    out = out or pareto.with_name("report.html")
    prepare_folder(out.parent)
    write_report(table.content, out, knees=table.knees())
    if not quiet:
        print_result(table, pareto, out)
