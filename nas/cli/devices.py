"""`nas devices`: targets, their levels and power modes, and what this machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nas.devices import Profile


def devices(
    name: Annotated[
        str | None, typer.Argument(help="A profile or FILE.toml; all without it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List the devices to search for, or describe one. Example: `nas devices xavier-nx`."""
    from nas.cli.output import print_json
    from nas.devices import load_profile, profile_names

    if name == "host":
        print_json(_host()) if json else _show(_host())
        return
    profiles = [load_profile(n) for n in ([name] if name else profile_names())]
    if json:
        described = [_described(p) for p in profiles]
        print_json(described[0] if name else {"host": _host(), "profiles": described})
    elif name:
        _show_profile(profiles[0])
    else:
        _show_all(profiles)


def _host() -> dict[str, Any]:
    """What was found on this machine."""
    import os
    from pathlib import Path

    from nas.devices.host import cpu_mhz, cpu_name

    model = Path("/proc/device-tree/model")
    board = model.read_text().strip("\0\n") if model.is_file() else None
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "cpu_mhz": cpu_mhz(), "board": board}


def _described(profile: Profile) -> dict[str, Any]:
    levels = {mode.name: profile.levels(mode.name) for mode in profile.modes}
    return profile.model_dump() | {
        "levels": {mode: [level.to_dict() for level in of] for mode, of in levels.items()}
    }


def _show_all(profiles: list[Profile]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("device", "levels", "MHz", "default mode", "backend", "description")
    for profile in profiles:
        levels = profile.levels()
        clocks = f"{levels[0].clock_mhz:g} to {levels[-1].clock_mhz:g} {profile.processor}"
        backend = f"{profile.default_backend} {profile.default_precision}"
        mode = profile.default_power_mode
        row = (profile.name, str(len(levels)), clocks, mode, backend, profile.description)
        table.add_row(*row)
    out = Console(highlight=False)
    out.print(table)
    host = _host()
    out.print(f"host: {host['cpu']}, {host['cores']} cores; board: {host['board'] or 'none found'}")


def _show(values: dict[str, Any]) -> None:
    for key, value in values.items():
        print(f"{key}: {value}")


def _show_profile(profile: Profile) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False)
    out.print(f"[bold]{profile.name}[/]: {profile.description}")
    out.print(
        f"backends {', '.join(profile.backends)}; precisions {', '.join(profile.peak)}; figures "
        f"of the analytic model are simulated, within {100 * profile.uncertainty:.0f} %; every "
        f"line of the profile names its source: nas/devices/profiles/{profile.name}.toml"
    )
    modes = Table("power mode", "cores", "levels", "gpu MHz", "cpu MHz", "emc MHz")
    for mode in profile.modes:
        levels = profile.levels(mode.name)
        top = levels[-1]
        shown = [f"{c:g}" if c else "-" for c in (top.gpu_mhz, top.cpu_mhz, top.emc_mhz)]
        mark = " (default)" if mode.name == profile.default_power_mode else ""
        modes.add_row(mode.name + mark, str(mode.cores), str(len(levels)), *shown)
    out.print(modes)
    clocks = Table("level", f"{profile.processor} MHz", title=profile.default_power_mode)
    for level in profile.levels():
        clocks.add_row(str(level.level), f"{level.clock_mhz:g}")
    out.print(clocks)
    constants = Table("figure", "value", "status")
    for key, value in profile.figures().items():
        if not isinstance(value, tuple):  # the clock tables are above
            constants.add_row(key, f"{value:g}", profile.provenance[key])
    out.print(constants)
