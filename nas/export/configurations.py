"""Points of a table as once-for-all writes subnets: a JSON file each, no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nas.files import new_folder
from nas.pareto import ParetoTable, Point
from search_spaces import InputError, OnceForAllSpace, RatioSpace, get_space


def write_ofa(table: ParetoTable, out: Path, *, ids: Sequence[str] = ()) -> list[Path]:
    """Write `ID.json` (`ks, e, d, image_size` and the like) of points into the new folder `out`.

    `ids` are the points, the front of all levels without them. `set_active_subnet` of `ofa` takes
    such a configuration, and so do our commands. InputError: another space, an unknown id.
    """
    space = get_space(table.content["space"])
    if not isinstance(space, OnceForAllSpace):
        raise InputError(
            f"`format` ofa writes once-for-all subnets; the points are of {space.name}"
        )
    points = chosen_points(table, ids)
    with new_folder(out) as aside:
        for point in points:
            config = space.to_ofa(space.parse(point["subnet"]))
            (aside / f"{point['id']}.json").write_text(json.dumps(config) + "\n")
    return [out / f"{point['id']}.json" for point in points]


def one_latency(table: ParetoTable) -> list[Point]:
    """Of every level the ratio that holds the latency, without early exits.

    InputError: the table is of no ratios, or of fewer than two levels.
    """
    points = table.content.get("constant_latency", {}).get("points")
    if points is not None:
        return points
    lacks = "the table says of no ratios which of them hold one latency at every clock: "
    if isinstance(get_space(table.content["space"]), RatioSpace):
        raise InputError(
            f"{lacks}fewer than two levels were searched, or have a ratio within the limits; "
            "search others with `--levels`, or with looser limits"
        )
    raise InputError(
        f"{lacks}search an All-in-One supernet (`nas supernet train --kind all-in-one`)"
    )


def every_subnet(table: ParetoTable) -> list[Point]:
    """Every subnet that meets the bounds, once, also those that no front has.

    InputError: the space has many, or an older version wrote the table.
    """
    points = table.content.get("every_subnet")
    if points is None:
        raise InputError(
            "the table does not list every subnet: searches of few do, such as of groups or ratios "
            "(`nas supernet train --kind groups`); name points with --id"
        )
    return points


def chosen_points(table: ParetoTable, ids: Sequence[str]) -> list[Point]:
    """The points called `ids`, or those of the front; InputError names an unknown id."""
    held = table.content.get("constant_latency", {}).get("points", [])
    every = table.content.get("every_subnet", [])
    points = {p["id"]: p for p in (*table.points, *held, *every)}
    wanted = list(dict.fromkeys(ids or table.content["front"]))
    unknown = [id_ for id_ in wanted if id_ not in points]
    if unknown:
        raise InputError(
            f"no point {unknown[0]!r} in the table: it has {len(points)}, such as "
            f"{', '.join(list(points)[:3])}"
        )
    return [points[id_] for id_ in wanted]
