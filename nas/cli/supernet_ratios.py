"""Ratios of an All-in-One supernet: as they are given, or chosen for the clocks of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.cli.options import parse_levels
from nas.words import counted
from search_spaces import InputError, ResNetSpace, Space, UnitRatioSpace

if TYPE_CHECKING:
    from rich.console import Console

    from nas.devices import Device

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
    """What the options of `nas supernet train` say; InputError: no ResNet."""
    if not isinstance(base, ResNetSpace):
        raise InputError(f"`kind` all-in-one prunes ResNets of basic blocks, {base.name} is none")
    if for_device is None:
        return parse_ratios(ratios or DEFAULT)
    return ratios_for_device(base, for_device, levels, n_ratios, frames, log)


def check_asked(
    ratios: str | None,
    unit: str,
    g: int | None,
    for_device: str | None,
    frames: int,
    levels: str,
    n_ratios: int,
) -> None:
    """InputError for what needs no images to be seen: they may take minutes to read."""
    if ratios is not None and for_device is not None:
        raise InputError("`ratios` are given, or chosen by `for_device`; give one of both")
    if ratios is not None:
        from supernets.pruning import check_falling

        check_falling(parse_ratios(ratios))
    if unit not in UnitRatioSpace.units:
        known = ", ".join(UnitRatioSpace.units)
        raise InputError(f"`unit` must be one of {known}, got {unit!r}")
    if unit == "filter" and g is not None:
        raise InputError("`g` is of blocks and patterns; give `unit` block or leave it out")
    if g is not None and g < 1:
        raise InputError(f"`g` must be at least 1, got {g}")
    check_frames(frames)
    if for_device is None:
        return
    if unit != "filter":
        raise InputError(
            f"`for_device` chooses ratios by an analytic model, which has no figure for {unit}s; "
            "give `ratios`"
        )
    from nas.devices import get_device
    from nas.devices.constant_latency import check_simulates

    if n_ratios < 1:
        raise InputError(f"`n_ratios` must be at least 1, got {n_ratios}")
    device = get_device(for_device, batch=frames)
    check_simulates(device)
    held_levels(device, levels)


def check_unit(base: Space, unit: str, g: int | None) -> None:
    """InputError: a `g` that does not divide the channels of a layer."""
    if unit != "filter" and g is not None and type(base) is ResNetSpace:
        UnitRatioSpace.of(base, (1000,), unit, g)  # another space is refused with the ratios


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


def held_levels(device: Device, asked: str) -> list[int]:
    """The levels whose latency is held: `1/4..top`, or what `--levels` takes in a search."""
    from nas.devices.catalog import level_numbers
    from nas.devices.constant_latency import speed_levels

    if ".." in asked:
        return speed_levels(device.levels, asked)
    return level_numbers(device, parse_levels(asked))


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
        variation,
    )
    from search_spaces import RatioSpace

    found, space = get_device(device, batch=frames), RatioSpace.evenly_pruned(base)
    latency_ms = simulated_ms(found, space)[:, held_levels(found, levels)]
    rows = choose_ratios(latency_ms, n_ratios)
    chosen = FrequencyMap(latency_ms[rows])
    full = latency_ms[0]
    held, every = variation(chosen.chosen_ms), variation(FrequencyMap(latency_ms).chosen_ms)
    told = ""
    if len(rows) > 1:
        evenly = rule_of_thumb(full.max() / full.min(), len(rows))
        told = (
            f"; evenly spread ones leave about {evenly:.3f}, ln(s) / (3.46 (K - 1)) over a speed "
            "range s"
            if every <= evenly
            else f"; any number of them leaves at least {min(held, every):.3f}: kernel starts, "
            "which no ratio shortens, rule"
        )
    log.print(
        f"{device}, {counted(len(full), 'level')}, {counted(frames, 'image')}: latency varies by "
        f"{variation(full):.3f} (CV) at ratio 1 and by {held:.3f} with "
        f"{counted(len(rows), 'ratio')}, simulated{told}"
    )
    return tuple(space.ratios[::-1][row] / 1000 for row in rows)
