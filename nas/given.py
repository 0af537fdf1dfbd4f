"""What a caller gave: numpy's numbers become Python's own, what does not fit is refused by name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from search_spaces import InputError


def check_not_given(options: Mapping[str, object], kind: str) -> None:
    """InputError where one of `options`, which are for `kind` alone, has a value."""
    for name, value in options.items():
        if value is not None and value is not False and value not in ([], ()):
            raise InputError(f"`{name}` is for {kind}")


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """`value` as an int, which files can hold; InputError: no whole number, or below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"`{name}` must be a whole number, got {value!r}") from None
    if least is not None and number < least:
        bound = "0 or more" if least == 0 else f"at least {least}"
        raise InputError(f"`{name}` must be {bound}, got {number}")
    return number


def whole_numbers(name: str, values: Iterable[Any]) -> tuple[int, ...]:
    """All of a list, a range or an array of whole numbers, one or more."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"`{name}` must be a list of whole numbers, got {values!r}")
    numbers = tuple(whole_number(name, value) for value in values)
    if not numbers:
        raise InputError(f"`{name}` must be a list of one or more, got {values!r}; or leave it out")
    return numbers


def real_number(name: str, value: Any) -> float:
    """`value` as a number of Python's; a text is none."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise InputError(f"`{name}` must be a number, got {value!r}")
    return float(value)


def positive_number(name: str, value: Any) -> float:
    """`value` as a finite number of Python's above 0."""
    number = real_number(name, value)
    if not 0 < number < float("inf"):
        raise InputError(f"`{name}` must be a positive number, got {number:g}")
    return number
