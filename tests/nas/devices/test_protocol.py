"""What devices can be asked, by type."""

from __future__ import annotations

import pytest

from nas.devices import (
    AnalyticDevice,
    Clocked,
    ClockModel,
    Device,
    HostDevice,
    Machine,
    Simulates,
    StartsKnown,
    VoltageKnown,
    load_profile,
)
from nas.remote.device import RemoteDevice
from nas.remote.ssh import Remote

MODEL = AnalyticDevice(load_profile("xavier-nx"))
BOARD = RemoteDevice(Remote("user@board"), MODEL)
HOST = HostDevice(seconds=0.01)
OF_A_MODEL = {Simulates, Clocked, ClockModel, VoltageKnown, StartsKnown}


@pytest.mark.parametrize(
    ("device", "abilities"), [(MODEL, OF_A_MODEL), (BOARD, {Clocked}), (HOST, {Machine})]
)
def test_abilities_are_asked_by_type(device: Device, abilities: set[type]) -> None:
    assert {a for a in (*OF_A_MODEL, Machine) if isinstance(device, a)} == abilities


@pytest.mark.parametrize("device", [MODEL, BOARD, HOST])
def test_every_device_answers_what_rows_need(device: Device) -> None:
    assert device.processor in ("gpu", "cpu")
    assert device.source == ("simulated" if device is MODEL else "measured")
    assert (device.batch, device.threads) == (1, 1)
    clocks = [level.clock_mhz for level in device.levels]
    assert clocks == sorted(clocks)


def test_asking_a_machine_by_type_does_not_time_it() -> None:
    machine = HostDevice(seconds=0.01)
    assert isinstance(machine, Machine)
    assert not isinstance(machine, ClockModel)
    assert "decision_ms" not in vars(machine)  # it is measured when it is asked for


def test_a_machine_as_rows_found_it_is_another_value() -> None:
    found = HOST.as_found(1234.0, 0.5)
    assert (found.levels[0].cpu_mhz, found.decision_ms) == (1234.0, 0.5)
    assert HOST.as_found(None, 0.5).levels == HOST.levels != found.levels
