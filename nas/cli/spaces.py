"""`nas spaces`: what can be searched."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from nas.words import counted


def spaces(
    name: Annotated[str | None, typer.Argument(help="A space; all are listed without it.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A configuration of OFA's (ks, e, d or net.config): print its subnet."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List search spaces, or describe one. Example: `nas spaces resnet-cifar`."""
    from rich.table import Table

    from nas.cli.output import print_json
    from search_spaces import get_space, space_names

    if config is not None:
        print(_subnet(name, config))
        return
    described = [_describe(n) for n in ([name] if name else space_names())]
    if json:
        print_json(described if name is None else described[0])
        return
    from rich.console import Console

    out = Console(highlight=False)
    for row in described:  # a subnet is to be copied: on its own line, never folded
        out.print(
            f"[bold]{row['name']}[/]: {counted(len(row['genes']), 'gene')}, "
            f"{counted(row['n_exits'], 'exit')}, "
            f"{row['smallest_mmacs']:.2f} to {row['largest_mmacs']:.1f} MMACs; a subnet:"
        )
        out.print(f"  {row['example']}", soft_wrap=True)
    if name:
        choices = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        choices.add_column("gene", no_wrap=True)
        choices.add_column("choices")
        genes = get_space(name).named_choices().items()
        for values, alike in groupby(genes, lambda gene: (gene[0].rstrip("0123456789"), gene[1])):
            first, *others = (gene for gene, _ in alike)
            named = f"{first} to {others[-1]}" if others else first
            choices.add_row(named, ", ".join(map(str, values[1])))
        out.print(choices)
        out.print("a subnet's string has the first letter of each kind of gene, then its values")


def _subnet(name: str | None, config: Path) -> str:
    """The subnet of a configuration file, in the spelling that every other command takes."""
    from search_spaces import InputError, get_space, read_text

    if name is None:
        raise InputError(
            "--config needs the space that the file is for, for example ofa-mobilenetv3"
        )
    text = read_text(config)
    if not text.lstrip().startswith("{"):
        raise InputError(f"{config} holds no configuration: expected a JSON object")
    return str(get_space(name).parse(text))


def _describe(name: str) -> dict:  # type: ignore[type-arg]
    import numpy as np

    from search_spaces import get_space

    space = get_space(name)
    heads = np.eye(space.n_exits + 1, dtype=bool)[[-1]]
    return {
        "name": space.name,
        "n_exits": space.n_exits,
        "genes": {gene: list(values) for gene, values in space.named_choices().items()},
        "smallest_mmacs": float(space.operators(space.smallest, heads).macs.sum() / 1e6),
        "largest_mmacs": float(space.operators(space.largest, heads).macs.sum() / 1e6),
        "example": space.example,
    }
