"""`nas devices`: targets, all that is known of one, and what this machine is."""

from __future__ import annotations

import shlex
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nas.devices import Profile


def devices(
    device: Annotated[
        str | None, typer.Argument(help="A profile, FILE.toml or host; all without it.")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Every figure of DEVICE with where it is from.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List the devices to search for, or describe one. Example: `nas devices xavier-nx`.

    Profiles of your own: a folder named by the environment variable NAS_DEVICES.
    """
    from rich.console import Console

    from nas.cli.output import print_json
    from nas.devices import load_profile, profile_names
    from search_spaces import InputError

    if sources and device in (None, "host"):
        raise InputError("`sources` are those of one profile: name it")
    out = Console(highlight=False)
    if device == "host":
        print_json(found_here()) if json else _show_found(out)
        return
    profiles = [load_profile(n) for n in ([device] if device else profile_names())]
    if json:
        described = [_described(p) for p in profiles]
        print_json(described[0] if device else {"host": found_here(), "profiles": described})
    elif sources:
        _show_sources(out, profiles[0])
    elif device:
        _show_profile(out, profiles[0], device)
    else:
        _show_all(out, profiles)
        _show_found(out)


def found_here() -> dict[str, Any]:
    """What this machine has: clocks, power modes, sensors, runtimes; and what cannot be used."""
    from nas.board.bench.discover import discover
    from nas.board.control.sysfs import Sysfs

    return discover(Sysfs())


def _described(profile: Profile) -> dict[str, Any]:
    levels = {mode.name: profile.levels(mode.name) for mode in profile.modes}
    return profile.model_dump() | {
        "comments": profile.comments,
        "processor": profile.processor,
        "status": {figure: profile.status(figure) for figure in profile.figures()},
        "levels": {mode: [level.to_dict() for level in of] for mode, of in levels.items()},
    }


def _table(*columns: str) -> Table:
    """A table without lines, whose first column is what a person types: it is never folded."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, no_wrap=i == 0)
    return table


def _show_all(out: Console, profiles: list[Profile]) -> None:
    from rich.markup import escape

    table = _table("device", "what it is")
    for profile in profiles:
        levels = profile.levels()
        span = f"{levels[0].clock_mhz:g} to {levels[-1].clock_mhz:g} MHz ({profile.processor})"
        runs = f"{profile.default_backend} {profile.default_precision}"
        usual = f"{len(levels)} levels, {span}, {profile.default_power_mode}, {runs}"
        table.add_row(profile.name, f"{escape(profile.description)}\n[dim]{usual}[/]")
    out.print(table)


def _show_found(out: Console) -> None:
    found = found_here()
    out.print("[bold]This machine[/] (`--device host` measures on it)")
    for kind, clock in found.pop("clocks").items():
        points = clock.get("points_mhz") or []
        span = f"{points[0]:g} to {points[-1]:g} MHz, {len(points)} points" if points else "any"
        now = clock.get("now_mhz")
        out.print(f"  {kind} clock: {span}" + (f", now {now:g} MHz" if now else ""))
    faults = found.pop("faults")
    for key, value in found.items():
        if value:
            out.print(f"  {key}: {_text(value)}", soft_wrap=True, markup=False)
    for fault in faults:
        out.print(f"  not usable: {fault}", soft_wrap=True, markup=False)


def _show_profile(out: Console, profile: Profile, name: str) -> None:
    from collections import Counter

    from rich.markup import escape

    out.print(f"[bold]{profile.name}[/]: {escape(profile.description)}\n")
    runs = _table("backend", "runs on", "precisions", "latency within", "energy within")
    for backend, runtime in profile.backends.items():
        mark = " *" if backend == profile.default_backend else ""
        within = [f"{100 * u:.0f} %" for u in _uncertainty(profile, backend)]
        runs.add_row(backend + mark, runtime.processor, ", ".join(runtime.precision), *within)
    out.print(runs)
    modes = _table("power mode", "cores", "levels", "gpu MHz", "cpu MHz", "memory MHz")
    for mode in profile.modes:
        levels = profile.levels(mode.name)
        top = levels[-1]
        shown = [f"{c:g}" if c else "-" for c in (top.gpu_mhz, top.cpu_mhz, top.emc_mhz)]
        mark = " *" if mode.name == profile.default_power_mode else ""
        modes.add_row(mode.name + mark, str(mode.cores), str(len(levels)), *shown)
    out.print()
    out.print(modes)
    out.print(f"\n* used where no other is named; {profile.default_precision} likewise")
    status = Counter(profile.status(figure) for figure in profile.figures())
    counts = ", ".join(f"{n} {of}" for of, n in sorted(status.items(), reverse=True))
    out.print("Latency and energy are those of an analytic model: simulated.")
    out.print(f"Its figures are {counts}; each with its source:")
    out.print(f"nas devices {shlex.quote(name)} --sources", soft_wrap=True, markup=False)


def _show_sources(out: Console, profile: Profile) -> None:
    """Figure, value, unit and status on a line, the source below it; then what sources mean."""
    from nas.devices.units import unit

    for figure, value in profile.figures().items():
        text = f"{_text(value)} {unit(figure)}".rstrip()
        if "\n" in text:
            text = "\n" + indent(text, "    ")
        out.print(f"{figure} ({profile.status(figure)}): {text}", soft_wrap=True, markup=False)
        out.print(f"    {profile.source(figure)}", soft_wrap=True, markup=False, style="dim")
    out.print()
    for key, source in profile.sources.items():
        out.print(f"{key}: {source}", soft_wrap=True, markup=False)


def _uncertainty(profile: Profile, backend: str) -> tuple[float, float]:
    from nas.devices import AnalyticDevice

    device = AnalyticDevice(profile, backend=backend)
    return device.uncertainty, device.energy_uncertainty


def _text(value: object) -> str:
    """A value as a person reads it: lists with commas, tables line by line."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, dict):
        parts = {k: _text(v) for k, v in value.items()}
        lines = [
            f"{k}:\n{indent(text, '  ')}" if "\n" in text else f"{k}: {text}"
            for k, text in parts.items()
        ]
        return (
            "\n".join(lines) if any("\n" in x or len(x) > 24 for x in lines) else "; ".join(lines)
        )
    if isinstance(value, (list, tuple)):
        joint = "\n" if any(isinstance(v, BaseModel) for v in value) else ", "
        return joint.join(_text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
