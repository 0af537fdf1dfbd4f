"""Faults of a profile's file in plain words: what is asked, what was found, how ours has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.devices.checks import default_fault
from nas.devices.names import meant
from nas.devices.units import unit

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FREE = (
    "backends",
    "sysfs",
    "clusters",
    "cores",
    "rail_w",
    "at",
)  # tables whose keys a profile chooses
SHOWN = 3  # entries of a list in an example
RULES = {  # by the kind of fault; the library's own words for others
    "missing": "is missing: add it",
    "extra_forbidden": "is no known key: remove it or correct its spelling",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "literal_error": "must be {expected}",
    "too_short": "must not be empty",
}


def plain_fault(fault: ErrorDetails, ours: Mapping[str, Any]) -> str:
    """One fault that pydantic found, as `key: what is wrong`; `ours` is a profile without any."""
    place, kind = [part for part in fault["loc"] if part != "[key]"], fault["type"]
    said = RULES.get(kind, fault["msg"].removeprefix("Value error, "))
    said = said.format(**fault.get("ctx", {})) if kind in RULES else said
    if not place:
        return said
    where, example = ".".join(map(str, place)), _example(place, ours)
    if kind == "extra_forbidden":
        known = _at(place[:-1], ours)
        said += meant(str(place[-1]), known if isinstance(known, dict) else ())
    elif kind in RULES:
        said += f" in {unit(_key(place))}" if unit(_key(place)) else ""
        said += f", got {_shown(fault['input'])}" if kind != "missing" else ""
    return f"{where}: {said}" + f"; for example {example}" * bool(example)


def default_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Defaults that name no mode or backend, in values that have other faults as well."""
    modes, backends = values.get("modes"), values.get("backends")
    listed = [m for m in modes if isinstance(m, dict)] if isinstance(modes, list) else []
    known = {
        "default_power_mode": [str(m["name"]) for m in listed if "name" in m],
        "default_backend": list(backends) if isinstance(backends, dict) else [],
    }
    for key, names in known.items():
        if names and isinstance(values.get(key), str):
            yield from default_fault(key, values[key], names)


def _example(place: Sequence[int | str], ours: Mapping[str, Any]) -> str:
    """`key = value` as `ours` has it; empty where it has no such figure."""
    key = _key(place)
    value = _at(place[: len(place) - list(reversed(place)).index(key)], ours)
    return "" if value is None or isinstance(value, dict) else f"{key} = {_shown(value)}"


def _key(place: Sequence[int | str]) -> str:
    """The last name in a place, which may end with the number of an entry."""
    return next((part for part in reversed(place) if isinstance(part, str)), "")


def _at(place: Sequence[int | str], ours: Mapping[str, Any]) -> Any:
    """The value at a place in `ours`, None where there is none."""
    value: Any = ours
    for before, part in zip(["", *place], place, strict=False):
        if isinstance(value, list):
            value = value[0]
        elif not isinstance(value, dict):
            return None
        else:
            usual = next(iter(value.values())) if before in FREE else None
            value = value.get(part, usual)
    return value


def _shown(value: Any) -> str:
    """A value as TOML has it, a long one from its beginning."""
    if isinstance(value, list):
        more = ", ..." if len(value) > SHOWN else ""
        return f"[{', '.join(_shown(v) for v in value[:SHOWN])}{more}]"
    return json.dumps(value) if isinstance(value, str | bool | int | float) else "a table"
