"""`nas supernet import`: weights of the public once-for-all networks."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
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
    log, name = console(quiet=quiet), quote(str(out))
    told = [f"{net.space.name} in {out}; next: nas supernet info {name}"]
    if entry is None:
        told += [f"no accuracies: `nas supernet evaluate {name} --data IMAGES` measures them"]
    else:
        told += [
            f"accuracies: {entry.accuracies()}; to run points on images:",
            f"nas search --device xavier-nx --supernet {name} --data IMAGENET",
        ]
    log.print("\n".join(told), soft_wrap=True, markup=False)
