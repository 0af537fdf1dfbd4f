"""`nas devices`: targets, all that is known of one, and what this machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from nas.devices import Profile

UNITS = {  # a name's ending, longest first where one ends in another
    "gb_per_s": "GB/s", "k_w_per_ghz": "W/GHz", "w_per_gb_s": "W/(GB/s)", "rise_per_ghz": "1/GHz",
    "w_per_emc_ghz": "W/GHz",
    "_mhz": "MHz", "_ghz": "GHz", "_kib": "KiB", "_us": "us", "_ms": "ms", "_w": "W",
    "peak": "1/clock", "reread_per_mac": "1/MAC",
}  # fmt: skip


def devices(
    name: Annotated[
        str | None, typer.Argument(help="A profile, FILE.toml or host; all without it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List the devices to search for, or describe one. Example: `nas devices xavier-nx`.

    Profiles of your own: a folder named by the environment variable NAS_DEVICES.
    """
    from rich.console import Console

    from nas.cli.output import print_json
    from nas.devices import load_profile, profile_names

    out = Console(highlight=False)
    if name == "host":
        print_json(found_here()) if json else _show_found(out)
        return
    profiles = [load_profile(n) for n in ([name] if name else profile_names())]
    if json:
        described = [_described(p) for p in profiles]
        print_json(described[0] if name else {"host": found_here(), "profiles": described})
    elif name:
        _show_profile(out, profiles[0])
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


def _show_all(out: Console, profiles: list[Profile]) -> None:
    from rich.table import Table

    table = Table("device", "levels", "MHz", "default mode", "backend", "description")
    for profile in profiles:
        levels = profile.levels()
        clocks = f"{levels[0].clock_mhz:g} to {levels[-1].clock_mhz:g} {profile.processor}"
        backend = f"{profile.default_backend} {profile.default_precision}"
        mode = profile.default_power_mode
        row = (profile.name, str(len(levels)), clocks, mode, backend, profile.description)
        table.add_row(*row)
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


def _show_profile(out: Console, profile: Profile) -> None:
    from rich.table import Table

    out.print(f"[bold]{profile.name}[/]: {profile.description}")
    runs = Table("backend", "processor", "precisions", "latency within", "energy within")
    for name, backend in profile.backends.items():
        mark = " (default)" if name == profile.default_backend else ""
        within = [f"{100 * u:.0f} %" for u in _uncertainty(profile, name)]
        runs.add_row(name + mark, backend.processor, ", ".join(backend.precision), *within)
    out.print(runs)
    modes = Table("power mode", "cores", "levels", "gpu MHz", "cpu MHz", "emc MHz")
    for mode in profile.modes:
        levels = profile.levels(mode.name)
        top = levels[-1]
        shown = [f"{c:g}" if c else "-" for c in (top.gpu_mhz, top.cpu_mhz, top.emc_mhz)]
        mark = " (default)" if mode.name == profile.default_power_mode else ""
        modes.add_row(mode.name + mark, str(mode.cores), str(len(levels)), *shown)
    out.print(modes)
    figures = Table("figure", "value", "unit", "status", "source")
    for figure, value in profile.figures().items():
        text = "above" if figure == "modes" else _text(value)
        status, source = profile.status(figure), profile.source(figure)
        figures.add_row(figure, text, _unit(figure), status, source)
    out.print(figures)
    for key, source in profile.sources.items():
        out.print(f"{key}: {source}", soft_wrap=True, markup=False)
    out.print("Latency and energy of the analytic model are simulated.")


def _uncertainty(profile: Profile, backend: str) -> tuple[float, float]:
    from nas.devices import AnalyticDevice

    device = AnalyticDevice(profile, backend=backend)
    return device.uncertainty, device.energy_uncertainty


def _unit(figure: str) -> str:
    return next((unit for end, unit in UNITS.items() if figure.endswith(end)), "")


def _text(value: Any) -> str:
    """A value as a person reads it: lists with commas, tables line by line."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, dict):
        lines = [f"{k}: {_text(v)}" for k, v in value.items()]
        return (
            "\n".join(lines) if any("\n" in x or len(x) > 24 for x in lines) else "; ".join(lines)
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
