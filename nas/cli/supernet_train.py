"""`nas supernet train`: from images to a supernet's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Data, Flip, Quiet, Resolution, is_given
from nas.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from supernets.training import Progress

GROUPS = "Of --kind groups"
BLOCKS = "Of --kind blocks"
ALL_IN_ONE = "Of --kind all-in-one"  # titles of the help


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder; one that holds a run is continued.")],
    data: Data = None,
    resolution: Resolution = None,
    flip: Flip = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="elastic|all-in-one|groups|blocks",
            help="elastic: widths and depths. all-in-one: pruning ratios. groups: of channels, "
            "trained one after the other. blocks: elastic, and pruned in blocks.",
        ),
    ] = "elastic",
    groups: Annotated[
        int, typer.Option(help="How many; must divide all channels.", rich_help_panel=GROUPS)
    ] = 4,
    shape: Annotated[
        str,
        typer.Option(help="resnet, alexnet, or a space that is grouped.", rich_help_panel=GROUPS),
    ] = "resnet",
    sparsities: Annotated[
        str,
        typer.Option(help="Shares of weights that a stage may drop.", rich_help_panel=BLOCKS),
    ] = "0,.7,.8,.9",
    ratios: Annotated[
        str | None,
        typer.Option(
            help="Shares of the MACs, falling.  [default: 1,.7,.5,.35,.2]",
            rich_help_panel=ALL_IN_ONE,
        ),
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            metavar="filter|block|pattern", help="What is pruned.", rich_help_panel=ALL_IN_ONE
        ),
    ] = "filter",
    for_device: Annotated[
        str | None,
        typer.Option(
            help="Choose the ratios for the clocks of this device.", rich_help_panel=ALL_IN_ONE
        ),
    ] = None,
    levels: Annotated[
        str,
        typer.Option(
            help="Its levels: `1/4..top`, `0,4,8-14`, or `all`.", rich_help_panel=ALL_IN_ONE
        ),
    ] = "1/4..top",
    frames: Annotated[
        int, typer.Option(help="Images that it runs at once.", rich_help_panel=ALL_IN_ONE)
    ] = 1,
    n_ratios: Annotated[
        int, typer.Option(help="How many ratios to choose.", rich_help_panel=ALL_IN_ONE)
    ] = 5,
    g: Annotated[
        int | None,
        typer.Option(
            "--g",
            help="Output channels of a block: 4 or 8 (--kind blocks: 4; --unit block: 8), or of a "
            "pattern (4).",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 24,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step; 256, or an eighth of a small set.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of docs/training.md."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Start from these weights: a zoo name or a folder.")
    ] = None,
    exits_only: Annotated[
        bool, typer.Option("--exits-only", help="Train early exits; the rest keeps every bit.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    seed: Annotated[int, typer.Option(help="Initial weights and batches.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a supernet on your images; a killed run goes on from its last epoch.

    Example: `nas supernet train --data myimages --out mynet`
    Exits of an imported network in FOLDER: add `--start FOLDER --exits-only`.
    """
    import torch

    from nas.cli.output import console, print_next
    from nas.cli.supernet_data import read_images, show_images
    from nas.cli.supernet_kinds import (
        block_sparse,
        check_grouped,
        check_options,
        grouped,
        supposed_side,
    )
    from nas.cli.supernet_ratios import asked_ratios, check_asked, check_unit
    from nas.files import check_place, prepare_folder
    from search_spaces import InputError, resnet_for
    from supernets import bf16_pays, check_kind
    from supernets.pruning import (
        RatioSettings,
        check_group_settings,
        train_all_in_one,
        train_block_sparse,
        train_groups,
    )
    from supernets.training import TrainSettings, parse_settings
    from supernets.training import train as train_all

    if threads is not None and threads < 1:
        raise InputError(f"`threads` must be at least 1, got {threads}")
    if threads:
        torch.set_num_threads(threads)
    check_place(out)
    check_kind(out / "weights.safetensors", kind)
    check_options(kind, (n for n in context.params if is_given(context, n)))
    if kind == "all-in-one":
        check_asked(ratios, unit, g, for_device, frames, levels, n_ratios)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bf16 = bf16_pays(device)
    given: dict[str, Any] = {"epochs": epochs, "seed": seed, "exits_only": exits_only, "bf16": bf16}
    given |= {} if batch_size is None else {"batch_size": batch_size}
    settings_given = parse_settings(set_ or [])
    if kind == "groups":
        check_group_settings(settings_given, "`set` ")
    given |= settings_given
    settings = TrainSettings(**given)
    if kind == "all-in-one":
        RatioSettings().mask_epochs(settings.epochs)  # refused before images are read
    supposed = supposed_side(data, resolution)
    if kind == "groups":
        check_grouped(shape, groups, start, supposed)
    log = console(quiet=quiet)
    before = None if start is None else _trained(start, out)
    base = resnet_for(supposed, 3, 10) if before is None else before[0].space
    if kind == "blocks":
        block_sparse(base, 4 if g is None else g, sparsities)
    if kind == "all-in-one":
        check_unit(base, unit, g)
    side, channels = (None, None) if before is None else _images_of(before[1])
    side = side if resolution is None else resolution
    dataset = read_images(data, log, resolution=side, channels=channels, flip=flip)
    show_images(dataset, log)
    if "batch_size" not in given:
        settings = replace(settings, batch_size=usual_batch(len(dataset.train)))
    net: Any
    run: Callable[..., Iterator[Progress]] = train_all
    if kind == "groups":
        net, earlier, run = grouped(shape, groups, dataset), None, train_groups
    else:
        net, dataset, earlier = _start(start, before, dataset, seed)
    if kind == "blocks":
        sparse = block_sparse(net.space, 4 if g is None else g, sparsities)
        run = partial(train_block_sparse, space=sparse, trained=start is not None)
    if kind == "all-in-one":
        check_unit(net.space, unit, g)
        shares = asked_ratios(net.space, ratios, for_device, levels, n_ratios, frames, log)
        asked = RatioSettings(shares, unit=unit, g=g or 0)
        run = partial(train_all_in_one, ratios=asked, trained=start is not None)
    prepare_folder(out)
    about = _about(device, dataset, earlier)
    _show(run(net, data=dataset, settings=settings, out=out, device=device, about=about), out, log)
    log.print(f"weights in {out}", soft_wrap=True, markup=False)
    print_next(log, "supernet", "evaluate", out, *([] if data is None else ["--data", data]))


def usual_batch(n: int) -> int:
    """Images in a step, of `n` to train on: an eighth, 8 to 256, and no more than there are."""
    return min(256, max(8, n // 8), n)


def _about(device: str, dataset: Any, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """What a checkpoint says of its run; `earlier` is the history of the weights it began with."""
    import torch

    from nas.cli.output import command_line
    from nas.devices.host import cpu_name

    host = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    return {
        "command": command_line(),
        "host": f"{host}, {counted(torch.get_num_threads(), 'CPU thread')}",
        "data": dataset.describe(),
        "start": earlier,
    }


def _show(steps: Iterator[Progress], out: Path, log: Console) -> None:
    """Train, with a bar; nobody else may train into `out` meanwhile."""
    from nas.cli.output import progress
    from nas.files import exclusive

    with exclusive(out, "training"), progress(log) as bar:
        task = bar.add_task("train", total=None, note="")
        for step in steps:
            note = f"epoch {step.epoch + 1}, {step.images_per_s:.0f} images/s, loss {step.loss:.3f}"
            bar.update(task, total=step.n_steps, completed=step.step, note=note)


def _trained(start: str, out: Path) -> tuple[Any, dict[str, Any]]:
    """The supernet of `start`, and its metadata with the checksum of the file.

    InputError: a kind that no training starts from, or `out` would replace it.
    """
    from nas.files import same_file
    from nas.zoo.folder import supernet_folder
    from search_spaces import InputError
    from supernets import load_supernet, sha256

    folder = supernet_folder(start)
    if same_file(folder, out):
        raise InputError(
            f"`out` is the folder of `start`, {folder}, whose weights training would replace; name "
            "another"
        )
    path = folder / "weights.safetensors"
    checksum = sha256(path)  # before images are read, which takes minutes
    net, metadata = load_supernet(path)
    if net.kind != "elastic":
        raise InputError(
            f"{start} is a supernet of kind {net.kind}; start from one of kind elastic"
        )
    return net, {"weights_sha256": checksum, **metadata}


def _images_of(metadata: dict[str, Any]) -> tuple[int | None, int | None]:
    """Side and channels of the images behind trained weights, where they say it."""
    known = metadata.get("data", {})
    return known.get("resolution"), known.get("channels")


def _start(
    start: str | None, before: tuple[Any, dict[str, Any]] | None, dataset: Any, seed: int
) -> tuple[Any, Any, dict[str, Any] | None]:
    """The supernet to train, the images as it takes them, and the history of the weights.

    `before` is what `_trained` read of `start`. Its weights go on with the normalisation that they
    were trained with.
    """
    import torch

    from search_spaces import InputError, resnet_for
    from supernets import ResNetSupernet

    if start is None or before is None:
        torch.manual_seed(seed)
        space = resnet_for(dataset.resolution, dataset.channels, dataset.n_classes)
        return ResNetSupernet(space), dataset, None
    net, metadata = before
    if net.space.n_classes != dataset.n_classes:
        raise InputError(
            f"{start} tells {net.space.n_classes} classes apart, --data has {dataset.n_classes}; "
            "start from weights for these classes or without --start"
        )
    _check_shape(start, net.space, dataset)
    known = metadata.get("data", metadata)
    if len(known.get("mean", ())) == dataset.channels:
        dataset = replace(dataset, mean=tuple(known["mean"]), std=tuple(known["std"]))
    history = ("command", "source", "epochs_done", "seconds", "settings", "start")
    return net, dataset, {k: metadata[k] for k in ("weights_sha256", *history) if k in metadata}


def _check_shape(start: str, space: Any, dataset: Any) -> None:
    """InputError where the network of `start` takes images of other channels or another side."""
    from search_spaces import InputError

    channels, side, _ = space.input_shape(space.subnet(space.largest))
    if dataset.channels != channels:
        raise InputError(
            f"{start} takes images of {channels} channels, `data` has {dataset.channels}"
        )
    if dataset.resolution not in (side, *getattr(space, "resolutions", ())):
        raise InputError(
            f"{start} counts its work at {side} pixels: `resolution` must be {side}, got "
            f"{dataset.resolution}"
        )
