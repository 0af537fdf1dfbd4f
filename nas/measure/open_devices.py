"""The devices that `nas measure` measures on: this machine, a model, a board behind ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.given import check_not_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nas.devices import Device
    from nas.measure.listener import Listener
    from nas.measure.settings import Kind, MeasureSettings
    from nas.remote.messages import Message

LEAST_S = 2.0  # that a board times a row for


def open_devices(
    settings: MeasureSettings,
    name: str,
    kinds: Sequence[Kind],
    listener: Listener,
    *,
    power_mode: str | None,
    model: str | None = None,
) -> list[Device]:
    """The device `name` with every one of `kinds`.

    The levels of a board are those of its profile's backend `model`, the usual one without it.
    """
    from nas.devices import get_device

    if name != "host":
        _check_taken(settings, name)
    if settings.remote is not None:
        return _boards(settings, name, kinds, listener, power_mode=power_mode, model=model)
    return [
        get_device(
            name,
            backend=backend,
            precision=precision,
            batch=batch or 1,
            power_mode=power_mode,
            threads=settings.threads or 1,
            seconds=settings.seconds or 0.3,
        )
        for backend, precision, batch in kinds
    ]


def _check_taken(settings: MeasureSettings, name: str) -> None:
    """InputError for what a board or a model would leave aside."""
    left_out = f"not for {name}: leave it out"
    check_not_given({"threads": settings.threads}, f"`device` host, {left_out}")
    if settings.remote is None:
        where = f"`device` host and boards (`remote`), {left_out}"
        check_not_given({"seconds": settings.seconds}, where)


def _boards(
    settings: MeasureSettings,
    name: str,
    kinds: Sequence[Kind],
    listener: Listener,
    *,
    power_mode: str | None,
    model: str | None,
) -> list[Device]:
    from nas.devices import AnalyticDevice, load_profile
    from nas.remote.device import RemoteDevice
    from nas.remote.ssh import Remote

    assert settings.remote is not None
    target = settings.remote
    seconds = settings.seconds or 0.0
    profile, board = load_profile(name), Remote(target, sudo=settings.sudo)

    def say(message: Message) -> None:
        for kind in ("dropped", "waiting", "restored"):
            if text := message.get(kind):
                listener.say(f"{target}: {kind}: {text}")

    return [
        RemoteDevice(
            board,
            AnalyticDevice(profile, backend=model, batch=batch or 1, power_mode=power_mode),
            backend=backend,
            precision=precision,
            settings={"seconds": seconds} if seconds > LEAST_S else None,
            say=say,
        )
        for backend, precision, batch in kinds
    ]
