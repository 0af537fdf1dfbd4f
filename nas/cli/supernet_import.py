"""`nas supernet import`: weights of the public once-for-all networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Quiet


def import_(
    source: Annotated[
        str, typer.Argument(metavar="FILE|DIR|NAME", help="OFA checkpoint, or its official name.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for weights and card.")],
    exits: Annotated[
        str, typer.Option(help="Stages that get an untrained early exit, for example 1,2.")
    ] = "",
    sha256: Annotated[str | None, typer.Option(help="Refuse a file with another checksum.")] = None,
    quiet: Quiet = False,
) -> None:
    """Import a once-for-all MobileNetV3, ProxylessNAS or ResNet50 of the `ofa` package.

    A folder with `net.config` is one of its specialised networks.

    A NAME is looked up where `ofa` keeps its downloads; nothing is fetched.

    Example: `nas supernet import ofa_mbv3_d234_e346_k357_w1.0 --out ofa-imagenet`
    """
    from nas.cli.output import command_line, console
    from nas.zoo.imported import import_ofa
    from search_spaces import InputError

    try:
        stages = [int(stage) for stage in exits.split(",") if stage]
    except ValueError:
        raise InputError(f"--exits must look like 1,2, got {exits!r}") from None
    net, entry = import_ofa(source, out, exits=stages, sha256=sha256, command=command_line())
    log = console(quiet=quiet)
    log.print(f"{net.space.name} in {out}; next: nas supernet info {out}", soft_wrap=True)
    if entry is None:
        log.print(f"no accuracies: `nas supernet evaluate {out} --data IMAGES` measures them")
    else:
        log.print(f"accuracies: {entry.accuracies()}; to run points on images:")
        search = f"nas search --device xavier-nx --supernet {out} --data IMAGENET"
        log.print(search, soft_wrap=True)
