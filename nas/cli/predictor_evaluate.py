"""`nas predictor evaluate`: a saved predictor beside rows that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Json, Level, Quantity, Rows, SpaceName
from nas.words import counted


def evaluate(
    model: Annotated[
        Path, typer.Option(help="Folder of `nas predictor train`, or of `transfer --out`.")
    ],
    rows: Rows,
    space: SpaceName,
    quantity: Quantity = "latency_ms",
    level: Level = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV of measured, predicted and interval, row by row.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="SVG of measured against predicted.")] = None,
    json: Json = False,
) -> None:
    """Compare a saved predictor with rows that it was not trained on.

    Example: `nas predictor evaluate --model mypredictor --rows new.csv --space resnet-cifar`
    """
    from nas.cli.output import console, print_json
    from nas.cli.quality import fitted_quality
    from nas.files import check_apart, write_for_user
    from nas.report import calibration_svg
    from nas.transfer.quality import COVERAGE, about, predictor_kind, quality, rows_of
    from nas.transfer.saved import load_costs
    from predictors import csv_text
    from search_spaces import get_space

    predictor_kind(quantity)
    check_apart("out", out, rows)
    check_apart("plot", plot, rows)
    found = get_space(space)
    costs = load_costs(model, quantity, found)
    table = rows_of(rows, found, quantity, level, varying=costs.varying)
    table = costs.at_level(table, None)
    y = table[quantity].to_numpy(dtype=float)
    predicted, *interval = costs(table, COVERAGE)
    entry: dict[str, Any] = {"quantity": quantity, "source": about(table)["source"]}
    clock = table["clock_mhz"].to_numpy() if "clock_mhz" in table else None
    entry |= quality(y, predicted, interval, table["subnet"].to_numpy(dtype=object), clock)
    entry["trained_on_these_rows"] = costs.learned_from(table, y)
    if entry["trained_on_these_rows"]:
        leak = "it was trained on these rows, or the first of them: they say little of new subnets"
        console().print(leak, soft_wrap=True)
    if out:
        shown = with_predictions(table, quantity, predicted, interval)
        write_for_user(out, csv_text(shown))
    if plot:
        title = f"{model.name}: MAPE {entry['mape_pct']:.2f} % on {counted(len(y), 'row')}"
        said = {"quantity": quantity, "source": entry["source"], "title": title}
        write_for_user(plot, calibration_svg(y, predicted, interval, **said), "plot")
    if json:
        print_json(entry)
        return
    print(f"{quantity}: {fitted_quality(entry, entry['source'])}")


def with_predictions(table: Any, quantity: str, predicted: Any, interval: list[Any]) -> Any:
    """The measured columns of `table` beside what is predicted for each row."""
    kept = ("space", "subnet", "heads", "device", "level", "gpu_mhz", quantity, "source")
    shown = table[[c for c in kept if c in table]].copy()
    stem, unit = quantity.rsplit("_", 1)
    shown[f"predicted_{quantity}"] = predicted
    shown[f"predicted_{stem}_low_{unit}"], shown[f"predicted_{stem}_high_{unit}"] = interval
    return shown
