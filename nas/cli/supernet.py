"""`nas supernet`: look at images, train, evaluate, list, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.help import Command, Group
from nas.cli.options import Data, Quiet
from nas.cli.slow import SlowCommand
from nas.cli.supernet_calibrate import calibrate
from nas.cli.supernet_data import data as describe_data
from nas.cli.supernet_import import import_
from nas.cli.supernet_map import map_
from nas.cli.supernet_points import points
from nas.cli.supernet_train import train
from nas.cli.supernet_wrap import wrap

LARGE = 1 << 28  # bytes of weights whose checksum takes longer than a card should

supernet = typer.Typer(
    help="Train and evaluate weight-sharing networks.",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
)
supernet.command(cls=SlowCommand)(train)
supernet.command("import", cls=SlowCommand)(import_)
supernet.command(cls=SlowCommand)(wrap)
supernet.command(cls=SlowCommand)(calibrate)
supernet.command("map", cls=Command)(map_)
supernet.command("data", cls=SlowCommand)(describe_data)
supernet.command(cls=SlowCommand)(points)


@supernet.command(cls=SlowCommand)
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of `nas supernet train`.")],
    data: Data = None,
    samples: Annotated[int, typer.Option(help="Subnets to evaluate, 20 or more.")] = 600,
    seed: Annotated[int, typer.Option(help="Which subnets.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table instead of extending it.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate subnets over all exit policies, fit the accuracy predictor, write the card.

    Example: `nas supernet evaluate mynet --data cifar-10-batches-bin`
    """
    from nas.cli.output import command_line, console, print_next, progress, search_out
    from nas.cli.supernet_data import reading
    from nas.zoo.folder import evaluate_folder
    from search_spaces import InputError, get_space

    if samples < 20:
        raise InputError(f"`samples` must be at least 20 to learn from, got {samples}")
    with progress(console(quiet=quiet)) as bar:
        run = evaluate_folder(
            folder,
            data,
            n_subnets=samples,
            seed=seed,
            command=command_line(),
            overwrite=overwrite,
            listener=reading(bar),
        )
        task = bar.add_task("evaluate", total=samples, note="")
        for done, total in run:
            bar.update(task, completed=done, total=total)
    log = console(quiet=quiet)
    log.print(f"accuracy table, predictor and card in {folder}", soft_wrap=True, markup=False)
    if get_space(str(folder)).measured_alone:
        out = f"{folder}-rows.csv"
        print_next(log, "measure", "--device", "host", "--space", folder, "--out", out)
    else:
        given = ["--supernet", folder, *([] if data is None else ["--data", data])]
        given += ["--out", search_out(folder)]
        print_next(log, "search", "--device", "xavier-nx", *given)


@supernet.command("list", cls=Command)
def list_() -> None:
    """List the supernets that ship with the project."""
    from nas.zoo.folder import zoo_names

    print("\n".join(zoo_names()))


@supernet.command(cls=Command)
def info(
    name: Annotated[str, typer.Argument(help="Name from the zoo, or a folder.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="The checkpoint's metadata.")] = False,
) -> None:
    """Show the card of a supernet. Example: `nas supernet info resnet-cifar10`."""
    from nas.cli.output import print_json
    from nas.zoo.folder import entry_folder
    from nas.zoo.published import ENTRY, WEIGHTS
    from search_spaces import json_object, read_tensor_header, read_text
    from search_spaces.checkpoint import read_checkpoint

    folder = entry_folder(name)
    card, weights = folder / "card.md", folder / WEIGHTS
    if json or not card.exists():
        entry = folder / ENTRY  # of published accuracies, where there are no weights
        about = read_checkpoint(weights)[1] if weights.exists() else None
        print_json(json_object(read_text(entry), entry) if about is None else about)
        return
    if weights.exists():  # the card does not know what became of them
        check = read_tensor_header if weights.stat().st_size > LARGE else read_checkpoint
        check(weights)
    text = read_text(card)
    text = "".join(c for c in text if c.isprintable() or c == "\n")  # a card may be anybody's
    print(text, end="")  # as it is: drawn tables are cut on a narrow screen
