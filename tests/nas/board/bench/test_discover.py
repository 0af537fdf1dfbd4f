"""What a board has, without changing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.board.bench.discover import discover
from tests.nas.board.fake_board import FakeKernel, build, state


@pytest.mark.parametrize(
    ("name", "jetpack", "clocks"),
    [
        ("xavier-nx-jp5", 5, {"gpu", "cpu", "emc"}),
        ("orin-nano-jp6", 6, {"gpu", "cpu", "emc"}),
        ("raspberry-pi-5", None, {"cpu"}),
    ],
)
def test_a_board_is_described_in_plain_data(
    name: str, jetpack: int | None, clocks: set[str], root: Path
) -> None:
    build(name, root)
    kernel, before = FakeKernel(root), state(root)
    found = discover(kernel)
    assert json.loads(json.dumps(found)) == found
    assert found["jetpack"] == jetpack
    assert set(found["clocks"]) == clocks
    for clock in found["clocks"].values():
        assert clock["points_mhz"] == sorted(clock["points_mhz"])
    assert kernel.writes == []
    assert state(root) == before


def test_what_cannot_be_read_is_a_fault_with_its_path(root: Path) -> None:
    build("xavier-nx-jp5", root)
    found = discover(FakeKernel(root, errors={"gv11b/available_frequencies": 5}))
    assert "gpu" not in found["clocks"]
    assert any("gv11b/available_frequencies" in fault for fault in found["faults"])
