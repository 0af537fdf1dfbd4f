"""Tests of what sets clocks wait for nothing that a tree of files does at once."""

from __future__ import annotations

import os

import pytest

from nas.board.control import pins as pins_module


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "POLL_S", 0.0005)
    monkeypatch.setattr(pins_module, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(pins_module, "REST_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow in a container
