"""Freed memory: two settings of glibc, nothing elsewhere."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from supernets.training import memory


@pytest.mark.parametrize(("platform", "asked"), [("linux", {-1, -3}), ("darwin", set())])
def test_glibc_alone_is_told(monkeypatch, platform, asked) -> None:
    told = {}
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform=platform))
    library = SimpleNamespace(mallopt=told.__setitem__)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    memory.keep_freed_memory()
    assert set(told) == asked
    assert all(limit > 2**30 for limit in told.values())


def test_a_library_without_the_setting_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
