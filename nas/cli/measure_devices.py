"""What the options of `nas measure` name: devices, backends, levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from nas.devices import Device


def remote_devices(
    target: str,
    name: str,
    kinds: list[Any],
    log: Console,
    *,
    power_mode: str | None,
    sudo: bool,
    model: str | None = None,
) -> list[Device]:
    """The board at `target` with every (backend, precision, batch) of `kinds`.

    Its levels are those of the profile's backend `model`, the default one without it.
    """
    from nas.devices import AnalyticDevice, load_profile
    from nas.remote.device import RemoteDevice
    from nas.remote.ssh import Remote

    profile, board = load_profile(name), Remote(target, sudo=sudo)

    def say(message: dict[str, Any]) -> None:
        for kind in ("dropped", "waiting", "restored"):
            if message.get(kind):
                log.print(f"{target}: {kind}: {message[kind]}", markup=False)

    return [
        RemoteDevice(
            board,
            AnalyticDevice(profile, backend=model, batch=n, power_mode=power_mode),
            backend=b,
            precision=p,
            say=say,
        )
        for b, p, n in kinds
    ]


def names(text: str | None) -> list[str | None]:
    """The parts of `a,b`; the device's default for None."""
    return [None] if text is None else [part.strip() for part in text.split(",")]


def numbers(option: str, text: str) -> list[int]:
    from search_spaces import InputError

    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise InputError(f"--{option} takes whole numbers like 1,8, got {text!r}") from None


def level_numbers(text: str, device: Device) -> list[int]:
    """Level numbers of `all` or `0,3,-1`; negative ones count from the fastest."""
    from search_spaces import InputError

    n = len(device.levels)
    if text == "all":
        return list(range(n))
    asked = numbers("levels", text)
    for level in asked:
        if not -n <= level < n:
            raise InputError(f"{device.name} has levels 0 to {n - 1}, got --levels {level}")
    return list(dict.fromkeys(range(n)[level] for level in asked))
