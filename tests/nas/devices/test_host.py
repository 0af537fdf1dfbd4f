"""A measured row holds what was measured."""

from nas.devices import HostDevice, host
from search_spaces import get_space


def test_a_hidden_clock_is_not_recorded_as_measured(monkeypatch):
    monkeypatch.setattr(host, "cpu_mhz", lambda: None)
    space = get_space("resnet-digits")
    device = HostDevice(seconds=0.01)
    row = device.measure(space, space.subnet(space.smallest), (0,))
    assert device.levels[0].clock_mhz > 0  # a level needs a clock to be named by
    assert (row["source"], row["cpu_mhz"]) == ("measured", None)
