"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from search_spaces import InputError

Data = Annotated[
    Path | None,
    typer.Option(help="Image folder, CIFAR or MNIST files; scikit-learn's digits without it."),
]
Resolution = Annotated[
    int | None, typer.Option(help="Side of the images in pixels; the data's own without it.")
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Whether a mirrored image is a valid image."),
]
Mean = Annotated[
    str | None,
    typer.Option(help="Per channel, with which the network was trained: 0.49,0.48,0.45."),
]
Std = Annotated[str | None, typer.Option(help="Per channel, likewise.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Rows = Annotated[Path, typer.Option(help="Measured rows (CSV or Parquet).")]
SpaceName = Annotated[str, typer.Option(help="Search space of the rows.")]
Quantity = Annotated[str, typer.Option(metavar="latency_ms|energy_mj", help="What is predicted.")]
Level = Annotated[int | None, typer.Option(help="Rows of this DVFS level alone.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the user wrote the option of this argument, rather than taking its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_levels(text: str) -> tuple[int, ...] | None:
    """The DVFS levels of `0,4,8-14`, of `0,3,-1` (-1 is the fastest) or of `all`, which is None."""
    if text.strip() == "all":
        return None
    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", part.strip())
        if ends is None:
            raise InputError(
                f"`levels` {text!r}: write numbers and ranges, as in 0,4,8-14, 0,3,-1 or all"
            )
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if first < 0 <= last or last < 0 <= first:
            raise InputError(f"`levels` {text!r}: both ends of {part.strip()} count from one side")
        if last < first:
            raise InputError(f"`levels` {text!r}: the range {part.strip()} is empty")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def parse_names(text: str | None) -> tuple[str | None, ...]:
    """The parts of `a,b`; one None, the usual one, where nothing is asked."""
    return (None,) if text is None else tuple(part.strip() for part in text.split(","))


def parse_numbers(argument: str, text: str | None) -> tuple[int | None, ...]:
    """The numbers of `1,8`, each once; one None, the usual one, where nothing is asked."""
    if text is None:
        return (None,)
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise InputError(f"`{argument}` takes whole numbers like 1,8, got {text!r}") from None


def parse_floats(argument: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of `0.49,0.48`; None where nothing is asked."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"`{argument}` takes numbers like 0.49,0.48,0.45, got {text!r}") from None
