"""`nas predictor train`: from measured rows to a predictor that knows how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json, Level, Quantity, Rows, SpaceName


def train(
    rows: Rows,
    space: SpaceName,
    out: Annotated[Path, typer.Option(help="Folder for latency_ms.ubj and its JSON.")],
    quantity: Quantity = "latency_ms",
    level: Level = None,
    json: Json = False,
) -> None:
    """Train an XGBoost predictor and print its quality on held-out subnets.

    Example: `nas predictor train --rows rows.csv --space resnet-cifar --out mypredictor`
    """
    from nas.cli.output import command_line, console, print_json, print_next, waiting
    from nas.cli.quality import fitted_quality
    from nas.files import prepare_folder
    from nas.transfer.quality import held_out, predictor_kind, training_data
    from predictors import save_predictor
    from search_spaces import get_space

    kind, found = predictor_kind(quantity), get_space(space)
    X, y, subnets, about = training_data(rows, found, quantity, level)
    with waiting(console(), f"training on {len(y)} rows, and without a part of them"):
        fitted = kind().fit(X, y, subnets)
        quality = held_out(fitted, y, subnets)
    prepare_folder(out)
    save_predictor(fitted, out, found, **about, held_out=quality, command=command_line())
    if json:
        print_json({"quantity": quantity, **about, **quality})
        return
    print(f"{quantity}: {fitted_quality(quality, about['source'], held_out=True)}")
    asked = ["--model", out, "--space", space, "--subnets", "SUBNETS.csv"]
    asked += [] if quantity == "latency_ms" else ["--quantity", quantity]
    print_next(console(), "predictor", "predict", *asked)
