"""`nas predictor predict`: costs of subnets that nobody measured, each with an interval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Json, Quantity, SpaceName
from nas.words import counted


def predict(
    model: Annotated[
        Path, typer.Option(help="Folder of `nas predictor train`, or of `transfer --out`.")
    ],
    space: SpaceName,
    subnet: Annotated[
        list[str] | None, typer.Option(help="A subnet's string; repeat for more.")
    ] = None,
    heads: Annotated[
        str | None,
        typer.Option(help="Exits that are computed, `0+2` (--subnet).", show_default="all"),
    ] = None,
    subnets: Annotated[
        Path | None, typer.Option(help="CSV with a column subnet; optional heads, level.")
    ] = None,
    quantity: Quantity = "latency_ms",
    level: Annotated[
        int | None, typer.Option(help="DVFS level of a transferred predictor; the top one.")
    ] = None,
    coverage: Annotated[float, typer.Option(help="Chance that an interval holds.")] = 0.9,
    out: Annotated[Path | None, typer.Option(help="CSV of the predictions.")] = None,
    json: Json = False,
) -> None:
    """Predict the cost of subnets on the device of the predictor.

    Example: `nas predictor predict --model mypredictor --space nasbench201 --subnets in.csv`
    """
    import pandas as pd

    from nas.cli.output import console, print_json
    from nas.files import check_apart, write_for_user
    from nas.given import check_not_given
    from nas.transfer.quality import predictor_kind
    from nas.transfer.saved import load_costs
    from predictors import csv_text, read_subnets
    from search_spaces import InputError, format_heads, get_space, parse_heads

    predictor_kind(quantity)
    if not 0 < coverage <= 0.99:
        raise InputError(f"--coverage must lie above 0 and be at most 0.99, got {coverage:g}")
    if bool(subnet) == bool(subnets):
        raise InputError("give subnets as --subnet or as a table --subnets FILE, one of the two")
    found = get_space(space)
    if subnets:
        check_not_given({"heads": heads}, "`subnet`: in a table a column heads says it")
        check_apart("out", out, subnets)
        table = read_subnets(subnets, found)
    else:
        asked = format_heads(parse_heads(heads or "", found.n_exits))
        names = [str(found.parse(text)) for text in subnet or ()]
        table = pd.DataFrame({"subnet": names, "heads": asked})
    costs = load_costs(model, quantity, found)
    table = _predicted(table, costs, quantity, level, coverage)
    if out:
        write_for_user(out, csv_text(table))
        console().print(
            f"{counted(len(table), 'prediction')} in {out}", soft_wrap=True, markup=False
        )
    if json:
        print_json(_records(table))
    elif not out:
        _show(table, quantity, coverage)


def _predicted(table: Any, costs: Any, quantity: str, level: int | None, coverage: float) -> Any:
    """`table` with the predicted quantity, its interval and its source in every row."""
    table = costs.at_level(table, level)
    cost, low, high = costs(table, coverage)
    stem, unit = quantity.rsplit("_", 1)
    names = (quantity, f"{stem}_low_{unit}", f"{stem}_high_{unit}")
    return table.assign(**dict(zip(names, (cost, low, high), strict=True)), source=costs.source)


def _records(table: Any) -> Any:
    """For `--json`: what is unknown or infinite is null."""
    import json

    return json.loads(table.to_json(orient="records", double_precision=9))


def _show(table: Any, quantity: str, coverage: float) -> None:
    from pandas import notna

    stem, unit = quantity.rsplit("_", 1)
    for row in table.to_dict("records"):
        low, high = row[f"{stem}_low_{unit}"], row[f"{stem}_high_{unit}"]
        wide = f"{100 * coverage:g} % interval"
        known = f"{wide} {low:.5g} to {high:.5g}"
        interval = f"no {wide}: too few subnets" if high == float("inf") else known
        heads = f" heads {row['heads']}" if row.get("heads") else ""
        level = f" level {row['level']:g}" if notna(row.get("level")) else ""
        print(
            f"{row['subnet']}{heads}{level} {quantity} {row[quantity]:.5g} ({row['source']}), "
            f"{interval}"
        )
