"""Lines of a board: whatever comes, it is a clean message or one line of words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.remote.messages import MAX_TEXT, BadRowError, read_message
from search_spaces import InputError

ROW = {
    "id": "a",
    "latency_ms": 1.5,
    "latency_p95_ms": 1.6,
    "n_runs": 100,
    "energy_mj": 12.0,
    "energy_dynamic_mj": -0.1,
    "power_w": 8.0,
    "gpu_mhz": 510.0,
    "cpu_mhz": None,
    "pinned": ["gpu"],
    "notes": [],
    "rails_w": {"VDD_IN": 8.0},
    "source": "measured",
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def line(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def test_a_row_comes_through_as_it_is() -> None:
    assert read_message(line({"row": ROW})) == {"row": ROW}


@pytest.mark.parametrize("name", ["latency_ms", "latency_p95_ms", "n_runs", "energy_mj", "power_w"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1.5", True, [1], {}, 10**400])
def test_a_figure_that_cannot_be_is_no_row(name: str, value: Any) -> None:
    with pytest.raises(BadRowError, match=f"cannot be true: {name} is ") as caught:
        read_message(line({"row": {**ROW, name: value}}))
    assert (caught.value.id, "\n" in str(caught.value)) == ("a", False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_ms", 0),
        ("latency_ms", None),
        ("notes", "x"),
        ("pinned", [1]),
        ("source", 3),
        ("more", [1]),
        ("more", math.nan),
    ],
)
def test_other_faults_of_a_row(name: str, value: Any) -> None:
    with pytest.raises(BadRowError, match=name):
        read_message(line({"row": {**ROW, name: value}}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Welcome to Ubuntu",
        b"[]",
        b"3",
        b"{}",
        b'{"rows": 1}',
        b"\xff\xfe",
        b"[" * 100000,
        b'{"row": {}}',
        b'{"row": 3}',
        b'{"row": {"id": 3}}',
        b'{"error": "x"}',
        b'{"error": 1, "id": 2}',
    ],
)
def test_what_is_no_message_is_one_line(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_message(text + b"\n")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_texts_are_printable_and_short() -> None:
    notes = ["\x1b[2Jclear\r\n", "x" * 10000]
    row = read_message(line({"row": {**ROW, "notes": notes}}))["row"]
    assert row["notes"] == [" [2Jclear  ", "x" * MAX_TEXT]


@given(
    message=anything
    | st.fixed_dictionaries(
        {
            "row": st.fixed_dictionaries(
                {"id": st.text()}, optional={name: anything for name in ROW if name != "id"}
            )
        }
    )
)
def test_any_line_is_a_message_or_one_line(message: Any) -> None:
    try:
        found = read_message(line(message))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    row = found.get("row")
    if row is not None:
        assert row["latency_ms"] > 0
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))
        assert all(v.isprintable() for v in row.values() if isinstance(v, str))


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        read_message(data)
    except InputError as error:
        assert str(error).isprintable()  # noqa: PT017
