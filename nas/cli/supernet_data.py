"""`nas supernet data`: what is in a folder of images, before hours of training go into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Flip, Resolution

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from supernets import Dataset
    from supernets.data import Listener

UNEVEN = 1.5  # ratio of the largest to the smallest class that deserves a warning
N_ROWS = 20  # classes shown of a data set with more: the largest and the smallest


def data(
    data: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Image folder, CIFAR or MNIST files; digits."),
    ],
    resolution: Resolution = None,
    flip: Flip = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Read every image of FOLDER; show format, splits, classes, balance and normalisation.

    Example: `nas supernet data myimages`
    """
    from rich.console import Console

    from nas.cli.output import console, print_json, print_next
    from search_spaces import resnet_for
    from supernets.data import SPLITS, imbalance

    dataset = read_images(data, console(quiet=json), resolution=resolution, flip=flip)
    if not json:
        show_images(dataset, Console(highlight=False))
        more = [] if resolution is None else ["--resolution", str(resolution)]
        more += [] if flip is None else ["--flip" if flip else "--no-flip"]
        print_next(console(), "supernet", "train", "--data", data, *more, "--out", "mynet")
        return
    counts = {split: dataset.counts(split).tolist() for split in SPLITS}
    space = resnet_for(dataset.resolution, dataset.channels, dataset.n_classes)
    found = {"counts": counts, "imbalance": imbalance(counts["train"]), "space": space.name}
    print_json({**dataset.describe(), **found, "notes": list(dataset.notes)})


def read_images(
    folder: Path | None,
    log: Console,
    *,
    resolution: int | None = None,
    channels: int | None = None,
    flip: bool | None = None,
) -> Dataset:
    """`load_dataset` with a bar on `log` while files are decoded."""
    from nas.cli.output import progress
    from supernets import load_dataset

    with progress(log) as bar:
        return load_dataset(
            folder,
            resolution=resolution,
            in_channels=channels,
            flip=flip,
            listener=reading(bar),
        )


def say_digits(log: Console, side: int = 8) -> None:
    """Where no images were named: which these are."""
    told = f"{side}x{side} pixels, grey, 10 classes"
    log.print(f"without --data the images are scikit-learn's digits: {told}", soft_wrap=True)


def reading(bar: Progress) -> Listener:
    """A line of `bar` that appears with the first image read."""
    task = bar.add_task("read", total=None, note="", visible=False)
    return lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def show_images(dataset: Dataset, out: Console) -> None:
    """A few lines on what was read, and the classes one by one where they are uneven."""
    side, mean, std = dataset.resolution, _numbers(dataset.mean), _numbers(dataset.std)
    lines = [
        f"{dataset.name}: {dataset.format}, {dataset.n_classes} classes, {side}x{side} pixels, "
        f"{'colour' if dataset.channels == 3 else 'grey'}",
        f"{len(dataset.train):,} training, {len(dataset.validation):,} validation and "
        f"{len(dataset.test):,} test images",
        *(f"{split} images are drawn from the training images" for split in dataset.drawn),
        *dataset.notes,
        f"normalised by mean {mean} and standard deviation {std}; mirrored images are "
        f"{'valid' if dataset.flip else 'not valid'}",
    ]
    out.print("\n".join(lines), markup=False)
    _show_balance(dataset, out)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.3f}" for v in values)


def _show_balance(dataset: Dataset, out: Console) -> None:
    from rich.markup import escape

    from supernets.data import imbalance

    counts = dataset.counts("train")
    low, high, ratio = counts.min(), counts.max(), imbalance(counts)
    if ratio <= UNEVEN:
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        out.print(f"{dataset.n_classes} classes, {each} training images each")
        return
    most, least = (escape(dataset.class_names[i]) for i in (counts.argmax(), counts.argmin()))
    out.print(_class_table(dataset))
    out.print(
        f"[yellow]uneven classes[/]: {high:,} training images of {most}, {low:,} of {least} "
        f"({ratio:.1f} to 1); top-1 error hides what goes wrong on rare classes: add images of "
        "them, or train with --set balance=true"
    )


def _class_table(dataset: Dataset) -> Table:
    """Images of every class in every split, most frequent first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from supernets.data import SPLITS

    counts = [dataset.counts(split) for split in SPLITS]
    order = (-counts[0]).argsort(kind="stable").tolist()
    hidden = order[N_ROWS // 2 : -N_ROWS // 2] if len(order) > N_ROWS else []
    shown = Table("class", box=box.SIMPLE_HEAD, padding=(0, 1))
    for split in SPLITS:
        shown.add_column(split, justify="right")
    for i in order:
        if i not in hidden:
            shown.add_row(escape(dataset.class_names[i]), *(f"{n[i]:,}" for n in counts))
        elif i == hidden[0]:
            shown.add_row(f"... {len(hidden)} more")
    return shown
