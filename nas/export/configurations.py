"""Points of a table as once-for-all writes subnets: a JSON file each, no network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from nas.files import prepare_folder
from nas.pareto import ParetoTable, Point
from search_spaces import InputError, OnceForAllSpace, get_space


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
    check_new(out)
    out = out.resolve()
    aside = out.with_name(out.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed run: other points
    prepare_folder(aside)
    for point in points:
        config = space.to_ofa(space.parse(point["subnet"]))
        (aside / f"{point['id']}.json").write_text(json.dumps(config) + "\n")
    if out.exists():
        out.rmdir()
    os.replace(aside, out)
    return [out / f"{point['id']}.json" for point in points]


def check_new(out: Path) -> None:
    """InputError where `out` cannot become a new folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already; choose another `out` or remove it")
    if out.resolve() == Path.cwd():  # it would be another folder, and this shell in the one before
        raise InputError(f"`out` {out} is the folder that you are in; name a new one")


def chosen_points(table: ParetoTable, ids: Sequence[str]) -> list[Point]:
    """The points called `ids`, or those of the front; InputError names an unknown id."""
    points = {p["id"]: p for p in table.points}
    wanted = list(dict.fromkeys(ids or table.content["front"]))
    unknown = [id_ for id_ in wanted if id_ not in points]
    if unknown:
        raise InputError(
            f"no point {unknown[0]!r} in the table: it has {len(points)}, such as "
            f"{', '.join(list(points)[:3])}"
        )
    return [points[id_] for id_ in wanted]
