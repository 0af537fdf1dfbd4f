"""`nas supernet map`: which ratio of an All-in-One supernet holds the latency at every clock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from nas.devices.constant_latency import FrequencyMap


def map_(
    folder: Annotated[str, typer.Argument(help="Folder of --kind all-in-one, evaluated.")],
    device: Annotated[str, typer.Option(help="Device; `nas devices` lists them.")],
    levels: Annotated[
        str, typer.Option(help="`1/4..top`, `0,4,8-14`, `-1` or `all`.")
    ] = "1/4..top",
    frames: Annotated[int, typer.Option(help="Images that it runs at once.")] = 1,
    max_error_pct: Annotated[
        float | None, typer.Option(help="No ratio with a larger error, %.")
    ] = None,
    json: Json = False,
) -> None:
    """Give every clock the ratio whose latency is nearest that of the largest at the top.

    Example: `nas supernet map mynet --device xavier-nx --frames 16`
    """
    import numpy as np
    from rich.console import Console

    from nas.cli.output import console, print_json, print_next, search_out
    from nas.cli.supernet_ratios import check_frames, held_levels
    from nas.devices import get_device
    from nas.devices.constant_latency import FrequencyMap, simulated_ms
    from nas.given import positive_number
    from nas.search.front.constant_latency import by_number_of_ratios
    from nas.zoo.folder import folder_table, supernet_folder
    from search_spaces import InputError, RatioSpace
    from supernets import load_supernet

    found = supernet_folder(folder)
    space = load_supernet(found / "weights.safetensors")[0].space
    if not isinstance(space, RatioSpace):
        raise InputError(f"{folder} holds no ratios; `nas supernet train --kind all-in-one` does")
    check_frames(frames)
    table = folder_table(found, space)
    genes = space.enumerate()[::-1]  # the whole network first
    known = table.rows(genes)
    if missing := int((known < 0).sum()):
        raise InputError(
            f"{missing} of {len(genes)} ratios of {folder} were not evaluated: "
            f"`nas supernet evaluate {folder} --samples {max(20, len(genes))}`"
        )
    errors = table.top1_error_pct[known, 0]  # no early exit
    target = get_device(device, batch=frames)
    chosen = held_levels(target, levels)
    latency_ms = simulated_ms(target, space)[:, chosen]
    limit = math.inf if max_error_pct is None else positive_number("max_error_pct", max_error_pct)
    if errors.min() > limit:
        raise InputError(
            f"`max_error_pct` is {limit:g}; the best ratio of {folder} has {errors.min():.2f} %"
        )
    outside = np.broadcast_to(errors[:, None] > limit, latency_ms.shape)
    result = FrequencyMap(latency_ms, outside)
    rows = [
        {
            "level": target.levels[i].level,
            "mhz": target.levels[i].clock_mhz,
            "ratio": int(genes[k, 0]) / 1000,
            "latency_ms": float(ms),
            "top1_error_pct": float(errors[k]),
        }
        for i, k, ms in zip(chosen, result.ratio_of, result.chosen_ms, strict=True)
    ]
    fewer = by_number_of_ratios(latency_ms, errors, genes[:, 0] / 1000, outside)
    if json:
        print_json({"levels": rows, "by_number_of_ratios": fewer, "latency_source": "simulated"})
        return
    _show(Console(), device, result, rows, fewer)
    given = ["--device", device, "--supernet", folder]
    given += ["--batch", str(frames)] if frames > 1 else []
    print_next(console(), "search", *given, "--out", search_out(folder))


def _show(log: Console, device: str, result: FrequencyMap, rows: Any, fewer: Any) -> None:
    from rich.table import Table

    from nas.cli.constant_latency import MEANING, ratio_choices

    by_level = Table("level", "clock MHz", "ratio", "latency ms", "error %", box=None)
    for row in rows:
        by_level.add_row(
            f"{row['level']}", f"{row['mhz']:.0f}", f"{row['ratio']:g}",
            f"{row['latency_ms']:.3f}", f"{row['top1_error_pct']:.2f}",
        )  # fmt: skip
    whole = fewer[0]["ratios"][0]
    log.print(
        f"{device}, simulated; target {result.target_ms:.3f} ms: ratio {whole:g} at the fastest "
        "of these clocks"
    )
    log.print(by_level)
    log.print(ratio_choices(fewer))
    log.print(MEANING)
