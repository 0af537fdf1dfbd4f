"""What networks run on: profiles, the analytic model, this machine."""

from nas.devices.analytic import AnalyticDevice
from nas.devices.catalog import Device, device_names, get_device
from nas.devices.host import HostDevice
from nas.devices.library import load_profile, profile_names
from nas.devices.profile import Profile

__all__ = [
    "AnalyticDevice",
    "Device",
    "HostDevice",
    "Profile",
    "device_names",
    "get_device",
    "load_profile",
    "profile_names",
]
