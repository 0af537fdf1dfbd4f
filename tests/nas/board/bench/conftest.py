"""What several tests of the bench share."""

from __future__ import annotations

import pytest

from nas.board.bench import sampler as sampler_module
from nas.board.control import pins as pins_module


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that settles, and a sensor that is called stalled, in moments."""
    monkeypatch.setattr(pins_module, "POLL_S", 0.0005)
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(pins_module, "REST_S", 0.0)
    monkeypatch.setattr(sampler_module, "CHECK_S", 0.01)
    monkeypatch.setattr(sampler_module, "STALL_S", 0.15)
