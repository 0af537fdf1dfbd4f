"""What an export is asked of: points of a table, one configuration, or a pruned network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.export.one import is_configuration, table_of_one
from nas.export.plan import Export, plan_export
from nas.export.pruned import is_pruned, plan_pruned
from nas.given import check_not_given
from nas.pareto import ParetoTable, read_pareto
from nas.zoo.folder import supernet_folder
from search_spaces import InputError


def plan_asked(
    pareto: ParetoTable | Path, supernet: str | None, precision: str, **asked: Any
) -> Export:
    """The networks of `pareto`: a table, its file, a file with a configuration, a pruned folder.

    `supernet` is a name of the zoo or a folder, None that of the table; `asked` are arguments of
    `plan_export`. InputError: what cannot be used, or does not go together.
    """
    if isinstance(pareto, Path) and is_pruned(pareto):
        if precision == "int8":
            raise InputError("a pruned network is exported in fp32 or fp16, got `precision` int8")
        of_tables = {name: asked[name] for name in ("ids", "data", "bn_cache", "traces")}
        check_not_given(
            {"supernet": supernet, **of_tables}, "points of a table; a pruned network has none"
        )
        return plan_pruned(pareto)
    table = pareto if isinstance(pareto, ParetoTable) else _table(pareto, supernet)
    if precision == "int8":  # ranges are of one network's own weights
        asked["standalone"] = True
    return plan_export(table, _weights(table, supernet), **asked)


def _table(path: Path, supernet: str | None) -> ParetoTable:
    """The table in `path`, or that of the one configuration there."""
    if not is_configuration(path):
        return read_pareto(path)
    if supernet is None:
        raise InputError(f"{path} is a configuration: name its weights with `supernet`")
    return table_of_one(path, supernet_folder(supernet))


def _weights(table: ParetoTable, supernet: str | None) -> Path:
    """The folder of the supernet whose points `table` has."""
    described = table.content["supernet"]
    if described is None:
        raise InputError("`pareto` is of a space that comes with tables alone: nothing to export")
    name = described["name"]
    try:
        return supernet_folder(supernet or name)
    except InputError:
        if supernet is not None or described["sha256"] is None or Path(name).exists():
            raise
        raise InputError(
            f"{name}, whose points `pareto` has, is not here; give its folder as `supernet`"
        ) from None
