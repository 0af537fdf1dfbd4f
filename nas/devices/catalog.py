"""Names of devices, and numbers of their levels."""

from __future__ import annotations

from collections.abc import Sequence

from nas.devices.analytic import AnalyticDevice
from nas.devices.host import HostDevice
from nas.devices.library import load_profile, profile_names
from nas.devices.protocol import Device
from search_spaces import InputError


def device_names() -> list[str]:
    """`host` and every profile that ships with the project."""
    return ["host", *profile_names()]


def get_device(
    name: str,
    *,
    backend: str | None = None,
    precision: str | None = None,
    batch: int = 1,
    power_mode: str | None = None,
    threads: int = 1,
    seconds: float = 0.3,
) -> Device:
    """This machine for `host`, else the analytic model of a profile (a name or a TOML file).

    `threads` and `seconds` per row are those of a machine that really runs programs.
    """
    if name != "host":
        return AnalyticDevice(
            load_profile(name),
            backend=backend,
            precision=precision,
            batch=batch,
            power_mode=power_mode,
        )
    if power_mode is not None:
        raise InputError(f"host is measured as it is, asked power mode {power_mode!r}")
    return HostDevice(
        backend=backend or "pytorch",
        precision=precision or "fp32",
        batch=batch,
        threads=threads,
        seconds=seconds,
    )


def level_numbers(device: Device, asked: Sequence[int] | None) -> list[int]:
    """The asked levels of `device`, rising, each once; -1 is the fastest. None asks for all."""
    n = len(device.levels)
    for level in asked or ():
        if not -n <= level < n:
            raise InputError(f"{device.name} has levels 0 to {n - 1}, got `levels` {level}")
    return list(range(n)) if asked is None else sorted({range(n)[level] for level in asked})
