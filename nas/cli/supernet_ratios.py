"""Ratios of an All-in-One supernet: as they are given, or chosen for the clocks of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import InputError, ResNetSpace, Space, UnitRatioSpace

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT = "1,.7,.5,.35,.2"


def asked_ratios(
    base: Space,
    ratios: str | None,
    for_device: str | None,
    levels: str,
    n_ratios: int,
    frames: int,
    log: Console,
) -> tuple[float, ...]:
    """What the options of `nas supernet train` say; InputError: two ways at once, or no ResNet."""
    if not isinstance(base, ResNetSpace):
        raise InputError(f"`kind` all-in-one prunes ResNets of basic blocks, {base.name} is none")
    if ratios is not None and for_device is not None:
        raise InputError("`ratios` are given, or chosen by `for_device`; give one of both")
    if for_device is None:
        return parse_ratios(ratios or DEFAULT)
    return ratios_for_device(base, for_device, levels, n_ratios, frames, log)


def check_unit(base: Space, unit: str, g: int | None, for_device: str | None) -> None:
    """InputError: no such unit, rows that do not fit, or what blocks and patterns cannot do yet."""
    if unit == "filter":
        if g is not None:
            raise InputError("`g` is of blocks and patterns; give `unit` block or leave it out")
        return
    if for_device is not None:
        raise InputError(
            f"`for_device` chooses ratios by an analytic model, which has no figure for {unit}s; "
            "give `ratios`"
        )
    if type(base) is ResNetSpace:  # another is refused with the ratios
        UnitRatioSpace.of(base, (1000,), unit, -1 if g == 0 else g or 0)


def parse_ratios(text: str) -> tuple[float, ...]:
    """The numbers of `1,.7,.5`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"`ratios` takes numbers like {DEFAULT}, got {text!r}") from None


def check_frames(frames: int) -> None:
    """InputError: no image at once."""
    if frames < 1:
        raise InputError(f"`frames` must be at least 1, got {frames}")


def ratios_for_device(
    base: ResNetSpace, device: str, levels: str, n_ratios: int, frames: int, log: Console
) -> tuple[float, ...]:
    """The `n_ratios` of the MACs of `base` that hold the latency best, and what they reach."""
    from nas.devices import get_device
    from nas.devices.constant_latency import (
        FrequencyMap,
        choose_ratios,
        rule_of_thumb,
        simulated_ms,
        speed_levels,
        variation,
    )
    from search_spaces import RatioSpace

    check_frames(frames)
    found, space = get_device(device, batch=frames), RatioSpace.evenly_pruned(base)
    latency_ms = simulated_ms(found, space)[:, speed_levels(found.levels, levels)]
    rows = choose_ratios(latency_ms, n_ratios)
    chosen = FrequencyMap(latency_ms[rows])
    full = latency_ms[0]
    log.print(
        f"{device}, {len(full)} levels, {frames} images: latency varies by "
        f"{variation(full):.3f} (CV) at ratio 1 and by {variation(chosen.chosen_ms):.3f} with "
        f"{len(rows)} ratios, simulated; evenly spread ones leave about "
        f"{rule_of_thumb(full.max() / full.min(), max(2, len(rows))):.3f}, "
        "ln(s) / (3.46 (K - 1)) over a speed range s"
    )
    return tuple(space.ratios[::-1][row] / 1000 for row in rows)
