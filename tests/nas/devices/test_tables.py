"""Tables of a profile: what is refused at a field, and clocks under a cap."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from nas.devices.tables import PowerMode, SysPath, allowed, within


@pytest.mark.parametrize("path", ["/etc/passwd", "/sys/../etc/passwd", "sys/x", "/sys/a\nb"])
def test_a_path_that_an_agent_may_write_lies_below_sys(path: str) -> None:
    with pytest.raises(ValidationError, match="must be a path below /sys"):
        TypeAdapter(SysPath).validate_python(path)


def test_a_path_below_sys_stays_as_it_is() -> None:
    path = "/sys/devices/gpu.0/load"
    assert TypeAdapter(SysPath).validate_python(path) == path


def test_a_table_never_changes_and_knows_its_keys() -> None:
    mode = PowerMode(name="5W", cores=2)
    with pytest.raises(ValidationError, match="frozen"):
        mode.cores = 4
    with pytest.raises(ValidationError, match="colour"):
        PowerMode.model_validate({"name": "5W", "cores": 2, "colour": 1})


@pytest.mark.parametrize(
    ("cap", "left"),
    [(None, [1.0, 2.5, 4.0]), (4.0, [1.0, 2.5, 4.0]), (3.9, [1.0, 2.5]), (0.9, [])],
)
def test_a_cap_between_clocks_rounds_down(cap: float | None, left: list[float]) -> None:
    assert allowed((1.0, 2.5, 4.0), cap) == left


def test_a_figure_is_within_its_table_and_itself() -> None:
    assert within("gpu.knee_ghz", "gpu")
    assert within("gpu", "gpu")
    assert not within("gpu_mhz", "gpu")
