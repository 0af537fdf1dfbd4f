"""`nas prune`: a network whose convolutions are blocks, faster on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Data, Mean, Quiet, Std, parse_floats
from nas.words import counted
from search_spaces import InputError

FAR_BELOW = 5.0  # percentage points of accuracy that pruning should not cost


def prune(
    net: Annotated[
        str,
        typer.Argument(metavar="NET", help="Zoo name, folder, or FILE.py:FUNCTION of yours."),
    ],
    out: Annotated[Path, typer.Option(help="Folder; one that holds a run is continued.")],
    data: Data = None,
    mean: Mean = None,
    std: Std = None,
    g: Annotated[int, typer.Option("--g", help="Output channels of a block: 4 or 8.")] = 4,
    sparsity: Annotated[float, typer.Option(help="Share of weights to drop.")] = 0.9,
    subnet: Annotated[str | None, typer.Option(help="Of a supernet; its largest without.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 5,
    method: Annotated[
        str,
        typer.Option(
            metavar="exact|bed|aligned|greedy|unstructured",
            help="How blocks are chosen: exact is best, bed nests over sparsities, aligned blocks "
            "start at multiples of --g; unstructured: single weights.",
        ),
    ] = "exact",
    spread: Annotated[
        str,
        typer.Option(
            metavar="even|erk", help="even: all layers alike; erk: narrow layers keep more."
        ),
    ] = "even",
    schedule: Annotated[
        str,
        typer.Option(
            metavar="gradual|admm",
            help="gradual: sparsity rises; admm: the weights are pulled there.",
        ),
    ] = "gradual",
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.02,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    seed: Annotated[int, typer.Option(help="Order of the images.")] = 0,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was found.")] = False,
) -> None:
    """Prune a network in blocks while it is trained, and pack it for the kernels.

    Example: `nas prune resnet-cifar10 --data cifar-10-batches-bin --out pruned`
    """
    import torch

    from nas.api import prune as prune_network
    from nas.cli.output import command_line, console, print_json, print_next, progress
    from nas.cli.supernet_data import say_digits
    from supernets.pruning import UNSTRUCTURED
    from supernets.training import Progress

    if threads is not None and threads < 1:
        raise InputError(f"`threads` must be at least 1, got {threads}")
    if threads:
        torch.set_num_threads(threads)
    if method == UNSTRUCTURED:
        g = 1
    log = console(quiet=quiet)
    if data is None and ":" in net:  # a supernet knows its images
        say_digits(log)
    with progress(log) as bar:
        task = bar.add_task("prune", total=None, note="")

        def show(done: Progress) -> None:
            note = f"epoch {done.epoch + 1}  loss {done.loss:.3f}"
            bar.update(task, completed=done.step, total=done.n_steps, note=note)

        found = prune_network(
            *(net, out),
            data=data,
            subnet=subnet,
            mean=parse_floats("mean", mean),
            std=parse_floats("std", std),
            listener=show,
            command=command_line(),
            g=g,
            sparsity=sparsity,
            method=method,
            spread=spread,
            schedule=schedule,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )
    if json:
        print_json(found)
        return
    log.print(
        f"{counted(len(found['layers']), 'layer')} at {100 * sparsity:.4g} %, blocks of {g}, "
        f"in {out}\n"
        + "".join(f"{name} stays whole: {why}\n" for name, why in found["left_whole"].items())
        + f"top-1 on {found['n_test_images']} test images of {found['data']}, measured: "
        f"{found['top1_pct_before']:.2f} % before, {found['top1_pct_after']:.2f} % after\n"
        f"one image on one thread, measured: {found['latency_ms_before']:.3f} ms before, "
        f"{found['latency_ms_after']:.3f} ms after ({found['after_is'].replace('_', ' ')}; with "
        f"kernels in torch {found['latency_ms_after_in_torch']:.3f} ms)",
        markup=False,
    )
    if (lost := found["top1_pct_before"] - found["top1_pct_after"]) > FAR_BELOW:
        log.print(
            f"warning: {lost:.1f} points are lost; more --epochs or a lower --sparsity lose fewer"
        )
    print_next(log, "export", "--pareto", out, "--out", "board")
