"""Prepared networks stay within their memory, and one is made while another answers."""

from __future__ import annotations

import threading

import pytest

from nas.runtime.sessions import Sessions


def sessions(limit: float = 3.0, made: list[str] | None = None) -> Sessions:
    """A session is its file's name in capitals and takes 1."""
    made = [] if made is None else made
    return Sessions(lambda file: (made.append(file), file.upper())[1], lambda file: 1.0, limit)


def test_what_was_used_least_recently_goes_first() -> None:
    made: list[str] = []
    found = sessions(made=made)
    assert [found(file) for file in "abc"] == ["A", "B", "C"]
    found("a")
    found("d")
    assert found.files == ["c", "a", "d"]
    assert found.used_bytes == found.limit
    found("b")
    assert made == ["a", "b", "c", "d", "b"]


def test_the_network_in_use_stays_however_large_it_is() -> None:
    found = sessions(limit=1.0)
    found.use("abc")
    for file in "abc":
        found(file)
    assert found.files == ["a", "b", "c"]
    found.use("d")
    found("d")
    assert found.files == ["d"]


def test_what_is_foreseen_is_prepared_while_there_is_room() -> None:
    made: list[str] = []
    found = sessions(limit=4.0, made=made)
    for file in "xyz":
        found(file)
    found.use("z")
    found.foresee(["zb", "xc", "d"])  # z is in use: room for b, x and c
    found.settle()
    assert set(found.files) == set("zbxc")
    assert made == ["x", "y", "z", "b", "c"]


def test_one_that_is_being_made_is_waited_for_and_others_are_not() -> None:
    begun, go = threading.Event(), threading.Event()

    def make(file: str) -> str:
        if file == "slow":
            begun.set()
            assert go.wait(10)
        return file.upper()

    found = Sessions(make, lambda file: 1.0)
    found.foresee([["slow"]])
    assert begun.wait(10)
    assert found("quick") == "QUICK"
    asked = threading.Thread(target=found, args=("slow",))
    asked.start()
    assert asked.is_alive()
    go.set()
    assert found("slow") == "SLOW"
    asked.join(10)


def test_what_was_foreseen_before_is_given_up() -> None:
    begun, go, made = threading.Event(), threading.Event(), list[str]()

    def make(file: str) -> str:
        begun.set()
        assert go.wait(10)
        made.append(file)
        return file

    found = Sessions(make, lambda file: 1.0)
    found.foresee(["ab"])
    assert begun.wait(10)
    found.foresee(["c"])
    go.set()
    found.settle()
    assert made == ["a", "c"]


def test_a_failure_is_told_and_tried_again() -> None:
    faults = [OSError("no memory")]

    def make(file: str) -> str:
        if faults:
            raise faults.pop()
        return file

    found = Sessions(make, lambda file: 1.0)
    with pytest.raises(OSError, match="no memory"):
        found("a")
    assert found.files == []
    assert found("a") == "a"
