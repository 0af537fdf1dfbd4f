"""`nas predictor`: train, transfer, evaluate and use cost predictors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

predictor = typer.Typer(
    help="Train and transfer cost predictors.", no_args_is_help=True, add_completion=False
)
Rows = Annotated[Path, typer.Option(help="Measured rows (CSV or Parquet).")]
SpaceName = Annotated[str, typer.Option(help="Search space of the rows.")]


@predictor.command()
def train(
    rows: Rows,
    space: SpaceName,
    out: Annotated[Path, typer.Option(help="Folder for latency_ms.ubj and its JSON.")],
    quantity: Annotated[str, typer.Option(help="latency_ms or energy_mj.")] = "latency_ms",
) -> None:
    """Train an XGBoost predictor and print its quality on held-out subnets.

    Example: `nas predictor train --rows rows.csv --space resnet-cifar --out mypredictor`
    """
    from nas.files import prepare_folder
    from nas.fit import QUANTITIES, held_out, training_data
    from predictors import save_predictor
    from search_spaces import InputError, get_space, work_columns

    if quantity not in QUANTITIES:
        raise InputError(f"--quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    prepare_folder(out)
    found = get_space(space)
    X, y, subnets, about = training_data(rows, found, quantity)
    predictor = QUANTITIES[quantity](work_columns=work_columns(found))
    quality = held_out(predictor, X, y, subnets)
    save_predictor(predictor.fit(X, y), out, found, **about, **quality)
    print(
        f"{quantity}: {len(y)} {about['source']} rows; held-out subnets: "
        f"MAPE {quality['mape_pct']:.2f} %, rank correlation {quality['srcc']:.4f}"
    )


@predictor.command()
def evaluate(
    model: Annotated[Path, typer.Option(help="Folder of `nas predictor train`.")],
    rows: Rows,
    space: SpaceName,
    quantity: Annotated[str, typer.Option(help="latency_ms or energy_mj.")] = "latency_ms",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Compare a saved predictor with rows that it was not trained on."""
    from nas.cli.output import print_json
    from nas.fit import training_data
    from predictors import kendall_tau, load_predictor, mape_pct, srcc
    from search_spaces import get_space

    found = get_space(space)
    loaded = load_predictor(model, quantity, found)
    X, y, _, about = training_data(rows, found, quantity)
    predicted = loaded.predict(X)
    quality = {
        "quantity": quantity,
        "n_rows": len(y),
        "source": about["source"],
        "mape_pct": mape_pct(y, predicted),
        "srcc": srcc(y, predicted),
        "kendall_tau": kendall_tau(y, predicted),
    }
    if json:
        print_json(quality)
        return
    print(
        f"{quantity}: {len(y)} {about['source']} rows: MAPE {quality['mape_pct']:.2f} %, "
        f"rank correlation {quality['srcc']:.4f}, Kendall tau {quality['kendall_tau']:.4f}"
    )


@predictor.command()
def predict(
    model: Annotated[Path, typer.Option(help="Folder of `nas predictor train`.")],
    space: SpaceName,
    subnet: Annotated[list[str], typer.Option(help="A subnet's string; repeat for more.")],
    heads: Annotated[str, typer.Option(help="Exits that are computed, `0+2`; empty: all.")] = "",
    quantity: Annotated[str, typer.Option(help="latency_ms or energy_mj.")] = "latency_ms",
) -> None:
    """Predict the cost of subnets on the device of the predictor."""
    import numpy as np

    from predictors import load_predictor
    from search_spaces import encode, get_space, parse_heads

    found = get_space(space)
    loaded = load_predictor(model, quantity, found)
    asked = np.zeros((1, found.n_exits + 1), dtype=bool)
    asked[0, list(parse_heads(heads, found.n_exits))] = True
    for text, cost in zip(
        subnet, loaded.predict(encode(found, found.parse_all(subnet), asked)), strict=True
    ):
        print(f"{text} {quantity} {cost:.5g} (predicted)")


@predictor.command()
def transfer(
    rows: Annotated[Path, typer.Option(help="Few rows measured on the target.")],
    space: SpaceName,
    device: Annotated[str, typer.Option(help="The target; `nas devices` lists the names.")],
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="auto, a device name, or a file of rows; repeat to pool several."),
    ] = None,
    quantity: Annotated[str, typer.Option(help="latency_ms or energy_mj, of a pool.")] = (
        "latency_ms"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for the pooled predictor.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Judge proxies for a target: held-out rank correlation, MAPE, go or no-go.

    Example: `nas predictor transfer --rows target.csv --space resnet-cifar --device xavier-nx`
    Several `--proxy` are pooled: each row then corrects what all of them say together.
    """
    from rich.console import Console

    from nas.cli.output import print_json
    from nas.cli.tables import quality
    from nas.devices import get_device
    from nas.search import load_proxy, target_costs
    from predictors import check_target_rows, read_rows
    from search_spaces import InputError, get_space

    found = get_space(space)
    measured = read_rows(rows, found)
    check_target_rows(measured)
    proxies = [load_proxy(found, name) for name in proxy or ["auto"]]
    if len(proxies) > 1:
        _pooled(found, device, proxies, measured, quantity, out, json)
        return
    if out:
        raise InputError("--out keeps a pooled predictor; give at least two --proxy")
    entries = target_costs(found, get_device(device), proxies[0], measured).entries()
    if json:
        print_json(entries)
        return
    for name, entry in entries.items():
        Console(highlight=False).print(f"{name}: {quality(entry)}")


def _pooled(
    space: Any,
    device: str,
    proxies: list[Any],
    rows: Any,
    quantity: str,
    out: Path | None,
    json: bool,
) -> None:
    """Judge a pool of proxies, and keep its predictor."""
    from rich.console import Console

    from nas.cli.output import print_json
    from nas.cli.tables import quality
    from nas.devices import get_device
    from nas.files import prepare_folder
    from nas.fit import QUANTITIES
    from nas.search.pooled import pooled_transfer
    from predictors import save_transfer
    from search_spaces import InputError

    if quantity not in QUANTITIES:
        raise InputError(f"--quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    if quantity not in rows or rows[quantity].isna().all():
        raise InputError(f"the target's rows hold no {quantity}; measure it or ask for another")
    names = [p.name for p in proxies]
    if len(set(names)) < len(names):
        raise InputError(f"a proxy is given twice: {', '.join(names)}; name each once")
    levels = get_device(device).levels
    judged = pooled_transfer(space, levels, proxies, rows, quantity=quantity)
    if out:
        prepare_folder(out)
        save_transfer(judged.predictor, out, space, quantity, names, device=device)
    if json:
        print_json({quantity: judged.to_dict()})
        return
    log = Console(highlight=False)
    log.print(f"{quantity}: {quality(judged.report.to_dict())}")
    ranks = sorted(judged.proxy_srcc.items(), key=lambda item: -_nan_last(item[1]))
    log.print("alone they rank: " + ", ".join(f"{name} {rank:.3f}" for name, rank in ranks))
    now, *more = judged.width_pct.items()
    log.print(
        f"90 % of predictions within +-{now[1]:.0f} %; "
        + ", ".join(f"+-{width:.0f} % with {n} rows more" for n, width in more)
        + " (predicted)"
    )


def _nan_last(value: float) -> float:
    """`value`, or minus infinity for NaN, to sort by."""
    return value if value == value else float("-inf")
