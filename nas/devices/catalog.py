"""Names of devices, and numbers of their levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from os import PathLike

from nas.devices.analytic import AnalyticDevice
from nas.devices.host import HostDevice
from nas.devices.library import is_profile, load_profile, profile_names, unknown_device
from nas.devices.names import NAME
from nas.devices.protocol import Device
from search_spaces import InputError, Space

Factory = Callable[..., Device]
GROUP = "nas.devices"  # of entry points
_ASKED = {name for name in vars(Device) if not name.startswith("_")}
_FACTORIES: dict[str, Factory] = {}


def register_device(name: str, factory: Factory) -> None:
    """Let `name` stand for a device of your own wherever a device is named.

    `factory` is called with the options of `get_device` that are given and must answer with a
    `Device` called `name`. A name that is registered again gets the new factory; ours cannot be
    taken. An installed package may name its factories as entry points of the group `nas.devices`
    instead: the command line then knows them too.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InputError(f"`name` must be small letters, digits and hyphens, got {name!r}")
    if name == "host" or name in profile_names():
        raise InputError(f"`name` {name!r} is taken by a device of ours; choose another")
    _FACTORIES[name] = factory


def device_names() -> list[str]:
    """`host`, every profile, ours or in your own folder, and registered devices.

    >>> import nas
    >>> "xavier-nx" in nas.devices()
    True
    """
    return ["host", *profile_names(), *_factories()]


def get_device(
    device: str | PathLike[str] | Device,
    *,
    backend: str | None = None,
    precision: str | None = None,
    batch: int = 1,
    power_mode: str | None = None,
    threads: int = 1,
    seconds: float = 0.3,
) -> Device:
    """This machine for `host`, else the analytic model of a profile (a name or a TOML file).

    A registered name gives what its factory makes. A device object of your own is returned as it
    is: it has its backend, precision, batch and power mode already. `threads` and `seconds` per row
    are those of a machine that really runs programs.

    >>> import nas
    >>> len(nas.get_device("xavier-nx").levels)
    15
    """
    given = {"backend": backend, "precision": precision, "power_mode": power_mode}
    if not isinstance(device, str | PathLike):
        return _own(device, given | {"batch": None if batch == 1 else batch})
    name = str(device)
    if (factory := _factories().get(name)) is not None:
        return _made(name, factory, given | {"batch": batch})
    if name != "host":
        if not is_profile(name):
            raise unknown_device(name, device_names())
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
        backend=backend,
        precision=precision or "fp32",
        batch=batch,
        threads=threads,
        seconds=seconds,
    )


def serving(device: Device, space: Space) -> Device:
    """`device` as it runs programs of `space`: this machine may have a backend for them."""
    return device.serving(space) if isinstance(device, HostDevice) else device


def _factories() -> dict[str, Factory]:
    """Factories by name: those of installed packages, then those registered here."""
    installed = {point.name: _Installed(point) for point in entry_points(group=GROUP)}
    return installed | _FACTORIES


@dataclass(frozen=True)
class _Installed:
    """A factory of an installed package, imported when it is called."""

    point: EntryPoint

    def __call__(self, **given: object) -> Device:
        made: Device = self.point.load()(**given)
        return made


def _own(device: Device, given: Mapping[str, object]) -> Device:
    """`device`; InputError where it is none, or is asked for what it is not."""
    if isinstance(device, list | tuple):
        raise InputError("`device` is one device; `nas.search_together` takes a list of them")
    lacking = sorted(_ASKED - {name for name in dir(device) if not name.startswith("_")})
    if lacking:
        raise InputError(
            f"`device` must be a name or a device; {type(device).__name__} has no "
            f"{', '.join(lacking)}"
        )
    for name, value in given.items():
        if value is not None and value != getattr(device, name):
            raise InputError(
                f"`{name}` is {value}, the device object {device.name} has {getattr(device, name)}"
            )
    return device


def _made(name: str, factory: Factory, given: Mapping[str, object]) -> Device:
    """What the factory makes with the options that are given."""
    made = factory(**{key: value for key, value in given.items() if value is not None})
    device = _own(made, {})
    if device.name != name:
        raise InputError(f"the device registered as {name!r} is called {device.name!r}")
    return device


def level_numbers(device: Device, asked: Sequence[int] | None) -> list[int]:
    """The asked levels of `device`, rising, each once; -1 is the fastest. None asks for all."""
    n = len(device.levels)
    for level in asked or ():
        if not -n <= level < n:
            raise InputError(f"{device.name} has levels 0 to {n - 1}, got `levels` {level}")
    return list(range(n)) if asked is None else sorted({range(n)[level] for level in asked})
