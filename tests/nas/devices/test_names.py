"""Which name was meant."""

from __future__ import annotations

from nas.devices.names import meant, nearest


def test_the_nearest_name_in_any_case() -> None:
    known = ["MAXN", "MODE_15W", "MODE_30W_ALL"]
    assert nearest("maxn", known) == ["MAXN"]
    assert nearest("mode_15w", known, n=2) == ["MODE_15W", "MODE_30W_ALL"]
    assert nearest("turbo", known) == []


def test_nothing_is_said_where_no_name_is_near() -> None:
    assert meant("tensort", ["tensorrt", "ncnn"]) == "; did you mean tensorrt?"
    assert meant("x", ["tensorrt", "ncnn"]) == ""
