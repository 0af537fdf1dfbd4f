"""Devices of a user's own: registered by name, of an installed package, or handed over."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from nas.devices import (
    AnalyticDevice,
    catalog,
    device_names,
    get_device,
    level_numbers,
    load_profile,
    register_device,
)
from search_spaces import InputError

NANO = AnalyticDevice(load_profile("nano"))


def make_board(**options: Any) -> AnalyticDevice:
    device = AnalyticDevice(load_profile("nano"), **options)
    device.name = "my-board"
    return device


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_FACTORIES", {})


def test_a_registered_name_is_a_device_with_the_options_given() -> None:
    register_device("my-board", make_board)
    device = get_device("my-board", backend="tensorflow", batch=4)
    assert (device.name, device.backend, device.batch) == ("my-board", "tensorflow", 4)
    assert "my-board" in device_names()


def test_an_installed_package_adds_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("my-board", f"{__name__}:make_board", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point] * (group == catalog.GROUP))
    assert "my-board" in device_names()
    assert get_device("my-board").levels == NANO.levels


@pytest.mark.parametrize(
    ("name", "reason"),
    [("host", "is taken by a device of ours"), ("nano", "is taken"), ("../x", "small letters")],
)
def test_names_that_cannot_be_registered(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        register_device(name, make_board)


def test_a_factory_must_make_the_device_that_it_is_named_for() -> None:
    register_device("other", make_board)
    with pytest.raises(InputError, match="registered as 'other' is called 'my-board'"):
        get_device("other")
    register_device("other", lambda **_: object())
    with pytest.raises(InputError, match="object has no backend, batch, decision_ms"):
        get_device("other")


def test_an_object_goes_in_where_a_name_goes_in() -> None:
    assert get_device(NANO) is NANO
    assert get_device(NANO, backend=NANO.backend) is NANO
    with pytest.raises(InputError, match="`backend` is onnxruntime, the device object nano has"):
        get_device(NANO, backend="onnxruntime")
    with pytest.raises(InputError, match="`batch` is 8, the device object nano has 1"):
        get_device(NANO, batch=8)


def test_levels_are_numbered_from_either_end() -> None:
    n = len(NANO.levels)
    assert level_numbers(NANO, (-1, 0, n - 1)) == [0, n - 1]
    assert level_numbers(NANO, None) == list(range(n))
    with pytest.raises(InputError, match=f"nano has levels 0 to {n - 1}, got `levels` {n}"):
        level_numbers(NANO, (n,))
