"""`nas predictor transfer`: whether proxies predict a target, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Json, SpaceName

SHOWN = 4  # proxies, the best first


def transfer(
    rows: Annotated[Path, typer.Option(help="Few rows measured on the target.")],
    space: SpaceName,
    device: Annotated[str, typer.Option(help="The target; `nas devices` lists the names.")],
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="auto, a device name, or a file of rows; repeat to pool several."),
    ] = None,
    quantity: Annotated[
        str, typer.Option(metavar="latency_ms|energy_mj", help="What a pool predicts.")
    ] = ("latency_ms"),
    out: Annotated[Path | None, typer.Option(help="Folder for the pooled predictor.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to act on.")] = None,
    json: Json = False,
) -> None:
    """Judge proxies for a target: held-out rank correlation, MAPE, go or no-go, what to do next.

    Example: `nas predictor transfer --rows target.csv --space resnet-cifar --device xavier-nx`
    Several `--proxy` are pooled: each row then corrects what all of them say together.
    """
    from nas.cli.output import console, print_json, print_next, waiting
    from nas.devices import get_device
    from nas.files import check_apart, check_file, prepare_folder, same_file
    from nas.report import transfer_report_html
    from nas.search import load_proxy
    from nas.transfer.plausible import check_rows
    from nas.transfer.pooled import judge_proxy
    from nas.transfer.quality import check_has, predictor_kind
    from predictors import check_target_rows, read_rows
    from search_spaces import InputError, get_space, write_text

    predictor_kind(quantity)
    check_apart("report", report, rows)
    if out and len(proxy or []) < 2:
        raise InputError("`out` keeps a pooled predictor; give at least two `proxy`")
    if any(same_file(rows, name) for name in proxy or ()):
        raise InputError(f"`proxy` learns from `rows`, {rows}, and could not be judged by them")
    found, target = get_space(space), get_device(device)
    measured = check_rows(rows, read_rows(rows, found, lines=True), found, target)
    measured = measured.reset_index(drop=True)
    check_target_rows(measured)
    if out:  # said before the work, not after it
        prepare_folder(out)
    if report:
        check_file(report, "report")
    with waiting(console(), "judging by held-out rows"):
        proxies = [load_proxy(found, name) for name in proxy or ["auto"]]
        if len(proxies) > 1:
            check_has(measured, quantity, str(rows))
            check_target_rows(measured[measured[quantity].notna()])
            judged = {
                quantity: _pooled(found, device, target.levels, proxies, measured, quantity, out)
            }
        else:
            judged = judge_proxy(found, target, proxies[0], measured)
    if report:
        write_text(report, transfer_report_html(judged, device=target.name, space=found.name))
    if json:
        print_json({name: one.to_dict() for name, one in judged.items()})
        return
    for words in dict.fromkeys(w for one in judged.values() for w in one.doubtful):
        print(f"warning: a row is not counted: {words}; measure it again")
    for one in judged.values():
        _show(one)
    if out:
        asked = ["--model", out, "--space", space, "--subnets", "SUBNETS.csv"]
        asked += [] if quantity == "latency_ms" else ["--quantity", quantity]
        print_next(console(), "predictor", "predict", *asked)


def _pooled(
    space: Any,
    device: str,
    levels: Any,
    proxies: list[Any],
    rows: Any,
    quantity: str,
    out: Path | None,
) -> Any:
    """Judge a pool of proxies, and keep its predictor."""
    from nas.cli.output import command_line
    from nas.transfer.pooled import pooled_transfer
    from nas.transfer.saved import save_pool
    from search_spaces import InputError

    names = [p.name for p in proxies]
    if len(set(names)) < len(names):
        raise InputError(f"a proxy is given twice: {', '.join(names)}; name each once")
    pooled = pooled_transfer(space, levels, proxies, rows, quantity=quantity)
    if out:
        save_pool(pooled, out, space, proxies, levels, device=device, command=command_line())
    return pooled.judged


def _show(judged: Any) -> None:
    """A few lines on one quantity: quality, which proxy and why, more rows, what to do."""
    from rich.console import Console

    from nas.cli.quality import quality

    log = Console(highlight=False)
    entry = judged.to_dict()
    log.print(f"{judged.report.quantity}: {quality(entry)}")
    alone = ", ".join(
        f"{name} {judged.proxy_srcc[name]:.3f} (weight {judged.proxy_weight[name]:.2f})"
        for name in judged.ranked[:SHOWN]
    )
    others = len(judged.ranked) - SHOWN
    alone += f", {others} others lower" if others > 0 else ""
    log.print(f"alone they rank: {alone}", markup=False)
    now, *more = judged.outlook.width_pct.items()
    log.print(
        f"90 % of predictions within ±{now[1]:.0f} %; "
        + ", ".join(f"±{width:.0f} % with {n} rows more" for n, width in more)
        + " (predicted)"
    )
    log.print(f"next: {judged.advice}", markup=False)
