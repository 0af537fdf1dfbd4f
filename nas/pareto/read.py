"""`pareto.json` from a file: every field checked, the first fault told in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from nas.pareto.records import ParetoContent, Subnets
from nas.pareto.table import SCHEMA, ParetoTable, content_sha256
from search_spaces import InputError, get_space, read_json

SHOWN = 40  # characters of a value
EXPECTED = {  # by pydantic's name of the fault
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "int_type": "expected a whole number",
    "string_type": "expected text",
    "greater_than": "expected a number above {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "less_than_equal": "expected at most {le:g}",
    "list_type": "expected a list",
    "dict_type": "expected an object",
}


def read_pareto(path: str | Path) -> ParetoTable:
    """Read `pareto.json`. InputError: not there, no JSON, another schema, or the first fault.

    Warns where its checksum says that it was edited by hand; a file without one is taken as it is.

    >>> import nas
    >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
    >>> table.content["device"]["name"]
    'xavier-nx'
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; `nas search --out DIR` writes one")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the file, as {path / 'pareto.json'}")
    try:
        content = read_json(path)
    except InputError as error:
        raise InputError(f"{path} is no readable pareto.json: {error}") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise InputError(f"{path} has schema {found!r}, this version reads {SCHEMA!r}")
    if fault := fault_of(content):
        raise InputError(f"{path}: {fault}")
    if content.pop("content_sha256", told := content_sha256(content)) != told:
        warnings.warn(
            f"{path} was edited after `nas` wrote it: its figures may not be those of the search",
            stacklevel=2,
        )
    return ParetoTable(cast(ParetoContent, content))


def fault_of(content: dict[str, Any]) -> str | None:
    """The first fault of a parsed pareto.json: where, what is there, what is expected.

    Text is no number and no number is text; keys of later versions are let through.
    """
    from pydantic import ValidationError

    try:
        _validator().validate_python(content, strict=True, context=_subnets(content))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        return _told(faults[0]) + more
    return next(_contradictions(cast(ParetoContent, content)), None)


@cache
def _validator() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(ParetoContent)


def _subnets(content: dict[str, Any]) -> Subnets | None:
    """What checks the subnets; None where the space is one of the user's own."""
    try:
        return Subnets(get_space(str(content.get("space"))))
    except InputError:
        return None


def _told(fault: Any) -> str:
    where = _path(fault["loc"])
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] in EXPECTED:
        expected = EXPECTED[fault["type"]].format(**fault.get("ctx", {}))
    else:  # has words of the file: braces in them are no places to fill in
        expected = fault["msg"].replace("Input should be", "expected")
        expected = " ".join(expected.removeprefix("Value error, ").split())
    value = repr(fault["input"])
    short = value if len(value) <= SHOWN else value[: SHOWN - 3] + "..."
    return f"{where} is {short}; {expected}"


def _path(location: tuple[str | int, ...]) -> str:
    """`points[3].latency_ms`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _contradictions(content: ParetoContent) -> Iterator[str]:
    """What is wrong between fields that are right each for itself."""
    levels = [level["level"] for level in content["levels"]]
    if levels != list(range(len(levels))):
        yield f"levels are numbered {levels}; expected 0, 1, 2, ... in this order"
    held = content.get("constant_latency", {})
    lists = {"points": content["points"], "constant_latency.points": held.get("points", [])}
    lists["every_subnet"] = content.get("every_subnet", [])
    named = [(f"constant_latency.levels[{i}]", x) for i, x in enumerate(held.get("levels", ()))]
    for name, points in lists.items():
        named += [(f"{name}[{i}].level", point["level"]) for i, point in enumerate(points)]
    for name, level in named:
        if level not in levels:
            yield f"{name} is {level}; expected one of the file's levels"
    for i, point in enumerate(content["points"]):
        last, after = len(point["exit_rates"]) - 1, point["exits"]["after"]
        if after and after[-1] >= last:
            yield (
                f"points[{i}].exits.after is {after}; the {last + 1} exit_rates know exits "
                f"0 to {last - 1} and the final classifier"
            )
    ids = [point["id"] for point in content["points"]]
    if len(set(ids)) < len(ids):
        twice = next(id_ for i, id_ in enumerate(ids) if id_ in ids[:i])
        yield f"points[{ids.index(twice, ids.index(twice) + 1)}].id is {twice!r} for a second time"
    for i, id_ in enumerate(content["front"]):
        if id_ not in ids:
            yield f"front[{i}] is {id_!r}; expected the id of a point"
    if "verified_cost" not in content:
        for i, point in enumerate(content["points"]):
            if "verified_cost" in point:
                yield f"verified_cost is missing, but points[{i}] has one"
