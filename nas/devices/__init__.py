"""What networks run on: profiles, the analytic model, this machine."""

from nas.called import call_package
from nas.devices.analytic import AnalyticDevice
from nas.devices.catalog import device_names, get_device, level_numbers, register_device, serving
from nas.devices.host import HostDevice
from nas.devices.library import load_profile, profile_names
from nas.devices.profile import Profile
from nas.devices.protocol import (
    SAME_CLOCK,
    Clocked,
    ClockModel,
    Device,
    Machine,
    MachineDevice,
    Simulates,
    StartsKnown,
    VoltageKnown,
)

__all__ = [
    "SAME_CLOCK",
    "AnalyticDevice",
    "ClockModel",
    "Clocked",
    "Device",
    "HostDevice",
    "Machine",
    "MachineDevice",
    "Profile",
    "Simulates",
    "StartsKnown",
    "VoltageKnown",
    "device_names",
    "get_device",
    "level_numbers",
    "load_profile",
    "profile_names",
    "register_device",
    "serving",
]

call_package(__name__)
