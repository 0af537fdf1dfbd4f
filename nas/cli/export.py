"""`nas export`: points of a table as ONNX files for a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from nas.cli.options import Quiet
from nas.given import check_not_given
from nas.words import counted


def export(
    pareto: Annotated[
        Path, typer.Option(help="pareto.json; a folder of `nas prune`; OFA's net.config.")
    ],
    out: Annotated[Path, typer.Option(help="New folder.")],
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="A point; the table's front without it.")
    ] = None,
    one_latency: Annotated[
        bool,
        typer.Option(
            "--one-latency",
            help="Of an All-in-One supernet, for every clock: the ratio that holds the latency.",
        ),
    ] = False,
    every_subnet: Annotated[
        bool,
        typer.Option(
            "--every-subnet",
            help="Of groups or ratios: each once, also those that another point beats.",
        ),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Training images, for batch norm and for the check.")
    ] = None,
    bn_cache: Annotated[
        Path | None,
        typer.Option(help="Statistics of `nas supernet calibrate`; the zoo has its own."),
    ] = None,
    supernet: Annotated[
        str | None, typer.Option(help="Zoo name or folder; the table's own without it.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="fp32|fp16|int8", help="Arithmetic; int8 needs --data.  [fp32]"),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="As --precision fp16.")] = False,
    traces: Annotated[
        bool, typer.Option("--traces", help="What every exit says of the images in DATA, too.")
    ] = False,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Weights inside every file, as for TensorRT.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="onnx|ofa", help="ofa: configurations alone.")
    ] = "onnx",
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Write configurations as ONNX segments with manifest and README, checked with ONNX Runtime.

    Example: `nas export --pareto run/pareto.json --data cifar-10-batches-bin --out board`

    `--precision int8` quantises with training images of --data and fits temperatures and thresholds
    of every exit again, so that as many images leave there; errors are then those of test images.

    `--format ofa` writes subnets of once-for-all as its tools read them, ID.json with ks, e, d and
    image_size; it needs neither weights nor images.
    """
    if format_ != "onnx":
        networks = {"supernet": supernet, "data": data, "bn_cache": bn_cache, "fp16": fp16}
        networks |= {"precision": precision, "traces": traces, "standalone": standalone}
        networks |= {"one_latency": one_latency, "every_subnet": every_subnet, "json": json}
        check_not_given(networks, f"networks; --format {format_} writes none")
        _configurations(format_, pareto, out, id_ or (), quiet=quiet)
        return
    from nas.api import export as write_points
    from nas.cli.output import Steps, command_line, console, print_json

    with Steps(console(quiet=quiet)) as steps:
        manifest = write_points(
            pareto,
            out,
            ids=id_ or (),
            one_latency=one_latency,
            every_subnet=every_subnet,
            supernet=supernet,
            data=data,
            bn_cache=bn_cache,
            traces=traces,
            half=fp16,
            precision=precision,
            standalone=standalone,
            command=command_line(),
            step=steps,
        ).content
    if json:
        print_json(manifest)
        return
    from nas.export.carry import START
    from nas.export.readme import int8_told, predicted_statistics

    checked, n_bytes = manifest["verified"], sum(f["bytes"] for f in manifest["files"].values())
    log = console(quiet=quiet)
    log.print(
        f"{counted(len(manifest['configurations']), 'configuration')}, "
        f"{counted(len(manifest['networks']), 'network')}, "
        f"{counted(len(manifest['files']), 'file')} ({n_bytes / 1e6:.1f} MB) in {out}\n"
        f"ONNX Runtime on {checked['n_images']} images ({checked['images']}), measured: logits "
        f"within {checked['max_logit_difference']:g}, {checked['equal_decisions']} of "
        f"{checked['decisions']} decisions equal"
    )
    found = int8_told(manifest), predicted_statistics(manifest), manifest.get("not_shared")
    for told in found:
        if told:
            log.print(told)
    log.print(f"next: python3 {quote(str(out / START))} classify IMAGE", soft_wrap=True)


def _configurations(
    format_: str, pareto: Path, out: Path, ids: Sequence[str], *, quiet: bool
) -> None:
    from nas.cli.output import console
    from nas.export.configurations import write_ofa
    from nas.pareto import read_pareto
    from search_spaces import InputError

    if format_ != "ofa":
        raise InputError(f"--format must be onnx or ofa, got {format_!r}")
    files = write_ofa(read_pareto(pareto), out, ids=ids)
    console(quiet=quiet).print(f"{counted(len(files), 'configuration')} in {out}", soft_wrap=True)
