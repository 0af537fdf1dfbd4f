"""`nas supernet points`: every configuration at every clock of every processor of a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json


def points(
    folder: Annotated[str, typer.Argument(help="Zoo name or folder of an evaluated supernet.")],
    device: Annotated[list[str], typer.Option(help="A board; give it again for more.")],
    batch: Annotated[int, typer.Option(help="Images per inference.")] = 1,
    out: Annotated[Path | None, typer.Option(help="All points as CSV.")] = None,
    json: Json = False,
) -> None:
    """How far time and energy reach: over all operating points, and over those nothing beats.

    A point is an evaluated configuration, its last exit, a processor or cluster, cores and a clock.

    Example: `nas supernet points mynet --device odroid-xu3 --device nano`
    """
    from rich.console import Console

    from nas.cli.output import print_json
    from nas.devices.library import load_profile
    from nas.files import write_for_user
    from nas.operating import csv_of, dynamic_range, operating_points, text_of
    from nas.zoo.folder import folder_table, supernet_folder
    from supernets import load_supernet

    found = supernet_folder(folder)
    space = load_supernet(found / "weights.safetensors")[0].space
    table = folder_table(found, space)
    names = map(str, space.subnets(table.genes))
    errors = dict(zip(names, table.top1_error_pct[:, 0].tolist(), strict=True))
    profiles = [load_profile(name) for name in device]
    by_device = {p.name: operating_points(p, space, errors, batch=batch) for p in profiles}
    ranges = [dynamic_range(p, by_device[p.name]) for p in profiles]
    if out is not None:
        write_for_user(out, csv_of(by_device))
    if json:
        print_json([dict(found) for found in ranges])
        return
    shown = Console(highlight=False)
    for reach in ranges:
        shown.print(text_of(reach), soft_wrap=True)
