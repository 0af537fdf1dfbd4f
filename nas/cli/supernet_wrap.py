"""`nas supernet wrap`: a trained torch network of the user's own becomes a supernet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Data, Mean, Quiet, Resolution, Std, parse_floats


def wrap(
    out: Annotated[Path, typer.Option(help="New folder for weights and card.")],
    network: Annotated[
        str | None,
        typer.Argument(metavar="FILE.py:FUNCTION", help="What returns your trained network."),
    ] = None,
    timm: Annotated[
        str | None, typer.Option(metavar="NAME", help="A network of timm instead of your own.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Its trained weights, a safetensors file.")
    ] = None,
    data: Data = None,
    resolution: Resolution = None,
    mean: Mean = None,
    std: Std = None,
    exits: Annotated[
        str | None, typer.Option(help="Places that get an early exit, such as 2,4; '' for none.")
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            metavar="taylor|l2|none", help="What makes a channel important: taylor needs images."
        ),
    ] = "taylor",
    quiet: Quiet = False,
) -> None:
    """Make a supernet of a trained torch network: elastic widths and depths, early exits.

    The network is traced; its code is not needed afterwards.

    Example: `nas supernet wrap mymodel.py:build --data myimages --out mynet`
    """
    from dataclasses import replace

    from nas.cli.output import command_line, console, print_next
    from nas.cli.supernet_data import read_images, say_digits
    from nas.zoo.networks import own_network, timm_network, with_weights
    from nas.zoo.wrapped import wrap_folder
    from search_spaces import InputError

    if (network is None) == (timm is None):
        raise InputError("give either FILE.py:FUNCTION or --timm NAME")
    own = None if network is None else own_network(network)
    log = console(quiet=quiet)
    dataset = read_images(data, log, resolution=resolution)
    if data is None:
        say_digits(log, dataset.resolution)
    found = own or timm_network(timm or "", dataset.n_classes, dataset.channels)
    found = found if weights is None else with_weights(found, weights)
    given = parse_floats("mean", mean), parse_floats("std", std)
    found = replace(found, mean=given[0] or found.mean, std=given[1] or found.std)
    try:
        made = wrap_folder(
            *(found, dataset, out),
            exits=None if exits is None else _places(exits),
            order=order,
            command=command_line(),
        )
    except InputError as error:
        if data is None and "does not run on these images" in str(error):
            raise InputError(f"{error}; these are grey digits, give others with `data`") from None
        raise
    space = made.supernet.space
    log.print(
        f"{found.name} is right about {made.right} of {made.images} validation images; should it"
        " do better, see --mean, --std and the order of the classes\n"
        f"elastic groups of channels: {len(space.widths)}, residual blocks that can be left out: "
        f"{len(space.blocks)}\n"
        f"early exits: {space.n_exits}, places for them in card.md: {len(made.places)}",
        markup=False,
    )
    log.print(f"supernet in {out}", soft_wrap=True, markup=False)
    trained = ["--start", out, "--out", f"{out}-trained", *(["--data", data] if data else [])]
    print_next(log, "supernet", "train", *trained)


def _places(text: str) -> list[int]:
    from search_spaces import InputError

    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise InputError(f"--exits must look like 2,4, got {text!r}") from None
